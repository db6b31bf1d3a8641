"""Are faults found in time and healthy sensors left alone: on recordings, phones and the simulated world."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sentryfuse_core.bags.readers import BagReader, Undecodable
from sentryfuse_core.bags.topics import select
from sentryfuse_core.bags.writer import build_message, ros2_typestore
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.health import HealthMonitor, detection_time_s
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.lab.bench.results import ROOT, Figure, at_most, text_table, write
from sentryfuse_core.lab.datasets import har
from sentryfuse_core.lab.world.config import WorldConfig
from sentryfuse_core.lab.world.record import Recorder
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.types import ImuReading, Modality, Sample, SensorState, Transition

CAMERA, LIDAR, IMU, AUDIO = Modality
DATA = ROOT.parent / "shared" / "data"
START_UP_S = 2.0  # state changes before this are not counted
_BAD = (SensorState.DEGRADED, SensorState.LOST)


@dataclass(frozen=True)
class Play:
    """Messages of one recording: (sensor, topic, type, log time in ns, message) by log time."""

    name: str
    messages: Sequence[tuple[Modality, str, str, int, Any]]

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return (self.messages[-1][3] - self.messages[0][3]) / NS_PER_S


@dataclass(frozen=True)
class Trial:
    """A fault to inject and what finding it is called."""

    sensor: Modality
    fault: str
    codes: tuple[str, ...]
    criterion: str
    options: tuple[tuple[str, float], ...] = ()


TRIALS = (
    *(Trial(sensor, "freeze", ("frozen",), "frozen") for sensor in Modality),
    Trial(CAMERA, "black", ("black", "frozen"), "black"),
    Trial(CAMERA, "covered", ("black", "flat"), "flat", (("level", 0.05), ("sigma", 0.01))),
    Trial(CAMERA, "covered", ("blocked",), "blocked", (("left", 0.6), ("level", 0.05), ("sigma", 0.01))),
    Trial(LIDAR, "blocked", ("blocked_sector",), "blocked_sector", (("from_deg", -45.0), ("to_deg", 45.0))),
    Trial(AUDIO, "silent", ("silent", "frozen"), "silent"),
    Trial(AUDIO, "clipped", ("clipped",), "clipped", (("gain", 1000.0),)),
)


def bag(path: Path) -> Play:
    """A recorded bag, as replay reads it."""
    with BagReader(path) as reader:
        chosen = select(reader.topics(), {}, config=Config()).topics
        sensors = {topic.name: modality for modality, topic in chosen.items()}
        found = [
            (sensors[item.topic], item.topic, item.type_name, item.log_time_ns, item.message)
            for item in reader.messages(list(sensors))
            if not isinstance(item.message, Undecodable)
        ]
    return Play(path.name, found)


class _Sink:
    def __init__(self, config: Config) -> None:
        self.types = ros2_typestore()
        self.sensors = {f"/{config.sensor(m).topic}": m for m in Modality} | {
            "/camera/image/compressed": CAMERA
        }
        self.found: list[tuple[Modality, str, str, int, Any]] = []

    def write(self, topic: str, type_name: str, log_time_ns: int, fields: Any) -> None:
        if topic in self.sensors:
            message = build_message(self.types, type_name, fields)
            self.found.append((self.sensors[topic], topic, type_name, log_time_ns, message))


def drive(name: str, *, seed: int, seconds: float, light: float | None, world: WorldConfig) -> Play:
    """A drive through the synthetic world."""
    recorder = Recorder(seed=seed, seconds=seconds, light=light, world=world)
    sink = _Sink(recorder.sensors)
    recorder.write(recorder.drive(), sink)
    return Play(name, sink.found)


def transitions(play: Play, scenario: Scenario | None = None) -> Iterator[tuple[float, Transition]]:
    """State changes and when, in s since the begin, from the pipeline's ingest and preprocessing."""
    config = Config()
    ingest, prepare = Ingest(config), Preprocessor(config)
    injector = None if scenario is None else FaultInjector(scenario)
    begin_ns = play.messages[0][3]
    for sensor, topic, type_name, log_ns, original in play.messages:
        at_s = (log_ns - begin_ns) / NS_PER_S
        messages = [original]
        if injector is not None:
            messages = [found.message for found in injector.apply(topic, sensor, original, at_s=at_s)]
        for message in messages:
            ingest.message(sensor, message, type_name=type_name, arrival_ns=log_ns, received_ns=log_ns)
        for synced in ingest.take():
            trusted, _ = ingest.trust(synced)
            prepared = prepare(synced, trusted)
            for modality in prepared.inputs.present:
                ingest.observe_decoded(modality, prepared.content.get(modality), synced.released_ns)
            for modality, error in prepared.invalid.items():
                if error.reason != "field_absent":
                    ingest.observe_invalid(modality, error.reason, error.detail, synced.released_ns)
        for change in ingest.take_transitions():
            yield (change.at_ns - begin_ns) / NS_PER_S, change


