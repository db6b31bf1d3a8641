"""Accuracy of a run by nuScenes' rules: overall, by sensors, by level, relative to a clean run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.metrics import DetectionMetrics, evaluate_detections
from sentryfuse_core.json_values import json_value
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.truth import NEAR_NS, Truth
from sentryfuse_core.sync.match import nearest
from sentryfuse_core.types import Detection, ModalitySet

__all__ = ["accuracy", "cell", "pooled"]

_DIGITS = 4
_Pair: TypeAlias = tuple[SetRecord, SetRecord | None]  # a set, and the clean run's set of the same moment


def accuracy(
    records: Sequence[SetRecord], truth: Truth, *, clean: Sequence[SetRecord] | None = None
) -> dict[str, Any]:
    """Plain values for metrics.json, of the sets that have a label near.

    `overall`, `masks`, `levels`, and `cells` of both together.
    With the records of a `clean` run each part also holds its mAP in the clean sets of the same moments,
    and `relative_map`, the share of it that is left; null where the clean run found nothing either.
    """
    scored = [record for record in records if truth.near(record.stamp_ns) is not None]
    pairs = list(zip(scored, _twins(scored, clean or ()), strict=True))

    def part(chosen: Sequence[_Pair]) -> dict[str, Any] | None:
        """Metrics of some sets; None without boxes to find."""
        found = _evaluated([record for record, _ in chosen], truth)
        if found is None:
            return None
        plain: dict[str, Any] = json_value(found.to_mapping(), _DIGITS)
        if clean is not None:
            before = _evaluated([twin for _, twin in chosen if twin is not None], truth)
            plain["clean_map"] = None if before is None else round(before.map, _DIGITS)
            known = before is not None and before.map > 0.0
            plain["relative_map"] = round(found.map / before.map, _DIGITS) if known and before else None
        return plain

    def by(key: Callable[[SetRecord], Any], name: Callable[[Any], str] = str) -> dict[str, Any]:
        keys = sorted({key(record) for record in scored})
        return {name(one): part([pair for pair in pairs if key(pair[0]) == one]) for one in keys}

    return {
        "sets_scored": len(scored),
        "labels": list(truth.labels),
        "overall": part(pairs),
        "masks": by(lambda record: record.used),
        "levels": by(lambda record: record.level),
        "cells": by(lambda record: (record.used, record.level), lambda key: cell(*key)),
    }


def pooled(runs: Sequence[Sequence[SetRecord]], truths: Sequence[Truth]) -> float:
    """The mAP (0..1) of several drives together, each against its own truth; NaN without boxes."""
    moments = [
        (record.detections, truth.near(record.stamp_ns))
        for records, truth in zip(runs, truths, strict=True)
        for record in records
    ]
    found = _metrics(moments, sorted({label for truth in truths for label in truth.labels}))
    return math.nan if found is None else found.map


def cell(used: ModalitySet, level: int) -> str:
    """The name of sensors and level together, as `cells` has it."""
    return f"{used} @ {level}"


def _twins(records: Sequence[SetRecord], clean: Sequence[SetRecord]) -> list[SetRecord | None]:
    """For each record the clean run's set nearest in time, where one is near enough."""
    ordered = sorted(clean, key=lambda record: record.stamp_ns)
    stamps_ns = [record.stamp_ns for record in ordered]
    found = (nearest(stamps_ns, record.stamp_ns, NEAR_NS) for record in records)
    return [None if index is None else ordered[index] for index in found]


def _evaluated(records: Sequence[SetRecord], truth: Truth) -> DetectionMetrics | None:
    return _metrics([(record.detections, truth.near(record.stamp_ns)) for record in records], truth.labels)


def _metrics(
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
