"""What a preflight saw of a robot, judged: pure functions from observations to lines with a remedy."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.config.sensors import default_section
from sentryfuse_core.health.clocks import is_zero_stamp
from sentryfuse_core.preprocess.placing import given_pose, looks_up, parameter_pose
from sentryfuse_core.types import Modality, Pose
from sentryfuse_ros.problems import Problem

__all__ = ["ClockSeen", "Line", "ModelSeen", "Stream", "Verdict", "exit_status", "judge"]

_AHEAD_S = 0.005  # clocks that are synchronised over a network differ by less
_TOPICS = 4  # that are named where there are more
_ENOUGH_MESSAGES = 5  # of a sensor, and
_ENOUGH_NS = NS_PER_S  # from its first to its last: the rate is then known
_CODES = {"incompatible_qos": "qos_incompatible"}  # where the preflight has another than the node
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


@dataclass(kw_only=True)
class Stream:
    """What came from one sensor until now.

    `refused` counts reasons, `details` has what was found the last time, by reason. `stamps` are those of
    the messages that could be read, each with when it was received; without any as long as the clock has not
    begun. `problem` is what the subscription says keeps messages away, `publishers` are the full names of
    the nodes that send what is wanted, `elsewhere` other topics of such a type. `placed` says whether tf2
    knows a transform from `frame_id` to the base frame, which is `pose`; None where that was not asked, or
    nobody publishes transforms.
    """

    topic: str
    messages: int = 0
    first_ns: int = 0  # steady times of arrival
    last_ns: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)
    stamps: list[tuple[int, int]] = field(default_factory=list)
    frame_id: str | None = None
    placed: bool | None = None
    pose: Pose | None = None
    problem: Problem | None = None
    publishers: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    def came(self, at_ns: int) -> None:
        """Count a message, readable or not."""
        self.first_ns = self.first_ns if self.messages else at_ns
        self.last_ns = at_ns
        self.messages += 1

    @property
    def answered(self) -> bool:
        """Whether enough came for its rate to be known."""
        return self.messages >= _ENOUGH_MESSAGES and self.last_ns - self.first_ns >= _ENOUGH_NS

    @property
    def rate_hz(self) -> float:
        """Messages a second; 0 before the second one."""
        span_ns = self.last_ns - self.first_ns
        return (self.messages - 1) * NS_PER_S / span_ns if span_ns > 0 else 0.0

    @property
    def lag_s(self) -> float:
        """Median time from stamp to arrival; 0 where no message could be read."""
        lags_ns = [received_ns - stamp_ns for stamp_ns, received_ns in self.stamps]
        return statistics.median(lags_ns) / NS_PER_S if lags_ns else 0.0


@dataclass(frozen=True)
class ClockSeen:
    """Whether the node would follow /clock, whether anyone publishes it and whether it came."""

    use_sim_time: bool = False
    published: bool = False
    running: bool = False


@dataclass
class InfoSeen:
    """Whether a camera's CameraInfo came that can be used, and else what the last one lacked."""

    topic: str
    usable: bool = False
    refused: str = ""
    elsewhere: tuple[str, ...] = ()  # other topics of this type


@dataclass(frozen=True)
class ModelSeen:
    """The checkpoint's identity and the device, or why they cannot be had; `faults` are standing ones."""

    identity: str = ""
    pruning: str = ""  # how widths are chosen
    device: str = ""
    checkpoint_error: str = ""
    device_error: str = ""
    faults: tuple[str, ...] = ()


def judge(
    streams: Mapping[str, Stream],
    config: Config,
    *,
    infos: Mapping[str, InfoSeen],
    clock: ClockSeen,
    model: ModelSeen,
    memory_notes: tuple[str, ...],
    transforms: bool | None = None,
    odometry: Stream | None = None,
) -> list[Line]:
    """Every line of the table, in order; at least one for each thing. Sensors are by name.

    `infos` are those of the cameras.
    `transforms` says whether anybody publishes any; None where they are not used. So does `odometry`.
    """
    lines: list[Line] = []
    for name, seen in streams.items():
        lines += _stream(name, seen, config, clock)
        if name in infos:
            lines.append(_intrinsics(name, infos[name]))
    if odometry is not None:
        lines += _odometry(odometry, config, clock)
    if transforms is False:
        found = "nobody publishes /tf_static or /tf: the sensors are placed by <sensor>.translation_m"
        remedy = "start robot_state_publisher, or set output.extrinsics to parameters if those are right"
        lines.append(Line(Verdict.WARN, "poses", "no_transforms", found, remedy))
    return [*lines, *_ground(streams, config), _clock(clock), *_model(model, config), *_memory(memory_notes)]


def exit_status(lines: Iterable[Line], *, strict: bool) -> int:
    """1 when anything fails, or warns under `strict`; else 0."""
    bad = {Verdict.FAIL, Verdict.WARN} if strict else {Verdict.FAIL}
    return int(any(line.verdict in bad for line in lines))


