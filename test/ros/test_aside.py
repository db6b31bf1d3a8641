"""Slow work beside the executor: one at a time, and the next as soon as anybody knows that one is through."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any
from unittest.mock import Mock

import pytest

from sentryfuse_ros.aside import Aside

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

PATIENCE_S = 60.0


def test_aside_begins_other_work_when_asked_by_who_is_told_that_one_is_through() -> None:
    aside, begun = Aside(), Future[bool]()

    def ask_again(_: None) -> None:
        begun.set_result(aside.start(Mock(), lambda: None))

    assert aside.start(Mock(), lambda: None, then=ask_again)
    assert begun.result(PATIENCE_S)


def test_aside_begins_nothing_when_work_is_under_way() -> None:
    aside, go_on, through = Aside(), threading.Event(), Future[Any]()
    assert aside.start(Mock(), lambda: go_on.wait(PATIENCE_S), then=through.set_result)
    assert not aside.start(Mock(), lambda: None)
    go_on.set()
    assert through.result(PATIENCE_S)
