"""Accuracy under each shipped scenario against the same moments without: python -m benchmarks.robustness."""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks._ends import count, ended
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config, to_mapping
from sentryfuse_core.faults.scenario import EVERY_SENSOR, Scenario, load_scenario
from sentryfuse_core.faults.scenario_files import shipped_scenarios
from sentryfuse_core.lab.bench.results import Figure, at_most, text_table, write
from sentryfuse_core.lab.bench.runtime.recording import record
from sentryfuse_core.replay.accuracy import pooled
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.run import ReplayOptions, replay
from sentryfuse_core.replay.truth import Truth, load_labels

FIRST_SEED = 7000  # of the drives; no training has it
MARGIN_S = 0.5  # after a fault begins: before, the set still holds what came before it
STAMP_FAULTS = ("offset", "clock_jump", "drift", "loop")
Drive = tuple[Path, Truth]


def main() -> int:
    """Record drives, replay all scenarios, write benchmarks/results/robustness.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drives", type=count, default=3, help="drives of the synthetic world a scenario")
    args = parser.parse_args()
    stories = [load_scenario(path) for path in shipped_scenarios().values()]
    with tempfile.TemporaryDirectory() as folder:
        drives = drives_of(Path(folder), args.drives, seconds=max(story.seconds for story in stories))
        clean = [run(drive, None, Path(folder) / f"clean{index}") for index, drive in enumerate(drives)]
        found = {}
        for story in track(stories, "scenarios"):
            runs = [
                run(drive, story, Path(folder) / f"{story.name}{index}") for index, drive in enumerate(drives)
            ]
            found[story.name] = compare(story, drives, runs, clean)
    figures = [figure for name, values in found.items() for figure in figures_of(name, values)]
    path = write("robustness", figures, raw=found, config=to_mapping(Config()))
    print(f"{text_table(figures)}\n{path}")
    return 0


def drives_of(folder: Path, count: int, *, seconds: float) -> list[Drive]:
    """Drives with their labels."""
    drives = []
    for index in track(range(count), "drives"):
        out = folder / f"drive{index}"
        bag = record(out, seconds=seconds, seed=FIRST_SEED + index)
        drives.append((bag, load_labels(out / "labels.jsonl")))
    return drives


def run(drive: Drive, story: Scenario | None, out: Path) -> list[SetRecord]:
    """The sets of one replay."""
    options = ReplayOptions(
        bag=drive[0],
        config=Config(),
        topics={},
        scenario=story,
        seconds=None if story is None else story.seconds,
        truth=drive[1],
    )
    return list(replay(options, RunOutputs(out, bag=drive[0])).records)


def compare(
    story: Scenario,
    drives: Sequence[Drive],
    runs: Sequence[Sequence[SetRecord]],
    clean: Sequence[Sequence[SetRecord]],
) -> dict[str, Any]:
    """What is found while a fault is at work (mAP), in the clean sets of that time, and what was in use."""
    begin = min((event.at_s for event in story.events), default=0.0) + MARGIN_S
    end = min(max((event.until_s for event in story.events), default=0.0), story.seconds)
    if any(event.stream == EVERY_SENSOR and event.fault in STAMP_FAULTS for event in story.events):
        runs = [at_true_times(records, unmoved) for records, unmoved in zip(runs, clean, strict=True)]
    during = [_between(records, begin, end) for records in runs]
    before = [_between(records, begin, end) for records in clean]
    truths = [truth for _, truth in drives]
    masks = Counter(str(record.used) for records in during for record in records)
    return {
        "from_s": begin,
        "until_s": end,
        "sets": sum(map(len, during)),
        "clean_sets": sum(map(len, before)),
        "map": pooled(during, truths),
        "clean_map": pooled(before, truths),
        "masks": dict(masks.most_common()),
    }


def at_true_times(records: Sequence[SetRecord], clean: Sequence[SetRecord]) -> list[SetRecord]:
    """The sets under stamps that no fault has moved, by when they came: the world goes on meanwhile.

    Under moved stamps they would be held against boxes of another moment, or against none.
    """
    lag_ns = statistics.median(_anchor_came_ns(record) - record.stamp_ns for record in clean)
    return [replace(record, stamp_ns=round(_anchor_came_ns(record) - lag_ns)) for record in records]


def _anchor_came_ns(record: SetRecord) -> int:
    return record.released_ns - round(record.wait_ms * 1e6)


def _between(records: Sequence[SetRecord], begin_s: float, end_s: float) -> list[SetRecord]:
    """Sets released from `begin_s` to `end_s` after the first one."""
    start_ns = records[0].released_ns
    return [record for record in records if begin_s <= (record.released_ns - start_ns) / NS_PER_S < end_s]


def figures_of(name: str, values: dict[str, Any]) -> list[Figure]:
    """The two figures of a scenario."""
    share = 100.0 * values["map"] / values["clean_map"] if values["clean_map"] else math.nan
    return [
        at_most(f"{name}: mAP while it lasts", 100.0 * values["map"], "%"),
        at_most(f"{name}: against the clean moments", share, "%"),
    ]


if __name__ == "__main__":
    raise SystemExit(ended(main))
