"""The soak's judgement: growth is told from noise, what was missed is named, a cut run is judged so far."""

from __future__ import annotations

import hashlib
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.soak import main, read_lines
from benchmarks.soak_judge import (
    SEEN_WITHIN_S,
    WARM_UP_S,
    broken_chains,
    change,
    growth,
    judge,
    levels_asked,
    sets_missed,
)
from benchmarks.soak_plan import MUST_SEE, draw, scenario_text
from sentryfuse_core.config import KINDS, Kinds, load_yaml
from sentryfuse_core.faults.scenario import load_scenario
from sentryfuse_core.lab.bench.results import ROOT

Line = dict[str, Any]
SAMPLE_S = 5.0
PERIOD_S = 0.1
RIG = ROOT / "config" / "rigs" / "four_cameras.yaml"


def samples(
    minutes: float = 30.0, *, mb_per_hour: float = 0.0, warm_up_mb: float = 200.0, **other: Any
) -> list[Line]:
    """A process whose memory fills in the warm-up, then grows steadily, with 1 MB of noise."""
    noise = np.random.default_rng(0)
    found = []
    for index in range(round(minutes * 60 / SAMPLE_S)):
        t = index * SAMPLE_S
        rss = 500.0 - warm_up_mb * math.exp(-t / 40.0) + mb_per_hour * t / 3600.0 + noise.normal(0, 1.0)
        found.append(
            {"kind": "sample", "t": t, "rss_mb": rss, "anonymous_mb": rss - 100, "threads": 20, "handles": 60}
            | other
        )
    return found


def transition(t: float, sensor: str, before: str, after: str) -> Line:
    return {
        "kind": "transition", "t": t, "sensor": sensor, "before": before, "after": after, "code": "timeout",
        "reason": "",
    }  # fmt: skip


def told(t: float, until_s: float, sensor: str = "camera") -> list[Line]:
    """The transitions of a fault from t to until_s that is seen after 0.6 s and over 1.5 s after its end."""
    return [
        transition(t + 0.6, sensor, "OK", "LOST"),
        transition(until_s + 0.2, sensor, "LOST", "RECOVERING"),
        transition(until_s + 1.5, sensor, "RECOVERING", "OK"),
    ]


def status(sequence: int, **changed: Any) -> Line:
    """One of sets that come every PERIOD_S."""
    t = sequence * PERIOD_S
    made = {"t": t, "stamp": t, "sequence": sequence, "epoch": 0, "anchor": "lidar", "skipped": 0}
    return {"kind": "status", **made, **changed}


def statuses(*levels: int) -> list[Line]:
    return [
        status(index)
        | {
            "level": level,
            "used": ["lidar"],
            "states": {"lidar": 1},
        }
        for index, level in enumerate(levels)
    ]


def wish(t: float, value: float | None, what: str = "level") -> Line:
    return {"kind": "wish", "t": t, "what": what, "value": value}


def plan(*events: tuple[float, float, str, str], minutes: float = 30.0, sensors: Kinds = KINDS) -> Line:
    made = [dict(zip(("at_s", "until_s", "stream", "fault"), event, strict=True)) for event in events]
    told = {"sensors": dict(sensors), "period_s": PERIOD_S}
    return {"kind": "plan", "seed": 0, "seconds": 60 * minutes, "events": made, **told}


def soaked(**changed: list[Line]) -> list[Line]:
    """A run of 30 minutes without fault, with parts changed."""
    parts = {
        "plan": [plan((20.0, 25.0, "camera", "drop"))],
        "samples": samples(),
        "transitions": told(20.0, 25.0),
        "statuses": statuses(*[0] * 10, *[2] * 10),
        "wishes": [wish(0.95, 2.0)],
        "end": [{"kind": "end", "status": 0, "took_s": 1.0, "cpu_s": 0.5}],
        "left": [{"kind": "left", "files": [], "of": 12}],
    }
    return [line for part in (parts | changed).values() for line in part]


def missed(lines: list[Line]) -> list[str]:
    return [row.what for row in judge(lines)[0] if row.met is False]


def test_soak_meets_every_target_when_nothing_is_wrong() -> None:
    assert missed(soaked()) == []


