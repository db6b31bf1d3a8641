"""Recordings with labels beside them: sets formed by the robot's own synchroniser and health monitor."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from sentryfuse_core.bags.arrivals import Arrival, arrivals
from sentryfuse_core.bags.poses import BagTransforms, pose_notes
from sentryfuse_core.bags.readers import BagReader, bag_files, is_recording
from sentryfuse_core.bags.topics import Selection, encodings, select
from sentryfuse_core.bags.undecoded import Undecoded
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.errors import DatasetError
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.lab.datasets.driving import Box, Drive, DrivingSet, LabelledFrame, labelled
from sentryfuse_core.lab.datasets.told import check_told
from sentryfuse_core.lab.datasets.vocabulary import USUAL, Vocabulary
from sentryfuse_core.pipeline import prepare
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.preprocess.fit import FitCheck
from sentryfuse_core.replay.labels import none_near, read_labels
from sentryfuse_core.sync.match import nearest
from sentryfuse_core.types import Detection, Modality, ModalitySet, SyncedSet

__all__ = ["find_bags", "load_bags"]

LAYOUT = "bag"
LABELS_NAME = "labels.jsonl"
_NEAR_NS = 50_000_000  # half a period of a lidar: a set further from every label is not used
_LOOKED_AT = 100  # sets at most, for what their data tells of the parameters: 10 s of a lidar


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
        selection = _selected(bag, config or Config(), topics)
        if is_labelled and (config is None or told is not None):
            check_told(bag, selection, config or Config(), told or ())
        notes += [f"{bag.name}: {note}" for note in _notes(bag, selection, config or Config())]
        frames = partial(_frames, bag, moments, selection, config or Config(), vocabulary.labels)
        files = [*bag_files(bag), *([beside] if is_labelled else [])]
        count = _anchors(selection, config or Config()) if moments is None else len(moments)
        sensors = _recorded(selection, config or Config())
        drives.append(Drive(bag.name, "", files, count, frames, labelled=is_labelled, sensors=sensors))
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


def _selected(bag: Path, config: Config, topics: Mapping[str, str]) -> Selection:
    with BagReader(bag) as reader:
        return select(reader.topics(), topics, config=config, encoding=encodings(reader))


def _notes(bag: Path, selection: Selection, config: Config) -> list[str]:
    """What was chosen and is assumed, and which parameters the first sets do not fit, as a replay says it."""
    robot = _Robot(config)
    with BagReader(bag) as reader:
        poses = BagTransforms(reader, config, _names(selection), robot.placer)
        for synced in islice(_sets(reader, poses, selection, robot), _LOOKED_AT):
            robot.prepare(synced)
            robot.fit.look(synced, felt_m_s2=robot.preprocessor.felt_m_s2)
            if not robot.fit.unchecked & selection.topics.keys():
                break
        placed = pose_notes(robot.placer.placements, config)
        told = [*robot.notes, *robot.fit.told]
        return [*reader.notes, *selection.notes, *selection.intrinsics, *told, *poses.notes, *placed]


def _anchors(selection: Selection, config: Config) -> int:
    """Messages of the sensor that sets are formed about."""
    order = (Modality.LIDAR, Modality.CAMERA, Modality.AUDIO, Modality.IMU)
    names = (name for kind in order for name in config.of_kind(kind) if name in selection.topics)
    return next((selection.topics[name].count for name in names), 0)


def _recorded(selection: Selection, config: Config) -> ModalitySet:
    """The kinds of sensors that the recording has topics of."""
    return ModalitySet.of(
        *(kind for kind in Modality if any(name in selection.topics for name in config.of_kind(kind)))
    )


def _names(selection: Selection) -> tuple[str, ...]:
    return tuple(topic.name for topic in selection.topics.values())


class _Robot:
    """What messages pass through on a robot, up to the network's inputs."""

    def __init__(self, config: Config) -> None:
        self.ingest, self.preprocessor = Ingest(config), Preprocessor(config, measures=True)
        self.config, self.placer = config, self.preprocessor.placer
        self.fit = FitCheck(config, self.preprocessor.intrinsics)
        self.notes: list[str] = []  # of what was told about a sensor and cannot be used

    def take(self, arrival: Arrival, selection: Selection) -> None:
        """Hand over a message: CameraInfo to the preprocessing, all others to the ingest."""
        if arrival.sensor is not None:
            arrival.hand_to(self.ingest)
            return
        note = arrival.tell(selection, self.ingest, self.preprocessor, self.fit)
        if note is not None and note not in self.notes:
            self.notes.append(note)

    def prepare(self, synced: SyncedSet) -> Prepared:
        """The inputs of a set, of the sensors that are trusted."""
        trusted, _ = self.ingest.trust(synced)
        return prepare(self.ingest, self.preprocessor, synced, trusted)


def _sets(
    reader: BagReader, poses: BagTransforms, selection: Selection, robot: _Robot
) -> Iterator[SyncedSet]:
    """Every set of the recording, in order, for the robot to prepare before it takes the next.

    Raises BagError for a topic of which not one message could be decoded.
    """
    undecoded = Undecoded(reader.path, selection.topics)
    for arrival in arrivals(reader, selection.feeds):
        poses.now_ns = arrival.at_ns
        undecoded.note(arrival)
        robot.take(arrival, selection)
        yield from robot.ingest.take()
    robot.ingest.advance(reader.end_ns + round(robot.config.sync.max_wait_s * NS_PER_S))
    yield from robot.ingest.take()
    if (error := undecoded.error()) is not None:
        raise error


def _frames(
    bag: Path,
    moments: Mapping[int, tuple[Box, ...]] | None,
    selection: Selection,
    config: Config,
    labels: Sequence[str],
) -> Iterator[LabelledFrame]:
    """Every set near a label that has a trusted sensor; what the robot would leave out is left out.

    With `moments` None every such set. Raises DatasetError where no set is near a label.
    """
    robot, stamps_ns, last_ns = _Robot(config), sorted(moments or ()), 0
    first_ns: int | None = None
    preprocessor, matched = robot.preprocessor, moments is None
    with BagReader(bag) as reader:
        poses = BagTransforms(reader, config, _names(selection), robot.placer)
        for synced in _sets(reader, poses, selection, robot):
            # Unlabelled sets too: attitude is added up over all of them.
            inputs = robot.prepare(synced).inputs
            first_ns = synced.stamp_ns if first_ns is None else first_ns
            index = nearest(stamps_ns, synced.stamp_ns, _NEAR_NS)
            matched = matched or index is not None
            if inputs.present and (moments is None or index is not None):
                from_ns, last_ns = last_ns or synced.stamp_ns, synced.stamp_ns
                way = robot.ingest.ego.motion(from_ns, last_ns)
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
    if not matched:
        raise DatasetError(f"{bag}: {none_near(stamps_ns, first_ns, near_ns=_NEAR_NS)}")
