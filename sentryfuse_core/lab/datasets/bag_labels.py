"""Recordings with labels beside them: sets formed by the robot's own synchroniser and health monitor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from sentryfuse_core.lab.datasets.driving import Drive, DrivingSet, LabelledFrame, labelled
from sentryfuse_core.lab.datasets.labels import Labels, read_labels
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.preprocess.placing import Placer
from sentryfuse_core.types import Modality, SyncedSet

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
    root: Path, *, labels: Path | None = None, config: Config | None = None, topics: Mapping[Modality, str]
) -> DrivingSet:
    """Every recording in `root` is a drive; its labels are `labels`, or labels.jsonl beside it.

    Raises DatasetError, BagError or TopicError for what cannot be read.
    """
    bags = find_bags(root)
    if not bags:
        raise DatasetError(
            f"no recording in {root}: looked for .mcap, .db3 and .bag files; give their folder"
        )
    if labels is not None and len(bags) > 1:
        raise DatasetError(f"--labels {labels} beside {len(bags)} recordings; put labels.jsonl beside each")
    if labels is None and len(bags) > 1 and all(bag.is_file() for bag in bags):
        raise DatasetError(
            f"{len(bags)} recordings in {root} itself; give each a folder with its labels.jsonl"
        )
    drives, notes = [], []
    for bag in bags:
        beside = labels or (bag if bag.is_dir() else bag.parent) / LABELS_NAME
        recording = _Recording(bag, read_labels(beside), config or Config(), topics)
        notes += [f"{bag.name}: {note}" for note in recording.notes()]
        files = [*bag_files(bag), beside]
        drives.append(Drive(bag.name, "", files, len(recording.labels), recording.frames))
    return DrivingSet(LAYOUT, root, tuple(drives), tuple(notes))


class _Recording:
    """One bag with its labels."""

    def __init__(self, bag: Path, labels: Labels, config: Config, topics: Mapping[Modality, str]) -> None:
        self.labels = labels
        self._bag, self._config = bag, config
        with BagReader(bag) as reader:
            self.selection: Selection = select(
                reader.topics(), topics, config=config, encoding=encodings(reader)
            )
            self._files = reader.notes
            self._names = tuple(topic.name for topic in self.selection.topics.values())
            self._pose_notes = BagTransforms(reader, config, self._names, Placer(config)).notes

    def notes(self) -> list[str]:
        """What was chosen among several, and what is assumed."""
        return [*self._files, *self.selection.notes, *self.selection.intrinsics, *self._pose_notes]

    def frames(self) -> Iterator[LabelledFrame]:
        """Every set near a label that has a trusted sensor; what the robot would leave out is left out."""
        ingest, preprocess = Ingest(self._config), Preprocessor(self._config)
        with BagReader(self._bag) as reader:
            undecoded = Undecoded(self._bag, self.selection.topics)
            poses = BagTransforms(reader, self._config, self._names, preprocess.placer)
            for arrival in arrivals(reader, self.selection.feeds):
                poses.now_ns = arrival.at_ns
                undecoded.note(arrival)
                _take(arrival, ingest, preprocess, rectified=self.selection.rectified)
                yield from self._labelled(ingest, preprocess)
            ingest.advance(reader.end_ns + round(self._config.sync.max_wait_s * NS_PER_S))
            yield from self._labelled(ingest, preprocess)
            if (error := undecoded.error()) is not None:
                raise error

    def _labelled(self, ingest: Ingest, preprocess: Preprocessor) -> Iterator[LabelledFrame]:
        for synced in ingest.take():
            frame = self._frame(synced, ingest, preprocess)
            if frame is not None:
                yield frame

    def _frame(self, synced: SyncedSet, ingest: Ingest, preprocess: Preprocessor) -> LabelledFrame | None:
        trusted, _ = ingest.trust(synced)
        prepared = preprocess(synced, trusted)  # unlabelled sets too: attitude is added up over all of them
        for modality in prepared.inputs.present:
            ingest.observe_decoded(modality, prepared.content.get(modality), synced.released_ns)
        for modality, error in prepared.invalid.items():
            ingest.observe_invalid(modality, error.reason, error.detail, synced.released_ns)
        boxes = self.labels.near(synced.stamp_ns, most_ns=_NEAR_NS)
        if boxes is None or not prepared.inputs.present:
            return None
        return labelled(prepared.inputs, boxes)


def _take(arrival: Arrival, ingest: Ingest, preprocess: Preprocessor, *, rectified: bool) -> None:
    """Hand over a message: CameraInfo to the preprocessing, all others to the ingest."""
    if arrival.modality is None:
        try:
            if arrival.type_name == convert.AUDIO_INFO_TYPE:
                ingest.audio_info(arrival.message)
                return
            preprocess.set_intrinsics(convert.camera_info(arrival.message, rectified=rectified))
        except InvalidMessageError:
            return  # the robot goes on with the intrinsics it has
    else:
        ingest.message(
            arrival.modality,
            arrival.message,
            type_name=arrival.type_name,
            arrival_ns=arrival.at_ns,
            received_ns=arrival.at_ns,
        )
