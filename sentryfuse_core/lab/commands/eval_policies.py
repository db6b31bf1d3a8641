"""`sentryfuse eval --policies`: the gate against uniform widths and an oracle, and what bad sensors cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sentryfuse_core.boxes import Floats
from sentryfuse_core.errors import ConfigError, OutputError
from sentryfuse_core.lab.scoring.matrix import SEEING
from sentryfuse_core.lab.scoring.resample import drawn_maps, map_of
from sentryfuse_core.lab.training.data import LabelledBatch, held_out
from sentryfuse_core.lab.training.fault_table import FaultRow, fault_table
from sentryfuse_core.lab.training.policies import ORACLE, QUALITY, UNIFORM, Outcome, outcomes, run_plans
from sentryfuse_core.lab.training.spoiling import AGES_S, spoilt_at_random
from sentryfuse_core.lab.world.config import WorldConfig
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.part_gate import PLACED, Gate, PartGate, make_gate
from sentryfuse_core.replay.manifest import machine, processor, source_commit, versions
from sentryfuse_core.types import ModalitySet

__all__ = ["run_policies"]

_BATCH = 16  # frames; another number would give other worlds
_ENDS = (0.025, 0.975)
_POINTS = {0.5: 3.0, 1.5: 5.0}  # points below full width, and how many times fewer MACs are aimed at there
_LEAST_GAIN = -1.0  # points that a bad sensor may cost against its absence
_LEAST_MRA = 0.9  # mean over faults of mAP against clean mAP

Rows = list[dict[str, Any]]
Step = Callable[[int], None]


def run_policies(
    checkpoint: Checkpoint, *, frames: int, first: int, draws: int, seed: int, out: Path | None, command: str
) -> None:
    """Score all policies on frames as they are and with sensors spoilt, then every fault; print and write.

    Raises ConfigError where the weights have no gate.
    """
    gate = make_gate(checkpoint.shape, checkpoint.manifest)
    if not isinstance(gate, PartGate):
        raise ConfigError(
            f"{checkpoint.identity} has no gate in its manifest; train it on with `sentryfuse train --init`"
        )
    net, labels = checkpoint.network(), checkpoint.manifest["labels"]
    count = -(-frames // _BATCH)
    tables: dict[str, list[Outcome]] = {}
    with _progress() as bar:

        def batches(age_s: float | None = None) -> Iterator[LabelledBatch]:
            ages_s = AGES_S if age_s is None else (age_s, age_s)
            return held_out(WorldConfig(), batch=_BATCH, count=count, first=first, ages_s=ages_s)

        for name, spoil in (("as they are", None), ("one sensor spoilt", _spoiler(seed))):
            step = bar(f"frames {name}", count * _BATCH)
            run = run_plans(net, gate, batches(), masks=SEEING, spoil=spoil, on_frames=step)
            tables[name] = outcomes(net, gate, run, masks=SEEING, classes=len(labels))
        faults = _faults(net, gate, batches, len(labels), bar("faults", 3 * count * _BATCH))
    rows = [row for name, found in tables.items() for row in _policy_rows(name, found, draws, seed)]
    rows += _fault_rows(faults, draws, seed)
    _print(tables, faults, rows)
    if out is not None:
        raw = {
            "policies": {name: [_plain(one) for one in found] for name, found in tables.items()},
            "faults": [_plain_fault(one) for one in faults],
        }
        _write(out, rows, raw, command)


def _spoiler(seed: int) -> Callable[[LabelledBatch], ModelInput]:
    """Camera, lidar or audio spoilt, batch after batch."""
    generator, turns = torch.Generator().manual_seed(seed), iter(range(1 << 30))
    return lambda batch: spoilt_at_random(batch, PLACED[next(turns) % len(PLACED)], generator)


def _faults(
    net: SentryFuseNet,
    gate: Gate,
    batches: Callable[[float | None], Iterator[LabelledBatch]],
    classes: int,
    step: Step,
) -> list[FaultRow]:
    return fault_table(net, batches, classes=classes, gate=gate, on_frames=step)


def _policy_rows(frames: str, found: Sequence[Outcome], draws: int, seed: int) -> Rows:
    """How many times fewer MACs at few points lost, and the share of the oracle's savings."""
    everything = [one for one in found if one.present == ModalitySet.all()]
    full = next(one for one in everything if one.policy == UNIFORM and one.level == 0)
    rows: Rows = []
    ladder = [one for one in everything if one.policy == QUALITY]
    for points, target in _POINTS.items():
        good = [one for one in ladder if _points(full, one) <= points]
        ratio = max((full.gmacs / one.gmacs for one in good), default=1.0)
        what = f"times fewer MACs at {points:g} points below full width, all sensors, frames {frames}"
        rows.append(_row(what, ratio, "x", target if frames == "as they are" else None))
    for level in (1, 2):
        uniform = _mean(found, UNIFORM, level)
        gain = _at(found, QUALITY, uniform[0]) - uniform[1]
        what = f"gate against uniform level {level} at its MACs, mean of 12 sets, frames {frames}"
        rows.append(_row(what, gain, "points", 3.0))
    oracle = next(one for one in everything if one.policy == ORACLE)
    mine = _macs_at([(one.gmacs, 100 * map_of(one.matches)) for one in ladder], 100 * map_of(oracle.matches))
    saved = (full.gmacs - mine) / max(full.gmacs - oracle.gmacs, 1e-9)
    rows.append(_row(f"share of the oracle's savings, frames {frames}", 100 * saved, "%", 80.0))
    low, high = _interval([full.matches, ladder[1].matches], draws, seed)
    rows[0] |= {"low": low, "high": high}
    return rows


def _points(full: Outcome, narrow: Outcome) -> float:
    return 100 * (map_of(full.matches) - map_of(narrow.matches))


