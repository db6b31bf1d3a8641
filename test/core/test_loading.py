"""Loading without a search for garbage: none within the block, none of it later, and as before afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sentryfuse_core.loading import loading


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("searching", [True, False])
def test_search_is_as_before_when_loading_is_through(searching: bool) -> None:
    if not searching:
        gc.disable()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled() is searching


def test_search_goes_on_when_loading_fails() -> None:
    with pytest.raises(ValueError, match="no weights"), loading():
        raise ValueError("no weights")
    assert gc.isenabled()


def test_what_was_loaded_is_not_looked_through_any_more() -> None:
    before = gc.get_freeze_count()
    with loading():
        made = [[number] for number in range(1000)]
    assert gc.get_freeze_count() >= before + len(made)
    assert not any(item is made for item in gc.get_objects())
