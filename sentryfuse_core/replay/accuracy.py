"""Accuracy of a run by nuScenes' rules: overall, by sensors, by level, relative to a clean run."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sentryfuse_core.evaluation.boxes import FrameBoxes
from sentryfuse_core.evaluation.metrics import DetectionMetrics, evaluate_detections
from sentryfuse_core.replay.records import SetRecord, rounded
from sentryfuse_core.replay.truth import NEAR_NS, Truth
from sentryfuse_core.types import Detection

__all__ = ["accuracy", "cell", "pooled"]

_DIGITS = 4


def accuracy(
    records: Sequence[SetRecord], truth: Truth, *, clean: Sequence[SetRecord] | None = None
) -> dict[str, Any]:
    """Plain values for metrics.json, of the sets that have a label near.

    `overall`, `masks`, `levels`, and `cells` of both together.
    With the records of a `clean` run each part also holds its mAP in the clean sets of the same moments,
    and `relative_map`, the share of it that is left; null where the clean run found nothing either.
    """
    scored = [record for record in records if truth.near(record.stamp_ns) is not None]
    score = _Scorer(truth, clean)

    def by(key: Callable[[SetRecord], str], order: Callable[[SetRecord], int]) -> dict[str, Any]:
        names = {key(record): order(record) for record in scored}
        return {
            name: score.part([record for record in scored if key(record) == name])
            for name in sorted(names, key=names.__getitem__)
        }

    return {
        "sets_scored": len(scored),
        "labels": list(truth.labels),
        "overall": score.part(scored),
        "masks": by(lambda record: str(record.used), lambda record: record.used.bits),
        "levels": by(lambda record: str(record.level), lambda record: record.level),
        "cells": by(cell, lambda record: 1000 * record.used.bits + record.level),
    }


def pooled(runs: Sequence[Sequence[SetRecord]], truths: Sequence[Truth]) -> float:
    """The mAP (0..1) of several drives together, each against its own truth; NaN without boxes."""
    moments = [
        (record.detections, truth.near(record.stamp_ns))
        for records, truth in zip(runs, truths, strict=True)
        for record in records
    ]
    found = _evaluated(moments, sorted({label for truth in truths for label in truth.labels}))
    return float("nan") if found is None else found.map


def cell(record: SetRecord) -> str:
    """The name of the record's sensors and level together, as `cells` has it."""
    return f"{record.used} @ {record.level}"


class _Scorer:
    """Scores parts of a run, and the same moments of the clean one."""

    def __init__(self, truth: Truth, clean: Sequence[SetRecord] | None) -> None:
        self._truth = truth
        self._clean = None if clean is None else sorted(clean, key=lambda record: record.stamp_ns)
        self._stamps_ns = [record.stamp_ns for record in self._clean or ()]

    def part(self, records: Sequence[SetRecord]) -> dict[str, Any] | None:
        """Metrics of some sets; None without boxes to find."""
        found = self._metrics(records)
        if found is None:
            return None
        plain: dict[str, Any] = rounded(found.to_mapping(), _DIGITS)
        if self._clean is not None:
            clean = self._metrics([twin for twin in map(self._twin, records) if twin is not None])
            plain["clean_map"] = None if clean is None else round(clean.map, _DIGITS)
            known = clean is not None and clean.map > 0.0
            plain["relative_map"] = round(found.map / clean.map, _DIGITS) if known and clean else None
        return plain

    def _twin(self, record: SetRecord) -> SetRecord | None:
        """The clean run's set nearest in time."""
        after = bisect.bisect_left(self._stamps_ns, record.stamp_ns)
        near = range(max(after - 1, 0), min(after + 1, len(self._stamps_ns)))
        apart_ns, index = min(
            ((abs(self._stamps_ns[index] - record.stamp_ns), index) for index in near),
            default=(NEAR_NS + 1, 0),
        )
        return self._clean[index] if self._clean is not None and apart_ns <= NEAR_NS else None

    def _metrics(self, records: Sequence[SetRecord]) -> DetectionMetrics | None:
        moments = [(record.detections, self._truth.near(record.stamp_ns)) for record in records]
        return _evaluated(moments, self._truth.labels)


def _evaluated(
    moments: Sequence[tuple[Sequence[Detection], Sequence[Detection] | None]], labels: Sequence[str]
) -> DetectionMetrics | None:
    """Metrics of what was found against what is there, where that is known; None without boxes to find."""
    pairs = [(found, real) for found, real in moments if real is not None]
    if not any(real for _, real in pairs):
        return None
    return evaluate_detections(
        [_boxes(real, labels) for _, real in pairs],
        [_boxes(found, labels) for found, _ in pairs],
        labels=labels,
    )


def _boxes(detections: Sequence[Detection], labels: Sequence[str]) -> FrameBoxes:
    """As the metrics read them; of a class that no label names nothing is known, so it is left out."""
    known = [item for item in detections if item.label in labels]
    rows = [(item.x, item.y, item.z, item.length, item.width, item.height, item.yaw) for item in known]
    return FrameBoxes(
        np.asarray(rows, dtype=np.float64).reshape(-1, 7),
        np.asarray([labels.index(item.label) for item in known], dtype=np.int64),
        np.asarray([item.score for item in known], dtype=np.float64),
    )
