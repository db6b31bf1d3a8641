"""Heartbeat: finds the times at which the node did not run or did not listen: no sensor answers for them."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S

__all__ = ["BACKLOG_NS", "BEAT_NS", "Heartbeat", "Stall"]

BEAT_NS = 50 * NS_PER_MS  # time between two beats of a part that has nothing else to do
BACKLOG_NS = 250 * NS_PER_MS  # after a stall, until what waited meanwhile has been taken in
_MISSED_NS = 2 * BEAT_NS  # a longer gap is time without listening: none of it is a sensor's silence
_TOLD_NS = 200 * NS_PER_MS  # a gap that could have cost a sensor its place is told
_SUSPENDED_NS = NS_PER_S // 2  # of the machine's own sleep within a gap; clocks agree better than that

_CAUSES = {  # what to say of each, and what a person can do about it
    "suspended": (
        "the machine slept and the node did not run",
        "keep the machine awake while the robot works (systemd-inhibit, or mask sleep.target)",
    ),
    "stopped": (
        "the node did not run",
        (
            "look for what stops or starves the process: CPU load, swapping, a debugger, SIGSTOP, a paused "
            "virtual machine, or code that holds Python's interpreter"
        ),
    ),
    "deaf": (
        "the node ran but did not listen",
        "look for what blocks the executor's thread: a slow callback, a debugger, CPU load",
    ),
}


@dataclass(frozen=True)
class Stall:
    """A gap in the beats of the part that listens.

    `from_ns` to `until_ns` is on the clock that silence is measured on, which may be simulated;
    `seconds` is the machine's time, its sleep included.
    """

    from_ns: int
    until_ns: int
    seconds: float
    cause: str  # stable: suspended, stopped (nothing ran) or deaf (only the part that listens did not)

    @property
    def silence_ns(self) -> int:
        """How much of it is no sensor's silence: all but what passes between two beats anyway."""
        return max(0, self.until_ns - self.from_ns - BEAT_NS)

    @property
    def told(self) -> bool:
        """Whether it was long enough to be worth a word."""
        return self.seconds * NS_PER_S >= _TOLD_NS

    @property
    def reason(self) -> str:
        """In one phrase, without the remedy."""
        return f"{_CAUSES[self.cause][0]} for {self.seconds:.2f} s; no sensor is blamed for that time"

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return _CAUSES[self.cause][1]


class Heartbeat:
    """Takes beats of the thread that listens and of the one that works; any thread may call.

    Times are parameters: `now_ns` on the machine's steady clock, `clock_ns` on the clock that silence is
    measured on, `slept_ns` the machine's sleep since it was started (0 where that is not known).
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._listened_ns: int | None = None
        self._listened_clock_ns = 0
        self._slept_ns = 0
        self._worked_ns: int | None = None  # steady time of the worker's last beat
        self._unheard_ns = 0  # its longest gap since the last beat of the part that listens

    def listen(self, now_ns: int, clock_ns: int, *, slept_ns: int = 0) -> Stall | None:
        """The part that listens is alive; the stall that this ends, if it was silent before."""
        with self._lock:
            before_ns, from_ns = self._listened_ns, self._listened_clock_ns
            slept_ns, self._slept_ns = slept_ns - self._slept_ns, max(slept_ns, self._slept_ns)
            self._listened_ns, self._listened_clock_ns = now_ns, clock_ns
            worked_ns = self._worked_ns
            unheard_ns, self._unheard_ns = max(self._unheard_ns, now_ns - (worked_ns or now_ns)), 0
        if before_ns is None:
            return None
        slept_ns = slept_ns if slept_ns >= _SUSPENDED_NS else 0
        gap_ns = now_ns - before_ns + slept_ns
        if gap_ns <= _MISSED_NS:
            return None
        # A worker without a gap like it shows that the process ran.
        stopped = worked_ns is None or 2 * unheard_ns >= now_ns - before_ns
        cause = "suspended" if slept_ns else "stopped" if stopped else "deaf"
        return Stall(from_ns, max(clock_ns, from_ns), gap_ns / NS_PER_S, cause)

    def work(self, now_ns: int) -> None:
        """The part that works is alive."""
        with self._lock:
            self._unheard_ns = max(self._unheard_ns, now_ns - (self._worked_ns or now_ns))
            self._worked_ns = now_ns

    def busy_s(self, now_ns: int) -> float:
        """How long the part that works has not been heard of; 0 before its first beat."""
        with self._lock:
            return 0.0 if self._worked_ns is None else max(0, now_ns - self._worked_ns) / NS_PER_S

    def heard_ns(self, now_ns: int, clock_ns: int) -> int:
        """The time, on the clock of silence, up to which everything that came has been listened to."""
        with self._lock:
            if self._listened_ns is None or now_ns - self._listened_ns <= _MISSED_NS:
                return clock_ns
            return min(clock_ns, self._listened_clock_ns + BEAT_NS)
