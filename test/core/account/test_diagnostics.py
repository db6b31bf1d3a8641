"""The frozen names, keys and levels of /diagnostics."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import results
from builders import MS, S

from sentryfuse_core.account import messages
from sentryfuse_core.account.diagnostics import (
    DIAGNOSTICS_TYPE,
    ERROR,
    OK,
    STALE,
    WARN,
    Diagnostics,
    diagnostic_array,
)
from sentryfuse_core.bags.writer import build_message, ros2_typestore
from sentryfuse_core.budget import BudgetController
from sentryfuse_core.config import BudgetConfig, Config, OdometryConfig, OutputConfig, override
from sentryfuse_core.ego import EgoMotion
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.health.heartbeat import Stall
from sentryfuse_core.types import Absence, FusionResult, Modality, ModalitySet, SensorState, Transition

CAMERA, LIDAR, IMU, AUDIO = Modality
API = Path(__file__).resolve().parents[3] / "docs" / "ros_api.md"
BUDGET = BudgetController(BudgetConfig(), levels=(1.0, 0.5)).account()
NOTED = {"late": 2, "out_of_order": 1, "went_back": 1, "rebased": 1}  # taken in all the same
COUNTERS = {CAMERA: {"duplicate": 2, "overflow": 1, **NOTED}, LIDAR: {"duplicate": 3, "late": 4}}
NOW_NS = 200 * S


def statuses(
    *found: FusionResult, now_ns: int = NOW_NS, e2e_ms: float = 40.0, deadline_ms: float = math.nan
) -> dict[str, dict[str, Any]]:
    """The statuses after the results, by name."""
    diagnostics = Diagnostics(Config())
    for result in found:
        diagnostics.add(result, e2e_ms=e2e_ms, now_ns=NOW_NS, deadline_ms=deadline_ms)
    reports = (found[-1] if found else results.result(used=ModalitySet())).reports
    return told(diagnostics, now_ns, reports=reports, counters=COUNTERS, budget=BUDGET)


def told(diagnostics: Diagnostics, now_ns: int, **given: Any) -> dict[str, dict[str, Any]]:
    """Every status now, by name; all of them such that ROS can send them."""
    reports = {**results.result(used=ModalitySet.all()).reports, **given.pop("reports", {})}
    given = {"counters": {}, "budget": {}, **given}
    made = diagnostics.statuses(reports=reports, now_ns=now_ns, **given)
    store = ros2_typestore()
    message = build_message(store, DIAGNOSTICS_TYPE, diagnostic_array(now_ns, made))
    store.serialize_cdr(message, DIAGNOSTICS_TYPE)
    return {status["name"]: status for status in made}


def values(status: dict[str, Any]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in status["values"]}


def frozen_keys(status: str) -> list[str]:
    """The keys that docs/ros_api.md promises of a status."""
    row = re.search(
        rf"^\| `sentryfuse: {status}[^`]*` \| (.*) \|$", API.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert row is not None
    braces, text = re.findall(r"\{(.*?)\}", row[1]), row[1].split("}, ")[-1].split(";")[0]
    products = ["_ms_".join(names) for names in itertools.product(*(group.split(", ") for group in braces))]
    return [*(products if braces else []), *text.split(", ")]


def test_names_and_keys_are_those_that_the_documentation_froze() -> None:
    found = statuses(results.result())
    sensors = [f"sentryfuse: sensor/{modality.value}" for modality in Modality]
    others = [f"sentryfuse: {name}" for name in ("events", "sync", "node", "inference", "latency")]
    assert list(found) == [*sensors, *others]
    for name in sensors:
        assert list(values(found[name])) == frozen_keys("sensor/")
    for status in ("node", "inference", "latency"):
        assert list(values(found[f"sentryfuse: {status}"])) == frozen_keys(status)
    *sync, dropped = frozen_keys("sync")
    assert dropped == "dropped_`<reason>`"
    assert list(values(found["sentryfuse: sync"])) == [*sync, "dropped_duplicate", "dropped_overflow"]


def test_hardware_id_is_topic_or_device() -> None:
    found = statuses(results.result())
    assert found["sentryfuse: sensor/camera"]["hardware_id"] == "/camera"
    assert found["sentryfuse: inference"]["hardware_id"] == "cpu"


def test_drops_are_summed_over_sensors_when_counted_by_reason() -> None:
    found = values(statuses(results.result())["sentryfuse: sync"])
    drops = {key: value for key, value in found.items() if key.startswith("dropped_")}
    assert drops == {"dropped_duplicate": "5", "dropped_overflow": "1"}


def test_everything_is_stale_when_nothing_was_received() -> None:
    found = statuses()
    assert found.pop("sentryfuse: events")["level"] == OK
    assert {status["level"] for status in found.values()} == {STALE}


@pytest.mark.parametrize(
    ("state", "errors", "level"),
    [
        (SensorState.OK, (), OK),
        (SensorState.INIT, (), STALE),
        (SensorState.DEGRADED, (), WARN),
        (SensorState.LOST, (), WARN),
        (SensorState.RECOVERING, (), WARN),
        (SensorState.LOST, ("nothing usable",), ERROR),
    ],
)
def test_sensor_level_depends_on_state_and_on_whether_others_cover(
    state: SensorState, errors: tuple[str, ...], level: int
) -> None:
    result = results.result(states={CAMERA: state}, errors=errors)
    assert statuses(result)["sentryfuse: sensor/camera"]["level"] == level


def test_sync_warns_when_a_sensor_is_missing_and_names_it() -> None:
    status = statuses(results.result())["sentryfuse: sync"]
    assert status["level"] == WARN
    assert "imu NEVER" in status["message"]
    assert statuses(results.result(used=ModalitySet.all()))["sentryfuse: sync"]["level"] == OK


def test_output_is_an_error_when_it_is_stale() -> None:
    late_ns = NOW_NS + round(OutputConfig().max_output_age_s * S) + MS
    found = statuses(results.result(used=ModalitySet.all()), now_ns=late_ns)
    assert found["sentryfuse: sync"]["level"] == ERROR
    assert found["sentryfuse: latency"]["level"] == ERROR


@pytest.mark.parametrize(
    ("missed", "sets", "level"), [(1, 100, OK), (2, 100, ERROR), (1, 3, OK), (2, 3, ERROR)]
)
@pytest.mark.parametrize(
    ("deadline_ms", "remedy"), [(50.0, "budget.latency_ms"), (math.nan, "max_output_age_s")]
)
def test_latency_is_an_error_when_more_than_one_percent_miss_the_deadline(
    missed: int, sets: int, level: int, deadline_ms: float, remedy: str
) -> None:
    """A latency budget holds for the inference alone, the age limit for everything."""
    diagnostics = Diagnostics(Config())
    fine = results.result(used=ModalitySet.all())
    slow = replace(fine, times=replace(fine.times, infer=60.0))
    budgeted = not math.isnan(deadline_ms)
    for index in range(sets):
        over = index < missed
        diagnostics.add(
            slow if over and budgeted else fine,
            e2e_ms=600.0 if over or budgeted else 400.0,
            now_ns=NOW_NS + index * MS,
            deadline_ms=deadline_ms,
        )
    latency = told(diagnostics, NOW_NS + 100 * MS)["sentryfuse: latency"]
    assert latency["level"] == level
    assert values(latency)["deadline_miss"] == f"{missed / sets:.3f}"
    assert (remedy in latency["message"]) == (level == ERROR)


def test_latency_and_waits_are_forgotten_when_no_set_comes_for_a_window() -> None:
    after_ns = NOW_NS + round(OutputConfig().latency_window_s * S) + 1
    found = statuses(results.result(), e2e_ms=900.0, now_ns=after_ns)
    latency = values(found["sentryfuse: latency"])
    assert (latency["n"], latency["deadline_miss"], latency["e2e_ms_max"]) == ("0", "0.000", "nan")
    assert values(found["sentryfuse: sync"])["wait_ms_p95"] == "nan"


def test_inference_counts_and_times_switches_of_mask_or_level() -> None:
    steady, switched = results.result(), results.result(used=ModalitySet.of(LIDAR), switch_us=3.0)
    found = values(statuses(steady, switched, steady, switched)["sentryfuse: inference"])
    assert (found["switches"], found["switch_us_p99"]) == ("2", "3.000")
    found = values(statuses(steady, steady)["sentryfuse: inference"])
    assert (found["switches"], found["switch_us_p99"]) == ("0", "nan")


def test_inference_is_an_error_when_nothing_is_usable() -> None:
    status = statuses(results.result(errors=("nothing usable: check",)))["sentryfuse: inference"]
    assert (status["level"], status["message"]) == (ERROR, "nothing usable: check")


def test_lost_sensor_is_an_error_when_sets_have_ceased_to_come() -> None:
    late_ns = NOW_NS + round(OutputConfig().max_output_age_s * S) + MS
    result = results.result(states={CAMERA: SensorState.LOST})
    assert statuses(result)["sentryfuse: sensor/camera"]["level"] == WARN
    assert statuses(result, now_ns=late_ns)["sentryfuse: sensor/camera"]["level"] == ERROR


def test_lost_sensors_are_errors_at_once_when_nothing_is_left_to_cover_for_them() -> None:
    states = {CAMERA: SensorState.LOST, LIDAR: SensorState.RECOVERING, IMU: SensorState.INIT}
    found = statuses(results.result(states=states))
    levels = [found[f"sentryfuse: sensor/{modality.value}"]["level"] for modality in states]
    assert levels == [ERROR, ERROR, STALE]


def change(before: SensorState, after: SensorState, *, modality: Modality = CAMERA) -> Transition:
    """One that the test's Diagnostics have not told yet."""
    if after is SensorState.OK:
        return Transition(modality, NOW_NS, before, after, "", "")
    return Transition(modality, NOW_NS, before, after, "no new message", "check the cable", "timeout")


