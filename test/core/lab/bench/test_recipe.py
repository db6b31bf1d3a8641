"""Recipe files: what is read back is what was written, and a bad value names the file and the key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.bench.recipe import Recipe, read_recipe
from sentryfuse_core.model.backbones import BACKBONES, Stream, make_backbone

ROOT = Path(__file__).parents[4]
SHIPPED = sorted((ROOT / "config" / "recipes").glob("prune_*.yaml"))


def written(folder: Path, content: Any) -> Path:
    """A recipe file of plain values, or of text as it stands."""
    path = folder / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"stpes": 4}, "unknown key 'stpes'; there are backbones, batch"),
        ({"thin": 2}, "unknown key 'thin'"),
        ({"steps": "many"}, "steps 'many' is not a whole number"),
        ({"steps": 4.5}, "steps 4.5 is not a whole number"),
        ({"steps": True}, "steps True is not a whole number"),
        ({"steps": 0}, "steps 0 is outside 1"),
        ({"steps": -3}, "steps -3"),
        ({"steps": None}, "steps None"),
        ({"learning_rate": "fast"}, "learning_rate 'fast' is not a number"),
        ({"learning_rate": float("nan")}, "learning_rate nan is not a number"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 is outside"),
        ({"ratios": 0.5}, "ratios 0.5 is not a list of numbers"),
        ({"ratios": ["half"]}, "is not a list of numbers"),
        ({"ratios": [0.5, 0.25]}, "ratios [0.5, 0.25] must lie between 0 and 1 and rise"),
        ({"ratios": [0.5, 0.5]}, "ratios [0.5, 0.5] must name at least one, none twice"),
        ({"ratios": [0.0, 0.5]}, "ratios [0.0, 0.5]"),
        ({"ratios": [0.5, 1.0]}, "ratios [0.5, 1.0]"),
        ({"ratios": []}, "ratios [] must name at least one"),
        ({"backbones": ["tree"]}, "unknown backbone 'tree'; there are trunk, branches, bottleneck"),
        ({"backbones": "trunk"}, "backbones 'trunk' is not a list of words"),
        ({"backbones": []}, "backbones []"),
        ({"seeds": [0, 0]}, "seeds [0, 0]"),
        ({"seeds": [-1]}, "seeds [-1] must lie between 0 and"),
        ({"seeds": 3}, "seeds 3 is not a list of whole numbers"),
        ({"dim": 30}, "dim 30 must be a multiple of heads 8"),
        ({"heads": 0}, "heads 0 is outside"),
        ({"kv_heads": 3}, "heads 8 must be a multiple of kv_heads 3"),
        ({"ffn": 100}, "ffn 100 must be a multiple of ffn_block 8"),
        ({"pool": 0}, "pool 0"),
        ({"layers": {"tree": 2}}, "unknown backbone 'tree'"),
        ({"layers": {"trunk": 0}}, "layers 0 of trunk is below 1"),
        ({"layers": 2}, "layers 2 is not a mapping of backbones to whole numbers"),
        ({"layers": {"trunk": "two"}}, "is not a mapping of backbones to whole numbers"),
        ({"own_layers": {"branches": -1}}, "own_layers -1 of branches is below 0"),
        ({"scales": [2.0]}, "scales [2.0] must lie between 0 and 1"),
        ({"scales": [0.3], "ffn_block": 64}, "scales 0.3 gives 32 channels, no multiple of ffn_block 64"),
        ({"first": 1.0}, "first 1.0 is outside 0 .. 0.99"),
        ({"dropout": 1.5}, "dropout 1.5"),
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"device": 0}, "device 0 is not a word"),
        ({3: 4}, "unknown key 3"),
        ("[1, 2]", "must hold a mapping of recipe keys"),
        ("steps: [", "is no YAML"),
    ],
    ids=str,
)
def test_recipe_names_file_and_key_when_a_value_is_bad(content: Any, told: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_recipe_names_the_file_when_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*nowhere\.yaml"):
        read_recipe(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match=r"binary\.yaml"):
        read_recipe(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    "content",
    [
        "",
        {},
        {"steps": 4, "learning_rate": 1, "seeds": [7], "layers": {"trunk": 1}, "scales": []},
        {"backbones": ["bottleneck"], "ratios": [0.5], "first": 0, "own_layers": {"branches": 0}},
    ],
    ids=str,
)
def test_recipe_comes_back_from_its_mapping_when_written_as_json(content: Any, tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, content))
    again = read_recipe(written(tmp_path, json.loads(json.dumps(recipe.to_mapping()))))
    assert again == recipe
    for key, value in (content or {}).items():
        assert recipe.to_mapping()[key] == value


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipe_is_read_when_it_is_as_it_stands(path: Path) -> None:
    assert read_recipe(path).to_mapping() != Recipe().to_mapping()


def test_shipped_recipes_are_there() -> None:
    assert {path.stem for path in SHIPPED} >= {"prune_har", "prune_digits"}


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_every_size_makes_a_network_when_the_recipe_is_checked(backbone: str) -> None:
    recipe = Recipe()
    recipe.check()
    streams = {"a": Stream(4, 3)}
    whole = recipe.shape(backbone)
    for scale in recipe.scales:
        shape = recipe.scaled(backbone, scale)
        assert (shape.backbone, shape.layers, shape.own_layers) == (backbone, whole.layers, whole.own_layers)
        assert (shape.dim, shape.heads, shape.ffn) == (32 * scale, 8 * scale, 128 * scale)
        make_backbone(shape, streams, 2)


def test_depth_is_changed_for_one_backbone_only_when_the_recipe_says_so() -> None:
    recipe = Recipe(layers={"trunk": 5}, own_layers={"bottleneck": 2})
    assert [recipe.shape(name).layers for name in BACKBONES] == [5, 2, 1]
    assert [recipe.shape(name).own_layers for name in BACKBONES] == [0, 1, 2]


def test_page_tells_every_key_and_its_default_when_a_recipe_is_written_by_it() -> None:
    page = (ROOT / "docs" / "pruning.md").read_text(encoding="utf-8")
    rows = page[page.index("### Recipe keys") : page.index("## What was measured")].splitlines()
    told: dict[str, Any] = {}
    for row in rows:
        cells = row.split(" | ")
        if row.startswith("| `"):
            keys, defaults = (re.findall("`([^`]*)`", cell) for cell in cells[:2])
            values = defaults * len(keys) if len(defaults) == 1 else defaults
            told |= {key: yaml.safe_load(value) for key, value in zip(keys, values, strict=True)}
    assert told == Recipe().to_mapping()
