"""How well tracks keep identities: HOTA, CLEAR MOT and identity scores of whole recordings.

Sources: Luiten et al., 'HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking' (IJCV 2021);
Bernardin and Stiefelhagen, 'Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics' (2008);
Ristani et al., 'Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking' (2016). Ties and
orders are those of TrackEval, whose values the tests hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sentryfuse_core.boxes import Floats, Ints
from sentryfuse_core.errors import EvaluationError

__all__ = ["TrackFrame", "TrackScores", "assigned", "score_tracks", "switches_by_frame"]

_ALPHAS = np.arange(0.05, 0.99, 0.05)  # similarities that HOTA is the mean over
_LEAST = 0.5  # similarity of a pair to CLEAR MOT and IDF1
_EPS = np.finfo(float).eps
_CONTINUED = 1000.0  # a pair of the frame before stays a pair if it is similar enough


@dataclass(frozen=True, eq=False)
class TrackFrame:
    """One frame of a recording; raises EvaluationError for wrong shapes or an identity given twice."""

    truth: Ints  # [G] identities
    found: Ints  # [T] identities
    similarity: Floats  # [G, T] 0 (far apart) to 1 (the same box)

    def __post_init__(self) -> None:
        if self.similarity.shape != (len(self.truth), len(self.found)):
            raise EvaluationError(
                f"similarity {self.similarity.shape} is not [{len(self.truth)}, {len(self.found)}]"
            )
        for what, ids in (("truth", self.truth), ("found", self.found)):
            if len(np.unique(ids)) != len(ids):
                raise EvaluationError(f"{what}: an identity is there twice in one frame: {ids.tolist()}")


@dataclass(frozen=True)
class TrackScores:
    """Scores from 0 to 1 (MOTA may be negative), and counts of frames' boxes."""

    hota: float
    detection: float  # DetA
    association: float  # AssA
    mota: float
    idf1: float
    hits: int
    missed: int
    false: int
    switches: int


def score_tracks(frames: Sequence[TrackFrame]) -> TrackScores:
    """Scores of one recording; boxes below a similarity of 0.5 are no pair for CLEAR MOT and IDF1."""
    numbered, truth_ids, found_ids = _numbered(frames)
    counts = (
        np.bincount(
            np.concatenate([np.zeros(0, np.int64), *(one.truth for one in numbered)]), minlength=truth_ids
        ),
        np.bincount(
            np.concatenate([np.zeros(0, np.int64), *(one.found for one in numbered)]), minlength=found_ids
        ),
    )
    hota, detection, association = _hota(numbered, *counts)
    hits, missed, false, switched = _clear(numbered, truth_ids)
    switches = sum(switched)
    return TrackScores(
        hota=hota,
        detection=detection,
        association=association,
        mota=(hits - false - switches) / max(1, hits + missed),
        idf1=_idf1(numbered, *counts),
        hits=hits,
        missed=missed,
        false=false,
        switches=switches,
    )


def switches_by_frame(frames: Sequence[TrackFrame]) -> list[int]:
    """How many objects went over to another track in each frame; their sum is that of `score_tracks`."""
    numbered, truth_ids, _ = _numbered(frames)
    return _clear(numbered, truth_ids)[3]


def _numbered(frames: Sequence[TrackFrame]) -> tuple[list[TrackFrame], int, int]:
    """The frames with identities as numbers from 0, and how many there are of objects and of tracks."""
    (truth_ids, truth), (found_ids, found) = (
        _numbers([one.truth for one in frames]),
        _numbers([one.found for one in frames]),
    )
    made = [TrackFrame(t, f, one.similarity) for t, f, one in zip(truth, found, frames, strict=True)]
    return made, truth_ids, found_ids


def _numbers(ids: Sequence[Ints]) -> tuple[int, list[Ints]]:
    """How many identities there are, and those of every frame as numbers from 0."""
    unique, flat = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]), return_inverse=True)
    ends = np.cumsum([len(frame) for frame in ids])
    return len(unique), list(np.split(flat, ends[:-1])) if ids else []


def assigned(gain: Floats) -> tuple[Ints, Ints]:
    """Rows and columns of the pairs with the largest sum of gains."""
    import lap

    if not gain.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    _, columns, _ = lap.lapjv(-gain, extend_cost=True)
    rows = np.flatnonzero(columns >= 0)
    return rows, columns[rows]


def _hota(frames: Sequence[TrackFrame], truth_count: Ints, found_count: Ints) -> tuple[float, float, float]:
    """HOTA, DetA and AssA, each the mean over all similarities."""
    shared = np.zeros((len(truth_count), len(found_count)))
    for frame in frames:
        similar = frame.similarity
        either = similar.sum(0)[None, :] + similar.sum(1)[:, None] - similar
        share = np.divide(similar, either, out=np.zeros_like(similar), where=either > _EPS)
        shared[frame.truth[:, None], frame.found[None, :]] += share
    total = truth_count[:, None] + found_count[None, :]
    alignment = shared / np.maximum(total - shared, _EPS)
    pairs = np.zeros((len(_ALPHAS), *shared.shape))
    hits = np.zeros(len(_ALPHAS))
    for frame in frames:
        gain = alignment[frame.truth[:, None], frame.found[None, :]] * frame.similarity
        rows, columns = assigned(gain)
        right = frame.similarity[rows, columns] >= _ALPHAS[:, None] - _EPS
        hits += right.sum(1)
        pairs[:, frame.truth[rows], frame.found[columns]] += right
    boxes = truth_count.sum() + found_count.sum()
    detection = hits / np.maximum(1, boxes - hits)
    association = (pairs * pairs / np.maximum(1, total - pairs)).sum((1, 2)) / np.maximum(1, hits)
    return float(np.sqrt(detection * association).mean()), float(detection.mean()), float(association.mean())


def _clear(frames: Sequence[TrackFrame], truth_ids: int) -> tuple[int, int, int, list[int]]:
    """Hits, misses, false boxes, and the identity switches of every frame."""
    hits = missed = false = 0
    switched = []
    last = np.full(truth_ids, -1)  # what an object was paired with the last time
    before = np.full(truth_ids, -1)  # in the frame before
    for frame in frames:
        continued = frame.found[None, :] == before[frame.truth][:, None]
        gain = np.where(frame.similarity < _LEAST - _EPS, 0.0, _CONTINUED * continued + frame.similarity)
        rows, columns = assigned(gain)
        paired = gain[rows, columns] > _EPS
        truth, found = frame.truth[rows[paired]], frame.found[columns[paired]]
        switched.append(int(((last[truth] >= 0) & (last[truth] != found)).sum()))
        before[:] = -1
        last[truth] = before[truth] = found
        hits += len(truth)
        missed += len(frame.truth) - len(truth)
        false += len(frame.found) - len(found)
    return hits, missed, false, switched


def _idf1(frames: Sequence[TrackFrame], truth_count: Ints, found_count: Ints) -> float:
    """Share of boxes with the right identity, once each object is given the one track that suits it best."""
    together = np.zeros((len(truth_count), len(found_count)))
    for frame in frames:
        rows, columns = np.nonzero(frame.similarity >= _LEAST)
        together[frame.truth[rows], frame.found[columns]] += 1
    best = assigned(together)
    return float(2 * together[best].sum() / max(1, truth_count.sum() + found_count.sum()))
