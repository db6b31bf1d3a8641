"""The rule about skips, tried on small test runs."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import capabilities
import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import sys
sys.path.insert(0, {folder!r})
import capabilities
def pytest_configure(config):
    config.addinivalue_line("markers", "capability(name): x")
    plugin = capabilities.Plugin(capabilities.ALLOWED.parent.parent, refused=["needs chromium"])
    config.pluginmanager.register(plugin, "capabilities-inner")
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    folder = pytester.mkdir("test")
    pytester.makeconftest(CONFTEST.format(folder=str(Path(capabilities.__file__).parent)))
    assert folder.is_dir()
    return pytester


def outcome(run: pytest.Pytester, body: str) -> tuple[int, str]:
    run.makepyfile(f"import pytest\n@pytest.mark.capability('shown')\ndef test_one():\n    {body}\n")
    result = run.runpytest_subprocess("-p", "no:cacheprovider")
    return int(result.ret), result.stdout.str()


PARALLEL = ("-n", "2", "--dist", "worksteal")
needs_xdist = pytest.mark.skipif(find_spec("xdist") is None, reason="needs pytest-xdist")


def test_run_passes_and_counts_when_the_skip_is_on_the_list(run: pytest.Pytester) -> None:
    status, text = outcome(run, "pytest.skip('needs a CUDA device')")
    assert status == 0
    assert "shown" in text
    assert "needs a CUDA device" in text


def test_run_fails_and_says_why_when_the_skip_is_not_on_the_list(run: pytest.Pytester) -> None:
    status, text = outcome(run, "pytest.skip('no time')")
    assert status == 1
    assert "'no time', which is not in test/allowed_skips.txt" in text


def test_run_fails_and_says_why_when_the_skip_is_refused_for_this_run(run: pytest.Pytester) -> None:
    status, text = outcome(run, "pytest.skip('needs chromium')")
    assert status == 1
    assert "'needs chromium', which is refused here" in text


def test_every_reason_that_a_test_may_skip_for_is_on_the_list() -> None:
    """Or the run would fail on the machine that lacks it, and on no other."""
    folder = capabilities.ALLOWED.parent
    texts = (file.read_text() for file in folder.rglob("*.py") if file != Path(__file__))
    reasons = {
        reason for text in texts for reason in re.findall(r'(?:skip\(f?|reason=)\s*"(needs [^"{]+)', text)
    }
    allowed = tuple(capabilities.ALLOWED.read_text().splitlines())
    assert len(reasons) > 5
    assert {reason for reason in reasons if not reason.startswith(allowed)} == set()


def test_run_ends_with_pytests_closing_line_below_the_table(run: pytest.Pytester) -> None:
    _, text = outcome(run, "assert True")
    lines = text.strip().splitlines()
    assert "1 passed" in lines[-1]
    assert any("capabilities" in line for line in lines[:-1])


@needs_xdist
def test_table_and_closing_line_count_every_test_when_other_processes_run_them(run: pytest.Pytester) -> None:
    bodies = ("assert True", "assert 0", "pytest.skip('needs a CUDA device')", "pytest.skip('no time')",
              "os._exit(3)")  # fmt: skip
    tests = (
        f"@pytest.mark.capability('shown')\ndef test_{n}():\n    {body}\n" for n, body in enumerate(bodies)
    )
    run.makepyfile("import os, pytest\n" + "".join(tests))
    result = run.runpytest_subprocess("-p", "no:cacheprovider", *PARALLEL)
    assert int(result.ret) == 1
    lines = result.stdout.str().strip().splitlines()
    assert "3 failed, 1 passed, 1 skipped" in lines[-1]
    rows = [line.split() for line in lines]
    assert ["shown", "3", "2", "1", "needs", "a", "CUDA", "device"] in rows
    assert ["house", "1", "1", "0"] in rows  # what is told of a process that ended names no capability


@needs_xdist
def test_hanging_test_fails_and_shows_where_it_is_when_its_time_is_over(run: pytest.Pytester) -> None:
    options = ("-o", "faulthandler_timeout=2", "-o", "faulthandler_exit_on_timeout=true")
    run.makepyfile("import time\ndef test_stuck():\n    time.sleep(600)\ndef test_next():\n    pass\n")
    result = run.runpytest_subprocess("-p", "no:cacheprovider", *PARALLEL, *options)
    assert int(result.ret) == 1
    assert "in test_stuck" in result.stderr.str()
    assert "1 failed, 1 passed" in result.stdout.str().strip().splitlines()[-1]


@pytest.mark.parametrize("line", capabilities.allowed_reasons())
def test_reason_is_allowed_when_it_begins_with_a_line_of_the_list(line: str) -> None:
    assert capabilities.is_allowed(f"{line}: not here", capabilities.allowed_reasons())
    assert not capabilities.is_allowed(f"it {line}", capabilities.allowed_reasons())