def events_of(diagnostics: Diagnostics) -> dict[str, Any]:
    return told(diagnostics, NOW_NS)["sentryfuse: events"]


def test_events_tell_every_change_once_with_reason_and_remedy() -> None:
    diagnostics = Diagnostics(Config())
    ok, lost, recovering = SensorState.OK, SensorState.LOST, SensorState.RECOVERING
    for before, after in ((ok, lost), (lost, recovering), (recovering, ok), (ok, lost)):
        diagnostics.note(change(before, after), stamp_ns=1_700_000_000 * S + 5 * MS)
    assert diagnostics.untold
    status = events_of(diagnostics)
    told = "no new message; check the cable; code timeout; at 1700000000.005"
    assert values(status) == {
        "camera OK -> LOST": told,
        "camera LOST -> RECOVERING": told,
        "camera RECOVERING -> OK": "at 1700000000.005",
        "camera OK -> LOST #2": told,
    }
    assert status["level"] == WARN
    assert "camera OK -> LOST #2" in status["message"]
    assert not diagnostics.untold
    assert (events_of(diagnostics)["message"], values(events_of(diagnostics))) == ("no change", {})


@pytest.mark.parametrize(
    ("after", "level"),
    [
        (SensorState.OK, OK),
        (SensorState.DEGRADED, WARN),
        (SensorState.LOST, WARN),
        (SensorState.RECOVERING, WARN),
    ],
)
def test_events_warn_unless_every_sensor_that_changed_is_back(after: SensorState, level: int) -> None:
    diagnostics = Diagnostics(Config())
    diagnostics.note(change(SensorState.LOST, SensorState.OK), stamp_ns=NOW_NS)
    diagnostics.note(change(SensorState.INIT, after, modality=LIDAR), stamp_ns=NOW_NS)
    assert events_of(diagnostics)["level"] == level


