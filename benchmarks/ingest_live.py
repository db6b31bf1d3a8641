"""Measure the way in over DDS at a robot's raw rates: python -m benchmarks.ingest_live.

The node's own parts listen; only the pipeline is left out. Measured is what every message costs before it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._results import FOLDER, Row, render, write
from sentryfuse_core.account.latency import percentiles
from sentryfuse_core.config import Config, to_mapping
from sentryfuse_core.types import Modality

ALL_SENSORS = 15
SETTLE_S = 2.0  # after the publishers have found every subscription; what is sent until then is not judged
RELIABILITIES = ("best_effort", "reliable")
_END_WITHIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What became of one sensor's messages."""

    sent: int
    lost: int
    repeated: int
    sent_hz: float
    transport_ms: dict[str, float]  # from just before publish() to the callback
    waited_ms: dict[str, float]  # of that, after the middleware had it
    callback_cpu_ms: dict[str, float]  # CPU of the executor's thread, conversion and synchronisation
    lost_at_s: list[float]  # since the first judged message


@dataclass(frozen=True, kw_only=True)
class Found:
    """One run."""

    streams: dict[str, Stream]
    cpu_share: float  # of one core: the whole process
    executor_share: float  # of one core: the thread that deserialises and takes in
    sets_per_s: float
    all_sensors_share: float
    publisher_late_ms: float  # latest message against its due time
    collections: int
    longest_collection_ms: float
    full_collection_ms: float
    notes: dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with both reliabilities and write benchmarks/results/ingest_live.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="judged length of each run, in s")
    parser.add_argument("--point-bytes", type=int, choices=(16, 32), default=16, help="of one lidar point")
    parser.add_argument(
        "--image",
        type=int,
        nargs=2,
        default=(1920, 1080),
        metavar=("WIDTH", "HEIGHT"),
        help="in pixels",
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the result file")
    args = parser.parse_args(arguments)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(60 + os.getpid() % 40))
    found: dict[str, Found] = {}
    for reliability in RELIABILITIES:
        found[reliability] = run(
            reliability, seconds=args.seconds, point_bytes=args.point_bytes, image=tuple(args.image)
        )
    rows = [row for reliability, item in found.items() for row in _rows(reliability, item)]
    raw = {reliability: asdict(item) for reliability, item in found.items()}
    settings = {"seconds": args.seconds, "point_bytes": args.point_bytes, "image": list(args.image)}
    config = {"bench": settings, **to_mapping(Config())}
    path = write("ingest_live", rows, raw=raw, config=config, folder=args.out)
    print(f"{render(rows)}\n{path}")
    return 0


def run(reliability: str, *, seconds: float, point_bytes: int, image: tuple[int, int]) -> Found:
    """One run: the listener first, then the robot; both in processes of their own."""
    config_arguments = [
        part for modality in Modality for part in ("--set", f"{modality.value}.reliability", reliability)
    ]
    with tempfile.TemporaryDirectory() as folder:
        heard, sent = Path(folder) / "heard.npz", Path(folder) / "sent.npz"
        listener = _start("benchmarks.ingest_listener", str(heard), *config_arguments)
        try:
            robot = _start(
                "benchmarks.ingest_robot",
                str(sent),
                *("--seconds", str(seconds + SETTLE_S), "--reliability", reliability),
                *("--point-bytes", str(point_bytes), "--image", *map(str, image)),
            )
            try:
                _watch(robot, listener)
            finally:
                end(robot)
        finally:
            end(listener)
        if not heard.exists():
            raise SystemExit("error: the listener wrote nothing")
        return judge(_load(sent), _load(heard))


