"""The picture of a step load in docs/runtime.md shows what its caption says."""

from __future__ import annotations

from pathlib import Path

from benchmarks.budget_step import LIMIT_MS, LOADED, ODD, draw, story


def test_story_misses_the_odd_set_and_two_of_the_load(tmp_path: Path) -> None:
    simulation = story()
    missed = [index for index, infer_ms in enumerate(simulation.times_ms) if infer_ms > LIMIT_MS]
    assert missed == [ODD, LOADED.start, LOADED.start + 1]
    assert set(simulation.levels[: LOADED.start + 2]) == {0}
    assert set(simulation.levels[LOADED.start + 2 : LOADED.stop]) == {2}
    assert set(simulation.levels[LOADED.stop + 51 :]) == {0}
    draw(simulation, tmp_path / "step.png")
    assert (tmp_path / "step.png").stat().st_size > 10_000
