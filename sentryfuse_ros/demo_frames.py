"""Moments of the demo for its report: what the used sensors saw, taken from the recording that was played."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentryfuse_core import convert
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.faults.stamps import stamp_ns
from sentryfuse_core.preprocess.camera import parameter_intrinsics
from sentryfuse_core.replay.frames import make_frame
from sentryfuse_core.types import Modality, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sentryfuse_core.faults.scenario import Stretch
    from sentryfuse_core.replay.records import SetRecord
    from sentryfuse_core.replay.report_data import ReportFrame
    from sentryfuse_core.replay.truth import Truth

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
) -> tuple[ReportFrame, ...]:
    """One moment of every stretch; pictures and points only of sensors that were used then."""
    chosen: list[SetRecord] = []
    for stretch in stretches:
        at_ns = start_ns + round((stretch.until_s - _BEFORE_END_S) * NS_PER_S)
        chosen += sorted(records, key=lambda record: abs(record.released_ns - at_ns))[:1]
    samples = _samples(bag, [key for record in chosen for key in _keys(record, stamp_shift_ns)])
    config = Config()
    frames = []
    for record in chosen:
        found = {key[0]: samples[key] for key in _keys(record, stamp_shift_ns) if key in samples}
        frames.append(
            make_frame(
                record,
                found,
                config=config,
                intrinsics={Modality.CAMERA: parameter_intrinsics(config.camera)},
                truth=truth.at(record.stamp_ns - stamp_shift_ns),
            )
        )
    return tuple(frames)


def _keys(record: SetRecord, stamp_shift_ns: int) -> list[tuple[Modality, int]]:
    """Sensor and recorded stamp of what the set used, in steps of 2 ms: offsets are published rounded."""
    stamps = {
        m: record.stamp_ns - stamp_shift_ns + record.offsets_ms[m] * NS_PER_MS for m in record.offsets_ms
    }
    return [
        (modality, round(stamps[modality] / (2 * NS_PER_MS))) for modality in _SHOWN if modality in stamps
    ]


def _samples(bag: Path, keys: Sequence[tuple[Modality, int]]) -> dict[tuple[Modality, int], Sample]:
    wanted, found, config = set(keys), {}, Config()
    with BagReader(bag) as reader:
        kinds = {topic.name: convert.type_modality(topic.type_name) for topic in reader.topics()}
        for item in reader.messages([name for name, modality in kinds.items() if modality in _SHOWN]):
            modality, stamp = kinds[item.topic], stamp_ns(item.message)
            if modality is None or stamp is None:
                continue
            key = (modality, round(stamp / (2 * NS_PER_MS)))
            if key in wanted:
                found[key] = convert.to_sample(
                    modality,
                    item.message,
                    type_name=item.type_name,
                    config=config.sensor(modality),
                    received_ns=item.log_time_ns,
                    arrival_ns=item.log_time_ns,
                )
    return found
