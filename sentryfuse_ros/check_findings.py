"""What observations of a running robot mean: from plain numbers and names to lines with reason and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.health.clocks import FUTURE_STAMP, OTHER_CLOCK, ZERO_STAMP, finding, is_zero_stamp
from sentryfuse_core.types import Modality

__all__ = ["Frame", "Level", "Line", "Publisher", "SensorSeen", "exit_status", "sensor_lines"]


class Level(Enum):
    """How bad a line is."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


class Frame(Enum):
    """What tf2 says of the frame of a sensor's messages."""

    PLACED = "placed"
    UNKNOWN = "unknown"  # no transform names it
    APART = "apart"  # known, but no path leads to the base frame
    UNASKED = "unasked"  # tf2 is not used: the pose comes from parameters


@dataclass(frozen=True)
class Line:
    """One finding; `subject` is a sensor or a part of the installation."""

    subject: str
    check: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Publisher:
    """One end of a topic as the graph tells it."""

    type_name: str
    best_effort: bool


@dataclass(frozen=True)
class SensorSeen:
    """What was seen of one enabled sensor; `received_ns` is the clock that stamps are compared with."""

    topic: str
    wanted: tuple[str, ...]  # types that would be subscribed
    wants_reliable: bool
    publishers: tuple[Publisher, ...] = ()
    waited_s: float = 0.0
    arrivals_ns: tuple[int, ...] = ()  # steady time
    stamps_ns: tuple[tuple[int, int], ...] = ()  # (stamp, received) of messages with a header
    faults: Mapping[str, str] = field(
        default_factory=dict
    )  # reason -> detail of messages that cannot be read
    frame_id: str | None = None  # None: messages have no header, or none came
    frame: Frame = Frame.UNASKED


def exit_status(lines: Iterable[Line], *, strict: bool) -> int:
    """1 where a line fails (with `strict`, or warns), else 0."""
    bad = {Level.FAIL, Level.WARN} if strict else {Level.FAIL}
    return int(any(line.level in bad for line in lines))


def sensor_lines(modality: Modality, seen: SensorSeen, config: Config) -> list[Line]:
    """What is to be said of one sensor; the first cause that explains the rest ends the list."""
    blocked = _connection(modality, seen)
    if blocked is not None:
        return [blocked]
    found = [_messages(modality, seen)]
    if not seen.arrivals_ns:
        return found
    found += [
        _line(modality, "decoding", Level.FAIL, f"{reason}: {detail}", "correct the driver's messages")
        for reason, detail in seen.faults.items()
    ]
    stamps = _stamps(modality, seen, config)
    frame = _frame(modality, seen, config)
    return found + [line for line in (stamps, frame) if line is not None]


def _line(modality: Modality, check: str, level: Level, text: str, remedy: str = "") -> Line:
    return Line(modality.value, check, level, text, remedy)


def _connection(modality: Modality, seen: SensorSeen) -> Line | None:
    """Why no message can come, as the graph tells it."""
    name = modality.value
    if not seen.publishers:
        remedy = f"start the driver, set {name}.topic or remap; {name}.enabled: false if there is none"
        return _line(modality, "topic", Level.FAIL, f"no publisher on {seen.topic}", remedy)
    offered = sorted({item.type_name for item in seen.publishers})
    if not set(offered) & set(seen.wanted):
        text = f"unknown type {', '.join(offered)} on {seen.topic}, not {' or '.join(seen.wanted)}"
        return _line(modality, "type", Level.FAIL, text, _type_remedy(modality, offered))
    if seen.wants_reliable and all(item.best_effort for item in seen.publishers):
        text = (
            f"incompatible QoS: {seen.topic} is published best effort, a reliable subscription gets nothing"
        )
        return _line(modality, "qos", Level.FAIL, text, f"set {name}.reliability to best_effort")
    return None


