"""What the node itself did: how many sets it kept up with, what it withheld, and when it did not run."""

from __future__ import annotations

from collections import deque
from typing import Any

from sentryfuse_core.account.latency import MOST_HZ
from sentryfuse_core.budget.pace import too_many
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.health.criteria import Finding
from sentryfuse_core.health.heartbeat import Stall

__all__ = ["Upkeep"]

_WINDOW_S = 10.0  # that shares and rates are taken over, and in which a stall is still told
_WINDOW_NS = round(_WINDOW_S * NS_PER_S)
_MOST = round(_WINDOW_S * MOST_HZ)


class Upkeep:
    """Remembers ten seconds; times are on the steady clock. One thread at a time."""

    def __init__(self, config: Config) -> None:
        self.budget = config.budget  # replaced when it changes at run time
        self._since_ns: int | None = None  # of the first set
        # now_ns, skipped before it, whether it came out
        self._sets: deque[tuple[int, int, bool]] = deque(maxlen=_MOST)
        self._stalls: deque[tuple[int, Stall]] = deque(maxlen=_MOST)
        self._skipped = 0
        self._withheld = 0
        self._stalled = 0
        self._stalled_s = 0.0
        self._last: Stall | None = None

    def handled(self, now_ns: int, *, skipped: int, published: bool) -> None:
        """A set was handled after `skipped` older ones were given up for it; whether its result came out."""
        if self._since_ns is None:
            self._since_ns = now_ns
        self._sets.append((now_ns, skipped, published))
        self._skipped += skipped
        self._withheld += not published
        self._expire(now_ns)

    def idle(self) -> None:
        """No sensor sends: what was skipped and withheld before says nothing of how it goes now."""
        self._sets.clear()

    def stalled(self, stall: Stall, now_ns: int) -> None:
        """The node did not run, or did not listen, until now."""
        self._stalls.append((now_ns, stall))
        self._stalled += 1
        self._stalled_s += stall.seconds
        self._last = stall
        self._expire(now_ns)

    def findings(self, now_ns: int) -> list[Finding]:
        """What the node has to say against itself now."""
        self._expire(now_ns)
        return [
            found for found in (self._stall(), self._skipping(now_ns), self._withholding(now_ns)) if found
        ]

    def values(self, now_ns: int) -> dict[str, Any]:
        """The figures behind the findings, for the diagnostics; totals are since activation."""
        self._expire(now_ns)
        offered, skipped, withheld = self._counts()
        return {
            "sets_per_s": offered / self._span_s(now_ns),
            "results_per_s": (offered - skipped - withheld) / self._span_s(now_ns),
            "skipped_share": skipped / offered if offered else 0.0,
            "skipped": self._skipped,
            "withheld": self._withheld,
            "stalls": self._stalled,
            "stalled_s": self._stalled_s,
            "last_stall_s": self._last.seconds if self._last else 0.0,
            "last_stall": self._last.cause if self._last else "none",
        }

    def _expire(self, now_ns: int) -> None:
        for items in (self._sets, self._stalls):
            while items and items[0][0] <= now_ns - _WINDOW_NS:
                items.popleft()

    def _counts(self) -> tuple[int, int, int]:
        """Sets of the window: all, skipped, and handled without a result that came out."""
        skipped = sum(count for _, count, _ in self._sets)
        withheld = sum(not published for *_, published in self._sets)
        return len(self._sets) + skipped, skipped, withheld

    def _span_s(self, now_ns: int) -> float:
        passed_ns = now_ns - (now_ns if self._since_ns is None else self._since_ns)
        return min(max(passed_ns, NS_PER_S), _WINDOW_NS) / NS_PER_S

    def _stall(self) -> Finding | None:
        if not self._stalls:
            return None
        last = self._stalls[-1][1]
        reason = last.reason
        if len(self._stalls) > 1:
            whole_s = sum(stall.seconds for _, stall in self._stalls)
            reason += f" ({len(self._stalls)} times in the last {_WINDOW_S:.0f} s, {whole_s:.2f} s in all)"
        return Finding("stalled", reason, last.remedy)

    def _skipping(self, now_ns: int) -> Finding | None:
        offered, skipped, _ = self._counts()
        if not too_many(skipped, offered):
            return None
        span_s = self._span_s(now_ns)
        reason = (
            f"{skipped / offered:.0%} of the sets were skipped, {(offered - skipped) / span_s:.1f} of "
            f"{offered / span_s:.1f} sets/s handled: the node is slower than its sensors"
        )
        remedy = "use a faster device or model.backend, take load off the machine, or lower the sensors' rate"
        return Finding(
            "skipping", reason, remedy if self.budget.keep_pace else f"set budget.keep_pace, {remedy}"
        )

    def _withholding(self, now_ns: int) -> Finding | None:
        offered, skipped, withheld = self._counts()
        if not too_many(withheld, offered):
            return None
        span_s = self._span_s(now_ns)
        reason = (
            f"{(offered - skipped - withheld) / span_s:.1f} results/s came out of "
            f"{offered / span_s:.1f} sets/s: {withheld} results were withheld in the last {_WINDOW_S:.0f} s"
        )
        return Finding("withholding", reason, "the errors in ~/status say why each was: too old, or failed")
