"""report.html: one file that explains a run to a person, pictures and plots inside."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import cv2

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.replay import plots
from sentryfuse_core.replay import report_tables as tables
from sentryfuse_core.replay.outputs import write_text
from sentryfuse_core.replay.report_data import CLASS_COLOURS, ReportData, ReportFrame
from sentryfuse_core.replay.report_style import CSS, DARK
from sentryfuse_core.types import Modality, SensorState

__all__ = ["summary", "write"]

_NO_PICTURE = "<div class='none'>no camera picture</div>"
_SMALL_WIDTH = 360  # pixels, of each of several cameras


def write(path: Path, data: ReportData) -> None:
    """Write the report; raises OutputError where it cannot be."""
    write_text(path, _page(data))


def summary(data: ReportData) -> list[str]:
    """What happened, in a few sentences."""
    records = data.records
    if not records:
        return ["No set was made: no sensor delivered anything usable."]
    rate_hz = len(records) / max(data.seconds, 1e-9)
    boxes = sum(len(record.detections) for record in records)
    lines = [f"{len(records)} sets in {data.seconds:.1f} s, {rate_hz:.1f} a second, with {boxes} boxes."]
    coverage = data.metrics.get("coverage")
    if coverage:
        lines.append(
            f"{coverage['share']:.1%} of the {coverage['stamps']} messages of the {coverage['anchor']} "
            "in the recording got a set of their own."
        )
    share = data.metrics.get("output", {}).get("share")
    if share is not None:
        lines.append(f"A fresh output was there for {share:.1%} of the time.")
    lines += [_sensor_sentence(name, data) for name in records[0].states]
    lines += [*_accuracy_sentences(data), *_track_sentences(data)]
    levels = Counter(record.level for record in records)
    if len(levels) > 1:
        shares = ", ".join(f"level {level}: {count} sets" for level, count in sorted(levels.items()))
        lines.append(f"The network changed its width on the way ({shares}).")
    factor = data.metrics.get("real_time_factor")
    if factor:
        lines.append(f"The replay ran {factor:.1f} times as fast as the recording.")
    return lines


def _accuracy_sentences(data: ReportData) -> list[str]:
    lines = []
    overall = (data.metrics.get("accuracy") or {}).get("overall")
    if overall:
        text = f"mAP {overall['map']:.2f} against the labels"
        if overall.get("relative_map") is not None:
            text += f", {overall['relative_map']:.0%} of what the same recording gives without the faults"
        lines.append(f"{text}.")
    for mask, score in data.metrics.get("recall_4m", {}).items():
        lines.append(
            f"With {mask}, {score['share']:.0%} of {score['boxes']} true boxes were found within 4 m."
        )
    failed = sum(not verdict.passed for verdict in data.verdicts)
    if data.verdicts:
        total = len(data.verdicts)
        lines.append(f"{failed} of {total} criteria failed." if failed else f"All {total} criteria passed.")
    return lines


def _track_sentences(data: ReportData) -> list[str]:
    tracks = data.metrics.get("tracks")
    if not tracks:
        return []
    confirmed, coast_s = tracks["confirmed"], tracks["longest_coast_s"]
    lines = [
        f"{confirmed} tracks were confirmed; the longest coast, without being found, was {coast_s:.1f} s."
    ]
    overall = (tracks["scores"] or {}).get("overall")
    if overall:
        scores = f"HOTA {overall['hota']:.2f}, MOTA {overall['mota']:.2f} and IDF1 {overall['idf1']:.2f}"
        text = f"Against the labels' identities: {scores}, with {overall['switches']} identity switches"
        if tracks["scores"]["clean"]:
            text += f" ({tracks['scores']['clean']['switches']} without the faults)"
        if overall["mave_m_s"] is not None:
            text += f"; their velocities over ground are off by {overall['mave_m_s']:.2f} m/s"
        lines.append(f"{text}.")
    return lines


def _sensor_sentence(sensor: str, data: ReportData) -> str:
    states = [record.states.get(sensor, SensorState.INIT) for record in data.records]
    name = "IMU" if sensor == Modality.IMU else sensor.capitalize() if sensor in tuple(Modality) else sensor
    if all(state is SensorState.INIT for state in states):
        return f"{name}: never received; its tokens were left out and cost nothing."
    used = sum(sensor in record.sensors for record in data.records) / len(states)
    losses = sum(
        after is SensorState.LOST and before is not SensorState.LOST for before, after in pairwise(states)
    )
    text = f"{name}: part of {used:.0%} of the sets"
    if losses:
        text += f", lost {losses} time{'s' if losses > 1 else ''}"
    reasons = Counter(
        record.reasons[sensor]
        for record, state in zip(data.records, states, strict=True)
        if sensor in record.reasons and state is not SensorState.INIT
    )
    if reasons:
        text += f"; mostly: {reasons.most_common(1)[0][0]}"
    return text + "."


def _page(data: ReportData) -> str:
    parts = [
        f"<h1>{html.escape(data.title)}</h1>",
        "<ul class='summary'>" + "".join(f"<li>{html.escape(line)}</li>" for line in summary(data)) + "</ul>",
        _tiles(data),
        tables.criteria(data.verdicts),
        _notes(data.notes),
    ]
    if data.records:
        parts += [
            "<h2>What happened</h2>",
            f"<figure>{_legend(faults=bool(data.faults))}{plots.timeline_svg(data)}</figure>",
            tables.reactions(data.metrics),
            _frames(data),
            "<h2>Which sensors the network used, at which width</h2>",
            tables.matrix(data),
        ]
    if data.metrics.get("latency_ms"):
        parts += ["<h2>Latency</h2>", tables.latency(data.metrics["latency_ms"])]
    parts += ["<h2>The run</h2>", tables.table(("", ""), data.facts.items(), css="facts")]
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'>"
        f"<meta name='color-scheme' content='light dark'><title>{html.escape(data.title)}</title>"
        f"<style>{CSS}{DARK}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _tiles(data: ReportData) -> str:
    """The handful of figures a reader looks for first."""
    metrics = data.metrics
    tiles = [
        ("sets", f"{len(data.records)}"),
        ("detections", f"{sum(len(r.detections) for r in data.records)}"),
    ]
    if metrics.get("coverage"):
        tiles.append(
            (f"of the {metrics['coverage']['anchor']}'s messages", f"{metrics['coverage']['share']:.1%}")
        )
    if metrics.get("real_time_factor"):
        tiles.append(("times real time", f"{metrics['real_time_factor']:.1f}"))
    stages = metrics.get("latency_ms", {})
    if stages.get("infer", {}).get("p95") is not None:
        tiles.append(("network, p95", f"{stages['infer']['p95']:.1f} ms"))
    silence_s = metrics.get("output", {}).get("longest_silence_s")
    if silence_s is not None:
        tiles.append(("longest silence", f"{silence_s * 1e3:.0f} ms"))
    tracks = metrics.get("tracks")
    if tracks:
        tiles.append(("tracks", f"{tracks['confirmed']}"))
        tiles.append(("longest coast", f"{tracks['longest_coast_s']:.1f} s"))
        if tracks["scores"]:
            tiles.append(("HOTA", f"{tracks['scores']['overall']['hota']:.2f}"))
    cells = "".join(f"<div><b>{value}</b><span>{html.escape(name)}</span></div>" for name, value in tiles)
    return f"<section class='tiles'>{cells}</section>"


def _legend(*, faults: bool) -> str:
    items = "".join(
        f"<span><i style='background:{colour}'></i>{plots.STATE_NAMES[state]}</span>"
        for state, colour in plots.STATE_COLOURS.items()
    )
    items += "<span><i class='line'></i>used by the network</span>"
    if faults:
        items += "<span><i class='fault'></i>fault injected</span>"
    return f"<figcaption>{items}</figcaption>"


def _notes(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f"<aside><h2>To keep in mind</h2><ul>{items}</ul></aside>" if items else ""


def _frames(data: ReportData) -> str:
    if not data.frames:
        return ""
    labels = {item.class_id: item.label for record in data.records for item in record.detections}
    keys = "".join(
        f"<span><i style='background:{CLASS_COLOURS[class_id % len(CLASS_COLOURS)]}'></i>"
        f"{html.escape(label)}</span>"
        for class_id, label in sorted(labels.items())
    )
    if any(frame.truth for frame in data.frames):
        keys += "<span><i class='dashed'></i>ground truth</span>"
    if any(item.support for frame in data.frames for item in frame.record.detections):
        keys += "<span>letters beside a box: the sensors that see it by themselves (C L I A)</span>"
    if any(frame.record.tracks for frame in data.frames):
        keys += (
            "<span>number, line and arrow: a track, its way in the last sets, and its next second</span>"
            "<span>dashed in a colour: coasting, not found in this set</span>"
        )
    caption = f"<p class='keys'>{keys}</p>" if keys else ""
    cards = "".join(_frame(frame, data.start_ns) for frame in data.frames)
    return f"<h2>Moments</h2>{caption}<section class='frames'>{cards}</section>"


def _frame(frame: ReportFrame, start_ns: int) -> str:
    record = frame.record
    seconds = (record.stamp_ns - start_ns) / NS_PER_S
    why = f" ({frame.why})" if frame.why else ""
    boxes = f"{len(record.detections)} box{'' if len(record.detections) == 1 else 'es'}"
    title = f"{seconds:.2f} s{why}: {record.used}, level {record.level}, {boxes}"
    pictures = "".join(_picture(name, frame) for name in frame.pictures) or _NO_PICTURE
    if len(frame.pictures) > 1:
        pictures = f"<div class='cameras'>{pictures}</div>"
    return (
        f"<article><h3>{html.escape(title)}</h3><div class='pair'>"
        f"{pictures}{plots.surroundings_svg(frame)}</div></article>"
    )


def _picture(name: str, frame: ReportFrame) -> str:
    """What a camera sees, under its name where there are several."""
    picture, several = frame.pictures[name], len(frame.pictures) > 1
    shown = _NO_PICTURE
    if picture is not None:
        scale = _SMALL_WIDTH / picture.shape[1] if several else 1.0
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        data = f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
        shown = f"<img alt='{html.escape(name)} with boxes' decoding='async' src='{data}'>"
    if not several:
        return shown
    used = "" if name in frame.record.sensors else ", not used"
    return f"<div>{shown}<p class='unseen'>{html.escape(name)}{used}</p></div>"
