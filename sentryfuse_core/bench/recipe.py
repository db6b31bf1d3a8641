"""Recipe: sizes, budgets and settings of one pruning benchmark, read from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.model.backbones import BACKBONES, ClassifierShape

__all__ = ["Recipe", "read_recipe"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One benchmark; the defaults hold for data that nothing was tuned on.

    Attributes:
        steps: total training of every trained network, in steps of the dense network; a budget of MACs.
        ratios: shares of the units' MACs to remove, rising.
        scales: widths of the separately trained small networks, as shares of `dim`.
        calibration: samples that the rules may look at.
        thin: every how many-th sample of val and test is scored (neighbouring windows overlap).
        dropout: chance of a modality to be absent at the end of the curriculum.
        first: share of the training before units are sorted and sub-networks are trained.
        to_teacher, temperature, nested_learning_rate: see `NestOptions`.
        dynabert_hidden, dynabert_labels: weights in `DynaBertStage`.
        matformer_full: see `MatFormerStage`; layerdrop: chance in `LayerDropStage`.
    """

    backbones: tuple[str, ...] = tuple(BACKBONES)
    seeds: tuple[int, ...] = (0, 1, 2)
    dim: int = 32
    heads: int = 8
    kv_heads: int = 8
    ffn: int = 128
    ffn_block: int = 8
    pool: int = 2
    layers: Mapping[str, int] | None = None
    own_layers: Mapping[str, int] | None = None
    steps: int = 1600
    batch: int = 64
    learning_rate: float = 2e-3
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 0.9)
    scales: tuple[float, ...] = (0.5, 0.25)
    calibration: int = 256
    thin: int = 1
    dropout: float = 0.5
    first: float = 0.3
    to_teacher: float = 0.5
    temperature: float = 1.0
    nested_learning_rate: float = 2e-3
    dynabert_learning_rate: float = 2e-3
    dynabert_hidden: float = 0.1
    dynabert_labels: float = 0.0
    matformer_learning_rate: float = 2e-3
    matformer_full: float = 0.0
    layerdrop: float = 0.2
    device: str = "cpu"

    def check(self) -> None:
        """Raises ConfigError for a backbone that is not known and for ratios that do not rise."""
        for backbone in self.backbones:
            if backbone not in BACKBONES:
                raise ConfigError(f"unknown backbone {backbone!r}; there are {', '.join(BACKBONES)}")
        rising = list(self.ratios) == sorted(self.ratios)
        if not rising or not all(0.0 < ratio < 1.0 for ratio in self.ratios):
            raise ConfigError(f"ratios {list(self.ratios)} must lie between 0 and 1 and rise")

    def shape(self, backbone: str) -> ClassifierShape:
        """Sizes of the network on one backbone."""
        return ClassifierShape(
            backbone=backbone,
            dim=self.dim,
            heads=self.heads,
            kv_heads=self.kv_heads,
            ffn=self.ffn,
            ffn_block=self.ffn_block,
            pool=self.pool,
            layers={"trunk": 3, "branches": 2, "bottleneck": 1, **(self.layers or {})}[backbone],
            own_layers={"trunk": 0, "branches": 1, "bottleneck": 1, **(self.own_layers or {})}[backbone],
        )

    def scaled(self, backbone: str, scale: float) -> ClassifierShape:
        """Sizes of a separately trained small network: D, heads and channels times `scale`, same depth."""
        shape = self.shape(backbone)
        heads = max(1, round(self.heads * scale))
        dim = heads * (self.dim // self.heads)
        return ClassifierShape(
            **{
                **shape.to_mapping(),  # type: ignore[arg-type]
                "dim": dim,
                "heads": heads,
                "kv_heads": heads,
                "ffn": dim * self.ffn // self.dim,
                "ffn_block": self.ffn_block,
            }
        )

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }


def read_recipe(path: Path) -> Recipe:
    """A recipe file: a YAML mapping of `Recipe`'s fields; raises ConfigError naming the file and the key."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping of recipe keys")
    known = {field.name for field in fields(Recipe)}
    for key in content:
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key!r}; there are {', '.join(sorted(known))}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
    }
    recipe = Recipe(**values)
    try:
        recipe.check()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return recipe
