"""Measure the live node over DDS, four raw sensors at a robot's rates: python -m benchmarks.runtime_live.

A lost set is a lidar cloud, the anchor, that was sent and for whose stamp no status came: it does not matter
whether the middleware, the synchroniser or the worker lost it. The first seconds settle and are not judged.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._ends import above_zero, ended
from benchmarks._live import (
    ALL_SENSORS,
    listener,
    own_domain,
    parameters,
    process,
    spinning,
    until,
    until_ended,
)
from benchmarks.ingest_robot import POINT_BYTES, RATES_HZ
from sentryfuse_core.account.latency import STAGES, percentiles
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config, to_mapping
from sentryfuse_core.json_values import json_value
from sentryfuse_core.lab.bench.results import Figure, at_most, text_table, write
from sentryfuse_core.types import Modality

IMU_HZ = 200
IMAGE = (640, 480)
SETTLE_S = 5.0  # rates are learned, caches are warm
DRAIN_S = 1.0  # statuses on their way when the robot stops
CHUNK_MS = 1e3 / RATES_HZ[Modality.AUDIO]  # one block of audio
WAIT_LIMIT_MS = CHUNK_MS + 5.0
REST_LIMIT_MS = 15.0
_START_WITHIN_S = 300.0


@dataclass(frozen=True)
class Heard:
    """What one status said of its set."""

    stamp_ns: int
    mask: int
    level: int
    skipped: int
    latency_ms: dict[str, float]  # by stage

    @property
    def rest_ms(self) -> float:
        """Everything but the network and the wait for the other sensors."""
        return self.latency_ms["e2e"] - self.latency_ms["infer"] - self.latency_ms["wait"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """One run."""

    clouds: int  # sent while judged
    lost: int  # of these, without a status
    lost_at_s: list[float]  # since the first judged cloud
    skipped: int  # sets that a newer one overtook, as the node counts them
    all_sensors_share: float
    masks: dict[str, int]
    levels: dict[str, int]
    latency_ms: dict[str, dict[str, float]]
    rest_ms: dict[str, float]
    sets: list[dict[str, Any]]


def main() -> int:
    """Run and write runtime_live.json; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=above_zero, default=60.0, help="judged length, in s")
    parser.add_argument("--reliability", choices=("best_effort", "reliable"), default="best_effort")
    args = parser.parse_args()
    own_domain()
    found = run(seconds=args.seconds, reliability=args.reliability)
    figures = figures_of(found)
    settings = {
        "seconds": args.seconds,
        "reliability": args.reliability,
        "image": IMAGE,
        "point_bytes": POINT_BYTES,
        "rates_hz": {**{modality.value: rate for modality, rate in RATES_HZ.items()}, "imu": IMU_HZ},
        "audio_chunk_ms": CHUNK_MS,
    }
    config = {"bench": settings, **to_mapping(Config())}
    path = write("runtime_live", figures, raw=asdict(found), config=config)
    print(f"{text_table(figures)}\n{path}")
    return 1 if any(figure.met is False for figure in figures) else 0


def run(*, seconds: float, reliability: str) -> Found:
    """The node, the robot and a listener to statuses, each in a process of its own but for the listener."""
    heard: list[Heard] = []
    qos = parameters({f"{modality.value}.reliability": reliability for modality in Modality})
    with (
        tempfile.TemporaryDirectory() as folder,
        spinning(lambda: listener(lambda status: heard.append(_heard(status)))) as (node, turn),
        process("sentryfuse_ros.fusion_node", *qos) as fusion,
    ):
        sent = Path(folder) / "sent.npz"

        def subscribed() -> bool:  # which it does once it is warm
            return bool(node.count_subscribers("/lidar/points"))

        until(subscribed, turn, "the fusion node's start", fusion, within_s=_START_WITHIN_S)
        robot_arguments = (
            *(str(sent), "--seconds", str(seconds + SETTLE_S), "--reliability", reliability),
            *("--image", *map(str, IMAGE), "--imu-hz", str(IMU_HZ), "--first-sample"),
        )
        with process("benchmarks.ingest_robot", *robot_arguments) as robot:
            until_ended(robot, turn, "the robot", fusion)
        drained_s = time.monotonic() + DRAIN_S
        while time.monotonic() < drained_s:
            turn()
        with np.load(sent) as content:
            return judge(content[Modality.LIDAR.value], heard)


def judge(clouds_ns: np.ndarray[Any, np.dtype[np.int64]], heard: Sequence[Heard]) -> Found:
    """Hold the stamps of the clouds that were sent against those that a status carries."""
    begin_ns = int(clouds_ns[0]) + round(SETTLE_S * NS_PER_S)
    judged_ns = clouds_ns[clouds_ns >= begin_ns]
    # While no sensor lives, the node repeats its last status: the first one of a stamp is the set's.
    by_stamp: dict[int, Heard] = {}
    for item in heard:
        by_stamp.setdefault(item.stamp_ns, item)
    lost = [int(stamp) for stamp in judged_ns if int(stamp) not in by_stamp]
    sets = [item for item in by_stamp.values() if begin_ns <= item.stamp_ns <= int(clouds_ns[-1])]
    masks, levels = (Counter(str(getattr(item, name)) for item in sets) for name in ("mask", "level"))
    return Found(
        clouds=len(judged_ns),
        lost=len(lost),
        lost_at_s=[round((stamp - begin_ns) / NS_PER_S, 3) for stamp in lost],
        skipped=sets[-1].skipped - sets[0].skipped if sets else 0,
        all_sensors_share=masks[str(ALL_SENSORS)] / max(1, len(sets)),
        masks=dict(masks),
        levels=dict(levels),
        latency_ms={stage: percentiles(item.latency_ms[stage] for item in sets) for stage in STAGES},
        rest_ms=percentiles(item.rest_ms for item in sets),
        sets=[{"mask": item.mask, "level": item.level, **json_value(item.latency_ms, 2)} for item in sets],
    )


def figures_of(found: Found) -> list[Figure]:
    """The table."""
    return [
        at_most("lost sets", found.lost, f"of {found.clouds}", 0),
        at_most("sets a newer one overtook", found.skipped, ""),
        at_most("sets with all sensors", 100 * found.all_sensors_share, "%"),
        at_most("wait p95", found.latency_ms["wait"]["p95"], "ms", WAIT_LIMIT_MS),
        at_most("everything but network and wait p95", found.rest_ms["p95"], "ms", REST_LIMIT_MS),
        *(
            at_most(f"{stage} {rank}", found.latency_ms[stage][rank], "ms")
            for stage in STAGES
            for rank in ("p50", "p95", "p99")
        ),
    ]


def _heard(status: Any) -> Heard:
    stamp = status.header.stamp
    return Heard(
        stamp_ns=stamp.sec * NS_PER_S + stamp.nanosec,
        mask=status.mask,
        level=status.level,
        skipped=status.skipped_sets,
        latency_ms={stage: float(getattr(status, f"{stage}_ms")) for stage in STAGES},
    )


if __name__ == "__main__":
    raise SystemExit(ended(main))