def detection(plays: Iterable[Play]) -> list[Figure]:
    """One row a fault and recording: the share of the criterion's own time that finding it took."""
    figures = []
    for play in plays:
        present = {message[0] for message in play.messages}
        for trial in TRIALS:
            if trial.sensor not in present:
                continue
            at_s = 0.6 * play.seconds
            options = {name: option.default for name, option in FAULTS[trial.fault].options.items()}
            options.update(trial.options)
            event = Event(at_s, play.seconds + 1, trial.sensor.value, trial.fault, options)
            scenario = Scenario("trial", 1, play.seconds + 1, (event,))
            found_s = next(
                (
                    when_s - at_s
                    for when_s, change in transitions(play, scenario)
                    if change.modality is trial.sensor
                    and when_s >= at_s
                    and change.after in _BAD
                    and change.code in trial.codes
                ),
                float("nan"),
            )
            count = sum(message[0] is trial.sensor for message in play.messages)
            limit_s = detection_time_s(
                trial.criterion, Config(), modality=trial.sensor, rate_hz=count / play.seconds
            )
            what = f"{play.name}: {trial.sensor.value} {trial.criterion} found after"
            figures.append(at_most(what, found_s, "s", round(limit_s, 3)))
    return figures


def alarms(play: Play) -> Figure:
    """Changes to DEGRADED or LOST after start-up while nothing is wrong."""
    bad = [change for when_s, change in transitions(play) if when_s > START_UP_S and change.after in _BAD]
    for change in bad:
        print(f"  {play.name}: {change.modality.value} {change.after.name} {change.code}: {change.reason}")
    return at_most(f"{play.name}: false alarms in {play.seconds:.0f} s", len(bad), "", 0)


def har_alarms(path: Path, *, every: int, skip: int | None) -> Figure:
    """False alarms on people's phones and watches; run i is left out where i % `skip` is 0 (tuned on those).

    Each row of a file has both sensors, joined by the authors; a message arrives at its stamp.
    """
    alarms_found, seconds, begin = 0, 0.0, time.thread_time()
    for index, run in enumerate(har.runs(path, every=every)):
        if skip is not None and index % skip == 0:
            continue
        monitor = HealthMonitor(Config())
        for stamp, gyro, accel in zip(run.stamp_ns.tolist(), run.gyro, run.accel, strict=True):
            while (due_ns := monitor.next_deadline_ns()) is not None and due_ns <= stamp:
                monitor.update(due_ns)
            reading = ImuReading(gyro, accel)
            fingerprint = hash((gyro.tobytes(), accel.tobytes()))
            monitor.observe(Sample(IMU, stamp, stamp, stamp, "imu", reading, fingerprint))
        start_ns = int(run.stamp_ns[0]) + round(START_UP_S * NS_PER_S)
        bad = [c for c in monitor.take_transitions() if c.after in _BAD and c.at_ns > start_ns]
        for change in bad:
            print(f"  {run.name}: {change.after.name} {change.code}: {change.reason}")
        alarms_found += len(bad)
        seconds += (run.stamp_ns[-1] - run.stamp_ns[0]) / NS_PER_S
    print(f"  HAR: {time.thread_time() - begin:.0f} s of CPU time")
    what = f"HAR phones and watches: false alarms in {seconds / 3600:.2f} h"
    return at_most(what, alarms_found, "", 0)


def simulated(seconds: float, *, repeats: int = 1) -> Iterator[Play]:
    """`repeats` times six drives of `seconds`: by day, at night, in a quiet place and standing still."""
    world = WorldConfig()
    still, quiet = replace(world, ego_speed=(0.0, 0.0)), replace(world, objects=(1, 1))
    cases = (
        ("noon", 1.0, world),
        ("dusk", 0.4, world),
        ("night", 0.0, world),
        ("night, standing still", 0.0, still),
        ("quiet place", 0.8, quiet),
        ("quiet night", 0.0, quiet),
    )
    for index, (name, light, model) in enumerate(cases * repeats):
        yield drive(
            f"world, {name}, drive {index + 1}", seed=100 + index, seconds=seconds, light=light, world=model
        )


def figures_of(data: Path = DATA, *, quick: bool = False) -> list[Figure]:
    """All figures; recordings not in `data` are left out. `quick`: a minute of world, a tenth of HAR."""
    found: list[Figure] = []
    bags = [bag(path) for path in sorted((data / "bags").glob("*")) if path.is_dir()]
    found += detection([*bags, drive("world", seed=7, seconds=10.0, light=0.8, world=WorldConfig())])
    found += [alarms(play) for play in bags]
    archive = data / "har" / "sp-sw-har.zip"
    if archive.is_file():
        found.append(har_alarms(archive, every=10 if quick else 1, skip=None if quick else 8))
    found += [alarms(play) for play in simulated(10.0 if quick else 60.0, repeats=1 if quick else 5)]
    return found


def main() -> None:
    """Print the table and write results/false_alarms.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--quick", action="store_true", help="less of everything; writes no result file")
    arguments = parser.parse_args()
    found = figures_of(arguments.data, quick=arguments.quick)
    print(text_table(found))
    if not arguments.quick:
        print(write("false_alarms", found))


if __name__ == "__main__":
    main()