def _interval(pair: Sequence[Any], draws: int, seed: int) -> tuple[float, float]:
    """Of the second's points below the first, on the same draws of frames."""
    drawn: Floats = drawn_maps(pair, draws=draws, seed=seed)
    low, high = np.quantile(100 * (drawn[:, 0] - drawn[:, 1]), _ENDS)
    return float(low), float(high)


def _mean(found: Sequence[Outcome], policy: str, level: int) -> tuple[float, float]:
    """Mean GMACs and mAP over the sets of sensors."""
    own = [one for one in found if one.policy == policy and one.level == level]
    return (
        float(np.mean([one.gmacs for one in own])),
        100 * float(np.mean([map_of(one.matches) for one in own])),
    )


def _at(found: Sequence[Outcome], policy: str, gmacs: float) -> float:
    """Mean mAP of a policy where its levels cost `gmacs`, in between of two as a line goes."""
    levels = sorted({one.level for one in found if one.policy == policy})
    pairs = sorted(_mean(found, policy, level) for level in levels)
    return float(np.interp(gmacs, *np.array(pairs).T))


def _macs_at(pairs: Sequence[tuple[float, float]], points: float) -> float:
    """The least GMACs of a ladder of (GMACs, mAP) at which `points` are reached."""
    ordered = sorted(pairs)
    best = np.maximum.accumulate([value for _, value in ordered])
    return float(np.interp(points, best, [gmacs for gmacs, _ in ordered]))


def _fault_rows(faults: Sequence[FaultRow], draws: int, seed: int) -> Rows:
    gains = [100 * (map_of(one.bad) - map_of(one.without)) for one in faults]
    worst = int(np.argmin(gains))
    shares = [map_of(one.bad) / max(map_of(one.clean), 1e-9) for one in faults]
    low, high = _interval([faults[worst].bad, faults[worst].without], draws, seed)
    name = f"{faults[worst].sensor.value} {faults[worst].fault} {faults[worst].severity}"
    return [
        _row(
            f"a bad sensor against none, the worst of {len(faults)} ({name})",
            gains[worst],
            "points",
            _LEAST_GAIN,
        )
        | {"low": -high, "high": -low},
        _row(
            "faults and severities in which it is better than none",
            100 * float(np.mean(np.array(gains) > 0)),
            "%",
            50.0,
        ),
        _row(
            "mean over faults and severities of mAP against clean mAP", float(np.mean(shares)), "", _LEAST_MRA
        ),
    ]


def _row(what: str, measured: float, unit: str, target: float | None) -> dict[str, Any]:
    met = None if target is None else bool(measured >= target)
    return {
        "what": what,
        "measured": round(measured, 3),
        "unit": unit,
        "target": target,
        "direction": "min",
        "met": met,
    }


def _plain(one: Outcome) -> dict[str, Any]:
    return {
        "policy": one.policy,
        "level": one.level,
        "sensors": str(one.present),
        "gmacs": round(one.gmacs, 4),
        "map": round(map_of(one.matches), 4),
    }


def _plain_fault(one: FaultRow) -> dict[str, Any]:
    return {
        "sensor": one.sensor.value,
        "fault": one.fault,
        "severity": one.severity,
        "map": round(map_of(one.bad), 4),
        "without": round(map_of(one.without), 4),
        "clean": round(map_of(one.clean), 4),
        "trust": round(one.trust, 3),
    }


def _print(tables: Mapping[str, Sequence[Outcome]], faults: Sequence[FaultRow], rows: Rows) -> None:
    console = Console(width=max(Console().width, 126))
    for name, found in tables.items():
        table = Table(title=f"policies, frames {name}", box=SIMPLE)
        for column in ("policy", "level", "GMACs, all sensors", "mAP", "GMACs, mean of 12", "mAP "):
            table.add_column(column, justify="left" if column == "policy" else "right")
        for policy, level in dict.fromkeys((one.policy, one.level) for one in found):
            own = [one for one in found if (one.policy, one.level) == (policy, level)]
            everything = next(one for one in own if one.present == ModalitySet.all())
            gmacs, points = _mean(found, policy, level)
            mine = f"{100 * map_of(everything.matches):.1f}"
            table.add_row(
                policy, str(level), f"{everything.gmacs:.3f}", mine, f"{gmacs:.3f}", f"{points:.1f}"
            )
        console.print(table)
    table = Table(title="one bad sensor, all others good, full width", box=SIMPLE)
    for column in ("sensor", "fault", "severity", "mAP", "without it", "gain", "trust"):
        table.add_column(column, justify="left" if column in ("sensor", "fault") else "right")
    for one in faults:
        bad, without = 100 * map_of(one.bad), 100 * map_of(one.without)
        cells = (f"{bad:.1f}", f"{without:.1f}", f"{bad - without:+.1f}", f"{one.trust:.2f}")
        table.add_row(one.sensor.value, one.fault, str(one.severity), *cells)
    console.print(table)
    for row in rows:
        aim = (
            "" if row["target"] is None else f", aim {row['target']:g}: {'met' if row['met'] else 'NOT MET'}"
        )
        print(f"{row['what']}: {row['measured']:g} {row['unit']}{aim}")


def _write(folder: Path, rows: Rows, raw: Mapping[str, Any], command: str) -> None:
    content = {
        "name": "gate",
        "command": command,
        "machine": {"cpu": processor(), **machine()},
        "versions": versions(),
        "commit": source_commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rows": rows,
        "raw": raw,
    }
    path = folder / "gate.json"
    try:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error
    print(f"wrote {path}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int], Step]]:
    """A bar for each task, on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def task(what: str, total: int) -> Step:
            number = bar.add_task(what, total=total)
            return lambda done: bar.advance(number, done)

        yield task
