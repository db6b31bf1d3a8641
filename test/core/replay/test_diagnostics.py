"""The frozen names, keys and levels of /diagnostics."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import results
from builders import MS, S

from sentryfuse_core.budget import BudgetController
from sentryfuse_core.config import BudgetConfig, Config, OutputConfig
from sentryfuse_core.replay.diagnostics import ERROR, OK, STALE, WARN, Diagnostics, diagnostic_array
from sentryfuse_core.replay.writer import build_message, ros2_typestore
from sentryfuse_core.types import FusionResult, Modality, ModalitySet, SensorState, Transition

CAMERA, LIDAR, IMU, AUDIO = Modality
SENSOR_KEYS = [
    "state",
    "reason",
    "since_s",
    "rate_hz",
    "expected_hz",
    "age_ms",
    "offset_ms",
    "late",
    "out_of_order",
    "duplicate",
    "invalid",
    "frozen",
    "epoch",
]
SYNC_KEYS = [
    "sets",
    "partial",
    "mask",
    "anchor",
    "wait_ms_p95",
    "skew_ms_max",
    "dropped_duplicate",
    "dropped_overflow",
]
INFERENCE_KEYS = [
    "backend",
    "device",
    "backend_reason",
    "mask",
    "level",
    "ratio",
    "heads_kept",
    "channels_kept",
    "gmacs",
    "switches",
    "switch_us_p99",
    "power_measured_w",
    "power_source",
    "temperature_c",
    "temperature_limit_c",
    "throttling",
    "slow_down",
]
LATENCY_KEYS = [
    *(
        f"{stage}_ms_{name}"
        for stage in ("age", "wait", "queue", "pre", "infer", "post", "e2e")
        for name in ("p50", "p90", "p95", "p99", "max")
    ),
    "n",
    "window_s",
    "deadline_miss",
]
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
    made = diagnostics.statuses(reports=reports, counters=COUNTERS, budget=BUDGET, now_ns=now_ns)
    store = ros2_typestore()
    type_name = "diagnostic_msgs/msg/DiagnosticArray"
    store.serialize_cdr(build_message(store, type_name, diagnostic_array(now_ns, made)), type_name)
    return {status["name"]: status for status in made}


def values(status: dict[str, Any]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in status["values"]}


def test_names_and_keys_are_the_frozen_ones() -> None:
    found = statuses(results.result())
    sensors = [f"sentryfuse: sensor/{modality.value}" for modality in Modality]
    others = [f"sentryfuse: {name}" for name in ("events", "sync", "inference", "latency")]
    assert list(found) == [*sensors, *others]
    for name in sensors:
        assert list(values(found[name])) == SENSOR_KEYS
    assert set(values(found["sentryfuse: sync"])) == set(SYNC_KEYS)
    assert list(values(found["sentryfuse: inference"])) == INFERENCE_KEYS
    assert list(values(found["sentryfuse: latency"])) == LATENCY_KEYS


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


@pytest.mark.parametrize(("missed", "level"), [(1, OK), (2, ERROR)])
@pytest.mark.parametrize(
    ("deadline_ms", "remedy"), [(50.0, "budget.latency_ms"), (math.nan, "max_output_age_s")]
)
def test_latency_is_an_error_when_more_than_one_percent_miss_the_deadline(
    missed: int, level: int, deadline_ms: float, remedy: str
) -> None:
    """A latency budget holds for the inference alone, the age limit for everything."""
    diagnostics = Diagnostics(Config())
    fine = results.result(used=ModalitySet.all())
    slow = replace(fine, times=replace(fine.times, infer=60.0))
    budgeted = not math.isnan(deadline_ms)
    for index in range(100):
        over = index < missed
        diagnostics.add(
            slow if over and budgeted else fine,
            e2e_ms=600.0 if over or budgeted else 400.0,
            now_ns=NOW_NS + index * MS,
            deadline_ms=deadline_ms,
        )
    made = diagnostics.statuses(reports=fine.reports, counters={}, budget={}, now_ns=NOW_NS + 100 * MS)
    assert made[-1]["level"] == level
    assert values(made[-1])["deadline_miss"] == f"{missed / 100:.3f}"
    assert (remedy in made[-1]["message"]) == (level == ERROR)


def test_latency_and_waits_are_forgotten_when_no_set_comes_for_a_window() -> None:
    after_ns = NOW_NS + round(OutputConfig().latency_window_s * S) + 1
    found = statuses(results.result(), e2e_ms=900.0, now_ns=after_ns)
    latency = values(found["sentryfuse: latency"])
    assert (latency["n"], latency["deadline_miss"], latency["e2e_ms_max"]) == ("0", "0.000", "nan")
    assert values(found["sentryfuse: sync"])["wait_ms_p95"] == "nan"


def test_latency_forgets_sets_when_they_leave_the_window() -> None:
    diagnostics = Diagnostics(Config())
    result = results.result()
    window_ns = round(OutputConfig().latency_window_s * S)
    diagnostics.add(result, e2e_ms=500.0, now_ns=0)
    diagnostics.add(result, e2e_ms=40.0, now_ns=window_ns + 1)
    made = diagnostics.statuses(reports=result.reports, counters={}, budget={}, now_ns=window_ns + 1)
    found = values(made[-1])
    assert (found["n"], found["e2e_ms_max"]) == ("1", "40.000")


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
    result = results.result(states={CAMERA: SensorState.LOST, LIDAR: SensorState.RECOVERING})
    found = statuses(result)
    assert found["sentryfuse: sensor/camera"]["level"] == ERROR
    assert found["sentryfuse: sensor/lidar"]["level"] == ERROR
    assert found["sentryfuse: sensor/imu"]["level"] == STALE


def change(before: SensorState, after: SensorState, *, modality: Modality = CAMERA) -> Transition:
    """One that the test's Diagnostics have not told yet."""
    if after is SensorState.OK:
        return Transition(modality, NOW_NS, before, after, "", "")
    return Transition(modality, NOW_NS, before, after, "no new message", "check the cable", "timeout")


def events_of(diagnostics: Diagnostics) -> dict[str, Any]:
    """The status of events, which must be one that ROS can send."""
    made = diagnostics.statuses(reports=results.result().reports, counters={}, budget={}, now_ns=NOW_NS)
    store = ros2_typestore()
    type_name = "diagnostic_msgs/msg/DiagnosticArray"
    store.serialize_cdr(build_message(store, type_name, diagnostic_array(NOW_NS, made)), type_name)
    return next(status for status in made if status["name"] == "sentryfuse: events")


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
