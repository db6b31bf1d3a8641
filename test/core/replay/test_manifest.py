"""What a run says it was made of."""

from __future__ import annotations

import re

import pytest

from sentryfuse_core.replay.manifest import source_commit


def test_source_commit_is_unknown_when_git_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"[-.\w]+", source_commit())
    monkeypatch.setenv("PATH", "")
    assert source_commit() == "unknown"