def _type_remedy(modality: Modality, offered: list[str]) -> str:
    if modality is Modality.CAMERA and "sensor_msgs/msg/CompressedImage" in offered:
        return "set camera.transport to compressed"
    if modality is Modality.CAMERA and "sensor_msgs/msg/Image" in offered:
        return "set camera.transport to raw"
    return f"set {modality.value}.topic, remap it or convert the messages"


def _messages(modality: Modality, seen: SensorSeen) -> Line:
    count = len(seen.arrivals_ns)
    if not count:
        text = f"no message on {seen.topic} in {seen.waited_s:.1f} s, though it has a publisher"
        return _line(modality, "messages", Level.FAIL, text, "check the sensor, its cable and the network")
    span_ns = seen.arrivals_ns[-1] - seen.arrivals_ns[0]
    if count < 3 or span_ns <= 0:
        text = f"{count} message{'s' if count > 1 else ''} on {seen.topic} in {seen.waited_s:.1f} s"
        return _line(
            modality, "messages", Level.WARN, text, "check the rate of the driver, give --timeout more"
        )
    rate_hz = (count - 1) * NS_PER_S / span_ns
    return _line(modality, "messages", Level.OK, f"{seen.topic} at {rate_hz:.1f} Hz")


def _stamps(modality: Modality, seen: SensorSeen, config: Config) -> Line | None:
    """What the stamps say of the clock that made them: all of them, since one may be off."""
    if not seen.stamps_ns:
        return None
    apart_ns = round(config.health.clock_apart_s * NS_PER_S)
    code = ""
    lags_ns = [received - stamp for stamp, received in seen.stamps_ns]
    lag_ns = sorted(lags_ns)[len(lags_ns) // 2]
    if all(is_zero_stamp(stamp, received, apart_ns) for stamp, received in seen.stamps_ns):
        code = ZERO_STAMP
    elif min(abs(item) for item in lags_ns) > apart_ns:
        code = OTHER_CLOCK
    elif -lag_ns > config.sync.max_future_s * NS_PER_S:
        code = FUTURE_STAMP
    if code:
        side = "behind" if lag_ns >= 0 else "ahead of"
        told = finding(code, f"stamps are {abs(lag_ns) / NS_PER_S:.3f} s {side} the clock", seen.topic)
        return _line(modality, "stamps", Level.FAIL, told.reason, told.remedy)
    if lag_ns > config.output.max_output_age_s * NS_PER_S:
        text = f"messages come {lag_ns / NS_PER_S:.2f} s after their stamps: every result would be too old"
        remedy = f"find the delay, set {modality.value}.stamp_offset_s or output.max_output_age_s"
        return _line(modality, "stamps", Level.FAIL, text, remedy)
    return _line(modality, "stamps", Level.OK, f"{lag_ns / 1e6:.0f} ms from stamp to arrival")


def _frame(modality: Modality, seen: SensorSeen, config: Config) -> Line | None:
    name, base = modality.value, config.output.base_frame
    frame_id = config.sensor(modality).frame_id or seen.frame_id or ""
    if seen.frame is Frame.UNASKED:
        return _line(modality, "frame", Level.OK, f"{frame_id or 'no frame'}: pose from {name}.translation_m")
    if not frame_id:
        text = "wrong frame: messages name none"
        return _line(modality, "frame", Level.FAIL, text, f"set {name}.frame_id")
    if seen.frame is Frame.UNKNOWN:
        text = f"wrong frame: tf2 does not know {frame_id}"
        remedy = f"publish its transform to {base}, or set {name}.frame_id"
        return _line(modality, "frame", Level.FAIL, text, remedy)
    if seen.frame is Frame.APART:
        text = f"wrong frame: tf2 has no path from {frame_id} to {base}"
        return _line(modality, "frame", Level.FAIL, text, f"connect it to {base}, or set output.base_frame")
    return _line(modality, "frame", Level.OK, f"{frame_id} in {base}")
