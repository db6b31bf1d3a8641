"""The kinds of /diagnostics status, names and keys frozen, as plain values for bags and for the node."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sentryfuse_core.account.latency import STAGES, LatencyWindow, percentiles, stage_values
from sentryfuse_core.account.messages import Fields, figures, header
from sentryfuse_core.account.spending import Spending
from sentryfuse_core.account.upkeep import Upkeep
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import BudgetConfig, Config, OdometryConfig
from sentryfuse_core.ego import EgoMotion
from sentryfuse_core.health.heartbeat import Stall
from sentryfuse_core.preprocess.placing import Placement
from sentryfuse_core.sync.buffer import NOTED
from sentryfuse_core.text import bounded
from sentryfuse_core.types import Absence, FusionResult, SensorReport, SensorState, Transition

__all__ = [
    "DIAGNOSTICS_TYPE",
    "ERROR",
    "NODE_NAME",
    "NOTHING_RUNS",
    "OK",
    "STALE",
    "WARN",
    "Diagnostics",
    "diagnostic_array",
    "status_name",
]

DIAGNOSTICS_TYPE = "diagnostic_msgs/msg/DiagnosticArray"
OK, WARN, ERROR, STALE = 0, 1, 2, 3  # diagnostic_msgs/DiagnosticStatus
SyncCounters: TypeAlias = Mapping[str, Mapping[str, int]]  # per sensor, by reason
_TRUSTED = (SensorState.OK, SensorState.DEGRADED)
_MISS_LIMIT = 0.01  # larger share of deadline misses is an error, unless it is a single one of few sets
_BUDGET_REMEDY = "raise budget.latency_ms, or leave budget.level at -1 so that a narrower level may run"
_AGE_REMEDY = "set budget.latency_ms, use a faster device, or raise output.max_output_age_s"
NODE_NAME = "/sentryfuse"  # full name of the node by default, and in a replay
_MESSAGE_LENGTH = 1000  # several findings may stand in one message
NOTHING_RUNS = "nothing runs: no sensor sends"
_COUNTED = ("energy_j", "cpu_s")  # of the budget's account, told by set
_REASONS = 40  # keys of dropped messages, by reason


class Diagnostics:
    """Remembers what the statuses summarise; one thread at a time.

    Level OK; WARN: degraded or missing but covered by the mask; ERROR: nothing usable, stale output or
    deadlines missed by more than one set and 1 % of them; STALE: never received. `deadline_miss` is a share,
    0..1: of inferences that took longer than the latency budget or, without one, of results older than
    output.max_output_age_s.
    """

    def __init__(self, config: Config, *, node: str = NODE_NAME) -> None:
        """`node`: its full name."""
        self._config = config
        self._node = node
        self._upkeep = Upkeep(config)
        self._excused_ns = 0  # time since the last set in which the node did not run
        self._busy_s = 0.0  # how long the set in hand has been worked on
        self._window = LatencyWindow(config.output.latency_window_s)
        self._switch_us: deque[float] = deque(maxlen=1000)
        self._last: FusionResult | None = None
        self._last_ns = 0
        self._sets = 0
        self._spending = Spending()
        self._partial = 0
        self._switches = 0
        self._idle = False  # whether no sensor has sent since the last set
        self._budgeted = False  # whether a latency budget was in force for the last set
        self._events: list[tuple[Transition, int]] = []  # with stamp_ns; since the last statuses

    @property
    def untold(self) -> bool:
        """Whether a sensor changed its state since the last `statuses`."""
        return bool(self._events)

    def note(self, transition: Transition, *, stamp_ns: int) -> None:
        """Enter a change of state, at `stamp_ns` on the clock of the stamps; the next `statuses` tell it."""
        self._events.append((transition, stamp_ns))

    def reconfigure(self, budget: BudgetConfig) -> None:
        """Take over what may change at run time and remedies go by."""
        self._upkeep.budget = budget

    def stalled(self, stall: Stall, *, now_ns: int) -> None:
        """Enter a time in which the node did not run or listen: it is told, and no set was due in it."""
        self._excused_ns += stall.until_ns - stall.from_ns
        self._upkeep.stalled(stall, now_ns)

    def idle(self) -> None:
        """No set can be made any more: what ran for the last one does not run now."""
        self._idle = True
        self._upkeep.idle()

    def warnings(self, now_ns: int) -> tuple[str, ...]:
        """What the node has to say against itself, each in one line with its remedy."""
        return tuple(f"{found.reason}; {found.remedy}" for found in self._upkeep.findings(now_ns))

    def add(
        self,
        result: FusionResult,
        *,
        e2e_ms: float,
        now_ns: int,
        deadline_ms: float = math.nan,
        skipped: int = 0,
        published: bool = True,
        excused: bool = False,
    ) -> None:
        """Enter one set; `now_ns` is steady time, `deadline_ms` the budget in force (NaN: none).

        `skipped` older ones were given up for it; `published`: its result came out. `excused`: it waited
        while the node did not run, so that neither is held against the node's speed.
        """
        if not excused:
            self._upkeep.handled(now_ns, skipped=skipped, published=published)
        self._excused_ns = 0
        if not math.isnan(result.switch_us):
            self._switches += 1
            self._switch_us.append(result.switch_us)
        self._budgeted = not math.isnan(deadline_ms)
        age_limit_ms = self._config.output.max_output_age_s * 1e3
        missed = result.times.infer > deadline_ms if self._budgeted else e2e_ms > age_limit_ms
        values_ms = {**stage_values(result.times, e2e_ms), "skew": result.synced.skew_ns / NS_PER_MS}
        self._window.add(now_ns, values_ms, missed=missed and not excused)
        self._last, self._last_ns, self._idle = result, now_ns, False
        self._sets += 1
        self._partial += bool(_missed(result))

    def statuses(
        self,
        *,
        reports: Mapping[str, SensorReport],
        counters: SyncCounters,
        budget: Mapping[str, Any],
        now_ns: int,
        placements: Mapping[str, Placement] | None = None,
        ego: EgoMotion | None = None,
        busy_s: float = 0.0,
    ) -> list[Fields]:
        """diagnostic_msgs/DiagnosticStatus of every sensor, of events since the last call, sync and so on.

        `budget` is the budget's account of power, heat and load; `placements` say what placed each sensor;
        `ego` is what odometry tells; `busy_s`: how long the set in hand has been worked on.
        """
        self._busy_s = busy_s
        self._window.expire(now_ns)
        # Nobody covers for a sensor when what comes out is unusable, or nothing comes any more.
        trusted = any(report.state in _TRUSTED for report in reports.values())
        working = self._last is not None and not self._last.errors and self._freshness(now_ns)[0] == OK
        covered = trusted and working
        return [
            *(self._sensor(report, covered=covered) for report in reports.values()),
            self._take_events(),
            self._sync(reports, counters, now_ns),
            *([] if placements is None else [self._poses(placements)]),
            *([] if ego is None else self._odometry(ego)),
            self._upkeep_status(now_ns),
            self._inference(budget),
            self._latency(now_ns),
        ]

    def _take_events(self) -> Fields:
        """Every change of state that was not told yet; OK when there is none, or they all ended well."""
        events, self._events = self._events, []
        values: dict[str, str] = {}
        times = Counter[str]()
        for item, stamp_ns in events:
            change = f"{item.sensor} {item.before.name} -> {item.after.name}"
            times[change] += 1
            key = change if times[change] == 1 else f"{change} #{times[change]}"
            code = f"code {item.code}" if item.code else ""
            stamp = f"at {stamp_ns // NS_PER_S}.{stamp_ns % NS_PER_S // NS_PER_MS:03d}"
            values[key] = "; ".join(part for part in (item.reason, item.remedy, code, stamp) if part)
        ended = {item.sensor: item.after for item, _ in events}
        level = OK if all(state is SensorState.OK for state in ended.values()) else WARN
        return self._status(level, "events", ", ".join(values) or "no change", values)

    def _sensor(self, report: SensorReport, *, covered: bool) -> Fields:
        if report.disabled:
            level, message = OK, "disabled"
        elif report.state is SensorState.INIT and not report.invalid:
            level, message = STALE, _told("never received", report)
        elif report.state is SensorState.OK:
            level, message = OK, "OK"
        else:
            level, message = WARN if covered else ERROR, _told(report.state.name, report)
        values = {"state": report.state.name, "reason": report.reason, **figures(report)}
        return self._status(level, f"sensor/{report.sensor}", message, values, report.topic)

    def _sync(self, reports: Mapping[str, SensorReport], counters: SyncCounters, now_ns: int) -> Fields:
        last = self._last
        dropped = Counter[str]()
        for by_reason in (*counters.values(), *(report.invalid_reasons for report in reports.values())):
            dropped.update({reason: count for reason, count in by_reason.items() if reason not in NOTED})
        values: dict[str, Any] = {
            "sets": self._sets,
            "partial": self._partial,
            "mask": "none" if last is None else str(last.used),
            "anchor": "none" if last is None else last.synced.anchor_name,
            "wait_ms_p95": self._window.stage("wait")["p95"],
            "skew_ms_max": self._window.stage("skew")["max"],
            **{f"dropped_{reason}": count for reason, count in _most(dropped)},
        }
        level, message = self._freshness(now_ns)
        if level == OK and last is not None and _missed(last):
            level = WARN
            missing = ", ".join(f"{name} {absence.value}" for name, absence in _missed(last).items())
            message = f"going on without {missing}"
        anchor = None if last is None else last.synced.anchor
        topic = reports[anchor].topic if anchor is not None and anchor in reports else ""
        return self._status(level, "sync", message, values, topic)

    def _freshness(self, now_ns: int) -> tuple[int, str]:
        """STALE before the first set, ERROR when the last one is older than allowed, else OK."""
        if self._last is None:
            return STALE, "no set yet"
        age_s = (now_ns - self._last_ns - self._excused_ns) / NS_PER_S
        if age_s > self._config.output.max_output_age_s:
            why = "check the sensors' states"
            if self._busy_s > self._config.output.max_output_age_s:
                why = f"one has been worked on for {self._busy_s:.1f} s: check device and load"
            return ERROR, f"stale output: no set for {age_s:.1f} s; {why}"
        return OK, "OK"

    def _poses(self, placements: Mapping[str, Placement]) -> Fields:
        """What placed every sensor that was used until now; WARN where that is doubtful."""
        used = {str(name): placed for name, placed in placements.items() if placed.source}
        doubts = [f"{name} {placed.problem}" for name, placed in used.items() if placed.told]
        message = "; ".join(doubts) or ("OK" if used else "no set yet")
        sources = {name: placed.source for name, placed in used.items()}
        return self._status(WARN if doubts else OK, "poses", message, sources)

    def _odometry(self, ego: EgoMotion) -> list[Fields]:
        """Whether odometry is used, where some came or was asked for by a parameter."""
        section, velocity = self._config.odometry, ego.now
        if not ego.received and (section == OdometryConfig() or not section.enabled):
            return []
        level, message = (WARN, f"not used: {ego.problem}") if ego.problem else (OK, "OK")
        if not ego.received:
            level, message = (
                STALE,
                f"never received; publish {section.topic}, or set odometry.enabled to false",
            )
        values = {
            "code": ego.code,
            "received": ego.received,
            "frame_id": ego.frame_id,
            "speed_m_s": math.nan if velocity is None else math.hypot(velocity.x, velocity.y),
            "yaw_rate_rad_s": math.nan if velocity is None else velocity.yaw_rate,
        }
        return [self._status(level, "odometry", message, values, section.topic)]

    def _upkeep_status(self, now_ns: int) -> Fields:
        """Whether the node kept up and ran at all: what it did is not laid to any sensor."""
        warnings = self.warnings(now_ns)
        level, message = (STALE, "no set yet") if self._last is None else (OK, "OK")
        if warnings:
            level, message = WARN, "; ".join(warnings)
        return self._status(level, "node", message, self._upkeep.values(now_ns))

    def _inference(self, budget: Mapping[str, Any]) -> Fields:
        last = self._last
        if last is None:
            return self._status(STALE, "inference", "no set yet", {})
        level, message = OK, "OK"
        if self._idle:
            level, message = ERROR, f"{NOTHING_RUNS}; check the sensors' states"
        elif last.errors:
            level, message = ERROR, "; ".join(last.errors)
        elif not last.above_prior:
            unsure = "not known to be better than guessing without any sensor"
            level, message = WARN, "; ".join(last.notes) or unsure
        values = {
            "backend": last.backend,
            "device": last.device,
            "backend_reason": last.backend_reason,
            "mask": "none" if self._idle else str(last.used),
            "level": last.plan.level,
            "ratio": last.plan.ratio,
            "heads_kept": f"{last.plan.heads_kept}/{last.plan.heads_total}",
            "channels_kept": f"{last.plan.channels_kept}/{last.plan.channels_total}",
            "gmacs": last.plan.gmacs,
            "pruning": last.plan.kind,
            "widths": "-" if self._idle else last.plan.widths,
            "trust": "-" if self._idle else _trusts(last),
            "switches": self._switches,
            "switch_us_p99": percentiles(self._switch_us)["p99"],
            **{name: value for name, value in budget.items() if name not in _COUNTED},
            **self._spending.per_set(self._sets, **{name: budget.get(name, math.nan) for name in _COUNTED}),
        }
        return self._status(level, "inference", message, values, last.device)

    def _latency(self, now_ns: int) -> Fields:
        values: dict[str, Any] = {}
        for stage in STAGES:
            values |= {f"{stage}_ms_{name}": value for name, value in self._window.stage(stage).items()}
        miss = self._window.deadline_miss
        values |= {"n": len(self._window), "window_s": self._window.window_s, "deadline_miss": miss}
        level, message = self._freshness(now_ns)
        if level == OK and miss > _MISS_LIMIT and self._window.misses > 1:
            remedy = _BUDGET_REMEDY if self._budgeted else _AGE_REMEDY
            level, message = ERROR, f"{miss:.1%} of the sets missed the deadline; {remedy}"
        return self._status(level, "latency", message, values, self._last.device if self._last else "")

    def _status(
        self, level: int, name: str, message: str, values: Mapping[str, Any], hardware_id: str = ""
    ) -> Fields:
        """diagnostic_msgs/DiagnosticStatus; `level` is a number here, a byte in ROS.

        Names, topics and details come from outside: whatever they hold, a status stays readable.
        """
        return {
            "level": level,
            "name": bounded(status_name(self._node, name)),
            "message": bounded(message, _MESSAGE_LENGTH),
            "hardware_id": bounded(hardware_id),
            "values": [{"key": bounded(key), "value": _text(value)} for key, value in values.items()],
        }


def status_name(node: str, name: str) -> str:
    """Name of a status of the node with this full name, as diagnostic_updater makes them.

    It begins with the node's name alone, or with the full one in a namespace, where there may be others.

    >>> status_name("/sentryfuse", "sync"), status_name("/robot/sentryfuse", "sync")
    ('sentryfuse: sync', '/robot/sentryfuse: sync')
    """
    alone = node.removeprefix("/")
    return f"{node if '/' in alone else alone}: {name}"


def diagnostic_array(stamp_ns: int, statuses: Sequence[Mapping[str, Any]]) -> Fields:
    """diagnostic_msgs/DiagnosticArray."""
    return {"header": header(stamp_ns, ""), "status": [dict(status) for status in statuses]}


def _told(what: str, report: SensorReport) -> str:
    """State, reason and remedy in one line, as far as they are known."""
    text = ": ".join(part for part in (what, report.reason) if part)
    return "; ".join(part for part in (text, report.remedy) if part)


def _missed(result: FusionResult) -> dict[str, Absence]:
    """The sensors that a set went without, but for those that nobody wants or that the gate spares."""
    reports = result.reports
    return {
        name: why
        for name, why in result.absent.items()
        if why is not Absence.LEFT_OUT and (name not in reports or not reports[name].disabled)
    }


def _trusts(result: FusionResult) -> str:
    """How far the network trusts each kind of sensor; a dash where its weights do not tell."""
    return ", ".join(f"{kind.value} {value:.2f}" for kind, value in result.trust.items()) or "-"


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent ones in alphabetical order, and the sum of the others."""
    most = counts.most_common(_REASONS)
    others = counts.total() - sum(count for _, count in most)
    return sorted(most) + ([("others", others)] if others else [])


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else bounded(str(value))
