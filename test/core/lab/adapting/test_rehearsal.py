"""Rehearsal: its share of the steps, evenly among them."""

from __future__ import annotations

import pytest
from networks import labelled

from sentryfuse_core.lab.adapting.rehearsal import rehearsing


@pytest.mark.parametrize(("share", "expected"), [(0.25, 10), (0.5, 20), (0.9, 36), (0.0, 0)])
def test_rehearsal_takes_its_share_of_the_steps_one_by_one(share: float, expected: int) -> None:
    asked: list[int] = []
    own, world = labelled(0), labelled(1)

    def of_world(step: int) -> object:
        asked.append(step)
        return world

    source = rehearsing(lambda _: own, of_world, share=share)
    given = [source(step) for step in range(40)]
    assert asked == list(range(expected))
    assert sum(batch is world for batch in given) == expected
    assert sum(batch is own for batch in given[:4]) == 4 - int(4 * share)
