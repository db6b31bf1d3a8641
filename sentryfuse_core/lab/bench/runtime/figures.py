"""The figures that the runtime promises, from what was measured, and whether they are reached."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sentryfuse_core.lab.bench.results import Figure, at_least, at_most
from sentryfuse_core.lab.bench.runtime.arms import ALL, BLIND, NO_CAMERA, dense_in
from sentryfuse_core.lab.bench.runtime.context import BFLOAT16
from sentryfuse_core.lab.bench.runtime.dense import KINDS
from sentryfuse_core.lab.bench.runtime.latency import fastest
from sentryfuse_core.lab.bench.runtime.plot import Accuracy
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["figures", "level_near", "level_within"]

_NO_LIDAR = ALL - ModalitySet.of(Modality.LIDAR)
# Sensors, points of mAP that a plan may cost, times as fast as dense in eager and in the same backend, and
# whether dense is fed a camera of zeros.
_PLANS = (
    (ALL, 0.5, (3.0, 1.7), False),
    (ALL, 1.5, (5.0, 2.5), False),
    (NO_CAMERA, 0.5, (6.0, 4.0), True),
    (NO_CAMERA, 1.5, (8.0, 5.0), True),
    (_NO_LIDAR, 1.0, (1.8, 1.2), False),
)
_BEST = 1.7  # times as fast as eager, the same plan, in float32
_SMALL = {0.5: -40.0, 0.75: -60.0}  # per cent of memory
_REPLAY = (6.0, None, 10.0)  # times real time: full width, narrowest, two at once
_STEP_MS = 25.0  # p95 of a whole step, one thread
_BUSY = 3.0  # times as long beside four busy processes, p95
_MB = 1e6


def figures(raw: Mapping[str, Any], accuracy: Accuracy) -> tuple[Figure, ...]:
    """Every figure, in the order of the table of promises."""
    on_cpu = raw["device"] == "cpu"
    found = [
        *_latency(raw, accuracy, judged=on_cpu),
        *_memory(raw),
        *_bank(raw),
        *_switch(raw, on_cpu=on_cpu),
    ]
    if on_cpu:
        return (*found, *_start(raw), *_pace(raw), *_step(raw), *_replay(raw), *_energy(raw))
    return (*found, *_pace(raw))


def level_near(raw: Mapping[str, Any], ratio: float) -> int:
    """The level that removes, with all sensors, the share of prunable units that is nearest to `ratio`."""
    rows = [row for row in _arms(raw, "eager") if row["mask"] == ALL.bits]
    return int(min(rows, key=lambda row: abs(row["ratio"] - ratio))["level"])


def _arms(raw: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [row for row in raw["latency"]["arms"] if row["name"] == name]


def _arm(raw: Mapping[str, Any], name: str, mask: int, level: int) -> Mapping[str, Any]:
    return next(row for row in _arms(raw, name) if (row["mask"], row["level"]) == (mask, level))


def _latency(raw: Mapping[str, Any], accuracy: Accuracy, *, judged: bool) -> Iterator[Figure]:
    """Targets are of the backend that is fastest in float32 with all sensors at full width.

    Others are reported, bfloat16 too: the points of mAP that a plan may lose were measured in float32.
    """
    names = dict.fromkeys(row["name"] for row in raw["latency"]["arms"])
    backends = [name for name in names if not name.startswith(KINDS[0])]
    best = fastest(raw["latency"], (name for name in backends if name != BFLOAT16))
    for name in backends:
        own = judged and name == best
        for mask, points, targets, blind in _PLANS:
            arm = _arm(raw, name, mask.bits, level_within(raw, accuracy, mask, points))
            yield from _against_dense(arm, points, targets if own else (None, None), blind=blind)
        what = f"{name}, full width, all sensors: times as fast as eager"
        wide = _arm(raw, name, ALL.bits, 0)
        if name != "eager":
            yield _speed(what, wide["against_eager"], _BEST if own else None)
        yield _speed(f"{name}, full width, all sensors: times as fast as dense", wide["against_dense"], None)
    for name in (*backends, *KINDS, *(f"{kind}{BLIND}" for kind in KINDS), *map(dense_in, backends)):
        for row in _arms(raw, name):
            if row["mask"] == ALL.bits:
                what = f"{name}, level {row['level']}, all sensors: {row['gmacs']:.3f} GMACs"
                yield from (at_least(f"{what}, {point}", row["ms"][point], "ms") for point in ("p50", "p95"))


def level_within(raw: Mapping[str, Any], accuracy: Accuracy, mask: ModalitySet, points: float) -> int:
    """The cheapest level whose mAP with `mask` is at most `points` below full width's; 0 if none is known."""
    rows = {row["level"]: row["gmacs"] for row in _arms(raw, "eager") if row["mask"] == mask.bits}
    known = {level: accuracy[mask.bits, level] for level in rows if (mask.bits, level) in accuracy}
    near = [level for level, worth in known.items() if 100 * (known[0] - worth) <= points]
    return min(near, key=lambda level: (rows[level], level), default=0)


