"""What rviz and its like draw of a result: boxes and labels of detections; motion and trails of tracks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from sentryfuse_core.account.messages import Fields, PublishContext, header, pose
from sentryfuse_core.clock import NS_PER_MS
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.types import Detection, FusionResult

__all__ = ["marker_array"]

_ARROW, _CUBE, _LINE_STRIP, _TEXT, _ADD, _DELETE_ALL = 0, 1, 4, 9, 0, 3  # visualization_msgs/Marker
_LIFETIME_NS = 500 * NS_PER_MS
_COLOURS = (
    (0.10, 0.45, 0.85),
    (0.90, 0.35, 0.15),
    (0.20, 0.65, 0.30),
    (0.60, 0.30, 0.75),
)  # by class, RGB 0..1
_ARROW_S = 1.0  # an arrow ends where the object will be then
_SLOW_M_S = 0.5  # arrows of what hardly moves point anywhere


def marker_array(result: FusionResult, context: PublishContext) -> Fields:
    """visualization_msgs/MarkerArray: the last ones removed, then those of each detection and track.

    A track that is not confirmed yet has none.
    """
    top = header(result.synced.stamp_ns, context.base_frame)
    common = {"header": top, "action": _ADD, "lifetime": {"sec": 0, "nanosec": _LIFETIME_NS}}
    markers: list[Fields] = [{"header": top, "action": _DELETE_ALL, "pose": pose(0.0, 0.0, 0.0, 0.0)}]
    for index, item in enumerate(result.detections):
        markers += [common | {"id": index} | own for own in _detection(item)]
    for track in result.tracks or ():
        if track.state is not TrackState.TENTATIVE:
            markers += [common | {"id": track.identity} | own for own in _track(track)]
    return {"markers": markers}


def _detection(item: Detection) -> Iterator[Fields]:
    yield {"ns": "box", **_box(item, 0.5)}
    yield {"ns": "label", **_text(item, f"{item.label} {item.score:.2f}", 0.4)}


def _track(track: Track) -> Iterator[Fields]:
    speed_m_s = math.hypot(track.vx, track.vy)
    if track.state is TrackState.COASTING:
        yield {"ns": "coasting", **_box(track, 0.15)}
    yield {"ns": "track", **_text(track, f"{track.label} {track.identity}: {speed_m_s:.1f} m/s", 0.9)}
    if speed_m_s > _SLOW_M_S:
        ahead = (track.x + _ARROW_S * track.vx, track.y + _ARROW_S * track.vy)
        yield {
            "ns": "velocity",
            "type": _ARROW,
            "points": _points(((track.x, track.y), ahead), track.z),
            "scale": {"x": 0.1, "y": 0.3, "z": 0.4},  # m: shaft, head, length of the head
            "color": _colour(track, 1.0),
        }
    if len(track.trail) > 1:
        yield {
            "ns": "trail",
            "type": _LINE_STRIP,
            "points": _points(track.trail.tolist(), track.z),
            "scale": {"x": 0.08, "y": 0.0, "z": 0.0},
            "color": _colour(track, 0.8),
        }


def _box(item: Detection | Track, opacity: float) -> Fields:
    return {
        "type": _CUBE,
        "pose": pose(item.x, item.y, item.z, item.yaw),
        "scale": {"x": item.length, "y": item.width, "z": item.height},
        "color": _colour(item, opacity),
    }


def _text(item: Detection | Track, text: str, above_m: float) -> Fields:
    return {
        "type": _TEXT,
        "pose": pose(item.x, item.y, item.z + item.height / 2 + above_m, 0.0),
        "scale": {"x": 0.0, "y": 0.0, "z": 0.5},
        "color": {"r": 1.0, "g": 1.0, "b": 1.0, "a": 1.0},
        "text": text,
    }


def _points(places: Iterable[Sequence[float]], z: float) -> list[Fields]:
    return [{"x": x, "y": y, "z": z} for x, y in places]


def _colour(item: Detection | Track, opacity: float) -> Fields:
    red, green, blue = _COLOURS[item.class_id % len(_COLOURS)]
    return {"r": red, "g": green, "b": blue, "a": opacity}