def _stream(name: str, seen: Stream, config: Config, clock: ClockSeen) -> list[Line]:
    """The connection if it is broken, else everything that its messages tell."""
    if not seen.messages:
        return [_silence(name, seen)]
    timed = clock.running or not clock.use_sim_time  # else rates and lags are not known, and it has a line
    lines = [*_refused(name, seen), *(_rate(name, seen, config) if timed else ())]
    if len(seen.publishers) > 1:
        found = f"{len(seen.publishers)} publishers on {seen.topic} are mixed: {', '.join(seen.publishers)}"
        remedy = "stop all but one, or remap each to a topic of its own"
        lines.append(Line(Verdict.WARN, name, "several_publishers", found, remedy))
    if seen.frame_id is not None:  # at least one message could be read
        lines += [*_stamps(name, seen, config, clock), *_frame(name, seen, config)]
    if not lines:
        found = f"{seen.rate_hz:.1f} Hz, lag {1e3 * seen.lag_s:.0f} ms" if timed else "messages come"
        lines.append(Line(Verdict.OK, name, "ok", f"{found} on {seen.topic}"))
    return lines


def _silence(name: str, seen: Stream) -> Line:
    """Why not a single message came."""
    problem = seen.problem
    if problem is None:
        found = f"no message on {seen.topic}, though it is published"
        remedy = (
            "check that the driver runs and its sensor is plugged in; see Shared memory in docs/ros_api.md"
        )
        return Line(Verdict.FAIL, name, "silent", found, remedy)
    found = problem.reason if seen.topic in problem.reason else f"{problem.reason}, on {seen.topic}"
    remedy = problem.remedy
    if problem.code == "no_publisher":
        found += _published(seen.elsewhere, "its kind of message")
        remedy += f"; set {name}.enabled to false if there is none"
    return Line(Verdict.FAIL, name, _CODES.get(problem.code, problem.code), found, remedy)


def _published(elsewhere: tuple[str, ...], what: str) -> str:
    """Where the wanted type is published, which may be the sensor under another name."""
    more = f" and {len(elsewhere) - _TOPICS} more" if len(elsewhere) > _TOPICS else ""
    return f"; {what} is published on {', '.join(elsewhere[:_TOPICS])}{more}" if elsewhere else ""


def _refused(name: str, seen: Stream) -> Iterator[Line]:
    for reason, count in sorted(seen.refused.items()):
        found = f"{reason.replace('_', ' ')}: {count} of {seen.messages} messages on {seen.topic}"
        if reason in seen.details:
            found += f", the last one: {seen.details[reason]}"
        remedy = "correct the driver; every such message is dropped"
        if reason == "zero_stamp":
            remedy = f"let the driver of {seen.topic} stamp its messages"
        verdict = Verdict.FAIL if 2 * count > seen.messages else Verdict.WARN
        yield Line(verdict, name, reason, found, remedy)


def _rate(name: str, seen: Stream, config: Config) -> Iterator[Line]:
    health, expected_hz = config.health, config.sensor(name).expected_rate_hz
    slowest_hz: float = getattr(health, f"slowest_{config.kind_of(name)}_hz")
    remedy = f"check the driver's rate and the network's load, or set {name}.expected_rate_hz"
    if expected_hz > 0 and seen.rate_hz < health.rate_warn * expected_hz:
        lost = seen.rate_hz < health.rate_error * expected_hz
        found = f"{seen.rate_hz:.1f} Hz on {seen.topic}, {expected_hz:g} Hz expected"
        yield Line(Verdict.FAIL if lost else Verdict.WARN, name, "slow", found, remedy)
    elif expected_hz <= 0 and seen.rate_hz < slowest_hz:
        found = f"{seen.rate_hz:.1f} Hz on {seen.topic}, below {slowest_hz:g} Hz"
        yield Line(Verdict.WARN, name, "slow", found, remedy)


def _stamps(name: str, seen: Stream, config: Config, clock: ClockSeen) -> Iterator[Line]:
    if not seen.stamps:
        return  # no clock to compare with; that has a line of its own
    stamp_ns, received_ns = seen.stamps[-1]
    lag_s, apart_s = seen.lag_s, config.health.clock_apart_s
    if is_zero_stamp(stamp_ns, received_ns, round(apart_s * NS_PER_S)):
        found = f"zero stamp: {stamp_ns} ns on {seen.topic}"
        remedy = f"let the driver of {seen.topic} stamp its messages"
        yield Line(Verdict.FAIL, name, "zero_stamp", found, remedy)
    elif abs(lag_s) > apart_s:
        side = "behind" if lag_s > 0 else "ahead of"
        found = f"other clock: stamps on {seen.topic} are {abs(lag_s):.1f} s {side} ROS time"
        remedy = "set use_sim_time: /clock is published" if _unfollowed(clock) else _CLOCK_REMEDY
        if clock.use_sim_time:
            remedy = "set use_sim_time for the driver too, or leave it off here if the robot is a real one"
        yield Line(Verdict.FAIL, name, "other_clock", found, remedy)
    elif lag_s < -_AHEAD_S:
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


