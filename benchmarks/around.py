"""Every side against the front alone: accuracy, borders, lost cameras, cost: python -m benchmarks.around."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._ends import count, ended
from benchmarks.around_lidars import lidar_lost
from benchmarks.around_moments import BATCH, Moment, boxes_of, claims, made
from sentryfuse_core.around import Claim, Run, View, merged, runs_of
from sentryfuse_core.config.sectors import sector_name
from sentryfuse_core.evaluation.metrics import evaluate_detections
from sentryfuse_core.lab.bench.results import Figure, at_least, at_most, text_table, write
from sentryfuse_core.lab.world.around import QUARTERS_RAD
from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint
from sentryfuse_core.pipeline import PERCEIVING
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.sectors import beyond_m, owners
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.types import Detection, Modality, ModalitySet

NAMES = tuple(sector_name(round(float(np.degrees(yaw)))) for yaw in QUARTERS_RAD)
SIDES = dict(enumerate(QUARTERS_RAD))
CAMERA, LIDAR = ModalitySet.of(Modality.CAMERA), ModalitySet.of(Modality.LIDAR)
NEAR_M = 2.0  # a box this near to an object is its
BORDER_M = 3.0  # so near to the line between two sectors an object crosses it


def main() -> int:
    """Measure, print, write benchmarks/results/around.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=count, default=384, help="held-out moments (default %(default)s)")
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="default: the shipped ones")
    parser.add_argument("--runs", type=count, default=60, help="timed runs of a kind (default %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bank = Bank(load_checkpoint(args.weights))
    moments = [moment for index in range(-(-args.frames // BATCH)) for moment in made(index)][: args.frames]
    rows, raw = accuracy(bank, moments)
    of_two, raw["two_lidars"] = lidar_lost(bank, moments)
    rows += of_two
    rows += cost(bank, moments[:8], runs=args.runs)
    path = write("around", rows, raw=raw, config={"weights": bank.identity, "frames": args.frames})
    print(f"{text_table(rows)}\n{path}")
    return 0


def accuracy(bank: Bank, moments: Sequence[Moment]) -> tuple[list[Figure], dict[str, Any]]:
    """Rows of accuracy, and what they are made of."""
    full = [ModalitySet.all()] * 4
    camera_lost = [full[0], full[1] - CAMERA, *full[2:]]
    dark, dark_lost = ([mask - LIDAR for mask in masks] for masks in (full, camera_lost))
    each = [claims(bank, moment.inputs, full) for moment in moments]
    alone = [[claim.detection for claim in item if claim.sector == 0] for item in each]
    around = [[claim.detection for claim in merged(item, SIDES)] for item in each]
    front = _map(bank, moments, alone, 0)
    whole = {
        "all sensors": around,
        "left camera lost": _around(bank, moments, camera_lost),
        "without lidar": _around(bank, moments, dark),
        "without lidar, left camera lost": _around(bank, moments, dark_lost),
    }
    maps = {
        name: [_map(bank, moments, found, side) for side in (None, *range(4))]
        for name, found in whole.items()
    }
    rows = [at_least("front alone, within 45 degrees of ahead: mAP", front, "%")]
    rows += [
        at_least(
            f"{name} of all around, against the front alone",
            maps["all sensors"][1 + side] - front,
            "points",
            -2.0,
        )
        for side, name in enumerate(NAMES)
    ]
    rows.append(at_least("all around: mAP", maps["all sensors"][0], "%"))
    change = {
        name: np.subtract(maps[lost], maps[kept])
        for name, lost, kept in (
            ("with", "left camera lost", "all sensors"),
            ("without", "without lidar, left camera lost", "without lidar"),
        )
    }
    rows.append(
        at_least("left camera lost, with lidar: all around", float(change["with"][0]), "points", -1.0)
    )
    rows.append(
        at_least(
            "left camera lost, without lidar: the worst other sector",
            float(change["without"][[1, 3, 4]].min()),
            "points",
            -0.5,
        )
    )
    rows.append(
        at_least("left camera lost, without lidar: its sector", float(change["without"][2]), "points")
    )
    crossing, doubled, lost = borders(moments, each)
    rows.append(at_most("objects on a border: doubled", 100 * doubled / max(crossing, 1), "%", 1.0))
    rows.append(at_most("objects on a border: lost by merging", 100 * lost / max(crossing, 1), "%", 1.0))
    return rows, {
        "map": maps,
        "sides": ["around", *NAMES],
        "crossing": crossing,
        "boxes": sum(len(m.truth) for m in moments),
    }


def _around(bank: Bank, moments: Sequence[Moment], masks: Sequence[ModalitySet]) -> list[list[Detection]]:
    return [
        [claim.detection for claim in merged(claims(bank, moment.inputs, masks), SIDES)] for moment in moments
    ]


def _map(
    bank: Bank, moments: Sequence[Moment], found: Sequence[Sequence[Detection]], side: int | None
) -> float:
    """MAP in per cent of the places that belong to one side; None: all around."""
    truth, boxes = [], []
    for moment, items in zip(moments, found, strict=True):
        for own, where in ((truth, moment.truth), (boxes, boxes_of(items))):
            owner = owners(where.boxes[:, :2], QUARTERS_RAD)
            own.append(where.take(owner >= 0 if side is None else owner == side))
    return 100 * evaluate_detections(truth, boxes, labels=bank.labels).map


def borders(moments: Sequence[Moment], each: Sequence[Sequence[Claim]]) -> tuple[int, int, int]:
    """Objects near a border that some sector tells; those with two boxes after merging, and with none."""
    crossing = doubled = lost = 0
    for moment, before in zip(moments, each, strict=True):
        told = [claim for claim in before if claim.told]
        after = merged(told, SIDES)
        places = moment.truth.boxes[:, :2]
        for index in np.flatnonzero(_on_border(places)):
            same = moment.truth.classes == moment.truth.classes[index]
            near = np.hypot(*(places - places[index]).T) < 2 * NEAR_M
            if (same & near).sum() > 1:
                continue  # whose a box is cannot be told
            counts = [
                [
                    claim.sector
                    for claim in some
                    if _is(claim, int(moment.truth.classes[index]), places[index])
                ]
                for some in (told, after)
            ]
            if not counts[0]:
                continue
            crossing += 1
            alone = max(
                counts[0].count(sector) for sector in set(counts[0])
            )  # one sector may double by itself
            doubled += len(counts[1]) > alone
            lost += not counts[1]
    return crossing, doubled, lost


def _is(claim: Claim, class_id: int, place: np.ndarray[Any, Any]) -> bool:
    box = claim.detection
    return box.class_id == class_id and float(np.hypot(box.x - place[0], box.y - place[1])) < NEAR_M


def _on_border(places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which places lie near the line between two sectors, in the region of both."""
    off = np.stack(
        [
            np.abs(np.remainder(np.arctan2(places[:, 1], places[:, 0]) - yaw + np.pi, 2 * np.pi) - np.pi)
            for yaw in QUARTERS_RAD
        ]
    )
    order = np.argsort(off, axis=0)
    yaws = np.array(QUARTERS_RAD)
    near = -beyond_m(places, yaws[order[1]], yaws[order[0]]) > -BORDER_M
    return near & (np.abs(places) < GEOMETRY.y_max_m).all(axis=1)


def cost(bank: Bank, moments: Sequence[Moment], *, runs: int) -> list[Figure]:
    """Processor time of the network for the front with camera and lidar, and with three sides by lidar."""
    backend = EagerBackend(bank, threads=1)
    masks = [CAMERA | LIDAR, LIDAR, LIDAR, LIDAR]

    def planned(moment: Moment, sides: int) -> tuple[Run, ...]:
        views = [
            View(yaw, inputs, bank.plan(mask, 0, ""), {})
            for yaw, inputs, mask in zip(QUARTERS_RAD[:sides], moment.inputs, masks, strict=False)
        ]
        return runs_of(views, perceiving=PERCEIVING, batches=True)

    took: Mapping[int, list[float]] = {1: [], 4: []}
    for index in range(runs + 2):
        for sides, times in took.items():
            planned_runs = planned(moments[index % len(moments)], sides)
            took_s = _timed(lambda ready=planned_runs: [backend.run(run.inputs, run.plan) for run in ready])
            if index >= 2:
                times.append(took_s)
    one, four = (statistics.median(times) for times in took.values())
    return [
        at_most(
            "front camera + lidar and three lidar sides against the front alone: network",
            four / one,
            "x",
            2.0,
        ),
        at_most("the front alone: network, processor time", 1e3 * one, "ms"),
    ]


def _timed(work: Callable[[], object]) -> float:
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


if __name__ == "__main__":
    raise SystemExit(ended(main))
