"""`sentryfuse eval --policies` from weights to tables, file and picture; what it is not for is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import checkpoint, gated_checkpoint

from sentryfuse_core.cli import main
from sentryfuse_core.evaluation.matching import match_frames
from sentryfuse_core.faults.severities import SEVERITIES
from sentryfuse_core.lab.commands.eval_policy_figures import (
    FaultStudy,
    PolicyStudy,
    fault_figures,
    policy_figures,
)
from sentryfuse_core.lab.scoring.matrix import SEEING
from sentryfuse_core.lab.training.fault_table import FaultRow
from sentryfuse_core.lab.training.policies import ORACLE, POLICIES, QUALITY, UNIFORM, Outcome
from sentryfuse_core.types import Modality, ModalitySet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Frames come two at a time."""
    monkeypatch.setattr("sentryfuse_core.lab.commands.eval._BATCH", 2)
    return tmp_path


def test_policies_are_compared_and_written_when_weights_have_a_gate(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gated_checkpoint(folder)
    options = ["--weights", str(folder / "small.safetensors"), "--frames", "2", "--draws", "3"]
    assert main(["eval", "--policies", *options, "--out", str(folder / "out")]) == 0
    text = (folder / "out" / "gate.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert str(folder) not in text
    assert content["command"] == (
        "sentryfuse eval --policies --world v3 --frames 2 --seed 0 --draws 3 "
        "--weights small.safetensors --out out"
    )
    assert set(content["raw"]["policies"]) == {"as they are", "one sensor spoilt"}
    for outcomes in content["raw"]["policies"].values():
        assert {one["policy"] for one in outcomes} == set(POLICIES)
        assert {one["sensors"] for one in outcomes} == {str(mask) for mask in SEEING}
    told = {(one["sensor"], one["fault"]) for one in content["raw"]["faults"]}
    assert told == {(sensor.value, fault) for sensor, fault in SEVERITIES}
    assert len(content["raw"]["faults"]) == sum(3 if any(cases) else 1 for cases in SEVERITIES.values())
    *drawn, ranks = content["rows"]
    assert all(row["low"] <= row["high"] for row in drawn)
    assert "saliency" in ranks["what"]
    assert -1.0 <= ranks["measured"] <= 1.0
    assert (folder / "out" / "policies.png").stat().st_size > 10_000
    said = capsys.readouterr().out
    assert "policies, frames as they are" in said
    assert "camera dirty" in said
    assert "lidar empty" in said
    assert "first-order saliency" in said
    assert {one["part"] for one in content["raw"]["parts"]} == {"camera", "lidar", "trunk", "head"}
    untold = {(one["part"], one["level"]) for one in content["raw"]["parts"] if one["saliency"] is None}
    assert untold <= {("camera", 2)}
    assert ">= 0.9" in said


def test_policies_say_in_one_line_what_is_missing_when_weights_have_no_gate(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(folder)
    assert main(["eval", "--policies", "--weights", str(folder / "small.safetensors")]) == 2
    said = capsys.readouterr().err.strip()
    assert "has no gate in its manifest" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "option",
    [
        ["--masks", "lidar"],
        ["--levels", "0"],
        ["--tracks"],
        ["--fit-frames", "16"],
        ["--fit-frames", "0"],
        ["--no-references"],
        ["--single", "lidar=x"],
    ],
)
def test_policies_name_the_option_that_is_not_for_them(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "--policies", *option]) == 2
    assert f"{option[0]} is not for --policies" in capsys.readouterr().err


def study(points: dict[tuple[str, int], float], gmacs: dict[tuple[str, int], float]) -> PolicyStudy:
    """Policies with mAPs as told, in points, for one set of sensors; every draw the same."""
    unused: Any = None
    outcomes = [Outcome(*key, ModalitySet.all(), unused, gmacs[key]) for key in points]
    values = np.array(list(points.values()))
    return PolicyStudy("as they are", outcomes, values, values[None])


def test_figures_are_read_off_the_ladder_when_levels_lie_around_what_is_asked() -> None:
    keys = [(UNIFORM, 0), (UNIFORM, 1), (QUALITY, 0), (QUALITY, 1), (QUALITY, 2), (ORACLE, 0)]
    points = dict(zip(keys, (90.0, 86.0, 90.0, 89.6, 88.0, 89.8), strict=True))
    gmacs = dict(zip(keys, (1.0, 0.4, 1.0, 0.5, 0.3, 0.2), strict=True))
    fewer, more, gained, saved = policy_figures(study(points, gmacs))
    assert (fewer.measured, more.measured) == (2.0, 2.0)
    assert gained.measured == pytest.approx(88.8 - 86.0)  # halfway between .3 and .5 GMACs
    assert saved.measured == pytest.approx(100.0 * (1.0 - 0.75) / (1.0 - 0.2))  # halfway from 89.6 to 90
    assert (fewer.met, gained.met, saved.met) == (False, False, False)


def test_figures_tell_no_share_when_nothing_is_found_in_clean_frames() -> None:
    none = match_frames([], [], class_count=1)
    rows = [FaultRow(Modality.LIDAR, "noise", severity, none, none, none, np.nan) for severity in (1, 2)]
    points = np.array([[0.3, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = fault_figures(FaultStudy(rows, points, np.stack([points, points + np.array([0.0, 0.0, 0.6])])))
    share = next(one for one in found if "mRA" in one.what)
    assert share.to_mapping()["measured"] is None
    assert (share.low, share.high) == pytest.approx((0.25, 0.25))  # of the one draw that tells it