def _against_dense(
    arm: Mapping[str, Any], points: float, targets: tuple[float | None, float | None], *, blind: bool
) -> Iterator[Figure]:
    key, beside = ("against_blind_dense", ", a camera of zeros") if blind else ("against_dense", "")
    plan = f"plan of the gate at <= {points:g} points of mAP (level {arm['level']})"
    what = f"{arm['name']}, {plan}, {arm['sensors']}"
    yield _speed(f"{what}: times as fast as dense in eager{beside}", arm[key], targets[0])
    same = f"{what}: times as fast as dense in the same backend and form{beside}"
    yield _speed(same, arm[f"{key}_in_it"], targets[1])


def _speed(what: str, against: Mapping[str, Any], target: float | None) -> Figure:
    note = f"against {against['name']}; medians of {against['n']} interleaved rounds, bootstrap over rounds"
    return _spread(at_least(what, against["median"], "x", target, notes=[note]), against)


def _spread(figure: Figure, found: Mapping[str, Any]) -> Figure:
    """With the ends of its interval."""
    low, high = (math.nan if found[end] is None else found[end] for end in ("low", "high"))
    return replace(figure, low=low, high=high)


def _memory(raw: Mapping[str, Any]) -> Iterator[Figure]:
    sums = {
        (row["name"], row["level"]): row["weights"] + row["activations"]
        for row in raw["memory"]["tensors"]
        if row["mask"] == ALL.bits
    }
    dense = sums[KINDS[0], 0]
    for ratio, target in _SMALL.items():
        level = level_near(raw, ratio)
        own, removed = sums["eager", level], _arm(raw, "eager", ALL.bits, level)["ratio"]
        what = (
            f"weights and activations, max_level = {level} (r = {removed:.2f}, asked {ratio:g}), all sensors"
        )
        note = f"{own / _MB:.2f} of {dense / _MB:.2f} MB; activations at their peak, one set"
        less = round(100 * (own / dense - 1), 2)
        yield at_most(f"{what}, against dense", less, "%", target, notes=[note])
    for row in raw["memory"]["processes"]:
        what = f"peak memory of a process, {row['name']}, max_level = {row['level']}"
        note = f"{row['libraries_mb']:.0f} MB of it before the weights are loaded"
        yield at_least(what, row["peak_mb"], "MB", notes=[note])


def _bank(raw: Mapping[str, Any]) -> Iterator[Figure]:
    share = round(raw["bank"]["held_bytes"] / raw["bank"]["one_model_bytes"], 4)
    bank = raw["bank"]
    note = (
        f"all tensors that are alive after all {bank['sub_networks']} sub-networks have run, against those "
        f"of one network; their {raw['switch']['plans']} plans are not tensors"
    )
    yield at_most(
        "weights of all sub-networks in the bank, against one model", share, "x", 1.01, notes=[note]
    )


def _switch(raw: Mapping[str, Any], *, on_cpu: bool) -> Iterator[Figure]:
    switch, pace = raw["switch"], raw["pace"]
    what = "switch of sensors and level, p99, on the main path between two sets"
    note = f"over {pace['sets']} random switches, one each set; median {pace['switch_us']['p50']:.2f} us"
    yield at_most(what, pace["switch_us"]["p99"], "us", 5.0 if on_cpu else 50.0, notes=[note])
    yield at_least("the same, one look-up after another, p99", switch["look_up_us"]["p99"], "us")
    same, of = switch["identical"]["same"], switch["identical"]["of"]
    what = "first outputs after a switch that equal a fresh build's to the bit"
    note = f"{same} of {of} sub-networks; for each the weights are loaded anew"
    yield at_least(what, round(100 * same / of, 2), "%", 100.0, notes=[note])
    first = switch["first"]
    what = "first inference after a random switch, against the steady median"
    note = f"median of {first['n']} switches, each with the look-up; p95 {first['p95']:.2f} x"
    yield _spread(at_most(what, first["median"], "x", 1.1, notes=[note]), first)


