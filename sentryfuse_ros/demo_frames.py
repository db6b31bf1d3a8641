"""Moments of the demo for its report: what the used sensors saw, taken from the recording that was played."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentryfuse_core import convert
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import CameraConfig
from sentryfuse_core.faults.stamps import stamp_ns
from sentryfuse_core.preprocess.camera import parameter_intrinsics
from sentryfuse_core.replay.frames import make_frame
from sentryfuse_core.types import Modality
from sentryfuse_ros.problems import COMPRESSED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sentryfuse_core.config import Config
    from sentryfuse_core.faults.scenario import Stretch
    from sentryfuse_core.replay.records import SetRecord
    from sentryfuse_core.replay.report_data import ReportFrame
    from sentryfuse_core.replay.truth import Truth
    from sentryfuse_core.types import Sample

__all__ = ["moments"]

_BEFORE_END_S = 0.7  # a stretch is shown this long before it ends, when it has settled
_SHOWN = (Modality.CAMERA, Modality.LIDAR)


def moments(
    bag: Path,
    records: Sequence[SetRecord],
    stretches: Sequence[Stretch],
    *,
    start_ns: int,
    stamp_shift_ns: int,
    truth: Truth,
    config: Config,
) -> tuple[ReportFrame, ...]:
    """One moment of every stretch; pictures and points only of sensors that were used then."""
    chosen: list[SetRecord] = []
    for stretch in stretches:
        at_ns = start_ns + round((stretch.until_s - _BEFORE_END_S) * NS_PER_S)
        chosen += sorted(records, key=lambda record: abs(record.released_ns - at_ns))[:1]
    shown = {name: kind for name, kind in config.kinds if kind in _SHOWN}
    keys = [_keys(record, stamp_shift_ns, shown) for record in chosen]
    samples = _samples(bag, [key for own in keys for key in own], shown, config)
    frames = []
    for record, own in zip(chosen, keys, strict=True):
        found = {key[0]: samples[key] for key in own if key in samples}
        frames.append(
            make_frame(
                record,
                found,
                config=config,
                intrinsics={
                    name: parameter_intrinsics(section)
                    for name, section in config.sensors.items()
                    if isinstance(section, CameraConfig)
                },
                truth=truth.at(record.stamp_ns - stamp_shift_ns),
            )
        )
    return tuple(frames)


def _keys(record: SetRecord, stamp_shift_ns: int, shown: Iterable[str]) -> list[tuple[str, int]]:
    """Sensor and recorded stamp of what the set used, in steps of 2 ms: offsets are published rounded."""
    stamp_ns = record.stamp_ns - stamp_shift_ns
    return [
        (name, round((stamp_ns + record.offsets_ms[name] * NS_PER_MS) / (2 * NS_PER_MS)))
        for name in shown
        if name in record.offsets_ms
    ]


def _samples(
    bag: Path, keys: Sequence[tuple[str, int]], shown: Mapping[str, Modality], config: Config
) -> dict[tuple[str, int], Sample]:
    wanted, found = set(keys), {}
    topics = {config.sensor(name).topic: name for name in shown}
    with BagReader(bag) as reader:
        names = {
            topic.name: topics.get(topic.name.strip("/").removesuffix(COMPRESSED))
            for topic in reader.topics()
        }
        for item in reader.messages([topic for topic, name in names.items() if name is not None]):
            name, stamp = names[item.topic], stamp_ns(item.message)
            if name is None or stamp is None:
                continue
            key = (name, round(stamp / (2 * NS_PER_MS)))
            if key in wanted:
                found[key] = convert.to_sample(
                    shown[name],
                    item.message,
                    type_name=item.type_name,
                    config=config.sensor(name),
                    received_ns=item.log_time_ns,
                    arrival_ns=item.log_time_ns,
                    sensor=name,
                )
    return found
