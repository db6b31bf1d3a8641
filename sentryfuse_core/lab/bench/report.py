"""report.html of the pruning benchmark: one file with judged figures, pictures and how it was made."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sentryfuse_core.errors import OutputError
from sentryfuse_core.lab.bench.accuracy_plot import accuracy_figure, mask_figure
from sentryfuse_core.lab.bench.heat_plot import heat_figure
from sentryfuse_core.lab.bench.intervals import Interval
from sentryfuse_core.lab.bench.plot_style import svg
from sentryfuse_core.lab.bench.results import Figure, interval_text, number_text, target_text
from sentryfuse_core.lab.bench.study import OURS, RATIOS, Group
from sentryfuse_core.lab.bench.summary import Summary
from sentryfuse_core.replay.report_style import CSS

__all__ = ["write"]

_SHOWN_MISSING = 12  # a longer list opens on a click
_TITLE = "Pruning, measured: SentryGate against its rivals"
_CURVES = (
    "<p>Test accuracy, mean over runs. 'Best refit' and 'strongest untrained' take at every ratio the "
    "method that is best on validation. The dotted line is the dense network's accuracy.</p>"
)
_READING = (
    "Rivals are chosen on validation and reported on test. Intervals are 95 %, over runs (seeds, folds), and "
    "take that choice as given; 'clearly' means that they leave out zero. Where it says 'items', test items "
    "were drawn anew instead."
)
_CSS = """
main { max-width: 1240px; } .wide { overflow-x: auto; } .wide table { min-width: 900px; }
tr.yes td:last-child { color: #00664b; font-weight: 600; }
tr.no td:last-child { color: #a63a00; font-weight: 600; }
tr.plain td { color: var(--faint); } td small { display: block; color: var(--faint); }
details { margin: 12px 0; } summary { cursor: pointer; font-weight: 600; margin-bottom: 8px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px;
  overflow-x: auto; font-size: 12px; }
"""


def write(path: Path, summary: Summary) -> None:
    """Write the report; raises OutputError where it cannot be."""
    try:
        path.write_text(_page(summary), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _page(summary: Summary) -> str:
    groups = summary.study.groups
    judged = [figure for figure in summary.figures if figure.target is not None]
    parts = [
        f"<h1>{_TITLE}</h1>",
        _sentences(summary, judged),
        _missing(summary.study.missing),
        "<h2>What was promised, and what was measured</h2>",
        _figures(judged),
        _fold("Figures without a target", _figures([one for one in summary.figures if one.target is None])),
        "<h2>Accuracy against cost</h2>",
        _CURVES,
        _picture(accuracy_figure(groups)),
        *(_fold(f"{group.name}: every mask", _picture(mask_figure(group))) for group in groups),
        "<h2>Ours against dense, mask by mask</h2>",
        _picture(heat_figure(groups)),
        "<h2>What each part earns</h2>",
        _ablations(summary),
        "<h2>Cells in which a rival wins</h2>",
        _lost(summary),
        "<h2>How it was made</h2>",
        _made(groups),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{_TITLE}</title>"
        f"<style>{CSS}{_CSS}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _sentences(summary: Summary, judged: Sequence[Figure]) -> str:
    reached = sum(figure.met is True for figure in judged)
    cells = len({one.cell.name for one in summary.lost})
    clear = len({one.cell.name for one in summary.lost if one.versus.difference.below_zero})
    lines = [
        f"{reached} of {len(judged)} judged figures reach their target.",
        f"In {cells} of {len(summary.cells)} cells some rival is ahead of ours on test, {clear} clearly.",
        _READING,
    ]
    return f"<ul class='summary'>{_items(lines)}</ul>"


def _missing(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    shown = " open" if len(missing) <= _SHOWN_MISSING else ""
    return (
        f"<aside><details{shown}><summary>Not measured: {len(missing)} things</summary>"
        f"<ul>{_items(missing)}</ul></details></aside>"
    )


def _items(lines: Iterable[str]) -> str:
    return "".join(f"<li>{html.escape(line)}</li>" for line in lines)


def _figures(figures: Sequence[Figure]) -> str:
    rows = []
    for figure in figures:
        items = interval_text(figure.items_low, figure.items_high)
        notes = "".join(f"<small>{html.escape(note)}</small>" for note in figure.notes)
        cells = (
            f"{html.escape(figure.what)}{notes}",
            f"{number_text(figure.measured)} {html.escape(figure.unit)}",
            f"{interval_text(figure.low, figure.high)}{f'<small>items: {items}</small>' if items else ''}",
            target_text(figure, ("≤", "≥")),
            {None: "", True: "reached", False: "missed"}[figure.met],
        )
        css = {None: "plain", True: "yes", False: "no"}[figure.met]
        rows.append(f"<tr class='{css}'>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return _frame(("what", "measured", "95 % interval", "target", ""), rows)


def _ablations(summary: Summary) -> str:
    if not summary.ablations:
        return "<p>No ablation was run.</p>"
    rows = [
        (
            one.method,
            one.scope,
            f"{one.ratio:g}",
            f"{one.accuracy:.2f}",
            f"{one.ours:.2f}",
            _difference(one.difference),
            "better than ours"
            if one.difference.above_zero
            else "worse than ours"
            if one.difference.below_zero
            else "",
        )
        for one in sorted(summary.ablations, key=lambda one: (one.method, one.scope, one.ratio))
    ]
    head = ("method", "where", "ratio", "accuracy (%)", "ours (%)", "minus ours (points)", "")
    pooled = [row for row in rows if row[1] == "all"]
    table = "<p>Test accuracy, mean over all masks, paired over runs.</p>" + _table(head, pooled or rows)
    return table + (_fold("By data set and backbone", _table(head, rows)) if pooled else "")


def _lost(summary: Summary) -> str:
    if not summary.lost:
        return "<p>None: in every measured cell ours is at least level with every rival.</p>"
    head = (
        "cell",
        "rival",
        "kind",
        "chosen on validation",
        "its accuracy (%)",
        "ours (%)",
        "ours minus it (points)",
        "over items",
    )
    rows = [
        (
            one.cell.name,
            one.versus.against,
            one.kind.replace("_", "-"),
            "yes" if one.chosen else "",
            f"{one.versus.against_accuracy:.2f}",
            f"{one.versus.accuracy:.2f}",
            _difference(one.versus.difference),
            "" if one.versus.items is None else _difference(one.versus.items),
        )
        for one in summary.lost
    ]
    return _table(head, rows)


def _difference(interval: Interval) -> str:
    ends = interval_text(interval.low, interval.high)
    return "-" if math.isnan(interval.mean) else f"{interval.mean:+.2f} [{ends or 'one run'}]"


def _made(groups: Sequence[Group]) -> str:
    """Commits, versions and costs of all records, and one run's settings of ours for each group."""
    records = [record for group in groups for by_run in group.records.values() for record in by_run.values()]
    versions = sorted({f"{name} {version}" for one in records for name, version in one.versions.items()})
    hours = sum(record.train_seconds or 0.0 for record in records) / 3600
    facts = [
        ("records", f"{len(records)}"),
        ("commit", ", ".join(sorted({record.commit for record in records}))),
        ("versions", ", ".join(versions)),
        ("training time, all records", f"{hours:.1f} h"),
        ("ratios", ", ".join(f"{ratio:g}" for ratio in RATIOS)),
    ]
    facts += [
        (group.name, f"{len(group.runs)} runs, {len(group.kinds)} methods: {', '.join(sorted(group.kinds))}")
        for group in groups
    ]
    settings = ""
    for record in (next(iter(group.records[OURS].values())) for group in groups if OURS in group.records):
        text = html.escape(json.dumps(record.config, indent=1, sort_keys=True, default=str))
        settings += _fold(f"{record.name}: settings", f"<pre>{text}</pre>")
    body = (f"<tr><td>{html.escape(name)}</td><td>{html.escape(fact)}</td></tr>" for name, fact in facts)
    return f"<table class='facts'><tbody>{''.join(body)}</tbody></table>{settings}"


def _picture(figure: Any) -> str:
    return f"<figure>{svg(figure)}</figure>"


def _fold(title: str, body: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary>{body}</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return _frame(head, body)


def _frame(head: Sequence[str], rows: Iterable[str]) -> str:
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    body = f"<thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f"<div class='wide'><table>{body}</table></div>"