def leaking(name: str) -> list[Line]:
    return [{**item, name: item[name] + index // 100} for index, item in enumerate(samples())]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"samples": samples(mb_per_hour=30.0)}, "growth of memory"),
        ({"samples": leaking("threads")}, "threads more"),
        ({"samples": leaking("handles")}, "file handles more"),
        ({"transitions": []}, "faults not seen"),
        (
            {
                "transitions": [
                    transition(20.5 + SEEN_WITHIN_S, "camera", "OK", "LOST"),
                    *told(20.0, 25.0)[1:],
                ]
            },
            "faults not seen",
        ),
        ({"transitions": [transition(20.6, "camera", "OK", "LOST")]}, "sensors not OK"),
        ({"transitions": [*told(20.0, 25.0), transition(90.0, "camera", "LOST", "OK")]}, "not told"),
        ({"statuses": statuses(*[0] * 20)}, "levels asked for"),
        ({"statuses": [*statuses(0, 0), status(2, stamp=0.3)]}, "sets missed"),
        ({"end": []}, "exit status"),
        ({"end": [{"kind": "end", "status": -9, "took_s": 60.0, "cpu_s": 0.5}]}, "time to end"),
        ({"left": [{"kind": "left", "files": ["fastdds_port7411"], "of": 12}]}, "left in shared memory"),
    ],
)
def test_target_is_missed_by_name_when_something_is_wrong(changed: dict[str, list[Line]], named: str) -> None:
    assert any(named in what for what in missed(soaked(**changed)))


def test_growth_is_the_slope_when_memory_rises_steadily() -> None:
    late = [item for item in samples(mb_per_hour=30.0) if item["t"] >= WARM_UP_S]
    found = growth(late, "rss_mb")
    assert found["percent_per_hour"] == pytest.approx(100 * 30.0 / 500.0, abs=1.0)
    assert found["rise"] == pytest.approx(30.0 * 25 / 60, abs=1.0)


def test_slope_has_no_target_when_the_run_is_too_short_for_one() -> None:
    rows, _ = judge(soaked(samples=samples(minutes=2.0, mb_per_hour=300.0)))
    assert [row.target for row in rows if row.what.startswith("growth")] == [None, None]


def test_change_ignores_a_handle_that_is_open_for_a_moment() -> None:
    found = samples()
    found[-1]["handles"] += 3
    assert change(found, "handles") == 0.0


@pytest.mark.parametrize(
    "changed",
    [
        {"transitions": [transition(19.0, "camera", "OK", "LOST"), *told(20.0, 25.0)[1:]]},
        {"plan": [plan((20.0, 25.0, "camera", "jitter"))], "transitions": []},
    ],
    ids=["its sensor was not OK before", "it may pass"],
)
def test_fault_is_not_judged_when_it_need_not_be_seen(changed: dict[str, list[Line]]) -> None:
    _, found = judge(soaked(**changed))
    assert (found["judged_faults"], found["unseen"]) == (0, [])


def test_fault_is_seen_by_the_sensor_of_its_name_when_there_are_two_of_a_kind() -> None:
    rig = load_yaml(RIG).kinds
    fault = plan((20.0, 25.0, "tail_lidar", "empty"), sensors=rig)
    assert missed(soaked(plan=[fault], transitions=told(20.0, 25.0, "tail_lidar"))) == []
    other = soaked(plan=[fault], transitions=told(20.0, 25.0, "nose_lidar"))
    assert any("faults not seen" in what for what in missed(other))


@pytest.mark.parametrize(
    ("second", "sets"),
    [
        (status(1), 0),
        (status(1, t=0.9), 0),  # told late, made for the right moment
        (status(1, stamp=0.14), 0),
        (status(1, stamp=0.3), 2),
        (status(3), 0),  # made, and a newer one was ready
        (status(3, stamp=0.4), 1),
        (status(0, stamp=0.0, t=0.3), 0),  # the last one again, since nothing sends
        (status(1, stamp=0.3, anchor="tick"), 0),
        (status(1, stamp=3.0, epoch=1), 0),
        (status(1, stamp=0.3, anchor="front_camera"), 2),
    ],
)
def test_set_is_missed_when_an_anchor_lives_and_a_moment_has_none(second: Line, sets: int) -> None:
    found = sets_missed([status(0), second], period_s=PERIOD_S)
    assert sum(item["missed"] for item in found) == sets


