"""The shipped scenarios: each fault is seen in its stretch, and the sets are as promised."""

from __future__ import annotations

import functools
import heapq
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from builders import MS, PERIOD_NS, S, chunk_message, cloud_message, image_message, imu_message

from sentryfuse_core.config import Config
from sentryfuse_core.errors import ScenarioError
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.scenario import Scenario, load_scenario
from sentryfuse_core.faults.scenario_files import find_scenario, shipped_scenarios
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.types import Modality, ModalitySet, SensorState

CAMERA, LIDAR, IMU, AUDIO = Modality
FOLDER = Path(__file__).parents[3] / "config" / "scenarios"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
JUDGED = [name for name in NAMES if name != "demo"]  # the demo is judged by its own run
TYPES = {
    CAMERA: "sensor_msgs/msg/Image",
    LIDAR: "sensor_msgs/msg/PointCloud2",
    IMU: "sensor_msgs/msg/Imu",
    AUDIO: "sentryfuse/msg/AudioChunk",
}
START_NS = 100 * S
DELAY_NS = 5 * MS
STEP_NS = 10 * MS


class Seen(NamedTuple):
    at_s: float
    used: ModalitySet


class Run(NamedTuple):
    sets: list[Seen]
    states: list[tuple[float, dict[Modality, SensorState]]]


def messages(seconds: float) -> Iterator[tuple[int, Modality, Any]]:
    """A street of blocks, walls all around, a robot at rest and quiet noise, in order of arrival."""
    random = np.random.default_rng(0)
    scene = np.kron(random.integers(40, 220, (8, 10, 3)), np.ones((6, 6, 1)))
    bearing = np.linspace(-np.pi, np.pi, 720, endpoint=False)

    def make(modality: Modality, stamp_ns: int) -> Any:
        if modality is CAMERA:
            pixels = np.clip(scene + random.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)
            item = image_message("rgb8", pixels.reshape(48, 180), width=60)
        elif modality is LIDAR:
            distance = 8 + random.normal(0, 0.02, 720)
            columns = {"x": distance * np.cos(bearing), "y": distance * np.sin(bearing), "z": distance * 0.0}
            item = cloud_message({name: values.astype(np.float32) for name, values in columns.items()})
        elif modality is IMU:
            noise = random.normal(0, 0.01, (2, 3))
            item = imu_message(gyro=noise[0].tolist(), accel=(noise[1] + (0, 0, 9.81)).tolist())
        else:
            item = chunk_message(random.integers(-800, 800, (320, 2), dtype=np.int16))
        item.header.stamp.sec, item.header.stamp.nanosec = divmod(stamp_ns, S)
        return item

    streams = [
        [(stamp, m) for stamp in range(START_NS, START_NS + round(seconds * S), PERIOD_NS[m])]
        for m in Modality
    ]
    for stamp_ns, modality in heapq.merge(*streams, key=lambda item: item[0]):
        yield stamp_ns + DELAY_NS, modality, make(modality, stamp_ns)


def sent(scenario: Scenario) -> Iterator[tuple[int, Modality, Any]]:
    """The messages as they arrive after the scenario's faults; None each time the driver sent one."""
    injector, order = FaultInjector(scenario), itertools.count()
    waiting: list[tuple[int, int, Modality, Any]] = []
    for at_ns, modality, item in messages(scenario.seconds):
        at_s = (at_ns - START_NS - DELAY_NS) / S
        late = [(Modality(topic[1:]), delivery) for topic, delivery in injector.flush(at_s)]
        now = injector.apply(f"/{modality.value}", modality, item, at_s=at_s)
        for owner, delivery in (*late, *((modality, one) for one in now)):
            due_ns = at_ns + round(delivery.delay_s * S)
            heapq.heappush(waiting, (due_ns, next(order), owner, delivery.message))
        while waiting and waiting[0][0] <= at_ns:
            due_ns, _, owner, message = heapq.heappop(waiting)
            yield due_ns, owner, message
        yield at_ns, modality, None  # time passes even when nothing comes


