"""What is written once a replay is over: metrics.json, manifest.json, report.html and the summary's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentryfuse_core.bags.readers import recording_name
from sentryfuse_core.config import Config, value_of
from sentryfuse_core.config import options as all_options
from sentryfuse_core.replay import report
from sentryfuse_core.replay.criteria import Verdict
from sentryfuse_core.replay.manifest import manifest, versions
from sentryfuse_core.replay.outputs import write_json
from sentryfuse_core.replay.reactions import unnoticed
from sentryfuse_core.replay.records import counted_notes
from sentryfuse_core.replay.report_data import ReportData
from sentryfuse_core.replay.run import ReplayOptions, ReplayResult
from sentryfuse_core.text import printable

__all__ = ["report_data", "summary_rows", "write_all"]

NO_TRUTH = "No labels were given, so nothing is said of whether the boxes are right."
WORLD_NOTE = (
    "The shipped weights were trained in a synthetic world alone. Where there are labels, `sentryfuse eval "
    "--data` tells how well they detect here; `sentryfuse adapt` teaches them with this recording."
)


def write_all(
    folder: Path,
    options: ReplayOptions,
    result: ReplayResult,
    *,
    command: Sequence[str],
    scenario: Path | None,
    verdicts: Sequence[Verdict] = (),
) -> None:
    """Write the three files into the run's folder."""
    judged = {"criteria": [item.to_mapping() for item in verdicts], "notes": list(result.notes)}
    write_json(folder / "metrics.json", result.metrics | judged)
    facts = manifest(options, result, scenario=scenario, command=command)
    write_json(folder / "manifest.json", facts)
    report.write(folder / "report.html", report_data(options, result, command=command, verdicts=verdicts))


