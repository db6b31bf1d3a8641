"""The figures that the runtime promises, from what was measured, and whether they are reached."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sentryfuse_core.lab.bench.figures import Figure
from sentryfuse_core.lab.bench.runtime.arms import ALL, BLIND, NO_CAMERA
from sentryfuse_core.lab.bench.runtime.dense import KINDS

__all__ = ["figures", "level_near"]

_FAST = {0.5: 2.5, 0.75: 4.0}  # times as fast as dense, by share of prunable units removed
_FAST_BLIND = {0.5: 4.0, 0.75: 6.0}  # with the camera missing
_SMALL = {0.5: -40.0, 0.75: -60.0}  # per cent of memory
_REPLAY = (2.0, 5.0)  # times real time: full width, narrowest
_MB = 1e6


def figures(raw: Mapping[str, Any]) -> tuple[Figure, ...]:
    """Every figure, in the order of the table of promises."""
    on_cpu = raw["device"] == "cpu"
    found = [*_latency(raw, judged=on_cpu), *_memory(raw), *_bank(raw), *_switch(raw, on_cpu=on_cpu)]
    if on_cpu:
        found += [*_start(raw), *_pace(raw), *_replay(raw), *_energy(raw)]
    else:
        found += _pace(raw)
    return tuple(found)


def level_near(raw: Mapping[str, Any], ratio: float) -> int:
    """The level that removes, with all sensors, the share of prunable units that is nearest to `ratio`."""
    rows = [row for row in _arms(raw, "eager") if row["mask"] == ALL.bits]
    return int(min(rows, key=lambda row: abs(row["ratio"] - ratio))["level"])


def _arms(raw: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [row for row in raw["latency"]["arms"] if row["name"] == name]


def _arm(raw: Mapping[str, Any], name: str, mask: int, level: int) -> Mapping[str, Any]:
    return next(row for row in _arms(raw, name) if (row["mask"], row["level"]) == (mask, level))


def _latency(raw: Mapping[str, Any], *, judged: bool) -> Iterator[Figure]:
    """Targets are of eager against eager; other backends are reported."""
    backends = [name for name in dict.fromkeys(row["name"] for row in raw["latency"]["arms"])
                if not name.startswith("dense")]  # fmt: skip
    for name in backends:
        for ratio, target in _FAST.items():
            arm = _arm(raw, name, ALL.bits, level_near(raw, ratio))
            own = judged and name == "eager"
            yield _speed(f"{_label(arm, ratio)}, all sensors: times as fast as dense",
                         arm["against_dense"], target if own else None)  # fmt: skip
        for ratio, target in _FAST_BLIND.items():
            arm = _arm(raw, name, NO_CAMERA.bits, level_near(raw, ratio))
            label = f"{_label(arm, ratio)}, no camera: times as fast as dense"
            own = judged and name == "eager"
            blind = arm["against_blind_dense"]
            yield _speed(f"{label} with a camera of zeros", blind, target if own else None)
            yield _speed(f"{label} without camera, too", arm["against_dense"], None)
        yield _speed(f"{name}, full width, all sensors: times as fast as dense",
                     _arm(raw, name, ALL.bits, 0)["against_dense"], None)  # fmt: skip
    for name in (*backends, *KINDS, *(f"{kind}{BLIND}" for kind in KINDS)):
        for row in _arms(raw, name):
            if row["mask"] == ALL.bits:
                label = f"{name}, level {row['level']}, all sensors: {row['gmacs']:.3f} GMACs"
                yield from (
                    Figure(what=f"{label}, {point}", measured=row["ms"][point], unit="ms")
                    for point in ("p50", "p95", "p99")
                )


def _label(arm: Mapping[str, Any], asked: float) -> str:
    return f"{arm['name']}, r = {arm['ratio']:.2f} (level {arm['level']}, asked {asked:g})"


def _speed(what: str, against: Mapping[str, Any], target: float | None) -> Figure:
    low, high = (math.nan if against[end] is None else against[end] for end in ("low", "high"))
    note = f"against {against['name']}; medians of {against['n']} interleaved rounds, bootstrap over rounds"
    return Figure(
        what=what, measured=against["median"], unit="x", target=target, low=low, high=high, notes=(note,)
    )


def _memory(raw: Mapping[str, Any]) -> Iterator[Figure]:
    def sums(name: str, level: int) -> float:
        row = next(
            row
            for row in raw["memory"]["tensors"]
            if (row["name"], row["mask"], row["level"]) == (name, ALL.bits, level)
        )
        return float(row["weights"] + row["activations"])

    dense = sums(KINDS[0], 0)
    for ratio, target in _SMALL.items():
        level = level_near(raw, ratio)
        arm = _arm(raw, "eager", ALL.bits, level)
        own = sums("eager", level)
        yield Figure(
            what=f"weights and activations, max_level = {level} (r = {arm['ratio']:.2f}, asked {ratio:g}), "
            "all sensors, against dense",
            measured=round(100 * (own / dense - 1), 2),
            unit="%",
            target=target,
            direction="max",
            notes=(f"{own / _MB:.2f} of {dense / _MB:.2f} MB; activations at their peak, one set",),
        )
    for row in raw["memory"]["processes"]:
        yield Figure(
            what=f"peak memory of a process, {row['name']}, max_level = {row['level']}",
            measured=row["peak_mb"],
            unit="MB",
            notes=(f"{row['libraries_mb']:.0f} MB of it before the weights are loaded",),
        )


def _bank(raw: Mapping[str, Any]) -> Iterator[Figure]:
    bank = raw["bank"]
    yield Figure(
        what="weights of all sub-networks in the bank, against one model",
        measured=round(bank["held_bytes"] / bank["one_model_bytes"], 4),
        unit="x",
        target=1.01,
        direction="max",
        notes=("all tensors that are alive after every sub-network has run, against those of one network",),
    )


def _switch(raw: Mapping[str, Any], *, on_cpu: bool) -> Iterator[Figure]:
    switch, pace = raw["switch"], raw["pace"]
    yield Figure(
        what="switch of sensors and level, p99, on the main path between two sets",
        measured=pace["switch_us"]["p99"],
        unit="us",
        target=5.0 if on_cpu else 50.0,
        direction="max",
        notes=(
            f"over {pace['sets']} random switches, one each set; median {pace['switch_us']['p50']:.2f} us",
        ),
    )
    yield Figure(
        what="the same, one look-up after another, p99", measured=switch["look_up_us"]["p99"], unit="us"
    )
    same, of = switch["identical"]["same"], switch["identical"]["of"]
    yield Figure(
        what="first outputs after a switch that equal a fresh build's to the bit",
        measured=round(100 * same / of, 2),
        unit="%",
        target=100.0,
        notes=(f"{same} of {of} sub-networks; for each the weights are loaded anew",),
    )
    first = switch["first"]
    yield Figure(
        what="first inference after a random switch, against the steady median",
        measured=first["median"],
        unit="x",
        target=1.1,
        direction="max",
        low=math.nan if first["low"] is None else first["low"],
        high=math.nan if first["high"] is None else first["high"],
        notes=(f"median of {first['n']} switches, each with the look-up; p95 {first['p95']:.2f} x",),
    )


def _start(raw: Mapping[str, Any]) -> Iterator[Figure]:
    starts, lacks = raw["start"]["starts"], raw["start"]["lacks"]
    took = sorted(one["first_boxes_s"] for one in starts)
    note = lacks or (
        f"median of {len(took)} starts, {took[0]:.1f} to {took[-1]:.1f} s, sensors already playing over DDS; "
        "from the process's start to the first message with a box"
    )
    yield Figure(
        what="node start to first detections, warm disk cache",
        measured=took[len(took) // 2] if took else math.nan,
        unit="s",
        target=10.0,
        direction="max",
        notes=(note,),
    )


def _pace(raw: Mapping[str, Any]) -> Iterator[Figure]:
    pace = raw["pace"]
    for index, late in enumerate(pace["late"]):
        hz = 1e3 / late["period_ms"]
        switched, grouped = late["switched"], late["grouped"]
        beyond = max(0, switched - grouped) + max(0, pace["lost"] - pace["grouped_lost"])
        note = (
            f"without result {pace['lost']}, later than a period {switched}; of the same sets in order of "
            f"sub-networks {pace['grouped_lost']} and {grouped}; what is beyond those counts"
        )
        yield Figure(
            what=f"sets dropped or late because of a switch, in {pace['sets']} random switches, "
            f"a set every {late['period_ms']:.0f} ms ({hz:.0f} Hz)",
            measured=beyond,
            unit="",
            target=0.0 if index == 0 else None,
            direction="max",
            notes=(note,),
        )
    yield Figure(
        what="time of a set with a switch before it, against the same sets without, medians",
        measured=round(pace["switched_ms"]["p50"] / pace["grouped_ms"]["p50"], 4),
        unit="x",
        notes=(f"p99 {pace['switched_ms']['p99']:.1f} and {pace['grouped_ms']['p99']:.1f} ms",),
    )


def _replay(raw: Mapping[str, Any]) -> Iterator[Figure]:
    rows: Sequence[Mapping[str, Any]] = raw["replay"]
    for row, target in zip(rows, _REPLAY, strict=False):
        arm = _arm(raw, "eager", ALL.bits, row["level"])
        what = f"replay of a 10 Hz four-sensor recording, r = {arm['ratio']:.2f} (level {row['level']})"
        yield Figure(
            what=what,
            measured=row["run_speed"],
            unit="x real time",
            target=target,
            notes=(f"{row['played_s']:.1f} s in {row['run_s']:.1f} s, {row['sets']} sets",),
        )
        yield Figure(
            what=f"{what}, with the process's start and its report",
            measured=row["process_speed"],
            unit="x real time",
            notes=(f"{row['played_s']:.1f} s in {row['process_s']:.1f} s",),
        )


def _energy(raw: Mapping[str, Any]) -> Iterator[Figure]:
    found, lacks = raw["energy"]["mj"], raw["energy"]["lacks"]
    level = level_near(raw, 0.5)
    own, dense = found.get(f"eager {level}", math.nan), found.get(f"{KINDS[0]} 0", math.nan)
    yield Figure(
        what=f"energy of one set, level {level}, all sensors, against dense",
        measured=round(100 * (own / dense - 1), 2),
        unit="%",
        notes=(lacks or f"{own:.1f} of {dense:.1f} mJ, the whole processor package",),
    )
