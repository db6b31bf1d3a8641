"""junit.xml: verdicts of one or several replays as CI systems read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from sentryfuse_core.errors import OutputError
from sentryfuse_core.replay.criteria import Verdict

__all__ = ["write_junit"]


def write_junit(path: Path, suites: Mapping[str, Sequence[Verdict]]) -> None:
    """Write one test suite for each recording and one test case for each criterion.

    Raises OutputError when the file cannot be written.
    """
    top = ET.Element("testsuites")
    for name, verdicts in suites.items():
        failures = sum(not verdict.passed for verdict in verdicts)
        suite = ET.SubElement(
            top, "testsuite", name=name, tests=str(len(verdicts)), failures=str(failures), errors="0"
        )
        for verdict in verdicts:
            case = ET.SubElement(suite, "testcase", classname=f"sentryfuse.replay.{name}", name=verdict.name)
            if verdict.passed:
                ET.SubElement(case, "system-out").text = str(verdict)
            else:
                ET.SubElement(case, "failure", message=str(verdict)).text = str(verdict)
    ET.indent(top)
    try:
        ET.ElementTree(top).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another --out") from error
