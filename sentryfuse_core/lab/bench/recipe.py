"""Recipe: sizes, budgets and settings of one pruning benchmark, read from a YAML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch
import yaml

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.model.backbones import BACKBONES, ClassifierShape
from sentryfuse_core.safe_files import read_yaml

__all__ = ["Recipe", "read_recipe"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One benchmark; the defaults hold for data that nothing was tuned on.

    Attributes:
        steps: total training of every trained network, in steps of the dense network; a budget of MACs.
        ratios: shares of the units' MACs to remove, rising.
        scales: widths of the separately trained small networks, as shares of `dim`; may be empty.
        calibration: samples that the rules may look at.
        dropout: chance of a modality to be absent at the end of the curriculum.
        first, dynabert_first: share of the training before units are sorted and sub-networks are trained.
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
    dropout: float = 0.5
    first: float = 0.15
    to_teacher: float = 0.5
    temperature: float = 1.0
    nested_learning_rate: float = 3e-3
    dynabert_first: float = 0.3
    dynabert_learning_rate: float = 2e-3
    dynabert_hidden: float = 0.1
    dynabert_labels: float = 1.0
    matformer_learning_rate: float = 3e-3
    matformer_full: float = 0.0
    layerdrop: float = 0.2
    device: str = "cpu"

    def check(self) -> None:
        """Raises ConfigError, naming the key, for values that no network can be made or trained with."""
        self._check_types()
        for backbone in (*self.backbones, *(self.layers or {}), *(self.own_layers or {})):
            if backbone not in BACKBONES:
                raise ConfigError(f"unknown backbone {backbone!r}; there are {', '.join(BACKBONES)}")
        for name in _LISTS:
            values = getattr(self, name)
            if not (values or name == "scales") or len(set(values)) < len(values):
                raise ConfigError(f"{name} {list(values)} must name at least one, none twice")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} {getattr(self, name)} is outside {low:g} .. {high:g}")
        if list(self.ratios) != sorted(self.ratios) or not all(0.0 < ratio < 1.0 for ratio in self.ratios):
            raise ConfigError(f"ratios {list(self.ratios)} must lie between 0 and 1 and rise")
        self._check_sizes()
        _check_device(self.device)

    def _check_types(self) -> None:
        for key, kind in get_type_hints(Recipe).items():
            value = getattr(self, key)
            if not _fits(value, kind):
                raise ConfigError(f"{key} {value!r} is not {_KIND_NAMES[kind]}")

    def _check_sizes(self) -> None:
        for whole, part in (("dim", "heads"), ("heads", "kv_heads"), ("ffn", "ffn_block")):
            if getattr(self, whole) % getattr(self, part):
                raise ConfigError(
                    f"{whole} {getattr(self, whole)} must be a multiple of {part} {getattr(self, part)}"
                )
        for key, least in (("layers", 1), ("own_layers", 0)):
            for backbone, count in (getattr(self, key) or {}).items():
                if count < least:
                    raise ConfigError(f"{key} {count} of {backbone} is below {least}")
        if min(self.seeds) < 0:
            raise ConfigError(f"seeds {list(self.seeds)} must not be below 0")
        for scale in self.scales:
            if not 0.0 < scale < 1.0:
                raise ConfigError(f"scales {list(self.scales)} must lie between 0 and 1")
            small = self.scaled(self.backbones[0], scale)
            if small.ffn % small.ffn_block or not small.ffn:
                raise ConfigError(
                    f"scales {scale:g} gives {small.ffn} channels, no multiple of ffn_block {small.ffn_block}"
                )

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
        heads = max(1, round(self.heads * scale))
        dim = heads * (self.dim // self.heads)
        ffn = dim * self.ffn // self.dim
        return replace(self.shape(backbone), dim=dim, heads=heads, kv_heads=heads, ffn=ffn)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }


def read_recipe(path: Path) -> Recipe:
    """A recipe file: a YAML mapping of `Recipe`'s fields; raises ConfigError naming the file and the key."""
    try:
        content = read_yaml(path) or {}
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


_LISTS = ("backbones", "seeds", "ratios", "scales")
_RATES = ("learning_rate", "nested_learning_rate", "dynabert_learning_rate", "matformer_learning_rate")
_MOST = 1e9
_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("dim", "heads", "kv_heads", "ffn", "ffn_block", "pool"), (1, _MOST)),
    **dict.fromkeys(("steps", "batch", "calibration"), (1, _MOST)),
    **dict.fromkeys(_RATES, (1e-9, 1.0)),
    **dict.fromkeys(("to_teacher", "dynabert_hidden", "dynabert_labels"), (0.0, _MOST)),
    **dict.fromkeys(("dropout", "matformer_full", "layerdrop"), (0.0, 1.0)),
    **dict.fromkeys(("first", "dynabert_first"), (0.0, 0.99)),
    "temperature": (1e-3, 1e3),
}
_KIND_NAMES: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a word",
    tuple[str, ...]: "a list of words",
    tuple[int, ...]: "a list of whole numbers",
    tuple[float, ...]: "a list of numbers",
    Mapping[str, int] | None: "a mapping of backbones to whole numbers",
}


def _fits(value: object, kind: Any) -> bool:
    """Whether a value from a file is of a field's type; whole numbers are numbers, truth values are not."""
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if kind is str:
        return isinstance(value, str)
    if kind == Mapping[str, int] | None:
        return value is None or (
            isinstance(value, Mapping) and all(_fits(count, int) for count in value.values())
        )
    return isinstance(value, tuple) and all(_fits(item, get_args(kind)[0]) for item in value)


def _check_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used ({reason}); cpu always can") from error
