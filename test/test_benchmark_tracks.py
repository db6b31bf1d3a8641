"""Rows of the tracks' benchmark: none of KITTI without its data, and what a step costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import make_bank

from benchmarks import tracks


def test_kitti_has_no_rows_and_a_reason_when_the_data_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracks, "KITTI", tmp_path)
    assert tracks.kitti() == ([], {"skipped": "needs the recordings in ../shared/data"})


def test_cost_is_of_steps_with_as_many_objects_as_asked_for(tmp_path: Path) -> None:
    took = tracks.cost_ms(make_bank(tmp_path), objects=10, sets=50)
    assert len(took) == 45
    assert np.all(took > 0.0)
