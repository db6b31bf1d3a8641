"""Pictures for a report of a live run: what the recording that was played held at moments of the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sentryfuse_core.config import Config
from sentryfuse_core.convert import camera_info, to_sample
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.replay.frames import camera_intrinsics, make_frame
from sentryfuse_core.replay.readers import BagReader
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.report_data import ReportFrame
from sentryfuse_core.replay.topics import select
from sentryfuse_core.replay.truth import Truth
from sentryfuse_core.types import Intrinsics, Modality, Sample

__all__ = ["moments"]

_NEAR_NS = 60_000_000  # farther from the set's stamp a sample is another moment's


def moments(
    bag: Path,
    records: Sequence[SetRecord],
    *,
    config: Config,
    truth: Truth | None = None,
    stamp_shift_ns: int = 0,
    count: int = 6,
) -> tuple[ReportFrame, ...]:
    """Frames of `count` records, evenly spread; the player had added `stamp_shift_ns` to the bag's stamps.

    Only sensors that the network used are shown: what the recording held and the robot lost is not.
    """
    middles = sorted({int((index + 0.5) * len(records) / count) for index in range(count)})
    chosen = [records[index] for index in middles if records]
    wanted_ns = sorted({record.stamp_ns - stamp_shift_ns for record in chosen})
    samples, intrinsics = _nearest(bag, wanted_ns, config)
    frames = []
    for record in chosen:
        stamp_ns = record.stamp_ns - stamp_shift_ns
        used = {m: sample for m, sample in samples[stamp_ns].items() if m in record.used}
        frames.append(
            make_frame(
                record.released_ns,
                config=config,
                intrinsics=intrinsics,
                camera_sample=used.get(Modality.CAMERA),
                lidar_sample=used.get(Modality.LIDAR),
                used=record.used,
                level=record.level,
                detections=record.detections,
                truth=() if truth is None else truth.at(stamp_ns),
            )
        )
    return tuple(frames)


def _nearest(
    bag: Path, wanted_ns: Sequence[int], config: Config
) -> tuple[dict[int, dict[Modality, Sample]], Intrinsics]:
    """For each stamp wanted, the nearest picture and cloud; and the intrinsics of the recording."""
    found: dict[int, dict[Modality, Sample]] = {stamp_ns: {} for stamp_ns in wanted_ns}
    intrinsics = camera_intrinsics(config.camera)
    with BagReader(bag) as reader:
        selection = select(reader.topics(), {}, config=config)
        shown = {
            topic.name: modality
            for modality, topic in selection.topics.items()
            if modality in (Modality.CAMERA, Modality.LIDAR)
        }
        info = () if selection.camera_info is None else (selection.camera_info,)
        for item in reader.messages((*shown, *info)):
            try:
                if item.topic in info:
                    intrinsics = camera_info(item.message)
                    continue
                modality = shown[item.topic]
                sample = to_sample(
                    modality,
                    item.message,
                    type_name=item.type_name,
                    config=config.sensor(modality),
                    received_ns=item.log_time_ns,
                    arrival_ns=item.log_time_ns,
                )
            except InvalidMessageError:
                continue
            for stamp_ns, samples in found.items():
                apart_ns = abs(sample.stamp_ns - stamp_ns)
                known = samples.get(modality)
                if apart_ns <= _NEAR_NS and (known is None or apart_ns < abs(known.stamp_ns - stamp_ns)):
                    samples[modality] = sample
    return found, intrinsics