def report_data(
    options: ReplayOptions, result: ReplayResult, *, command: Sequence[str], verdicts: Sequence[Verdict] = ()
) -> ReportData:
    """What the report shows of a replay."""
    topics = {
        f"topic of {name}": f"{topic.name} ({topic.type_name}, {topic.count} messages)"
        for name, topic in result.selection.topics.items()
    }
    odometry = result.selection.odometry
    if odometry is not None:
        topics["topic of odometry"] = f"{odometry.name} ({odometry.count} messages)"
    facts = {
        "recording": str(options.bag),
        **topics,
        **{f"pose of {name}": source for name, source in result.poses.items()},
        "camera info": ", ".join(dict.fromkeys(result.selection.camera_infos.values())) or "none",
        "checkpoint": result.checkpoint,
        "device": result.ran_by.device,
        "backend": result.ran_by.reason or result.ran_by.name,
        "scenario": "none" if options.scenario is None else options.scenario.name,
        "parameters": _changed(options.config),
        "command": " ".join(command),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    story = options.scenario
    return ReportData(
        title=f"SentryFuse replay of {printable(recording_name(options.bag))}",
        records=result.records,
        start_ns=result.start_ns,
        seconds=result.metrics["played_s"],
        kinds=dict(options.config.kinds),
        facts={name: printable(value) for name, value in facts.items()},
        metrics=result.metrics,
        frames=result.frames,
        stretches=() if story is None else story.stretches,
        faults=() if story is None else story.events,
        verdicts=tuple(verdicts),
        notes=_notes(result),
    )


def _notes(result: ReplayResult) -> tuple[str, ...]:
    """What was special about this run, and what the sets' own notes said how often."""
    found = list(result.notes)
    if not result.metrics["recall_4m"]:
        found.insert(0, NO_TRUTH)
        if result.checkpoint.startswith("world_"):
            found.insert(1, WORLD_NOTE)
    found += counted_notes(result.records)
    if result.interrupted:
        found.append("The replay was interrupted; this is what it had found by then.")
    if result.damage is not None:
        found.append(f"The recording is damaged: {result.damage}")
    return tuple(found)


def _changed(config: Config) -> str:
    """The parameters that are not at their defaults."""
    values = ((option, value_of(config, option.path)) for option in all_options(config.kinds))
    changed = [f"{option.path}={value}" for option, value in values if value != option.default]
    return ", ".join(changed) or "all at their defaults"


def summary_rows(folder: Path, result: ReplayResult) -> Iterator[tuple[str, str]]:
    """Names and values of the table that ends a run."""
    metrics = result.metrics
    sets, coverage = metrics["sets"], metrics["coverage"]
    text = f"{sets}"
    if coverage is not None:
        messages = f"{coverage['stamps']} messages of the {coverage['anchor']}"
        text += f"; one for {coverage['share']:.1%} of the {messages}"
    yield "sets", text
    yield "boxes", f"{metrics['detections']}"
    yield from _accuracy_rows(metrics)
    yield from _track_rows(metrics)
    yield from _fault_rows(metrics)
    yield "sensors used", ", ".join(f"{mask} x {count}" for mask, count in metrics["masks"].items()) or "none"
    for name, sensor in metrics["sensors"].items():
        missing = name in result.selection.missing
        yield name, "not in the recording" if missing else _sensor_text(sensor)
    wall_s, factor = metrics["wall_s"], metrics["real_time_factor"]
    yield "speed", f"{metrics['played_s']:.1f} s in {wall_s:.1f} s, {factor} times real time"
    for stage in ("pre", "infer", "post", "step"):
        found = metrics["latency_ms"][stage]
        if found["p50"] is not None:
            text = ", ".join(f"{name} {found[name]:.1f}" for name in ("p50", "p95", "p99"))
            yield f"{stage} latency", f"{text} ms"
    name, device, reason = result.ran_by
    yield "network", f"{result.checkpoint} on {device}, {reason or name}"
    for note in _notes(result):
        yield "note", note
    yield "results", str(folder / "results.mcap")
    yield "report", str(folder / "report.html")


def _accuracy_rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    overall = (metrics.get("accuracy") or {}).get("overall")
    if overall:
        text = f"mAP {overall['map']:.3f}, NDS {overall['nds']:.3f} ({', '.join(overall['nds_terms'])})"
        if overall.get("relative_map") is not None:
            text += f"; {overall['relative_map']:.0%} of the clean run's mAP"
        yield "accuracy", text
    for mask, score in metrics["recall_4m"].items():
        yield f"recall, {mask}", f"{score['share']:.0%} of {score['boxes']} true boxes within 4 m"


def _track_rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tracks = metrics.get("tracks")
    if not tracks:
        return
    text = f"{tracks['confirmed']} confirmed, longest coast {tracks['longest_coast_s']:.1f} s"
    if tracks["scores"]:
        names = ("hota", "mota", "idf1")
        overall = tracks["scores"]["overall"]
        text += "".join(f", {name.upper()} {overall[name]:.2f}" for name in names)
        text += f", {overall['switches']} identity switches"
    yield "tracks", text


def _fault_rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for item in metrics["faults"]:
        noticed, recovered = item["noticed_after_s"], item["recovered_after_s"]
        text = unnoticed(item) if noticed is None else f"noticed after {noticed:.2f} s as {item['code']}"
        if recovered is not None:
            text += f", well again {recovered:.2f} s after its end"
        yield f"{item['fault']} {item['sensor']} at {item['at_s']:g} s", text
    alarms = metrics["false_alarms"]
    if alarms["count"]:
        where = ", ".join(f"{item['sensor']} at {item['t']:.1f} s" for item in alarms["events"][:5])
        yield "false alarms", f"{alarms['count']} ({where})"


def _sensor_text(sensor: dict[str, object]) -> str:
    text = str(sensor["state"])
    if sensor["state"] != "NEVER":
        text += f" at {sensor['rate_hz']:.1f} Hz on {sensor['topic']}"
    faults = ("invalid", "late", "out_of_order", "duplicate", "frozen")
    bad = [f"{sensor[name]} {name}" for name in faults if sensor[name]]
    return ", ".join([text, *bad]) + (f" ({sensor['reason']})" if sensor["reason"] else "")
