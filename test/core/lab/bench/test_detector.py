"""The gate against rules on the whole detector: nobody has more MACs, and the table says who is ahead."""

from __future__ import annotations

from pathlib import Path

import pytest
from gated import SHAPE, WORTHS
from networks import checkpoint, labelled, network

from sentryfuse_core.cli import main
from sentryfuse_core.lab.bench import detector
from sentryfuse_core.lab.scoring.matrix import SEEING

RULES = {"magnitude", "taylor", "flap", "synflow"}


def test_entries_keep_the_budget_and_figures_set_the_gate_against_the_best_rule() -> None:
    net = network(shape=SHAPE)
    entries = detector.entries_of(net, WORTHS, [labelled(batch=1)])
    whole = entries[0].gmacs
    assert {entry.name for entry in entries} == {detector.GATE, detector.UNIFORM, "dense"} | RULES
    for entry in entries[1:]:
        if entry.name in RULES and not _narrowest(entry):
            assert entry.gmacs <= (1.0 - entry.ratio) * whole + 1e-9
    few = [entry for entry in entries if entry.spread in ("", "global")]
    truth = detector.score(few, [labelled(batch=1)])
    rows, raw = detector.figures(few, truth, draws=3, seed=0)
    assert [row.target for row in rows[:4]] == [30.0, 30.0, 35.0, 35.0]
    assert len(raw["entries"]) == len(few)
    assert all(len(entry["map"]) == len(SEEING) for entry in raw["entries"])


def _narrowest(entry: detector.Entry) -> bool:
    """Whether one unit is left of every layer: these networks are too small for some budgets."""
    gates = ("camera.fine.0.scale", "trunk.layers.0.feed.fall", "trunk.layers.1.feed.fall")
    return all(int((entry.net.get_parameter(name) != 0).sum(dim=0).max()) <= 16 for name in gates)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--frames", "0"], "--frames 0: give a number from 1"),
        ([], "has no gate in its manifest; give others with"),
    ],
)
def test_command_says_in_one_line_what_is_missing(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(tmp_path)
    weights = str(tmp_path / "small.safetensors")
    assert (
        main(["bench", "prune", "--detector", "--weights", weights, "--out", str(tmp_path / "out"), *words])
        == 2
    )
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
