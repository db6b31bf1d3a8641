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
from sentryfuse_core.lab.bench.compare import CellResult, Versus
from sentryfuse_core.lab.bench.figures import Figure
from sentryfuse_core.lab.bench.intervals import Interval
from sentryfuse_core.lab.bench.mask_plots import heat_figure, kept_figure
from sentryfuse_core.lab.bench.plot_style import svg
from sentryfuse_core.lab.bench.study import OURS, RATIOS, Group
from sentryfuse_core.lab.bench.summary import Summary, interval_text, number_text
from sentryfuse_core.replay.report_style import CSS

__all__ = ["write"]

_SHOWN_MISSING = 12  # a longer list opens on a click
_TITLE = "Pruning, measured: SentryGate against its rivals"
_KEPT_RATIO = 0.75
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
td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
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
    groups = [group for group in summary.study.groups if group.records]
    parts = [
        f"<h1>{_TITLE}</h1>",
        _sentences(summary),
        _missing(summary.study.missing),
        "<h2>What was promised, and what was measured</h2>",
        _figures([figure for figure in summary.figures if figure.target is not None]),
        _fold("Figures without a target", _figures([one for one in summary.figures if one.target is None])),
        "<h2>Accuracy against cost</h2>",
        _CURVES,
        _picture(accuracy_figure(groups)),
        *(_fold(f"{group.name}: every mask", _picture(mask_figure(group))) for group in groups),
        "<h2>Ours against dense, mask by mask</h2>",
        _picture(heat_figure(groups)),
        "<h2>What ours keeps</h2>",
        f"<p>At r = {_KEPT_RATIO:g}, mean over runs. Layers of sensors that are missing do not run.</p>",
        *(_fold(group.name, _picture(kept_figure(group, _KEPT_RATIO))) for group in groups),
        "<h2>What each part earns</h2>",
        _ablations(summary),
        "<h2>Cells in which a rival wins</h2>",
        _lost(summary),
        _fold(f"Every cell ({len(summary.cells)})", _cells(summary.cells)),
        "<h2>How it was made</h2>",
        _made(groups),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{_TITLE}</title>"
        f"<style>{CSS}{_CSS}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _sentences(summary: Summary) -> str:
    judged = [figure for figure in summary.figures if figure.target is not None]
    reached = sum(figure.met is True for figure in judged)
    cells = len({one.cell.name for one in summary.lost})
    clear = len({one.cell.name for one in summary.lost if one.versus.difference.below_zero})
    lines = [
        f"{reached} of {len(judged)} judged figures reach their target.",
        f"In {cells} of {len(summary.cells)} cells some rival is ahead of ours on test, {clear} clearly.",
        _READING,
    ]
    return "<ul class='summary'>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _missing(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in missing)
    shown = " open" if len(missing) <= _SHOWN_MISSING else ""
    return (
        f"<aside><details{shown}><summary>Not measured: {len(missing)} things</summary>"
        f"<ul>{items}</ul></details></aside>"
    )


def _figures(figures: Sequence[Figure]) -> str:
    rows = []
    for figure in figures:
        sign = "≤" if figure.direction == "max" else "≥"
        target = "" if figure.target is None else f"{sign} {figure.target:g}"
        interval = interval_text(figure.low, figure.high)
        items = interval_text(figure.items_low, figure.items_high)
        notes = "".join(f"<small>{html.escape(note)}</small>" for note in figure.notes)
        cells = (
            f"<td>{html.escape(figure.what)}{notes}</td>",
            f"<td class='n'>{number_text(figure.measured)} {html.escape(figure.unit)}</td>",
            f"<td class='n'>{interval}{f'<small>items: {items}</small>' if items else ''}</td>",
            f"<td class='n'>{target}</td>",
            f"<td>{ {None: '', True: 'reached', False: 'missed'}[figure.met] }</td>",
        )
        css = {None: "plain", True: "yes", False: "no"}[figure.met]
        rows.append(f"<tr class='{css}'>{''.join(cells)}</tr>")
    return _frame(("what", "measured", "95 % interval", "target", ""), rows)


def _ablations(summary: Summary) -> str:
    if not summary.ablations:
        return "<p>No ablation was run.</p>"
    ordered = sorted(
        summary.ablations, key=lambda one: (one.method, one.scope != "all", one.scope, one.ratio)
    )
    rows = [
        (
            one.method,
            one.scope,
            f"{one.ratio:g}",
            f"{one.accuracy:.2f}",
            f"{one.ours:.2f}",
            _difference(one.difference),
            _verdict(one.difference, "better than ours", "worse than ours"),
        )
        for one in ordered
    ]
    head = ("method", "where", "ratio", "accuracy (%)", "ours (%)", "minus ours (points)", "")
    pooled = [row for row in rows if row[1] == "all"]
    table = "<p>Test accuracy, mean over all masks, paired over runs.</p>"
    if not pooled:
        return table + _table(head, rows)
    return table + _table(head, pooled) + _fold("By data set and backbone", _table(head, rows))


def _lost(summary: Summary) -> str:
    if not summary.lost:
        return "<p>None: in every measured cell ours is at least level with every rival.</p>"
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
    return _table(head, rows)


def _cells(cells: Sequence[CellResult]) -> str:
    rows = []
    for one in cells:
        ours = one.test.get(OURS, {})
        rows.append(
            (
                f"{one.cell.data}/{one.cell.backbone}",
                f"{one.cell.ratio:g}",
                one.cell.setting.name,
                "not measured" if not ours else f"{sum(ours.values()) / len(ours):.2f}",
                f"{len(ours)}",
                _against(one.against_dense),
                _against(one.against_rival),
                _against(one.against_strong),
            )
        )
    head = (
        "where",
        "ratio",
        "sensors",
        "ours (%)",
        "runs",
        "minus dense (points)",
        "minus strongest untrained",
        "minus best of refit, DynaBERT, MatFormer",
    )
    return _table(head, rows)


def _against(versus: Versus | None) -> str:
    if versus is None:
        return "not measured"
    items = "" if versus.items is None else f"; items {interval_text(versus.items.low, versus.items.high)}"
    return f"{_difference(versus.difference)} ({versus.against}{items})"


def _difference(interval: Interval) -> str:
    ends = interval_text(interval.low, interval.high)
    if math.isnan(interval.mean):
        return "-"
    return f"{interval.mean:+.2f}" + (f" [{ends}]" if ends else " [one run]")


def _verdict(interval: Interval, above: str, below: str) -> str:
    return above if interval.above_zero else below if interval.below_zero else ""


def _made(groups: Sequence[Group]) -> str:
    """Commits, versions and costs of all records, and one run's settings of ours for each group."""
    records = [record for group in groups for by_run in group.records.values() for record in by_run.values()]
    versions: dict[str, set[str]] = {}
    for record in records:
        for name, version in record.versions.items():
            versions.setdefault(name, set()).add(str(version))
    hours = sum(record.train_seconds or 0.0 for record in records) / 3600
    facts = [
        ("records", f"{len(records)}"),
        ("commit", ", ".join(sorted({record.commit for record in records}))),
        *((name, ", ".join(sorted(found))) for name, found in sorted(versions.items())),
        ("training time, all records", f"{hours:.1f} h"),
        ("ratios", ", ".join(f"{ratio:g}" for ratio in RATIOS)),
    ]
    facts += [
        (group.name, f"{len(group.runs)} runs, {len(group.kinds)} methods: {', '.join(sorted(group.kinds))}")
        for group in groups
    ]
    settings = []
    for group in groups:
        for record in list(group.records.get(OURS, {}).values())[:1]:
            text = html.escape(json.dumps(record.config, indent=1, sort_keys=True, default=str))
            settings.append(_fold(f"{record.name}: settings", f"<pre>{text}</pre>"))
    return _table(("", ""), facts, css="facts") + "".join(settings)


def _picture(figure: Any) -> str:
    return f"<figure>{svg(figure)}</figure>"


def _fold(title: str, body: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary>{body}</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, css: str = "") -> str:
    body = ["<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows]
    return _frame(head, body, css=css)


def _frame(head: Sequence[str], rows: Iterable[str], *, css: str = "") -> str:
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head) if any(head) else ""
    return (
        f"<div class='wide'><table class='{css}'><thead><tr>{titles}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
