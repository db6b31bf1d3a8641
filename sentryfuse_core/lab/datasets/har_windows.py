"""Cuts the phone and watch recordings of SP-SW-HAR into synchronous labelled windows of four streams."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets import har
from sentryfuse_core.lab.datasets.arrays import Arrays, tokenised

__all__ = [
    "FOLDS",
    "RATE_HZ",
    "STREAMS",
    "HarWindows",
    "har_fold",
    "load_windows",
    "people_of_fold",
]

RATE_HZ = 100
FOLDS = 5
STREAMS = ("phone_accel", "phone_gyro", "watch_accel", "watch_gyro")
_DEVICES = {"sp": "phone", "sw": "watch"}
_LONGEST_GAP_S = 0.1
_VALIDATION_PEOPLE = 3
_Streams = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class HarWindows:
    """Windows of four synchronous streams: `streams` [n, samples, 3], accel in m/s^2, gyro in rad/s."""

    streams: Mapping[str, NDArray[np.float32]]
    label: NDArray[np.int64]  # [n], 0..K-1
    classes: tuple[str, ...]  # K activities in alphabetical order
    person: NDArray[np.int64]  # [n], the person's number in the file names


def load_windows(
    recordings: Path, *, window_s: float = 1.0, step_s: float = 0.5, pure: float = 1.0
) -> HarWindows:
    """Windows of `window_s` every `step_s` of each run that both devices recorded.

    Both devices' rows are interpolated linearly to one 100 Hz grid over the time they share: they were
    recorded by one clock. Phone rows come in bursts (a pause of about 50 ms, then rows stamped within a
    few ms); they are taken at their stamps, as a live system would. A window is kept if in neither
    device more than 0.1 s lies between two rows, and if at a share `pure` of its samples or more both
    devices name its most frequent activity (1.0: one activity throughout).

    Raises BagError if the zip cannot be read, DatasetError if no window is left.
    """
    parts: list[tuple[_Streams, list[str], int]] = []
    length, step = round(window_s * RATE_HZ), round(step_s * RATE_HZ)
    if length < 1 or step < 1 or not 0.0 < pure <= 1.0:
        raise DatasetError(
            f"cannot cut windows of {window_s} s every {step_s} s, pure {pure}; give positive ones"
        )
    for pair in _pairs(recordings):
        streams, activity = _cut(*pair, length=length, step=step, pure=pure)
        parts.append((streams, activity, _person(pair[0].name)))
    names = [name for _, activity, _ in parts for name in activity]
    if not names:
        raise DatasetError(f"{recordings} gives no window of {window_s} s; choose a shorter one")
    classes, label = np.unique(names, return_inverse=True)
    return HarWindows(
        streams={name: np.concatenate([streams[name] for streams, _, _ in parts]) for name in STREAMS},
        label=label.astype(np.int64),
        classes=tuple(classes.tolist()),
        person=np.repeat([person for *_, person in parts], [len(activity) for _, activity, _ in parts]),
    )


def people_of_fold(people: NDArray[np.int64], fold: int) -> dict[str, list[int]]:
    """Who is in train, val and test of one fold, the same whatever the order of `people` [n].

    The people, sorted by number, are dealt to five folds in turn. A fold's own people are its test; the
    first person of each of the next three folds is its validation; the others train.
    """
    if fold not in range(FOLDS):
        raise DatasetError(f"there is no fold {fold}; choose 0 to {FOLDS - 1}")
    everyone = np.unique(people).tolist()
    if len(everyone) < FOLDS:
        raise DatasetError(f"{len(everyone)} people do not fill {FOLDS} folds; give the whole data set")
    test = everyone[fold::FOLDS]
    val = sorted(everyone[(fold + step) % FOLDS] for step in range(1, _VALIDATION_PEOPLE + 1))
    train = [person for person in everyone if person not in {*test, *val}]
    return {"train": train, "val": val, "test": test}


def har_fold(windows: HarWindows, fold: int, *, patch: int = 10) -> Arrays:
    """One fold of five by person; tokens are `patch` consecutive samples, [n, samples / patch, 3 patch].

    Standardised with the training people's statistics; `item` is the person.
    """
    split = np.empty(len(windows.label), dtype="<U5")
    for name, people in people_of_fold(windows.person, fold).items():
        split[np.isin(windows.person, people)] = name
    try:
        return tokenised(
            f"har_fold{fold}",
            windows.streams,
            label=windows.label,
            split=split,
            classes=windows.classes,
            item=windows.person,
            sides=dict.fromkeys(STREAMS, patch),
        )
    except DatasetError as error:
        raise DatasetError(f"fold {fold} of the HAR windows {error}") from None


def _pairs(recordings: Path) -> Iterator[tuple[har.HarRun, har.HarRun]]:
    """Phone's and watch's recording of each run that has both; they come by name, so side by side."""
    for _, group in itertools.groupby(har.runs(recordings), key=lambda run: run.name.rsplit("_", 1)[0]):
        of_device = {run.device: run for run in group}
        if of_device.keys() == _DEVICES.keys():
            yield of_device["sp"], of_device["sw"]


def _cut(
    phone: har.HarRun, watch: har.HarRun, *, length: int, step: int, pure: float
) -> tuple[_Streams, list[str]]:
    """Streams [k, length, 3] and the activities of a run's windows."""
    start_ns = max(phone.stamp_ns[0], watch.stamp_ns[0])
    end_ns = min(phone.stamp_ns[-1], watch.stamp_ns[-1])
    grid_ns = np.arange(start_ns, end_ns + 1, 1_000_000_000 // RATE_HZ)
    streams: dict[str, NDArray[np.float64]] = {}
    whole = np.ones(len(grid_ns), np.bool_)
    activities = []
    for run in (phone, watch):
        device = _DEVICES[run.device]
        streams[f"{device}_accel"] = _interpolated(grid_ns, run.stamp_ns, run.accel)
        streams[f"{device}_gyro"] = _interpolated(grid_ns, run.stamp_ns, run.gyro)
        before = np.searchsorted(run.stamp_ns, grid_ns, side="right") - 1
        after = np.minimum(before + 1, len(run.stamp_ns) - 1)
        # A gap is longer than the grid's step, so one always covers a sample of the grid.
        whole &= run.stamp_ns[after] - run.stamp_ns[before] <= _LONGEST_GAP_S * 1e9
        activities.append(np.array(run.activity)[before])
    named = np.where(activities[0] == activities[1], activities[0], "")
    chosen = [
        (start, name)
        for start in range(0, len(grid_ns) - length + 1, step)
        if whole[start : start + length].all() and (name := _activity(named[start : start + length], pure))
    ]
    index = np.array([start for start, _ in chosen], np.intp)[:, None] + np.arange(length)
    cut = {name: values[index].astype(np.float32) for name, values in streams.items()}
    return cut, [name for _, name in chosen]


def _activity(named: NDArray[Any], pure: float) -> str:
    """The activity of a share `pure` of the samples or more, else nothing."""
    names, counts = np.unique(named, return_counts=True)
    most = int(counts.argmax())
    return str(names[most]) if counts[most] >= pure * len(named) else ""


def _interpolated(
    grid_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`values` [N, 3] at the times of the grid [G], [G, 3]."""
    origin = stamp_ns[0]  # a double cannot hold nanoseconds since 1970
    at, known = (grid_ns - origin).astype(np.float64), (stamp_ns - origin).astype(np.float64)
    return np.stack([np.interp(at, known, channel) for channel in values.T], axis=1)


def _person(run_name: str) -> int:
    text = run_name.split("_", 1)[0].removeprefix("s")
    if not text.isdigit():
        raise DatasetError(f"run {run_name!r} names no person; keep the data set's names, such as s01_02_sp")
    return int(text)