@functools.cache
def run(name: str) -> Run:
    """Health and synchroniser through a scenario, with content judged as the pipeline does it."""
    scenario, config = load_scenario(FOLDER / f"{name}.yaml"), Config()
    ingest, preprocessor = Ingest(config), Preprocessor(config)
    found = Run([], [])
    next_ns, count = START_NS, itertools.count()
    for at_ns, modality, item in sent(scenario):
        while (due_ns := ingest.next_deadline_ns()) is not None and due_ns < at_ns:
            ingest.advance(due_ns)
        if item is not None:
            ingest.message(modality, item, type_name=TYPES[modality], arrival_ns=at_ns, received_ns=at_ns)
        at_s = (at_ns - START_NS) / S
        for synced in ingest.take():
            mask, _ = ingest.trust(synced)
            found.sets.append(Seen((synced.released_ns - START_NS) / S, mask))
            if next(count) % 3 == 0:
                prepared = preprocessor(synced, mask)
                for one in prepared.inputs.present:
                    ingest.observe_decoded(one, prepared.content.get(one), at_ns)
                for one, error in prepared.invalid.items():
                    ingest.observe_invalid(one, error.reason, error.detail, at_ns)
        if at_ns >= next_ns:
            next_ns += STEP_NS
            reports = ingest.reports(at_ns)
            found.states.append((at_s, {m: report.state for m, report in reports.items()}))
    return found


@pytest.mark.parametrize("name", JUDGED)
def test_stretches_hold_when_a_shipped_scenario_is_played(name: str) -> None:
    scenario, found = load_scenario(FOLDER / f"{name}.yaml"), run(name)
    assert scenario.name == name
    assert scenario.stretches
    for stretch in scenario.stretches:
        settled = [s.used for s in found.sets if stretch.at_s + stretch.settle_s <= s.at_s < stretch.until_s]
        share = Counter(settled)[stretch.expect] / max(len(settled), 1)
        assert share >= 0.8, (stretch.name, str(Counter(map(str, settled))))


SEEN_AS = {
    "camera_covered": (CAMERA, 5.0, 9.0, {SensorState.DEGRADED}),
    "camera_freezes": (CAMERA, 4.5, 8.0, {SensorState.LOST}),
    "lidar_cable_loose": (LIDAR, 5.0, 12.0, {SensorState.LOST, SensorState.RECOVERING}),
    "lidar_sector_blocked": (LIDAR, 7.0, 10.0, {SensorState.DEGRADED}),
    "imu_stuck": (IMU, 4.5, 8.0, {SensorState.LOST}),
    "microphone_unplugged": (AUDIO, 5.0, 8.0, {SensorState.LOST}),
    "malformed_driver": (LIDAR, 6.0, 8.0, {SensorState.LOST}),
    "lossy_wireless": (CAMERA, 8.0, 12.0, {SensorState.DEGRADED, SensorState.LOST, SensorState.RECOVERING}),
    "everything_dies": (IMU, 9.5, 12.0, {SensorState.LOST}),
}


@pytest.mark.parametrize("name", sorted(SEEN_AS))
def test_sensor_is_in_the_expected_state_when_its_fault_is_on(name: str) -> None:
    modality, begin_s, end_s, expected = SEEN_AS[name]
    during = [states[modality] for at_s, states in run(name).states if begin_s <= at_s < end_s]
    assert np.mean([state in expected for state in during]) > 0.9, Counter(during)


@pytest.mark.parametrize("name", ["clock_jump", "bag_loop"])
def test_sets_go_on_when_all_clocks_go_back(name: str) -> None:
    times = [seen.at_s for seen in run(name).sets]
    end_s = load_scenario(FOLDER / f"{name}.yaml").seconds
    assert max(np.diff([*times, end_s])) < 1.0
    assert len([at_s for at_s in times if at_s > 4.0]) > 8 * (end_s - 4.0)


def test_name_or_path_is_found_when_it_exists(tmp_path: Path) -> None:
    assert find_scenario("imu_stuck") == FOLDER / "imu_stuck.yaml"
    assert find_scenario(str(FOLDER / "demo.yaml")) == FOLDER / "demo.yaml"
    assert (
        find_scenario(str(tmp_path / "none.yaml")) == tmp_path / "none.yaml"
    )  # loading it says what is wrong
    assert sorted(shipped_scenarios()) == NAMES
    with pytest.raises(ScenarioError, match=r"no scenario 'imu_stuk'.*camera_covered.*imu_stuck"):
        find_scenario("imu_stuk")
