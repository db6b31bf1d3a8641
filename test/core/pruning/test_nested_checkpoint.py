"""Nested checkpoints: what is loaded plans and answers as what was saved; damaged files are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sentryfuse_core.errors import CheckpointError, OutputError
from sentryfuse_core.model.backbones import BACKBONES, ClassifierShape, Stream, make_backbone
from sentryfuse_core.model.units import Shrinkable
from sentryfuse_core.pruning.costs import measure_costs
from sentryfuse_core.pruning.gate import Design, SentryGate, subsets
from sentryfuse_core.pruning.nested_checkpoint import load_nested, save_nested

STREAMS = {"b": Stream(3, 2), "a": Stream(2, 4)}  # not in the order of the alphabet
RATIOS = (0.5, 0.75)
INPUTS = {name: torch.randn(3, stream.tokens, stream.features) for name, stream in STREAMS.items()}


def made(backbone: str = "trunk", design: Design = "conditioned") -> tuple[Shrinkable, SentryGate]:
    torch.manual_seed(0)
    shape = ClassifierShape(
        backbone=backbone, dim=16, layers=1, own_layers=1, heads=4, kv_heads=4, ffn=32, ffn_block=8
    )
    network = make_backbone(shape, STREAMS, 3).eval()
    costs = {
        present: measure_costs(network, {name: INPUTS[name][:1] for name in present})
        for present in subsets(tuple(STREAMS))
    }
    gate = SentryGate(tuple(STREAMS), costs, design=design)
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.normal_()
    return network, gate


def saved(path: Path, *, backbone: str = "trunk", design: Design = "conditioned") -> Path:
    network, gate = made(backbone, design)
    save_nested(path, network, gate, classes=("x", "y", "z"), ratios=RATIOS, facts={"seed": 4})
    return path


@pytest.mark.parametrize(
    ("backbone", "design"),
    [
        *((backbone, "conditioned") for backbone in BACKBONES),
        *(("trunk", design) for design in ("uniform", "shared", "faithful")),
    ],
)
def test_loaded_classifier_plans_and_answers_as_the_saved_one(
    backbone: str, design: Design, tmp_path: Path
) -> None:
    network, gate = made(backbone, design)
    loaded = load_nested(saved(tmp_path / "w.safetensors", backbone=backbone, design=design))
    assert (loaded.classes, loaded.modalities) == (("x", "y", "z"), ("b", "a"))
    for present in subsets(tuple(STREAMS)):
        for ratio in (0.0, *RATIOS):
            plan = loaded.gate.plan(present=present, ratio=ratio)
            assert plan == gate.plan(present, ratio)
            inputs = {name: INPUTS[name] for name in present}
            answer = loaded.network.at(plan)(inputs)
            assert torch.equal(answer, network.at(gate.plan(present, ratio))(inputs))
            assert torch.equal(answer, loaded.at(present, ratio=ratio)(inputs))


def test_manifest_lists_the_widths_of_every_set_and_ratio(tmp_path: Path) -> None:
    _, gate = made()
    saved(tmp_path / "w.safetensors")
    manifest = json.loads((tmp_path / "w.json").read_text(encoding="utf-8"))
    assert manifest["seed"] == 4
    assert len(manifest["plans"]) == 3 * (1 + len(RATIOS))
    last = manifest["plans"][-1]
    plan = gate.plan(STREAMS, 0.75)
    assert last["present"] == ["b", "a"]
    assert last["widths"] == plan.widths
    assert last["macs"] == plan.macs < manifest["plans"][-3]["macs"]


def test_load_names_the_file_and_the_remedy_when_something_is_wrong(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors")
    manifest_path, data = tmp_path / "w.json", path.read_bytes()
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))

    def refused(match: str, weights: bytes = data, **change: object) -> None:
        path.write_bytes(weights)
        manifest_path.write_text(json.dumps({**manifest, **change}), encoding="utf-8")
        with pytest.raises(CheckpointError, match=match):
            load_nested(path)

    refused("altered or truncated", data[:-1])
    refused("describes a detector, not a nested classifier", kind="detector")
    refused("format version 99, this release reads 1", format_version=99)
    refused("does not fit its manifest", classes=["x", "y"])
    refused("does not fit its manifest", gate={"design": "other", "hidden": 16})
    refused("does not fit its manifest", shape={**manifest["shape"], "backbone": "tree"})
    refused("does not fit its manifest", shape={**manifest["shape"], "wheels": 4})
    manifest_path.write_text(json.dumps({key: manifest[key] for key in manifest if key != "costs"}))
    with pytest.raises(CheckpointError, match="lacks costs"):
        load_nested(path)
    manifest_path.write_text("{")
    with pytest.raises(CheckpointError, match="is not JSON"):
        load_nested(path)
    manifest_path.unlink()
    with pytest.raises(CheckpointError, match="no manifest at"):
        load_nested(path)
    with pytest.raises(CheckpointError, match="sentryfuse train OUT --data"):
        load_nested(tmp_path / "none.safetensors")


def test_save_names_the_place_when_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another place"):
        saved(tmp_path / "file" / "w.safetensors")
