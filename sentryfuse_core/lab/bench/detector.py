"""The gate against pruning rules on the whole detector: the same weights, frames and mean MACs, no training.

Costs and scores are means over the 12 sets of sensors that have a camera or a lidar. A rule takes one set of
units away for all of them; of all ways to spread what goes over the layers the best one on the very
frames counts, which is more than a rule could know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.matching import Matches, match_frames
from sentryfuse_core.lab.bench.results import Figure, at_least
from sentryfuse_core.lab.rivals import detector_scores as rules
from sentryfuse_core.lab.rivals.detector_units import (
    DetectorLayer,
    Kept,
    detector_layers,
    kept_all,
    kept_macs,
    without,
)
from sentryfuse_core.lab.rivals.synflow import ROUNDS
from sentryfuse_core.lab.scoring.matrix import SEEING
from sentryfuse_core.lab.scoring.resample import drawn_maps, map_of
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import frames_of, truth_of
from sentryfuse_core.lab.training.part_runner import PartRunner
from sentryfuse_core.lab.training.worths import priced
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.pruning.part_gate import PartGate, Worths
from sentryfuse_core.types import ModalitySet, PartLevels

__all__ = ["GATE", "RATIOS", "UNIFORM", "Entry", "entries_of", "figures", "prune", "score"]

RATIOS = (0.5, 0.75)  # of the MACs that go
GATE, UNIFORM, DENSE = "gate", "nested, uniform", "dense"
_ENDS = (0.025, 0.975)
_LEAD, _LEAD_MISSING = 30.0, 35.0  # per cent that the gate is to be ahead of the best rule
_MISSING = tuple(mask for mask in SEEING if mask != ModalitySet.all())

Runs = Mapping[ModalitySet, tuple[ModalitySet, PartLevels]]  # for each set the sensors that run, and widths


@dataclass(frozen=True, eq=False)
class Entry:
    """One network at one ratio, and what it found so far."""

    name: str
    ratio: float
    spread: str  # how what goes is spread over the layers; empty where there is no choice
    net: SentryFuseNet
    runs: Runs
    gmacs: float  # mean over the sets of sensors
    boxes: dict[ModalitySet, list[FrameBoxes]] = field(default_factory=dict)


def entries_of(
    net: SentryFuseNet,
    worths: Worths,
    calibration: Sequence[LabelledBatch],
    *,
    on_rule: Callable[[str], None] = lambda _: None,
) -> list[Entry]:
    """The dense network, the gate, uniform widths and every rule at every ratio; nothing runs yet."""
    layers = detector_layers(net)
    full: Runs = {mask: (mask, FULL_WIDTH) for mask in SEEING}
    whole = _gmacs(net, full)
    found = [Entry(DENSE, 0.0, "", net, full, whole)]
    gate = PartGate(net.shape, priced(worths, net, shares=[1.0 - ratio for ratio in RATIOS]))
    for level, ratio in enumerate(RATIOS):
        choices = {mask: gate.choose(mask, level) for mask in SEEING}
        runs = {mask: (choice.used, choice.parts) for mask, choice in choices.items()}
        found.append(Entry(GATE, ratio, "", net, runs, _gmacs(net, runs)))
        found.append(_uniform(net, ratio, (1.0 - ratio) * whole))
    for name, spread, kept_at in _rules(net, layers, calibration, on_rule):
        for ratio in RATIOS:
            kept = kept_at(ratio)
            gmacs = _mean_macs(net, kept) / 1e9
            found.append(Entry(name, ratio, spread, without(net, layers, kept), full, gmacs))
    return found


def _uniform(net: SentryFuseNet, ratio: float, most: float) -> Entry:
    """The widest uniform level that costs no more; the narrowest if none does."""
    for level in range(net.shape.levels):
        runs = {mask: (mask, net.shape.uniform(level)) for mask in SEEING}
        if _gmacs(net, runs) <= most:
            break
    return Entry(UNIFORM, ratio, "", net, runs, _gmacs(net, runs))


def _rules(
    net: SentryFuseNet,
    layers: Mapping[str, DetectorLayer],
    calibration: Sequence[LabelledBatch],
    on_rule: Callable[[str], None],
) -> Iterable[tuple[str, str, Callable[[float], Kept]]]:
    """Name, how what goes is spread, and what stays at a ratio."""
    scored: dict[str, Callable[[], rules.Scores]] = {
        "magnitude": lambda: rules.magnitude(net, layers),
        "taylor": lambda: rules.taylor(net, layers, calibration, SEEING),
        "flap": lambda: rules.flap(net, layers, calibration, SEEING),
    }
    costs = _unit_macs(net, layers)
    for name, score_of in scored.items():
        on_rule(name)
        scores = score_of()
        # Standardised scores are below 0 for half of all units: there is nothing to divide.
        for spread in ("global", "share") if name == "flap" else ("global", "share", "per MAC"):
            order = _order(scores, spread, costs)
            yield name, spread, partial(prune, net, layers, order)
    on_rule("synflow")
    kept = _flowing(net, layers, calibration[0])
    yield "synflow", "", kept.__getitem__


def _order(
    scores: rules.Scores, spread: str, costs: Mapping[str, float] | None = None
) -> list[tuple[str, int]]:
    """Units from the least one on: by score, by score for each MAC, or by rank in their layer (`share`)."""
    keyed = []
    for name, score in scores.items():
        keys = score if costs is None or spread != "per MAC" else score / costs[name]
        if spread == "share":
            keys = (score.argsort().argsort() + 0.5) / len(score)
        keyed += [(float(key), name, unit) for unit, key in enumerate(keys)]
    return [(name, unit) for _, name, unit in sorted(keyed)]


def _unit_macs(net: SentryFuseNet, layers: Mapping[str, DetectorLayer]) -> dict[str, float]:
    """What taking one unit of a layer away saves while all others are there."""
    whole, found = kept_all(layers), {}
    for name, layer in layers.items():
        less = torch.arange(layer.units) > 0
        found[name] = _mean_macs(net, whole) - _mean_macs(net, {**whole, name: less})
    return found


def prune(
    net: SentryFuseNet,
    layers: Mapping[str, DetectorLayer],
    order: Sequence[tuple[str, int]],
    ratio: float,
    kept: Kept | None = None,
) -> dict[str, torch.Tensor]:
    """Take units away in that order until `ratio` of all MACs is gone; one of each layer stays."""
    left = kept_all(layers) if kept is None else {name: units.clone() for name, units in kept.items()}
    most = (1.0 - ratio) * _mean_macs(net, kept_all(layers))
    for name, unit in order:
        if _mean_macs(net, left) <= most:
            break
        if left[name].sum() > 1:
            left[name][unit] = False
    return left


def _flowing(
    net: SentryFuseNet, layers: Mapping[str, DetectorLayer], frame: LabelledBatch
) -> dict[float, dict[str, torch.Tensor]]:
    """SynFlow's units at every ratio: in rounds, ever smaller by the same factor, judged anew each time."""
    ones, left = rules.ones_like(frame.inputs), kept_all(layers)
    found: dict[float, dict[str, torch.Tensor]] = {}
    scores = rules.synflow(net, layers, left, ones)
    for ratio in sorted(RATIOS):
        begun = 1.0 - (max(found) if found else 0.0)
        rounds = ROUNDS // len(RATIOS)
        for turn in range(1, rounds + 1):
            share = begun * ((1.0 - ratio) / begun) ** (turn / rounds)
            there = [(name, unit) for name, unit in _order(scores, "global") if left[name][unit]]
            smaller = prune(net, layers, there, 1.0 - share, left)
            if any(bool((smaller[name] != left[name]).any()) for name in layers):
                left, scores = smaller, rules.synflow(net, layers, smaller, ones)
        found[ratio] = left
    return found


