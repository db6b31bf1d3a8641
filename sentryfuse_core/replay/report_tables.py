"""Tables of a report: criteria, reactions to faults, sensors by width, latencies."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sentryfuse_core.account.latency import PERCENTILES
from sentryfuse_core.replay.accuracy import cell
from sentryfuse_core.replay.criteria import Verdict
from sentryfuse_core.replay.reactions import unnoticed
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.report_data import ReportData
from sentryfuse_core.text import number
from sentryfuse_core.types import ModalitySet

__all__ = ["criteria", "latency", "matrix", "reactions", "table"]

_STAGES = {
    "wait": "waiting for the other sensors (recording's time)",
    "pre": "preprocessing",
    "infer": "network",
    "post": "decoding boxes",
    "track": "tracking",
    "e2e": "from the sensor's stamp to the result",
}


def criteria(verdicts: Sequence[Verdict]) -> str:
    """What the run had to reach and what it reached; empty without criteria."""
    if not verdicts:
        return ""
    rows = "".join(
        f"<tr><td><b class='{'pass' if item.passed else 'fail'}'>{'passed' if item.passed else 'FAILED'}</b>"
        f"</td><td>{html.escape(item.criterion.title)}</td><td>{html.escape(item.found)}</td>"
        f"<td>{item.criterion.wanted}</td></tr>"
        for item in verdicts
    )
    head = "<tr><th></th><th>criterion</th><th>measured</th><th>limit</th></tr>"
    return f"<h2>Criteria</h2><table class='criteria'><thead>{head}</thead><tbody>{rows}</tbody></table>"


def reactions(metrics: Mapping[str, Any]) -> str:
    """How each injected fault was met, and the alarms without one; empty where there is neither."""
    rows = [
        (
            f"{item['fault']} on {item['sensor']}",
            f"{item['at_s']:g} to {item['until_s']:.4g} s",
            item["code"] or unnoticed(item),
            number(item["noticed_after_s"], ".2f", " s"),
            number(item["left_mask_after_s"], ".2f", " s"),
            "still out" if item["still_out"] else number(item["recovered_after_s"], ".2f", " s"),
        )
        for item in metrics.get("faults", ())
    ]
    head = ("fault", "injected", "noticed as", "noticed after", "out of the mask after", "well after its end")
    text = f"<h2>Reactions to faults</h2>{table(head, rows)}" if rows else ""
    alarms = metrics.get("false_alarms", {}).get("events", ())
    if alarms:
        found = ((f"{item['t']:.2f} s", item["sensor"], item["after"], item["reason"]) for item in alarms)
        text += (
            f"<h2>Alarms without an injected fault</h2>{table(('at', 'sensor', 'state', 'reason'), found)}"
        )
    return text


def matrix(data: ReportData) -> str:
    """Sensors by pruning level: sets, and accuracy where it is known, else boxes a set."""
    levels = sorted({record.level for record in data.records})
    scores = (data.metrics.get("accuracy") or {}).get("cells", {})
    counts = Counter(record.used.bits for record in data.records)
    rows = []
    for bits, count in counts.most_common():
        own = [record for record in data.records if record.used.bits == bits]
        cells = [_cell([record for record in own if record.level == level], scores) for level in levels]
        gmacs = sum(record.gmacs for record in own) / count
        name = html.escape(str(ModalitySet(bits)))
        share = f"{count / len(data.records):.1%}"
        rows.append(f"<tr><td>{name}</td>{''.join(cells)}<td>{share}</td><td>{gmacs:.3f}</td></tr>")
    heads = "".join(f"<th>level {level}</th>" for level in levels)
    head = f"<tr><th>sensors</th>{heads}<th>share of the sets</th><th>mean GMACs</th></tr>"
    return f"<table class='matrix'><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _cell(records: Sequence[SetRecord], scores: Mapping[str, Any]) -> str:
    if not records:
        return "<td class='unseen'>not seen</td>"
    boxes = sum(len(record.detections) for record in records) / len(records)
    score = scores.get(cell(records[0].used, records[0].level))
    if score is None:
        return f"<td><b>{len(records)} sets</b><span>{boxes:.1f} boxes a set</span></td>"
    relative = score.get("relative_map")
    detail = f"{len(records)} sets" + ("" if relative is None else f", {relative:.0%} of clean")
    shade = f"background:rgba(58,167,109,{0.08 + 0.5 * min(score['map'], 1.0):.2f})"
    return f"<td style='{shade}'><b>mAP {score['map']:.2f}</b><span>{detail}</span></td>"


def latency(stages: Mapping[str, Mapping[str, float | None]]) -> str:
    """Percentiles by stage."""
    rows = [
        (stage, meaning, *(number(stages[stage].get(name), ".2f") for name in PERCENTILES))
        for stage, meaning in _STAGES.items()
        if stage in stages
    ]
    return table(("stage", "what it is", *(f"{name} (ms)" for name in PERCENTILES)), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, css: str = "") -> str:
    """Rows of plain text."""
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head) if any(head) else ""
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table class='{css}'><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