def run(diagnostics: Diagnostics, *, sets: int, skipped_every: int = 0, published: bool = True) -> int:
    """Sets ten times a second, `skipped_every`th of them given up for the next; the time of the last."""
    result, now_ns, skipped = results.result(used=ModalitySet.all()), NOW_NS, 0
    for index in range(sets):
        now_ns = NOW_NS + index * 100 * MS
        if skipped_every and index % skipped_every == 1:
            skipped += 1
            continue
        diagnostics.add(result, e2e_ms=40.0, now_ns=now_ns, skipped=skipped, published=published)
        skipped = 0
    return now_ns


def test_node_warns_of_share_and_rate_when_a_third_of_the_sets_is_skipped() -> None:
    diagnostics = Diagnostics(Config())
    last_ns = run(diagnostics, sets=120, skipped_every=3)
    found = told(diagnostics, last_ns)
    node = found["sentryfuse: node"]
    assert node["level"] == WARN
    assert "34% of the sets were skipped" in node["message"]
    assert "6.7 of 10.1 sets/s handled" in node["message"]
    assert "use a faster device" in node["message"]
    assert float(values(node)["skipped_share"]) == pytest.approx(1 / 3, abs=0.02)
    assert float(values(node)["results_per_s"]) == pytest.approx(6.7, abs=0.2)
    assert {found[f"sentryfuse: sensor/{m.value}"]["level"] for m in Modality} == {OK}
    assert diagnostics.warnings(last_ns) == (node["message"],)