def _mean_macs(net: SentryFuseNet, kept: Kept) -> float:
    return float(np.mean([kept_macs(net, kept, mask) for mask in SEEING]))


def _gmacs(net: SentryFuseNet, runs: Runs) -> float:
    return float(np.mean([count_macs(net.shape, net.geometry, *run).total for run in runs.values()])) / 1e9


def score(
    entries: Sequence[Entry],
    batches: Iterable[LabelledBatch],
    *,
    on_frames: Callable[[int], None] = lambda _: None,
) -> list[FrameBoxes]:
    """Run all entries on all frames; the truth."""
    truth: list[FrameBoxes] = []
    with torch.inference_mode():
        for batch in batches:
            truth.extend(truth_of(batch.boxes, batch.classes))
            whole = PartRunner(entries[0].net, batch.inputs, batch=len(batch.boxes))
            for entry in entries:
                own = entry.net is not entries[0].net
                runner = PartRunner(entry.net, batch.inputs, batch=len(batch.boxes)) if own else whole
                for mask, run in entry.runs.items():
                    # Without labels: riders are told twice, as in docs/pruning_benchmark.md.
                    entry.boxes.setdefault(mask, []).extend(frames_of(runner(*run), ()))
            on_frames(len(batch.boxes))
    return truth


@dataclass(frozen=True, eq=False)
class _Scored:
    """What an entry reached."""

    entry: Entry
    matches: Mapping[ModalitySet, Matches]
    maps: Mapping[ModalitySet, float]  # per cent

    def mean(self, masks: Sequence[ModalitySet]) -> float:
        return float(np.mean([self.maps[mask] for mask in masks]))


