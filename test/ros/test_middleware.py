"""The shared-memory profile: put in force where it fits, and what the status says otherwise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from sentryfuse_ros import middleware
from sentryfuse_ros.middleware import PROFILE_VARIABLE, apply_profile, profile_path, shared_memory_notes

pytestmark = pytest.mark.capability("shared-memory profile")
NOWHERE = Path("/no/such/file/system")


def shm_of(monkeypatch: pytest.MonkeyPatch, megabytes: int, *, free: int | None = None) -> None:
    """Pretend that /dev/shm has this size, and this much of it, or all, free."""
    total, free = megabytes << 20, (megabytes if free is None else free) << 20
    monkeypatch.setattr(middleware.shutil, "disk_usage", lambda _: SimpleNamespace(total=total, free=free))


def test_profile_is_put_in_force_when_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    shm_of(monkeypatch, 1024)
    environment: dict[str, str] = {}
    apply_profile(environment)
    assert environment == {PROFILE_VARIABLE: str(profile_path())}
    assert shared_memory_notes(environment) == ()


def test_profile_is_left_out_and_named_with_a_remedy_when_it_does_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shm_of(monkeypatch, 64)
    environment: dict[str, str] = {}
    apply_profile(environment)
    assert environment == {}
    (note,) = shared_memory_notes(environment)
    assert "64 MB" in note
    assert "128 MB" in note
    assert "--shm-size" in note


def test_profile_is_left_out_and_what_is_free_told_when_others_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shm_of(monkeypatch, 1024, free=100)
    environment = {PROFILE_VARIABLE: str(profile_path())}  # as a launch file put it in a while ago
    apply_profile(environment)
    assert environment == {}
    (note,) = shared_memory_notes(environment)
    assert "100 of its 1024 MB free" in note
    assert "needs 128 MB" in note
    assert "fastdds shm clean" in note
    assert "--shm-size" not in note  # it is large enough


def test_profile_is_left_out_when_there_is_no_shared_memory() -> None:
    environment: dict[str, str] = {}
    apply_profile(environment, shm=NOWHERE)
    assert environment == {}
    assert "--shm-size" in shared_memory_notes(environment, shm=NOWHERE)[0]


def test_profile_of_the_user_stays_when_there_is_one(tmp_path: Path) -> None:
    own = tmp_path / "own.xml"
    own.write_text("<dds/>", encoding="utf-8")
    environment = {PROFILE_VARIABLE: str(own)}
    apply_profile(environment)
    assert environment == {PROFILE_VARIABLE: str(own)}
    assert shared_memory_notes(environment) == ()
    own.unlink()
    assert str(own) in shared_memory_notes(environment)[0]


def test_profile_is_no_matter_when_the_middleware_is_another() -> None:
    environment = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    apply_profile(environment)
    assert PROFILE_VARIABLE not in environment
    assert shared_memory_notes(environment, shm=NOWHERE) == ()


def test_profile_is_asked_for_when_it_is_not_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    shm_of(monkeypatch, 1024)
    assert PROFILE_VARIABLE in shared_memory_notes({})[0]
