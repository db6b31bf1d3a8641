"""Recordings with labels beside them: sets formed by the robot's own synchroniser and health monitor."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sentryfuse_core import convert
from sentryfuse_core.bags.arrivals import Arrival, arrivals
from sentryfuse_core.bags.poses import BagTransforms
from sentryfuse_core.bags.readers import BagReader, bag_files, is_recording
from sentryfuse_core.bags.topics import Selection, encodings, select
from sentryfuse_core.bags.undecoded import Undecoded
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.errors import DatasetError, InvalidMessageError
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.lab.datasets.driving import Box, Drive, DrivingSet, LabelledFrame, labelled
from sentryfuse_core.lab.datasets.told import check_told
from sentryfuse_core.lab.datasets.vocabulary import USUAL, Vocabulary
from sentryfuse_core.pipeline import prepare
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.preprocess.placing import Placer
from sentryfuse_core.replay.labels import read_labels
from sentryfuse_core.sync.match import nearest
from sentryfuse_core.types import Detection, Modality

__all__ = ["find_bags", "load_bags"]

LAYOUT = "bag"
LABELS_NAME = "labels.jsonl"
_NEAR_NS = 50_000_000  # half a period of a lidar: a set further from every label is not used


def find_bags(root: Path) -> list[Path]:
    """The recordings: `root` itself, or those in it."""
    if is_recording(root):
        return [root]
    return sorted(path for path in root.iterdir() if is_recording(path)) if root.is_dir() else []


def load_bags(
    root: Path,
    *,
    labels: Path | None = None,
    config: Config | None = None,
    told: Collection[str] | None = None,
    topics: Mapping[str, str],
    need_labels: bool = True,
    plain: bool = False,
    vocabulary: Vocabulary = USUAL,
) -> DrivingSet:
    """Every recording in `root` is a drive; its labels are `labels`, or labels.jsonl beside it.

    `plain`: every set is a frame, and none is labelled. Without `need_labels` all sets of a recording without
    labels are frames, which have no boxes. What a labelled recording does not say of its lidar is asked for,
    unless it is among `told`, the names of options that somebody gave; None: all that `config` has.

    Raises DatasetError, BagError or TopicError for what cannot be read.
    """
    bags = find_bags(root)
    if not bags:
        raise DatasetError(
            f"no recording in {root}: looked for .mcap, .db3 and .bag files; give their folder"
        )
    if labels is not None and len(bags) > 1:
        raise DatasetError(f"--labels {labels} beside {len(bags)} recordings; put labels.jsonl beside each")
    sought = not plain and (need_labels or (root / LABELS_NAME).is_file())
    if labels is None and sought and len(bags) > 1 and all(bag.is_file() for bag in bags):
        raise DatasetError(
            f"{len(bags)} recordings in {root} itself; give each a folder with its labels.jsonl"
        )
    drives, notes = [], []
    for bag in bags:
        beside = labels or (bag if bag.is_dir() else bag.parent) / LABELS_NAME
        is_labelled = not plain and (need_labels or labels is not None or beside.is_file())
        moments = _moments(beside, vocabulary) if is_labelled else None
        selection, chosen = _selected(bag, config or Config(), topics)
        notes += [f"{bag.name}: {note}" for note in chosen]
        if is_labelled and (config is None or told is not None):
            check_told(bag, selection, config or Config(), told or ())
        frames = partial(_frames, bag, moments, selection, config or Config(), vocabulary.labels)
        files = [*bag_files(bag), *([beside] if is_labelled else [])]
        count = _anchors(selection, config or Config()) if moments is None else len(moments)
        drives.append(Drive(bag.name, "", files, count, frames, labelled=is_labelled))
    return DrivingSet(LAYOUT, root, tuple(drives), tuple(notes), vocabulary.labels)


def _moments(path: Path, vocabulary: Vocabulary = USUAL) -> dict[int, tuple[Box, ...]]:
    """Boxes by stamp in ns; raises BagError for one that cannot be trained on, DatasetError for no line."""

    def check(box: Detection) -> None:
        if not vocabulary.knows(box.label):
            known = ", ".join(vocabulary.labels)
            raise ValueError(f"unknown class {box.label!r:.40}; use {known}, or --map {box.label:.40}=CLASS")

    found = {
        moment.stamp_ns: tuple(
            Box(label, box.x, box.y, box.z, box.length, box.width, box.height, box.yaw)
            for box in moment.boxes
            if (label := vocabulary.of(box.label, box.label)) is not None
        )
        for moment in read_labels(path, check=check)
    }
    if not found:
        raise DatasetError(f"{path} labels no moment; record the labels again")
    return found


def _selected(bag: Path, config: Config, topics: Mapping[str, str]) -> tuple[Selection, list[str]]:
    """The topics, what was chosen among several, and what is assumed."""
    with BagReader(bag) as reader:
        selection = select(reader.topics(), topics, config=config, encoding=encodings(reader))
        poses = BagTransforms(reader, config, _names(selection), Placer(config))
        return selection, [*reader.notes, *selection.notes, *selection.intrinsics, *poses.notes]


def _anchors(selection: Selection, config: Config) -> int:
    """Messages of the sensor that sets are formed about."""
    order = (Modality.LIDAR, Modality.CAMERA, Modality.AUDIO, Modality.IMU)
    names = (name for kind in order for name in config.of_kind(kind) if name in selection.topics)
    return next((selection.topics[name].count for name in names), 0)


def _names(selection: Selection) -> tuple[str, ...]:
    return tuple(topic.name for topic in selection.topics.values())


def _frames(
    bag: Path,
    moments: Mapping[int, tuple[Box, ...]] | None,
    selection: Selection,
    config: Config,
    labels: Sequence[str],
) -> Iterator[LabelledFrame]:
    """Every set near a label that has a trusted sensor; what the robot would leave out is left out.

    With `moments` None every such set.
    """
    ingest, preprocessor = Ingest(config), Preprocessor(config, measures=True)
    stamps_ns, last_ns = sorted(moments or ()), 0

    def labelled_sets() -> Iterator[LabelledFrame]:
        nonlocal last_ns
        for synced in ingest.take():
            trusted, _ = ingest.trust(synced)
            # Unlabelled sets too: attitude is added up over all of them.
            inputs = prepare(ingest, preprocessor, synced, trusted).inputs
            index = nearest(stamps_ns, synced.stamp_ns, _NEAR_NS)
            if inputs.present and (moments is None or index is not None):
                from_ns, last_ns = last_ns or synced.stamp_ns, synced.stamp_ns
                way = ingest.ego.motion(from_ns, last_ns)
                frame = labelled(
                    inputs,
                    () if moments is None or index is None else moments[stamps_ns[index]],
                    labels=labels,
                    stamp_ns=synced.stamp_ns,
                    points=preprocessor.points,
                    pcm=preprocessor.pcm,
                )
                turn = EgoStep(yaw=preprocessor.yaw_since(synced, inputs.present, from_ns))
                yield replace(frame, way=way or turn, over_ground=way is not None)

    with BagReader(bag) as reader:
        undecoded = Undecoded(bag, selection.topics)
        poses = BagTransforms(reader, config, _names(selection), preprocessor.placer)
        for arrival in arrivals(reader, selection.feeds):
            poses.now_ns = arrival.at_ns
            undecoded.note(arrival)
            _take(arrival, ingest, preprocessor, selection)
            yield from labelled_sets()
        ingest.advance(reader.end_ns + round(config.sync.max_wait_s * NS_PER_S))
        yield from labelled_sets()
        if (error := undecoded.error()) is not None:
            raise error


def _take(arrival: Arrival, ingest: Ingest, preprocessor: Preprocessor, selection: Selection) -> None:
    """Hand over a message: CameraInfo to the preprocessing, all others to the ingest."""
    if arrival.sensor is None:
        try:
            if arrival.type_name == convert.ODOMETRY_TYPE:
                ingest.odometry(arrival.message)
            for name in selection.told_by(arrival.topic):
                if arrival.type_name == convert.AUDIO_INFO_TYPE:
                    ingest.audio_info(arrival.message, name)
                    continue
                intrinsics = convert.camera_info(arrival.message, rectified=name in selection.rectified)
                preprocessor.set_intrinsics(intrinsics, name)
        except InvalidMessageError:
            pass  # the robot goes on with the intrinsics it has
    else:
        arrival.hand_to(ingest)
