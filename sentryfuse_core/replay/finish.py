"""What is written once a replay is over: metrics.json, manifest.json, report.html and the summary's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sentryfuse_core.config import Config
from sentryfuse_core.replay import report
from sentryfuse_core.replay.manifest import manifest, versions
from sentryfuse_core.replay.outputs import write_json
from sentryfuse_core.replay.report_data import ReportData, ReportSpan
from sentryfuse_core.replay.run import ReplayOptions, ReplayResult
from sentryfuse_core.types import Modality

__all__ = ["report_data", "summary_rows", "write_all"]

WORLD_NOTE = (
    "The shipped weights were trained in a synthetic world. Boxes on real recordings show that the path "
    "works; they are not expected to be right."
)


def write_all(
    folder: Path,
    options: ReplayOptions,
    result: ReplayResult,
    *,
    command: Sequence[str],
    scenario: Path | None,
) -> None:
    """Write the three files into the run's folder."""
    write_json(folder / "metrics.json", result.metrics | {"notes": list(result.notes)})
    seed = 0 if options.scenario is None else options.scenario.seed
    facts = manifest(
        bag=options.bag,
        config=options.config,
        checkpoint=result.checkpoint,
        device=result.device,
        seed=seed,
        scenario=scenario,
        command=command,
    )
    write_json(folder / "manifest.json", facts)
    report.write(folder / "report.html", report_data(options, result, command=command))


def report_data(options: ReplayOptions, result: ReplayResult, *, command: Sequence[str]) -> ReportData:
    """What the report shows of a replay."""
    topics = {
        f"topic of {modality.value}": f"{topic.name} ({topic.type_name}, {topic.count} messages)"
        for modality, topic in result.selection.topics.items()
    }
    used = versions()
    facts = {
        "recording": str(options.bag),
        **topics,
        "camera info": result.selection.camera_info or "none",
        "checkpoint": result.checkpoint,
        "device": result.device,
        "scenario": "none" if options.scenario is None else options.scenario.name,
        "parameters": _changed(options.config),
        "command": " ".join(command),
        "versions": ", ".join(f"{name} {version}" for name, version in used.items()),
    }
    stretches = () if options.scenario is None else options.scenario.stretches
    return ReportData(
        title=f"SentryFuse replay of {options.bag.name}",
        records=result.records,
        start_ns=result.start_ns,
        seconds=result.metrics["played_s"],
        facts=facts,
        topics={modality: topic.name for modality, topic in result.selection.topics.items()},
        metrics=result.metrics,
        frames=result.frames,
        spans=tuple(ReportSpan(item.name, item.at_s, item.until_s) for item in stretches),
        notes=_notes(result),
    )


def _notes(result: ReplayResult) -> tuple[str, ...]:
    """What was special about this run, and what the sets' own notes said how often."""
    found = list(result.notes)
    if result.checkpoint.startswith("world_") and not result.metrics["recall_4m"]:
        found.append(WORLD_NOTE)
    total = len(result.records)
    for note, count in Counter(note for record in result.records for note in record.notes).items():
        found.append(note if count == total else f"{note} (in {count} of {total} sets)")
    if result.interrupted:
        found.append("The replay was interrupted; this is what it had found by then.")
    if result.damage is not None:
        found.append(f"The recording is damaged: {result.damage}")
    return tuple(found)


def _changed(config: Config) -> str:
    """The parameters that are not at their defaults."""
    from sentryfuse_core.config import options as all_options

    changed = []
    for option in all_options():
        section, name = option.path.split(".")
        value = getattr(getattr(config, section), name)
        if value != option.default:
            changed.append(f"{option.path}={value}")
    return ", ".join(changed) or "all at their defaults"


def summary_rows(folder: Path, result: ReplayResult) -> Iterator[tuple[str, str]]:
    """Names and values of the table that ends a run."""
    metrics = result.metrics
    sets, coverage = metrics["sets"], metrics["coverage"]
    text = f"{sets}"
    if coverage is not None:
        text += f"; {coverage['share']:.1%} of the {coverage['stamps']} {coverage['anchor']} stamps"
    yield "sets", text
    yield "boxes", f"{metrics['detections']}"
    for mask, score in metrics["recall_4m"].items():
        yield f"recall, {mask}", f"{score['share']:.0%} of {score['boxes']} true boxes within 4 m"
    if metrics["accuracy"] is not None:
        found = metrics["accuracy"]["all"]
        text = f"mAP {found['map']:.1%} of the boxes shown, by centre distance at 0.5, 1, 2 and 4 m"
        yield "accuracy", text
    yield "sensors used", ", ".join(f"{mask} x {count}" for mask, count in metrics["masks"].items()) or "none"
    for modality in Modality:
        sensor = metrics["sensors"].get(modality.value)
        if sensor is not None:
            yield modality.value, _sensor_text(sensor)
    wall_s, factor = metrics["wall_s"], metrics["real_time_factor"]
    yield "speed", f"{metrics['played_s']:.1f} s in {wall_s:.1f} s, {factor} times real time"
    for stage in ("pre", "infer", "post", "step"):
        found = metrics["latency_ms"][stage]
        if found["p50"] is not None:
            text = ", ".join(f"{name} {found[name]:.1f}" for name in ("p50", "p95", "p99"))
            yield f"{stage} latency", f"{text} ms"
    yield "network", f"{result.checkpoint} on {result.device}"
    for note in _notes(result):
        yield "note", note
    yield "results", str(folder / "results.mcap")
    yield "report", str(folder / "report.html")


def _sensor_text(sensor: dict[str, object]) -> str:
    text = str(sensor["state"])
    if sensor["state"] != "NEVER":
        text += f" at {sensor['rate_hz']:.1f} Hz on {sensor['topic']}"
    faults = ("invalid", "late", "out_of_order", "duplicate", "frozen")
    bad = [f"{sensor[name]} {name}" for name in faults if sensor[name]]
    return ", ".join([text, *bad]) + (f" ({sensor['reason']})" if sensor["reason"] else "")