def test_node_names_the_parameter_that_was_switched_off_when_sets_are_skipped() -> None:
    diagnostics = Diagnostics(Config())
    diagnostics.reconfigure(BudgetConfig(keep_pace=False))
    node = told(diagnostics, run(diagnostics, sets=60, skipped_every=3))["sentryfuse: node"]
    assert "set budget.keep_pace" in node["message"]


def test_nothing_is_said_of_the_sets_before_when_no_sensor_sends_any_more() -> None:
    diagnostics = Diagnostics(Config())
    last_ns = run(diagnostics, sets=120, skipped_every=3)
    diagnostics.idle()
    found = told(diagnostics, last_ns + 200 * MS)
    assert diagnostics.warnings(last_ns + 200 * MS) == ()
    assert found["sentryfuse: node"]["level"] == OK
    inference = found["sentryfuse: inference"]
    assert (inference["level"], values(inference)["mask"]) == (ERROR, "none")
    assert inference["message"] == "nothing runs: no sensor sends; check the sensors' states"
    again = told(diagnostics, run(diagnostics, sets=1))["sentryfuse: inference"]
    assert (again["level"], values(again)["mask"]) == (OK, "camera+lidar+imu+audio")


def test_node_is_ok_when_a_set_is_skipped_now_and_then() -> None:
    diagnostics = Diagnostics(Config())
    assert told(diagnostics, run(diagnostics, sets=100, skipped_every=45))["sentryfuse: node"]["level"] == OK


def test_node_warns_when_results_are_withheld() -> None:
    diagnostics = Diagnostics(Config())
    node = told(diagnostics, run(diagnostics, sets=50, published=False))["sentryfuse: node"]
    assert node["level"] == WARN
    assert "0.0 results/s came out of" in node["message"]


def test_stall_is_the_nodes_own_when_it_did_not_run() -> None:
    diagnostics = Diagnostics(Config())
    last_ns = run(diagnostics, sets=50)
    now_ns = last_ns + 750 * MS
    diagnostics.stalled(Stall(last_ns + 50 * MS, now_ns, 0.7, "stopped"), now_ns=now_ns)
    found = told(diagnostics, now_ns)
    assert found["sentryfuse: node"]["level"] == WARN
    assert "the node did not run for 0.70 s; no sensor is blamed" in found["sentryfuse: node"]["message"]
    assert values(found["sentryfuse: node"])["last_stall"] == "stopped"
    assert [name for name, status in found.items() if status["level"] != OK] == ["sentryfuse: node"]
    assert told(diagnostics, last_ns + 60 * S)["sentryfuse: sync"]["level"] == ERROR


def test_skips_and_misses_are_excused_when_the_set_waited_for_the_node() -> None:
    diagnostics = Diagnostics(Config())
    now_ns = run(diagnostics, sets=50)
    waited = results.result(used=ModalitySet.all())
    diagnostics.add(waited, e2e_ms=900.0, now_ns=now_ns, skipped=7, published=False, excused=True)
    found = told(diagnostics, now_ns)
    assert {status["level"] for status in found.values()} == {OK}