def judge(sent: dict[str, Any], heard: dict[str, Any]) -> Found:
    """Compare the stamps sent with the stamps seen; everything else is from the same stretch of time."""
    names = [modality.value for modality in Modality]
    begin_ns = max(int(sent[name][0]) for name in names) + round(SETTLE_S * 1e9)
    end_ns = max(int(sent[name][-1]) for name in names)
    notes = json.loads(str(heard["notes"]))
    cpu = np.array([item for item in notes.pop("cpu_ns") if begin_ns <= item[0] <= end_ns])
    shares = (cpu[-1] - cpu[0])[1:] / (cpu[-1] - cpu[0])[0]
    sets = [item for item in notes.pop("sets") if begin_ns <= item[0] <= end_ns]
    collections = notes.pop("collections")
    return Found(
        streams={name: _stream(name, sent[name], heard, begin_ns) for name in names},
        cpu_share=float(shares[0]),
        executor_share=float(shares[1]),
        sets_per_s=len(sets) / ((end_ns - begin_ns) / 1e9),
        all_sensors_share=sum(bits == ALL_SENSORS for _, bits in sets) / max(1, len(sets)),
        publisher_late_ms=int(sent["longest_late_ns"]) / 1e6,
        collections=len(collections),
        longest_collection_ms=max((ns for _, ns in collections), default=0) / 1e6,
        full_collection_ms=max(notes["full_collections_ms"]),
        notes={**notes, "full_collections": sum(generation == 2 for generation, _ in collections)},
    )


def _stream(name: str, sent_ns: Any, heard: dict[str, Any], begin_ns: int) -> Stream:
    sent_ns = sent_ns[sent_ns >= begin_ns]
    judged = heard[f"{name}_stamps_ns"] >= begin_ns
    stamps_ns = heard[f"{name}_stamps_ns"][judged]
    lost = np.setdiff1d(sent_ns, stamps_ns)
    return Stream(
        sent=len(sent_ns),
        lost=len(lost),
        repeated=len(stamps_ns) - len(np.unique(stamps_ns)),
        sent_hz=float((len(sent_ns) - 1) / ((sent_ns[-1] - sent_ns[0]) / 1e9)),
        transport_ms=percentiles((heard[f"{name}_called_ns"][judged] - stamps_ns) / 1e6),
        waited_ms=percentiles(heard[f"{name}_waited_ns"][judged] / 1e6),
        callback_cpu_ms=percentiles(heard[f"{name}_cpu_ns"][judged] / 1e6),
        lost_at_s=((lost - begin_ns) / 1e9).round(4).tolist(),
    )


def _rows(kind: str, found: Found) -> list[Row]:
    rows = [
        Row(what=f"{kind}: {name} lost", measured=item.lost, unit=f"of {item.sent}", target=0)
        for name, item in found.streams.items()
    ]
    for name, item in found.streams.items():
        rows += [Row(what=f"{kind}: {name} sent", measured=item.sent_hz, unit="1/s")]
        rows += [
            Row(what=f"{kind}: {name} transport {part}", measured=item.transport_ms[part], unit="ms")
            for part in ("p50", "p95", "p99")
        ]
        cpu_us = 1e3 * item.callback_cpu_ms["p50"]
        rows += [Row(what=f"{kind}: {name} callback CPU p50", measured=cpu_us, unit="us")]
    return [
        *rows,
        Row(what=f"{kind}: CPU of the process", measured=100 * found.cpu_share, unit="% of a core"),
        Row(
            what=f"{kind}: CPU of the executor",
            measured=100 * found.executor_share,
            unit="% of a core",
        ),
        Row(what=f"{kind}: sets", measured=found.sets_per_s, unit="1/s"),
        Row(what=f"{kind}: sets with all sensors", measured=100 * found.all_sensors_share, unit="%"),
        Row(what=f"{kind}: latest publish", measured=found.publisher_late_ms, unit="ms"),
        Row(
            what=f"{kind}: longest collection",
            measured=found.longest_collection_ms,
            unit="ms",
            target=20,
        ),
        Row(what=f"{kind}: full collection", measured=found.full_collection_ms, unit="ms", target=20),
    ]


def _start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", module, *arguments])


def _watch(robot: subprocess.Popen[bytes], listener: subprocess.Popen[bytes]) -> None:
    """Until the robot is through; both must get there alive."""
    while robot.poll() is None:
        if listener.poll() is not None:
            raise SystemExit(f"error: the listener ended early with status {listener.returncode}")
        time.sleep(0.1)
    if robot.returncode != 0:
        raise SystemExit(f"error: the robot ended with status {robot.returncode}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it if it does not in time."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _load(path: Path) -> dict[str, Any]:
    with np.load(path) as content:
        return {name: content[name] for name in content.files}


if __name__ == "__main__":
    sys.exit(main())