def _judged(entries: Sequence[Entry], truth: list[FrameBoxes], classes: int) -> list[_Scored]:
    found = []
    for entry in entries:
        matches = {
            mask: match_frames(truth, boxes, class_count=classes) for mask, boxes in entry.boxes.items()
        }
        found.append(_Scored(entry, matches, {mask: 100 * map_of(own) for mask, own in matches.items()}))
    return found


def figures(
    entries: Sequence[Entry], truth: list[FrameBoxes], *, draws: int, seed: int
) -> tuple[tuple[Figure, ...], dict[str, Any]]:
    """How far the gate is ahead of the best rule, every mean, and plain values of everything."""
    scored = _judged(entries, truth, entries[0].net.shape.classes)
    rows: list[Figure] = []
    for masks, lead, which in ((SEEING, _LEAD, "12 sets"), (_MISSING, _LEAD_MISSING, "a sensor missing")):
        for ratio in RATIOS:
            gate = next(one for one in scored if (one.entry.name, one.entry.ratio) == (GATE, ratio))
            best = max(_of_rules(scored, ratio), key=lambda one: one.mean(masks))
            rows.append(_ahead(gate, best, masks, which, lead, draws=draws, seed=seed))
    for one in scored:
        for masks, which in ((SEEING, "12 sets"), (_MISSING, "a sensor missing")):
            spread = f", {one.entry.spread}" if one.entry.spread else ""
            what = f"mAP, {one.entry.name}{spread}, r = {one.entry.ratio:g}, mean over {which}"
            note = f"{one.entry.gmacs:.4f} GMACs, mean over 12 sets"
            rows.append(at_least(what, round(one.mean(masks), 2), "%", notes=[note]))
    return tuple(rows), {"frames": len(truth), "entries": [_plain(one) for one in scored]}


def _of_rules(scored: Sequence[_Scored], ratio: float) -> list[_Scored]:
    ours = (GATE, UNIFORM, DENSE)
    return [one for one in scored if one.entry.name not in ours and one.entry.ratio == ratio]


def _ahead(
    gate: _Scored,
    rival: _Scored,
    masks: Sequence[ModalitySet],
    which: str,
    lead: float,
    *,
    draws: int,
    seed: int,
) -> Figure:
    """Per cent by which the gate is ahead of the best rule, with its interval over frames."""
    parts = [one.matches[mask] for one in (gate, rival) for mask in masks]
    drawn = drawn_maps(parts, draws=draws, seed=seed).reshape(draws, 2, len(masks)).mean(axis=2)
    low, high = np.quantile(100 * (drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9) - 1), _ENDS)
    mine, theirs = gate.mean(masks), rival.mean(masks)
    what = f"gate ahead of the best rule, r = {gate.entry.ratio:g}, mean over {which}"
    note = f"{mine:.1f} against {theirs:.1f} of {rival.entry.name}"
    found = at_least(what, round(100 * (mine / max(theirs, 1e-9) - 1), 2), "%", lead, notes=[note])
    return replace(found, low=float(low), high=float(high))


def _plain(one: _Scored) -> dict[str, Any]:
    return {
        "name": one.entry.name,
        "ratio": one.entry.ratio,
        "spread": one.entry.spread,
        "gmacs": round(one.entry.gmacs, 5),
        "map": {str(mask): round(value, 2) for mask, value in one.maps.items()},
    }