def _unfollowed(clock: ClockSeen) -> bool:
    return clock.published and not clock.use_sim_time


def _frame(name: str, seen: Stream, config: Config) -> Iterator[Line]:
    base, frame_id = config.output.base_frame, seen.frame_id or ""
    if config.output.extrinsics != "auto":
        return
    if seen.placed is None and given_pose(config, name) is None:
        found = f"no pose: {name}.translation_m and {name}.quaternion_xyzw are not set, no transform says it"
        yield Line(Verdict.FAIL, name, "no_pose", found, "set them, or publish its transform where tf2 is")
        return
    section, right = config.sensor(name), frame_id.lstrip("/")
    slash = "" if right == frame_id else f" {frame_id!r} begins with a slash, which tf2 refuses, and"
    remedy = f"publish it (robot_state_publisher), or set {name}.frame_id or output.base_frame"
    if not frame_id:
        found = f"no frame_id on {seen.topic}; it is placed by {name}.translation_m"
        yield Line(Verdict.WARN, name, "no_frame", found, f"set {name}.frame_id: where tf2 is it is needed")
    elif seen.placed is False:
        given = parameter_pose(section) != parameter_pose(default_section(name, config.kind_of(name)))
        found = f"wrong frame:{slash} tf2 knows no transform from {right!r} to {base!r}; "
        found += f"{name}.translation_m holds" if given else f"{name}.translation_m is not set, either"
        # A pose that somebody gave is one to go on with; the defaults are those of another robot.
        yield Line(Verdict.WARN if given else Verdict.FAIL, name, "wrong_frame", found, remedy)
    elif slash:
        found = f"wrong frame:{slash} without it is {'found' if seen.placed else 'what tf2 will look for'}"
        remedy = f"let the driver write {right!r}, or set {name}.frame_id"
        yield Line(Verdict.WARN, name, "slash_frame", found, remedy)
    elif seen.pose is not None and config.kind_of(name) is Modality.CAMERA and looks_up(seen.pose):
        found = f"wrong frame: {right!r} looks straight up; it may be that of the body, not the optical one"
        remedy = f"set {name}.frame_id to the optical frame (z forward), or let the driver write it"
        yield Line(Verdict.WARN, name, "wrong_frame", found, remedy)


def _ground(streams: Mapping[str, Stream], config: Config) -> Iterator[Line]:
    """What z = 0 of the base frame stands for, with heights by which a person sees whether it does."""
    heights = []
    for name, seen in streams.items():
        pose = seen.pose or given_pose(config, name)
        if seen.frame_id is not None and pose and config.kind_of(name) in (Modality.CAMERA, Modality.LIDAR):
            heights.append(f"{name} {pose.translation[2]:.2f} m")
    if heights:
        found = f"z = 0 of {config.output.base_frame} is taken for it; above that sit: {', '.join(heights)}. "
        found += "If these are not their heights over the ground, set output.base_frame to a frame on it"
        yield Line(Verdict.OK, "ground", "ok", found)


def _odometry(seen: Stream, config: Config, clock: ClockSeen) -> list[Line]:
    """Nothing fails without odometry, and nobody is asked for it: its lines warn at most."""
    name, base, frame_id = "odometry", config.output.base_frame, seen.frame_id
    if not seen.messages:
        return [replace(_silence(name, seen), verdict=Verdict.WARN)]
    lines = [*_refused(name, seen), *_stamps(name, seen, config, clock)]
    if frame_id is not None and frame_id != base and not seen.placed:
        found = f"wrong frame: nothing says where child_frame_id {frame_id!r} is in {base!r}: it is not used"
        remedy = "publish that transform, or set odometry.frame_id"
        lines.append(Line(Verdict.WARN, name, "wrong_frame", found, remedy))
    found = f"{seen.rate_hz:.1f} Hz, lag {1e3 * seen.lag_s:.0f} ms on {seen.topic}"
    good = Line(Verdict.OK, name, "ok", found)
    return [replace(line, verdict=Verdict.WARN) for line in lines] or [good]


def _intrinsics(name: str, seen: InfoSeen) -> Line:
    subject = f"{name} info"
    if seen.usable:
        return Line(Verdict.OK, subject, "ok", f"came on {seen.topic}")
    found = f"CameraInfo on {seen.topic} cannot be used, {seen.refused}" if seen.refused else ""
    found = found or f"no CameraInfo on {seen.topic}{_published(seen.elsewhere, 'one')}"
    wrong = "calibrate the camera" if seen.refused else f"set {name}.info_topic"
    remedy = f"{wrong}, or make sure that the parameters are this camera's"
    held = f"{name}.fx, fy, cx, cy of the parameters hold"
    return Line(Verdict.WARN, subject, "no_camera_info", f"{found}; {held}", remedy)


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
    found = f"{model.identity}, pruning: {model.pruning}" if model.pruning else model.identity
    yield Line(Verdict.OK, "checkpoint", "ok", found)
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