def test_chain_is_broken_when_a_transition_was_not_told() -> None:
    whole = told(20.0, 25.0)
    assert broken_chains(whole) == []
    assert broken_chains([whole[0], whole[2]]) == [whole[2]]


@pytest.mark.parametrize(
    ("wishes", "levels", "asked", "late", "sets"),
    [
        ([wish(0.95, 2.0)], [*[2] * 10, *[0] * 10], 1, 1, 0),  # what ran before the wish does not count
        ([wish(0.95, 2.0), wish(1.15, None, "free")], [0] * 20, 0, 0, 0),  # another wish followed too soon
        ([wish(0.95, 2.0), wish(1.05, 0.1, "battery")], [*[0] * 12, *[2] * 8], 1, 0, 3),  # no other wish
    ],
)
def test_level_is_judged_by_the_sets_from_its_wish_to_the_next(
    wishes: list[Line], levels: list[int], asked: int, late: int, sets: int
) -> None:
    found = levels_asked(wishes, statuses(*levels))
    assert (found["asked"], len(found["missed"]), found["slowest_sets"]) == (asked, late, sets)


def test_plan_is_the_same_when_the_seed_is() -> None:
    one, same, other = (draw(seed, seconds=600, levels=3) for seed in (4, 4, 5))
    assert scenario_text(one.scenario) == scenario_text(same.scenario) != scenario_text(other.scenario)


def test_plan_of_a_seed_stays_what_it_was_when_no_sensor_is_named() -> None:
    made = draw(4, seconds=600, levels=3)
    text = scenario_text(made.scenario) + repr(made.wishes)
    assert hashlib.sha256(text.encode()).hexdigest().startswith("42b2c49a7f0ef927")


@pytest.mark.parametrize("rig", [None, RIG])
@pytest.mark.parametrize("seed", range(5))
def test_plan_lets_every_sensor_return_before_its_next_fault(
    seed: int, rig: Path | None, tmp_path: Path
) -> None:
    kinds = KINDS if rig is None else load_yaml(rig).kinds
    made = draw(seed, seconds=1800, levels=3, kinds=kinds)
    path = tmp_path / "soak.yaml"
    path.write_text(scenario_text(made.scenario), encoding="utf-8")
    events = load_scenario(path, kinds=kinds).events  # which also refuses a fault that is not for its sensor
    assert len(events) > 100
    for name, kind in kinds:
        own = [event for event in events if event.stream == name]
        assert {event.fault for event in own} & set(MUST_SEE[kind])
        assert all(later.at_s - earlier.until_s >= 21.9 for earlier, later in pairwise(own))
    assert {item.what for item in made.wishes} == {"level", "latency_ms", "power_w", "free", "battery"}
    assert all(0 <= item.value < 3 for item in made.wishes if item.what == "level")


def test_run_is_judged_as_far_as_it_came_when_it_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for line in soaked(end=[], left=[]) if line.get("t", 0.0) < 900.0]
    path = tmp_path / "lines.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"kind": "sam', encoding="utf-8")
    assert len(read_lines(path)) == len(lines)
    picture = tmp_path / "soak.png"
    assert main(["--judge", str(path), "--out", str(tmp_path), "--picture", str(picture)]) == 1
    rows = json.loads((tmp_path / "soak.json").read_text(encoding="utf-8"))["rows"]
    assert {row["what"] for row in rows if row["met"] is False} == {
        "exit status after SIGINT",
        "time to end after SIGINT",
        "files left in shared memory",
    }
    assert picture.stat().st_size > 10_000
    assert "growth of memory" in capsys.readouterr().out


@pytest.mark.bench
@pytest.mark.ros
@pytest.mark.parametrize(("rig", "name"), [([], "soak"), (["--rig", str(RIG)], "soak_around")])
def test_soak_runs_to_its_end_when_it_is_short(rig: list[str], name: str, tmp_path: Path) -> None:
    folders = ["--work", str(tmp_path), "--out", str(tmp_path), "--picture", str(tmp_path / "soak.png")]
    main([*rig, "--minutes", "0.5", "--sample-s", "1", *folders])
    rows = {
        row["what"]: row["measured"]
        for row in json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    }
    assert rows["exit status after SIGINT"] == 0
    assert rows["sets"] > 0
    assert rows["changes of state that were not told"] == 0
