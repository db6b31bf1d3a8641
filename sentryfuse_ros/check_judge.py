"""What a preflight saw of a robot, judged: pure functions from observations to lines with a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.convert import foreign
from sentryfuse_core.health.clocks import is_zero_stamp
from sentryfuse_core.preprocess.placing import parameter_pose
from sentryfuse_core.types import Modality

__all__ = ["ClockSeen", "Line", "ModelSeen", "Offer", "StreamSeen", "Verdict", "exit_status", "judge"]

_AHEAD_NS = 5_000_000  # clocks that are synchronised over a network differ by less
_SLOWEST = {modality: f"slowest_{modality.value}_hz" for modality in Modality}
_CLOCK_REMEDY = (
    "let the driver stamp with ROS time, set use_sim_time for a recording or a simulation, "
    "or synchronise the clocks (chrony or PTP)"
)


class Verdict(str, Enum):
    """How one thing that was looked at stands."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Line:
    """One thing that was looked at: a stable `code`, what was found, and what to do about it."""

    verdict: Verdict
    subject: str
    code: str
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Offer:
    """One publisher of a topic: its message type, and whether it sends reliably."""

    type_name: str
    reliable: bool


@dataclass(frozen=True)
class StreamSeen:
    """What was seen of one sensor; medians are over the messages that could be read.

    `wanted` are the types that the configuration asks for. `refused` are reasons with their counts,
    `details` what was found the last time, by reason.
    `received_ns` is 0 where the clock has not begun.
    `placed` says whether tf2 knows a transform from `frame_id` to the base frame; None where that was not
    asked, or nobody publishes transforms. `problem` is what the subscription says keeps messages away,
    `remedy` what to do about it.
    """

    modality: Modality
    topic: str
    wanted: tuple[str, ...]
    offers: tuple[Offer, ...] = ()
    messages: int = 0
    rate_hz: float = 0.0
    refused: tuple[tuple[str, int], ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    stamp_ns: int = 0
    received_ns: int = 0
    lag_ns: int = 0
    frame_id: str | None = None
    placed: bool | None = None
    problem: str = ""
    remedy: str = ""
    publishers: tuple[str, ...] = ()  # full names of the nodes that send what is wanted


@dataclass(frozen=True)
class ClockSeen:
    """Whether the node would follow /clock, whether anyone publishes it and whether it came."""

    use_sim_time: bool = False
    published: bool = False
    running: bool = False


@dataclass(frozen=True)
class ModelSeen:
    """The checkpoint's identity and the device, or why they cannot be had; `faults` are standing ones."""

    identity: str = ""
    device: str = ""
    checkpoint_error: str = ""
    device_error: str = ""
    faults: tuple[str, ...] = ()


def judge(  # one argument for each thing that is looked at
    streams: Iterable[StreamSeen],
    config: Config,
    *,
    intrinsics: bool,
    clock: ClockSeen,
    model: ModelSeen,
    memory_notes: tuple[str, ...],
    transforms: bool | None = None,
) -> list[Line]:
    """Every line of the table, in order; at least one for each thing.

    `transforms` says whether anybody publishes any; None where they are not used.
    """
    lines: list[Line] = []
    for seen in streams:
        lines += _stream(seen, config, clock)
        if seen.modality is Modality.CAMERA:
            lines.append(_intrinsics(config, seen=intrinsics))
    if transforms is False:
        found = "nobody publishes /tf_static or /tf: the sensors are placed by <sensor>.translation_m"
        remedy = "start robot_state_publisher, or set output.extrinsics to parameters if those are right"
        lines.append(Line(Verdict.WARN, "poses", "no_transforms", found, remedy))
    lines += [_clock(clock), *_model(model, config), *_memory(memory_notes)]
    return lines


def exit_status(lines: Iterable[Line], *, strict: bool) -> int:
    """1 when anything fails, or warns under `strict`; else 0."""
    bad = {Verdict.FAIL, Verdict.WARN} if strict else {Verdict.FAIL}
    return int(any(line.verdict in bad for line in lines))


def _stream(seen: StreamSeen, config: Config, clock: ClockSeen) -> list[Line]:
    """The connection if it is broken, else everything that its messages tell."""
    silent = _connection(seen, config)
    if silent is not None:
        return [silent]
    lines = [*_refused(seen), *_rate(seen, config), *_shared(seen)]
    if seen.frame_id is not None:  # at least one message could be read
        lines += [*_stamps(seen, config, clock), *_frame(seen, config)]
    if not lines:
        found = f"{seen.rate_hz:.1f} Hz, lag {seen.lag_ns / 1e6:.0f} ms on {seen.topic}"
        lines.append(Line(Verdict.OK, seen.modality.value, "ok", found))
    return lines


def _connection(seen: StreamSeen, config: Config) -> Line | None:
    """Why not a single message came; None where one did."""
    if seen.messages:
        return None
    name, types = seen.modality.value, {offer.type_name for offer in seen.offers}
    if not types:
        start = seen.remedy or f"start the driver, or set {name}.topic"
        remedy = f"{start}; set {name}.enabled to false if there is none"
        return Line(Verdict.FAIL, name, "no_publisher", f"no publisher on {seen.topic}", remedy)
    if not types & set(seen.wanted):
        found = f"unknown type {_list(types)} on {seen.topic}, not {_list(seen.wanted)}"
        return Line(Verdict.FAIL, name, "unknown_type", found, _type_remedy(types, name))
    fitting = [offer for offer in seen.offers if offer.type_name in seen.wanted]
    if config.sensor(seen.modality).reliability == "reliable" and not any(o.reliable for o in fitting):
        found = f"QoS incompatible on {seen.topic}: the publisher is best effort, {name}.reliability reliable"
        remedy = f"set {name}.reliability to best_effort"
        return Line(Verdict.FAIL, name, "qos_incompatible", found, remedy)
    if seen.problem:
        return Line(Verdict.FAIL, name, "silent", seen.problem, seen.remedy)
    remedy = "check that the driver runs and its sensor is plugged in; see Shared memory in docs/ros_api.md"
    return Line(Verdict.FAIL, name, "silent", f"no message on {seen.topic}, though it is published", remedy)


def _type_remedy(types: set[str], name: str) -> str:
    transports = {"sensor_msgs/msg/CompressedImage": "compressed", "sensor_msgs/msg/Image": "raw"}
    for type_name, transport in transports.items():
        if name == "camera" and type_name in types:
            return f"set camera.transport to {transport}"
    known = next(filter(None, map(foreign, sorted(types))), None)
    if known is not None:
        return known.remedy
    return "remap the topic, convert the messages or install the package of this type"


def _refused(seen: StreamSeen) -> Iterator[Line]:
    name = seen.modality.value
    for reason, count in seen.refused:
        found = f"{reason.replace('_', ' ')}: {count} of {seen.messages} messages on {seen.topic}"
        if reason in seen.details:
            found += f", the last one: {seen.details[reason]}"
        remedy = "correct the driver; every such message is dropped"
        if reason == "zero_stamp":
            remedy = f"let the driver of {seen.topic} stamp its messages"
        verdict = Verdict.FAIL if 2 * count > seen.messages else Verdict.WARN
        yield Line(verdict, name, reason, found, remedy)


def _shared(seen: StreamSeen) -> Iterator[Line]:
    if len(seen.publishers) > 1:
        found = f"{len(seen.publishers)} publishers on {seen.topic} are mixed: {', '.join(seen.publishers)}"
        remedy = "stop all but one, or remap each to a topic of its own"
        yield Line(Verdict.WARN, seen.modality.value, "several_publishers", found, remedy)


def _rate(seen: StreamSeen, config: Config) -> Iterator[Line]:
    name, health = seen.modality.value, config.health
    expected_hz = config.sensor(seen.modality).expected_rate_hz
    slowest_hz: float = getattr(health, _SLOWEST[seen.modality])
    remedy = f"check the driver's rate and the network's load, or set {name}.expected_rate_hz"
    if expected_hz > 0 and seen.rate_hz < health.rate_warn * expected_hz:
        lost = seen.rate_hz < health.rate_error * expected_hz
        found = f"{seen.rate_hz:.1f} Hz on {seen.topic}, {expected_hz:g} Hz expected"
        yield Line(Verdict.FAIL if lost else Verdict.WARN, name, "slow", found, remedy)
    elif expected_hz <= 0 and seen.rate_hz < slowest_hz:
        found = f"{seen.rate_hz:.1f} Hz on {seen.topic}, below {slowest_hz:g} Hz"
        yield Line(Verdict.WARN, name, "slow", found, remedy)


def _stamps(seen: StreamSeen, config: Config, clock: ClockSeen) -> Iterator[Line]:
    name, lag_s = seen.modality.value, seen.lag_ns / NS_PER_S
    apart_ns = round(config.health.clock_apart_s * NS_PER_S)
    if seen.received_ns <= 0:
        return  # no clock to compare with; that has a line of its own
    if is_zero_stamp(seen.stamp_ns, seen.received_ns, apart_ns):
        found = f"zero stamp: {seen.stamp_ns} ns on {seen.topic}"
        yield Line(
            Verdict.FAIL, name, "zero_stamp", found, f"let the driver of {seen.topic} stamp its messages"
        )
    elif abs(seen.lag_ns) > apart_ns:
        found = f"other clock: stamps on {seen.topic} are {abs(lag_s):.1f} s {_side(lag_s)} ROS time"
        remedy = "set use_sim_time: /clock is published" if _unfollowed(clock) else _CLOCK_REMEDY
        yield Line(Verdict.FAIL, name, "other_clock", found, remedy)
    elif seen.lag_ns < -_AHEAD_NS:
        dropped = -lag_s > config.sync.max_future_s
        found = f"future stamp: {-1e3 * lag_s:.0f} ms ahead of ROS time on {seen.topic}"
        remedy = f"synchronise the clocks (chrony or PTP), or set {name}.stamp_offset_s"
        yield Line(Verdict.FAIL if dropped else Verdict.WARN, name, "future_stamp", found, remedy)
    elif lag_s > config.output.max_output_age_s:
        found = f"lag {1e3 * lag_s:.0f} ms from stamp to arrival on {seen.topic}"
        remedy = (
            f"shorten the driver's delay, correct {name}.stamp_offset_s, or raise output.max_output_age_s"
        )
        yield Line(Verdict.WARN, name, "lag", found, remedy)


def _side(lag_s: float) -> str:
    return "behind" if lag_s > 0 else "ahead of"


def _unfollowed(clock: ClockSeen) -> bool:
    return clock.published and not clock.use_sim_time


def _frame(seen: StreamSeen, config: Config) -> Iterator[Line]:
    name, base, frame_id = seen.modality.value, config.output.base_frame, seen.frame_id or ""
    if config.output.extrinsics != "auto":
        return
    section, right = config.sensor(seen.modality), frame_id.lstrip("/")
    slash = "" if right == frame_id else f" {frame_id!r} begins with a slash, which tf2 refuses, and"
    remedy = f"publish it (robot_state_publisher), or set {name}.frame_id or output.base_frame"
    if not frame_id:
        found = f"no frame_id on {seen.topic}; it is placed by {name}.translation_m"
        yield Line(Verdict.WARN, name, "no_frame", found, f"set {name}.frame_id: where tf2 is it is needed")
    elif seen.placed is False:
        given = parameter_pose(section) != parameter_pose(type(section)())
        found = f"wrong frame:{slash} tf2 knows no transform from {right!r} to {base!r}; "
        found += f"{name}.translation_m holds" if given else f"{name}.translation_m is not set, either"
        # A pose that somebody gave is one to go on with; the defaults are those of another robot.
        yield Line(Verdict.WARN if given else Verdict.FAIL, name, "wrong_frame", found, remedy)
    elif slash:
        found = f"wrong frame:{slash} without it is {'found' if seen.placed else 'what tf2 will look for'}"
        remedy = f"let the driver write {right!r}, or set {name}.frame_id"
        yield Line(Verdict.WARN, name, "slash_frame", found, remedy)


def _intrinsics(config: Config, *, seen: bool) -> Line:
    if seen:
        return Line(Verdict.OK, "camera info", "ok", f"came on {config.camera.info_topic}")
    found = (
        f"no usable CameraInfo on {config.camera.info_topic}; camera.fx, fy, cx, cy of the parameters hold"
    )
    remedy = "set camera.info_topic, or make sure that the parameters are this camera's"
    return Line(Verdict.WARN, "camera info", "no_camera_info", found, remedy)


def _clock(clock: ClockSeen) -> Line:
    if clock.use_sim_time and not clock.running:
        found = "use_sim_time is set, but no time comes on /clock"
        remedy = "start the simulation or the player, or leave use_sim_time off"
        return Line(Verdict.FAIL, "clock", "no_clock", found, remedy)
    if _unfollowed(clock):
        found = "/clock is published, but use_sim_time is off"
        return Line(Verdict.WARN, "clock", "clock_unused", found, "set use_sim_time if this is no real robot")
    return Line(Verdict.OK, "clock", "ok", "/clock" if clock.use_sim_time else "system clock")


def _model(model: ModelSeen, config: Config) -> Iterator[Line]:
    if model.checkpoint_error:
        remedy = (
            "give model.checkpoint a file that is there, its manifest beside it, "
            "and model.max_level one of its levels"
        )
        yield Line(Verdict.FAIL, "checkpoint", "checkpoint", model.checkpoint_error, remedy)
        return
    yield Line(Verdict.OK, "checkpoint", "ok", model.identity)
    remedy = "set model.device and model.backend to what is there"
    if model.device_error:
        yield Line(Verdict.FAIL, "device", "device", model.device_error, remedy)
    for fault in model.faults:
        yield Line(Verdict.WARN, "device", "device", fault, remedy)
    if not model.device_error and not model.faults:
        yield Line(Verdict.OK, "device", "ok", f"{model.device} (model.device {config.model.device})")


def _memory(notes: tuple[str, ...]) -> Iterator[Line]:
    for note in notes:
        found, _, remedy = note.rpartition(": ")
        yield Line(Verdict.WARN, "shared memory", "shared_memory", found or note, remedy if found else "")
    if not notes:
        yield Line(Verdict.OK, "shared memory", "ok", "enough for large messages")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
