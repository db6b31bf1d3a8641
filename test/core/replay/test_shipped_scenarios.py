"""The shipped scenarios: each fault is seen in its stretch, and the sets are as promised."""

from __future__ import annotations

import functools
import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bags
import numpy as np
import pytest
from builders import MS, PERIOD_NS, S, chunk_message, cloud_message, image_message, imu_message
from networks import gated_checkpoint

from sentryfuse_core.errors import ScenarioError
from sentryfuse_core.faults.scenario import Scenario, load_scenario
from sentryfuse_core.faults.scenario_files import find_scenario, shipped_scenarios
from sentryfuse_core.pipeline import Begun, Pipeline
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.run import ReplayOptions, ReplayResult, replay
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import Modality, ModalitySet, SensorState, SyncedSet

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
STEP_S = 0.01


class Blind(Pipeline):
    """The pipeline without its network: what is judged here comes before it."""

    def begin(self, synced: SyncedSet) -> Begun:
        return replace(super().begin(synced), runs=())


def street(seconds: float) -> Iterator[bags.Message]:
    """A street of blocks, walls all around, a robot at rest and quiet noise, in order of arrival."""
    random = np.random.default_rng(0)
    scene = np.kron(random.integers(40, 220, (8, 10, 3)), np.ones((6, 6, 1)))
    bearing = np.linspace(-np.pi, np.pi, 720, endpoint=False)

    def make(modality: Modality) -> Any:
        if modality == CAMERA:
            pixels = np.clip(scene + random.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)
            return image_message("rgb8", pixels.reshape(48, 180), width=60)
        if modality == LIDAR:
            distance = 8 + random.normal(0, 0.02, 720)
            columns = {"x": distance * np.cos(bearing), "y": distance * np.sin(bearing), "z": distance * 0.0}
            return cloud_message({name: values.astype(np.float32) for name, values in columns.items()})
        if modality == IMU:
            noise = random.normal(0, 0.01, (2, 3))
            return imu_message(gyro=noise[0].tolist(), accel=(noise[1] + (0, 0, 9.81)).tolist())
        return chunk_message(random.integers(-800, 800, (320, 2), dtype=np.int16))

    end_ns = START_NS + round(seconds * S)
    streams = [[(at_ns, m) for at_ns in range(START_NS, end_ns, PERIOD_NS[m])] for m in Modality]
    for stamp_ns, modality in heapq.merge(*streams, key=lambda item: item[0]):
        item = make(modality)
        item.header.stamp.sec, item.header.stamp.nanosec = divmod(stamp_ns, S)
        yield bags.Message(f"/{modality.value}", TYPES[modality], stamp_ns + DELAY_NS, item)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ReplayResult]]:
    """Replays one recording through a scenario, without the network."""
    folder = tmp_path_factory.mktemp("scenarios")
    bank = Bank(gated_checkpoint(folder))  # trusts whatever it gets: what is left out, health left out
    bag = bags.write(folder / "street.mcap", street(max(load(name).seconds for name in JUDGED)))

    @functools.cache
    def play(name: str) -> ReplayResult:
        options = ReplayOptions(bag=bag, scenario=load(name), seconds=load(name).seconds)
        return replay(options, RunOutputs(folder / name, bag=bag), pipeline=Blind.build)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sentryfuse_core.pipeline.load_bank", lambda _config: bank)
        yield play


def load(name: str) -> Scenario:
    return load_scenario(FOLDER / f"{name}.yaml")


def times_s(result: ReplayResult) -> list[float]:
    return [(record.released_ns - result.start_ns) / S for record in result.records]


@pytest.mark.parametrize("name", JUDGED)
def test_stretches_hold_when_a_shipped_scenario_is_played(
    name: str, run: Callable[[str], ReplayResult]
) -> None:
    scenario, found = load(name), run(name)
    assert scenario.name == name
    assert scenario.stretches
    for stretch in scenario.stretches:
        begin_s = stretch.at_s + stretch.settle_s
        settled = [
            record.used
            for at_s, record in zip(times_s(found), found.records, strict=True)
            if begin_s <= at_s < stretch.until_s
        ]
        share = Counter(settled)[ModalitySet.of(*map(Modality, stretch.expect))] / max(len(settled), 1)
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
def test_sensor_is_in_the_expected_state_when_its_fault_is_on(
    name: str, run: Callable[[str], ReplayResult]
) -> None:
    modality, begin_s, end_s, expected = SEEN_AS[name]
    changes = [event for event in run(name).metrics["events"] if event["sensor"] == modality.value]
    during = [
        next(event["after"] for event in reversed(changes) if event["t"] <= at_s)
        for at_s in np.arange(begin_s, end_s, STEP_S)
    ]
    assert np.mean([SensorState[state] in expected for state in during]) > 0.9, Counter(during)


@pytest.mark.parametrize("name", ["clock_jump", "bag_loop"])
def test_sets_go_on_when_all_clocks_go_back(name: str, run: Callable[[str], ReplayResult]) -> None:
    times, end_s = times_s(run(name)), load(name).seconds
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
