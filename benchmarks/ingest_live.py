"""Measure the way in over DDS at a robot's raw rates: python -m benchmarks.ingest_live.

The node's own parts listen; only the pipeline is left out. Measured is what every message costs before it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._ends import above_zero, ended
from benchmarks._live import ALL_SENSORS, own_domain, process, until_ended
from benchmarks.ingest_robot import POINT_BYTES
from sentryfuse_core.account.latency import percentiles
from sentryfuse_core.config import Config, to_mapping
from sentryfuse_core.lab.bench.results import Figure, at_most, text_table, write
from sentryfuse_core.types import Modality

SETTLE_S = 2.0  # after the publishers have found every subscription; what is sent until then is not judged
IMAGE = (1920, 1080)
RELIABILITIES = ("best_effort", "reliable")


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
    deaf_ms: float  # longest time in which the listener took no message in
    collections: int
    longest_collection_ms: float
    full_collection_ms: float
    notes: dict[str, Any]


def main() -> int:
    """Run with both reliabilities and write benchmarks/results/ingest_live.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=above_zero, default=60.0, help="judged length of each run, in s")
    args = parser.parse_args()
    own_domain()
    found = {
        reliability: run(reliability, seconds=args.seconds, image=IMAGE) for reliability in RELIABILITIES
    }
    figures = [figure for reliability, item in found.items() for figure in _figures(reliability, item)]
    raw = {reliability: asdict(item) for reliability, item in found.items()}
    settings = {"seconds": args.seconds, "point_bytes": POINT_BYTES, "image": list(IMAGE)}
    path = write("ingest_live", figures, raw=raw, config={"bench": settings, **to_mapping(Config())})
    print(f"{text_table(figures)}\n{path}")
    return 0


def run(reliability: str, *, seconds: float, image: Sequence[int], pace: float = 1.0) -> Found:
    """One run: the listener first, then the robot; both in processes of their own. `pace`: times slower."""
    with tempfile.TemporaryDirectory() as folder:
        heard, sent = Path(folder) / "heard.npz", Path(folder) / "sent.npz"
        options = ("--seconds", str(seconds + SETTLE_S), "--reliability", reliability)
        robot_arguments = (str(sent), *options, "--image", *map(str, image), "--pace", str(pace))
        with (
            process("benchmarks.ingest_listener", str(heard), reliability) as listener,
            process("benchmarks.ingest_robot", *robot_arguments) as robot,
        ):
            until_ended(robot, lambda: time.sleep(0.1), "the robot", listener)
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
    # Nothing is noted by a listener that is held up throughout.
    shares = (cpu[-1] - cpu[0])[1:] / (cpu[-1] - cpu[0])[0] if len(cpu) > 1 else (np.nan, np.nan)
    sets = [item for item in notes.pop("sets") if begin_ns <= item[0] <= end_ns]
    collections = notes.pop("collections")
    called_ns = np.sort(np.concatenate([heard[f"{name}_called_ns"] for name in names]))
    called_ns = [begin_ns, *called_ns[(begin_ns < called_ns) & (called_ns < end_ns)], end_ns]
    return Found(
        streams={name: _stream(name, sent[name], heard, begin_ns) for name in names},
        cpu_share=float(shares[0]),
        executor_share=float(shares[1]),
        sets_per_s=len(sets) / ((end_ns - begin_ns) / 1e9),
        all_sensors_share=sum(bits == ALL_SENSORS for _, bits in sets) / max(1, len(sets)),
        publisher_late_ms=int(sent["longest_late_ns"]) / 1e6,
        deaf_ms=float(np.diff(called_ns).max()) / 1e6,
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


def _figures(kind: str, found: Found) -> list[Figure]:
    figures = [
        at_most(f"{kind}: {name} lost", item.lost, f"of {item.sent}", 0)
        for name, item in found.streams.items()
    ]
    for name, item in found.streams.items():
        figures.append(at_most(f"{kind}: {name} sent", item.sent_hz, "1/s"))
        figures += [
            at_most(f"{kind}: {name} transport {part}", item.transport_ms[part], "ms")
            for part in ("p50", "p95", "p99")
        ]
        figures.append(at_most(f"{kind}: {name} callback CPU p50", 1e3 * item.callback_cpu_ms["p50"], "us"))
    return [
        *figures,
        at_most(f"{kind}: CPU of the process", 100 * found.cpu_share, "% of a core"),
        at_most(f"{kind}: CPU of the executor", 100 * found.executor_share, "% of a core"),
        at_most(f"{kind}: sets", found.sets_per_s, "1/s"),
        at_most(f"{kind}: sets with all sensors", 100 * found.all_sensors_share, "%"),
        at_most(f"{kind}: latest publish", found.publisher_late_ms, "ms"),
        at_most(f"{kind}: longest collection", found.longest_collection_ms, "ms", 20),
        at_most(f"{kind}: full collection", found.full_collection_ms, "ms", 20),
    ]


def _load(path: Path) -> dict[str, Any]:
    with np.load(path) as content:
        return {name: content[name] for name in content.files}


if __name__ == "__main__":
    raise SystemExit(ended(main))
