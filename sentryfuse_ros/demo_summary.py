"""What the demo showed: its results read back, judged against the story, printed and written as a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from sentryfuse_core.account.latency import percentiles
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.commands.terminal import Terminal
from sentryfuse_core.config import Config, ModelConfig
from sentryfuse_core.json_values import json_value
from sentryfuse_core.replay.manifest import versions
from sentryfuse_core.replay.records import SetRecord, counted_notes, read_results
from sentryfuse_core.replay.report_data import ReportData
from sentryfuse_core.replay.story import StretchResult, judge
from sentryfuse_core.types import Modality
from sentryfuse_ros.demo_node import DemoPlan, RunTimes
from sentryfuse_ros.drawing import figure, share

__all__ = ["Outcome", "judge_run", "print_summary", "write_report"]

_PLAIN_WIDTH = 132
_STAGES = ("pre", "infer", "post", "e2e")


@dataclass(frozen=True)
class Outcome:
    """The sets of the run and what they amount to."""

    records: tuple[SetRecord, ...]
    stretches: tuple[StretchResult, ...]
    latency_ms: dict[str, dict[str, float]]
    longest_silence_s: float

    @property
    def missed(self) -> tuple[str, ...]:
        """Everything the story should have shown and did not."""
        return tuple(line for stretch in self.stretches for line in stretch.missed)

    @property
    def below_prior(self) -> tuple[str, ...]:
        """Stretches whose boxes are not at least twice as good as those of the canvas alone."""
        return tuple(
            f"{item.stretch.name}: recall {share(item.recall_4m)} is not at least twice the "
            f"{share(item.prior_recall_4m)} that guessing without any sensor finds"
            for item in self.stretches
            if not item.above_prior
        )


def judge_run(plan: DemoPlan, times: RunTimes, *, checkpoint: Path | None) -> Outcome:
    """Read results.mcap back and compare it with the story and the ground truth."""
    from sentryfuse_core.replay.prior import canvas_prior  # brings torch, which takes seconds to import

    records = tuple(read_results(plan.out / "results.mcap"))
    model = ModelConfig() if checkpoint is None else replace(ModelConfig(), checkpoint=str(checkpoint))
    stretches = judge(
        plan.scenario,
        records,
        start_ns=times.start_ns,
        truth=plan.truth,
        stamp_shift_ns=times.stamp_shift_ns,
        prior=canvas_prior(model),
        kinds=plan.config.kinds,
    )
    gaps_s = [(after.released_ns - before.released_ns) / NS_PER_S for before, after in pairwise(records)]
    return Outcome(
        records=records,
        stretches=stretches,
        latency_ms={name: percentiles(record.latency_ms[name] for record in records) for name in _STAGES},
        longest_silence_s=max(gaps_s, default=math.nan),
    )


def print_summary(plan: DemoPlan, outcome: Outcome) -> None:
    """The table of stretches, what was missed, and where the results are."""
    console = Terminal(highlight=False, markup=False)  # names of stretches are the scenario's
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    title = f"What the story showed: {plan.scenario.name}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name in ("stretch", "sensors used"):
        table.add_column(name, no_wrap=True)
    for name in ("watched", "level", "sets", "boxes", "recall", "canvas", "silence", "p50", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in outcome.stretches:
        table.add_row(*_row(item, plan.config))
    console.print(table)
    silence = f"{outcome.longest_silence_s * 1e3:.0f} ms"
    console.print(
        f"{len(outcome.records)} sets, longest silence {silence}. Recall within 4 m, beside the canvas's "
        "own without sensors; watched: degrees by cameras / by lidars; silence and p50, p95 of the latency "
        "end to end in ms."
    )
    for line in outcome.below_prior:
        console.print(Text(f"note: {line}", "yellow"))
    for item in outcome.stretches:
        if item.slow:
            console.print(Text(f"note: {item.slow}", "yellow"))
    for line in outcome.missed:
        console.print(Text(f"MISSED: {line}", "bold red"))
    if not outcome.missed:
        console.print(Text("Every part of the story gave sets with the expected sensors.", "bold green"))
    console.print(
        f"results  {plan.out / 'results.mcap'}\nreport   {plan.out / 'report.html'}", soft_wrap=True
    )


def _row(item: StretchResult, config: Config) -> list[Text | str]:
    text = next((_told(names, config) for names, _ in item.used.most_common(1)), "-")
    others = len(item.used) - 1
    text += f" +{others}" if others > 0 else ""
    recall = Text(share(item.recall_4m), "" if item.above_prior else "yellow")
    return [
        item.stretch.name,
        Text(text, "red" if item.missed else "green"),
        f"{figure(item.camera_deg, 0)}/{figure(item.lidar_deg, 0)}",
        "/".join(str(level) for level in sorted(item.levels)) or "-",
        str(item.sets),
        figure(item.detections_per_set),
        recall,
        share(item.prior_recall_4m),
        figure(item.longest_silence_s * 1e3, 0),
        figure(item.e2e_ms_p50, 0),
        figure(item.e2e_ms_p95, 0),
    ]


def _told(names: Sequence[str], config: Config) -> str:
    """Sensors by kind; how many of them where there are several."""
    told = []
    for kind in Modality:
        every = config.of_kind(kind)
        there = sum(name in names for name in every)
        if there:
            told.append(kind.value if len(every) == 1 else f"{kind.value} {there}/{len(every)}")
    return "+".join(told) or "none"


def write_report(plan: DemoPlan, times: RunTimes, outcome: Outcome, *, command: Sequence[str]) -> None:
    """Write report.html."""
    from sentryfuse_core.replay import report  # brings matplotlib
    from sentryfuse_core.replay.track_scores import track_metrics
    from sentryfuse_ros.demo_frames import moments  # brings torch

    facts = {
        "recording": str(plan.bag),
        "scenario": f"{plan.scenario.name} ({plan.scenario_file})",
        "path": "player_node, fault_injector_node and fusion_node over DDS",
        "command": " ".join(command),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    for item in outcome.stretches:
        facts[item.stretch.name] = (
            f"{item.sets} sets, recall at 4 m {share(item.recall_4m)}, canvas alone "
            f"{share(item.prior_recall_4m)}, longest silence {item.longest_silence_s * 1e3:.0f} ms"
        )
    data = ReportData(
        title="SentryFuse demo",
        records=outcome.records,
        start_ns=times.start_ns,
        seconds=plan.scenario.seconds,
        facts=facts,
        metrics={
            "latency_ms": json_value(outcome.latency_ms),
            "tracks": track_metrics(outcome.records, start_ns=times.start_ns),
        },
        frames=moments(
            plan.bag,
            outcome.records,
            plan.scenario.stretches,
            start_ns=times.start_ns,
            stamp_shift_ns=times.stamp_shift_ns,
            truth=plan.truth,
            config=plan.config,
        ),
        kinds=dict(plan.config.kinds),
        stretches=plan.scenario.stretches,
        notes=(*outcome.missed, *outcome.below_prior, *counted_notes(outcome.records)),
    )
    report.write(plan.out / "report.html", data)