def test_disabled_sensor_is_ok_and_missed_by_nobody() -> None:
    full = results.result(used=ModalitySet.all())
    disabled = replace(full.reports[AUDIO], state=SensorState.INIT, code="disabled", reason="by parameter")
    result = replace(
        full,
        used=ModalitySet.of(CAMERA, LIDAR, IMU),
        absent={AUDIO: Absence.NEVER},
        reports={**full.reports, AUDIO: disabled},
    )
    found = statuses(result)
    assert {status["level"] for status in found.values()} == {OK}
    assert found["sentryfuse: sensor/audio"]["message"] == "disabled"
    assert values(found["sentryfuse: sync"])["partial"] == "0"
    assert messages.severity(result) == OK


@pytest.mark.parametrize(
    ("node", "begin"),
    [("/sentryfuse", "sentryfuse"), ("/robot/sentryfuse", "/robot/sentryfuse"), ("/front", "front")],
)
def test_names_begin_with_the_nodes_name_and_its_namespace(node: str, begin: str) -> None:
    found = told(Diagnostics(Config(), node=node), NOW_NS)
    assert len(found) == 9
    assert all(name.startswith(f"{begin}: ") for name in found)


def test_strings_are_bounded_when_strangers_chose_them() -> None:
    full = results.result(used=ModalitySet.all())
    hostile = "\x1b[2J\n\0" + "x" * 10_000
    report = replace(
        full.reports[LIDAR], state=SensorState.DEGRADED, topic=f"/{hostile}", reason=hostile, remedy=hostile
    )
    diagnostics = Diagnostics(Config(), node=f"/{hostile}")
    change = Transition(LIDAR, NOW_NS, SensorState.OK, SensorState.DEGRADED, hostile, hostile)
    diagnostics.note(change, stamp_ns=NOW_NS)
    counters = {LIDAR: {f"{index}_{hostile}": index + 1 for index in range(5000)}}
    found = told(diagnostics, NOW_NS, reports={LIDAR: report}, counters=counters)
    for status in found.values():
        texts = [status["name"], status["message"], status["hardware_id"]]
        texts += [text for item in status["values"] for text in (item["key"], item["value"])]
        assert all(len(text) <= 1000 and text.isprintable() for text in texts)
        assert len(status["values"]) < 100
    changed = replace(full, reports={**full.reports, LIDAR: report}, notes=(hostile,))
    context = messages.PublishContext(published_ns=NOW_NS, checkpoint="", base_frame="", e2e_ms=1.0)
    status = messages.fusion_status(changed, context)
    told_texts = [*status["notes"], *(s[key] for s in status["sensors"] for key in ("topic", "reason"))]
    assert all(len(text) <= 1000 and text.isprintable() for text in told_texts)


def test_sensors_are_not_blamed_for_stale_output_when_one_set_takes_seconds() -> None:
    diagnostics = Diagnostics(Config())
    last_ns = run(diagnostics, sets=20)
    sync = told(diagnostics, last_ns + 3 * S, busy_s=2.9)["sentryfuse: sync"]
    assert sync["level"] == ERROR
    assert "one has been worked on for 2.9 s" in sync["message"]
    assert "sensors" not in sync["message"]


def test_odometry_has_a_status_where_it_came_or_was_asked_for() -> None:
    name = "sentryfuse: odometry"
    silent, heard = EgoMotion(OdometryConfig()), EgoMotion(OdometryConfig())
    assert name not in told(Diagnostics(Config()), NOW_NS, ego=silent)
    asked = told(Diagnostics(override(Config(), {"odometry.topic": "/odom"})), NOW_NS, ego=silent)[name]
    assert (asked["level"], asked["hardware_id"]) == (STALE, "/odom")
    off = {"odometry.topic": "/odom", "odometry.enabled": False}
    assert name not in told(Diagnostics(override(Config(), off)), NOW_NS, ego=silent)
    heard.refuse(InvalidMessageError("non_finite", "pose.pose.position.x = nan"))
    heard.follow(NOW_NS, epoch=0, mount=lambda _frame, _stamp_ns: None)
    bad = told(Diagnostics(Config()), NOW_NS, ego=heard)[name]
    assert bad["level"] == WARN
    assert "not used: non_finite: pose.pose.position.x = nan; correct what publishes it" in bad["message"]
    values = {item["key"]: item["value"] for item in bad["values"]}
    assert values == {
        "code": "invalid",
        "received": "1",
        "frame_id": "",
        "speed_m_s": "nan",
        "yaw_rate_rad_s": "nan",
    }
