"""junit.xml: one suite a recording, one test case a criterion, for any CI to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from sentryfuse_core.replay.criteria import Verdict
from sentryfuse_core.replay.outputs import write_text
from sentryfuse_core.text import printable

__all__ = ["Suite", "write_junit"]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What became of one recording; `error` tells why it was not played to its end, empty: it was."""

    name: str
    verdicts: tuple[Verdict, ...]
    error: str = ""
    wall_s: float = 0.0

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each thing that is wrong."""
        lines = [verdict.message for verdict in self.verdicts if not verdict.passed]
        return (*([f"played to the end: {self.error}"] if self.error else []), *lines)


def write_junit(path: Path, suites: Sequence[Suite]) -> None:
    """Write the file; raises OutputError where it cannot be."""
    top = ET.Element("testsuites", name="sentryfuse replay")
    for suite in suites:
        top.append(_suite(suite))
    for name in ("tests", "failures", "errors"):
        top.set(name, str(sum(int(item.get(name, "0")) for item in top)))
    for element in top.iter():  # names of recordings and topics can hold what XML does not allow
        element.text = element.text and printable(element.text)
        element.attrib.update({name: printable(value) for name, value in element.attrib.items()})
    ET.indent(top)
    write_text(path, ET.tostring(top, encoding="utf-8", xml_declaration=True).decode())


def _suite(suite: Suite) -> ET.Element:
    failed = sum(not verdict.passed for verdict in suite.verdicts)
    element = ET.Element(
        "testsuite",
        name=suite.name,
        tests=str(1 + len(suite.verdicts)),
        failures=str(failed),
        errors=str(int(bool(suite.error))),
        skipped="0",
        time=f"{suite.wall_s:.3f}",
    )
    place = f"sentryfuse.replay.{suite.name}"
    case = ET.SubElement(
        element, "testcase", classname=place, name="played to the end", time=f"{suite.wall_s:.3f}"
    )
    if suite.error:
        ET.SubElement(case, "error", message=suite.error, type="replay")
    for verdict in suite.verdicts:
        case = ET.SubElement(element, "testcase", classname=place, name=verdict.criterion.title, time="0")
        if not verdict.passed:
            ET.SubElement(case, "failure", message=verdict.message, type="criterion")
        ET.SubElement(case, "system-out").text = verdict.message
    return element