def _start(raw: Mapping[str, Any]) -> Iterator[Figure]:
    took = sorted(one["first_boxes_s"] for one in raw["start"]["starts"])
    note = raw["start"]["lacks"] or (
        f"median of {len(took)} starts, {took[0]:.1f} to {took[-1]:.1f} s, sensors already playing over DDS; "
        "from the process's start to the first message with a box"
    )
    median = took[len(took) // 2] if took else math.nan
    yield at_most("node start to first detections, warm disk cache", median, "s", 2.5, notes=[note])


def _pace(raw: Mapping[str, Any]) -> Iterator[Figure]:
    pace = raw["pace"]
    for index, late in enumerate(pace["late"]):
        switched, grouped = late["switched"], late["grouped"]
        beyond = max(0, switched - grouped) + max(0, pace["lost"] - pace["grouped_lost"])
        note = (
            f"without result {pace['lost']}, later than a period {switched}; of the same sets in order of "
            f"sub-networks {pace['grouped_lost']} and {grouped}; what is beyond those counts"
        )
        what = (
            f"sets dropped or late because of a switch, in {pace['sets']} random switches, "
            f"a set every {late['period_ms']:.0f} ms ({1e3 / late['period_ms']:.0f} Hz)"
        )
        yield at_most(what, beyond, "", 0.0 if index == 0 else None, notes=[note])
    what = "time of a set with a switch before it, against the same sets without, medians"
    note = f"p99 {pace['switched_ms']['p99']:.1f} and {pace['grouped_ms']['p99']:.1f} ms"
    yield at_least(what, round(pace["switched_ms"]["p50"] / pace["grouped_ms"]["p50"], 4), "x", notes=[note])


def _step(raw: Mapping[str, Any]) -> Iterator[Figure]:
    """One thread, at the sensors' pace: what stands still for 60 ms finds its caches taken."""
    step = raw["step"]
    quiet, busy = step["quiet_ms"], step["busy_ms"]
    note = f"{step['backend']}, one thread, {step['sets']} sets at 10 Hz; p50 {quiet['p50']:.1f} ms"
    what = "a whole step, full width: preprocessing, network and decoding, p95"
    yield at_most(what, quiet["p95"], "ms", _STEP_MS, notes=[note])
    note = f"p50 {busy['p50']:.1f}, p95 {busy['p95']:.1f} ms, in turns with quiet"
    what = f"the same beside {step['busy_processes']} busy processes, p95 against quiet"
    yield at_most(what, round(busy["p95"] / quiet["p95"], 3), "x", _BUSY, notes=[note])


def _replay(raw: Mapping[str, Any]) -> Iterator[Figure]:
    for row, target in zip(raw["replay"], _REPLAY, strict=False):
        ratio, unit = _arm(raw, "eager", ALL.bits, row["level"])["ratio"], "x real time"
        count = "a 10 Hz four-sensor recording" if row["bags"] == 1 else f"{row['bags']} of them at once"
        what = f"replay of {count}, {row['backend']}, r = {ratio:.2f} (level {row['level']})"
        note = f"{row['played_s']:.1f} s in {row['run_s']:.1f} s, {row['sets']} sets"
        yield at_least(what, row["run_speed"], unit, target, notes=[note])
        note = f"{row['played_s']:.1f} s in {row['process_s']:.1f} s"
        whole = f"{what}, with the process's start and its report"
        yield at_least(whole, row["process_speed"], unit, notes=[note])


def _energy(raw: Mapping[str, Any]) -> Iterator[Figure]:
    """In joules where the machine counts them, else in CPU time, which is what a core draws power for."""
    energy, level = raw["energy"], level_near(raw, 0.5)
    found, what, unit = energy["cpu_ms"], "CPU time", "ms"
    notes = [energy["lacks"]]
    if energy["mj"]:
        found, what, unit, notes = energy["mj"], "energy", "mJ", [f"by {energy['source']}"]
    own, dense = found[f"eager {level}"], found[f"{KINDS[0]} 0"]
    notes.append(f"{own:.1f} of {dense:.1f} {unit}")
    change = round(100 * (own / dense - 1), 2)
    yield at_most(f"{what} of one set, level {level}, all sensors, against dense", change, "%", notes=notes)
