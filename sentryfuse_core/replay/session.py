"""One recording from start to finish: run, clean run, scores, verdicts and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from sentryfuse_core.bags.readers import recording_name
from sentryfuse_core.config import Config
from sentryfuse_core.faults.scenario import load_scenario
from sentryfuse_core.replay.accuracy import accuracy
from sentryfuse_core.replay.criteria import Criterion, judge
from sentryfuse_core.replay.finish import write_all
from sentryfuse_core.replay.junit import Suite, write_junit
from sentryfuse_core.replay.labels import none_near
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.run import ReplayOptions, ReplayResult, replay
from sentryfuse_core.replay.track_scores import track_metrics
from sentryfuse_core.replay.truth import NEAR_NS, load_labels
from sentryfuse_core.text import printable

__all__ = ["Job", "JobResult", "run_job"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to replay and how to judge it, as plain values that another process can take."""

    bag: Path
    out: Path | None = None  # None: the first free replay_BAG_NNN
    name: str = ""  # in junit.xml; empty: the recording's
    config: Config = field(default_factory=Config)
    topics: dict[str, str] = field(default_factory=dict)
    scenario: Path | None = None
    seconds: float | None = None
    labels: Path | None = None  # None: labels.jsonl beside the recording, if there is one
    criteria: tuple[Criterion, ...] = ()
    clean: bool = True  # with labels and a scenario: also without the scenario
    command: tuple[str, ...] = ()
    beside: bool = False  # as ReplayOptions has it


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What came of a job; its `result` has the accuracy among its metrics."""

    folder: Path
    result: ReplayResult
    suite: Suite


def run_job(
    job: Job,
    *,
    progress: Callable[[str, float, float, int], None] = lambda _what, _done_s, _total_s, _sets: None,
    stop: Callable[[], bool] = lambda: False,
) -> JobResult:
    """Replay, score, judge and write every file; raises what `replay` and the loading of files raise.

    `progress` is told which run it is, and then what `replay` tells.
    """
    labels = job.labels or _beside(job.bag)
    options = ReplayOptions(
        bag=job.bag,
        config=job.config,
        topics=job.topics,
        scenario=None if job.scenario is None else load_scenario(job.scenario, kinds=job.config.kinds),
        seconds=job.seconds,
        truth=None if labels is None else load_labels(labels),
        beside=job.beside,
    )
    compare = job.clean and options.scenario is not None and options.truth is not None

    def play(what: str, chosen: ReplayOptions, files: RunOutputs) -> ReplayResult:
        return replay(chosen, files, progress=partial(progress, what), stop=stop)

    outputs = RunOutputs(job.out, bag=job.bag)
    result = play("replay", options, outputs)
    clean = None
    if compare and not result.interrupted and result.damage is None:
        files = RunOutputs(outputs.folder / "clean", bag=job.bag)
        clean = play("and without the faults", replace(options, scenario=None), files)
    scores = None
    whole = None if clean is None or clean.interrupted else clean.records
    if options.truth is not None:
        scores = accuracy(result.records, options.truth, clean=whole)
    tracks = track_metrics(result.records, start_ns=result.start_ns, truth=options.truth, clean=whole)
    result = replace(result, metrics=result.metrics | {"accuracy": scores, "tracks": tracks})
    if options.truth is not None and scores is not None and not scores["sets_scored"]:
        first_ns = next((record.stamp_ns for record in result.records), None)
        why = none_near(options.truth.stamps_ns, first_ns, near_ns=NEAR_NS)
        note = f"{labels}: nothing was scored: {why}"
        result = replace(result, notes=(*result.notes, note))
    verdicts = judge(job.criteria, result.metrics)
    write_all(outputs.folder, options, result, command=job.command, scenario=job.scenario, verdicts=verdicts)
    suite = Suite(
        name=job.name or printable(recording_name(job.bag)),
        verdicts=verdicts,
        error=_unfinished(result, clean),
        wall_s=result.metrics["wall_s"],
    )
    write_junit(outputs.folder / "junit.xml", [suite])
    return JobResult(folder=outputs.folder, result=result, suite=suite)


def _unfinished(result: ReplayResult, clean: ReplayResult | None) -> str:
    """What kept a run from its end; empty: nothing did."""
    if result.interrupted:
        return "interrupted"
    if clean is not None and clean.interrupted:
        return "interrupted in the run without the faults"
    return str(result.damage or "")


def _beside(bag: Path) -> Path | None:
    """The labels that `sentryfuse world record` leaves beside a recording."""
    path = (bag if bag.is_dir() else bag.parent) / "labels.jsonl"
    return path if path.is_file() else None
