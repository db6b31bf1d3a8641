"""pytest plugin: what was shown and what was skipped, by capability; a skip nobody agreed to is a failure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ALLOWED = Path(__file__).with_name("allowed_skips.txt")


@dataclass
class Tally:
    """Tests of one capability."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: set[str] = field(default_factory=set)


def allowed_reasons() -> tuple[str, ...]:
    """The agreed reasons, from the list."""
    lines = (line.strip() for line in ALLOWED.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def is_allowed(reason: str, allowed: tuple[str, ...]) -> bool:
    """Whether a reason begins with one of the list."""
    return reason.startswith(allowed)


class Plugin:
    """Counts outcomes by the `capability` marker, or by the test's folder where it has none."""

    def __init__(self, root: Path, *, refused: Sequence[str] = ()) -> None:
        self._root = root
        self._allowed = tuple(reason for reason in allowed_reasons() if reason not in refused)
        self._tallies: dict[str, Tally] = defaultdict(Tally)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """Turn a skip that is not on the list into a failure, and note the capability for whoever counts."""
        report: pytest.TestReport = yield
        self._judge(report)
        if marker := item.get_closest_marker("capability"):
            report.capability = marker.args[0]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Iterator[None]:
        """The same for a module that skips itself."""
        report: pytest.CollectReport = yield
        self._judge(report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once, by its worst phase; all workers' reports come by here under pytest-xdist."""
        tally = self._tallies[_capability(report)]
        if report.failed:
            tally.failed += 1
        elif report.skipped and not hasattr(report, "wasxfail"):
            tally.skipped += 1
            tally.reasons.add(_reason(report))
        elif report.when == "call":
            tally.passed += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a module that skips itself."""
        if report.skipped:
            tally = self._tallies[_capability(report)]
            tally.skipped += 1
            tally.reasons.add(_reason(report))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, above pytest's closing line."""
        if not self._tallies:
            return
        terminalreporter.section("capabilities")
        width = max(len(name) for name in ("capability", *self._tallies))
        terminalreporter.write_line(
            f"{'capability':<{width}}  {'run':>5}  {'failed':>6}  {'skipped':>7}  why skipped"
        )
        for name, tally in sorted(self._tallies.items()):
            run = tally.passed + tally.failed
            why = "; ".join(sorted(tally.reasons))
            line = f"{name:<{width}}  {run:>5}  {tally.failed:>6}  {tally.skipped:>7}  {why}".rstrip()
            terminalreporter.write_line(line, red=tally.failed > 0, yellow=tally.skipped > 0)

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if (
            report.skipped
            and not hasattr(report, "wasxfail")
            and not is_allowed(_reason(report), self._allowed)
        ):
            report.outcome = "failed"
            reason = _reason(report)
            refused = is_allowed(reason, allowed_reasons())
            why = "is refused here" if refused else f"is not in {ALLOWED.relative_to(self._root)}"
            report.longrepr = f"{report.nodeid} skipped with {reason!r}, which {why}"


def _capability(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The marker's, or the test's folder; pytest-xdist's report of a worker that crashed has no marker."""
    folders = Path(report.nodeid.partition("::")[0]).parts[1:-1]  # below test/
    return getattr(report, "capability", "/".join(folders) or "house")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The reason text of a skip."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
