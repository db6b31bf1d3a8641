"""Watches a live node during a soak: asks for budgets, samples its process, writes every line at once."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import BatteryState
from sentryfuse.msg import Budget, FusionStatus

from benchmarks.soak_plan import Wish
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.json_values import json_value
from sentryfuse_core.lab.bench.runtime.memory import status_mb
from sentryfuse_ros.fault_injector_node import SCENARIO_STATUS

__all__ = ["SHM", "Watch", "process_sample", "shared_files"]

SHM = Path("/dev/shm")  # noqa: S108 - a file system, not a temporary file
_EVENTS = "sentryfuse: events"
_CHANGE = re.compile(r"(?P<sensor>\w+) (?P<before>\w+) -> (?P<after>\w+)")
_MOMENT = re.compile(r"at (?P<at_s>\d+\.\d+)$")
_CODE = re.compile(r"code (?P<code>\w+)")
_TURN_S = 0.1
_DEPTH = 200


class Watch(Node):
    """Follows `wishes` from the scenario's start on; lines go to `out`, their `t` in s from that start."""

    def __init__(self, out: TextIO, *, pid: int, wishes: Sequence[Wish], sample_s: float) -> None:
        super().__init__("soak")
        self._out = out
        self._pid = pid
        self._wishes = list(wishes)
        self._sample_s = sample_s
        self._sampled_s = -math.inf
        self.start_ns = 0  # ROS time of the scenario's start; 0 before it is known
        self._budgets = self.create_publisher(Budget, "/sentryfuse/budget", 10)
        self._batteries = self.create_publisher(BatteryState, "/battery", 1)
        self.create_subscription(FusionStatus, "/sentryfuse/status", self._on_status, _DEPTH)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, _DEPTH)
        self.create_timer(_TURN_S, self._turn)

    @property
    def at_s(self) -> float:
        """Time in the scenario; negative before it began."""
        return self._since(self.get_clock().now().nanoseconds) if self.start_ns else -1.0

    def write(self, kind: str, **values: Any) -> None:
        """Write one line, kept even if this process is killed."""
        self._out.write(json.dumps({"kind": kind, **values}) + "\n")
        self._out.flush()

    def _since(self, at_ns: int) -> float:
        return round((at_ns - self.start_ns) / NS_PER_S, 3)

    def _turn(self) -> None:
        if not self.start_ns:
            return
        while self._wishes and self._wishes[0].at_s <= self.at_s:
            self._ask(self._wishes.pop(0))
        if time.monotonic() - self._sampled_s >= self._sample_s:
            self._sampled_s = time.monotonic()
            self.write("sample", t=self.at_s, **process_sample(self._pid))

    def _ask(self, wish: Wish) -> None:
        self.write("wish", t=self.at_s, what=wish.what, value=json_value(wish.value))
        if wish.what == "battery":
            self._batteries.publish(BatteryState(percentage=wish.value))
            return
        message = Budget(latency_ms=math.nan, power_w=math.nan, level=-1, source="soak")
        message.header.stamp = self.get_clock().now().to_msg()
        if wish.what != "free":
            setattr(message, wish.what, int(wish.value) if wish.what == "level" else wish.value)
        self._budgets.publish(message)

    def _on_status(self, status: Any) -> None:
        if not self.start_ns:
            return
        self.write(
            "status",
            t=self.at_s,
            stamp=self._since(status.header.stamp.sec * NS_PER_S + status.header.stamp.nanosec),
            sequence=status.sequence,
            epoch=status.epoch,
            anchor=status.anchor,
            level=status.level,
            used=list(status.used),
            states={item.name: item.state for item in status.sensors},
            skipped=status.skipped_sets,
            e2e_ms=json_value(status.e2e_ms, 1),
        )

    def _on_diagnostics(self, array: Any) -> None:
        for status in array.status:
            values = {item.key: item.value for item in status.values}
            if status.name == SCENARIO_STATUS:
                self.start_ns = self.start_ns or int(values["start_ns"])
            elif status.name == _EVENTS and self.start_ns:
                for name, text in values.items():
                    self._on_transition(name, text)

    def _on_transition(self, name: str, text: str) -> None:
        change, moment, code = _CHANGE.match(name), _MOMENT.search(text), _CODE.search(text)
        if change is None or moment is None:
            self.write("unread", name=name, text=text)
            return
        at_ns = round(float(moment["at_s"]) * NS_PER_S)
        reason = text.split("; ", maxsplit=1)[0]
        self.write(
            "transition",
            t=self._since(at_ns),
            **change.groupdict(),
            code=code["code"] if code else "",
            reason=reason,
        )


def process_sample(pid: int) -> Mapping[str, float]:
    """Resident memory in MB, threads, open file handles and CPU time in s of a process."""
    folder = Path("/proc") / str(pid)
    # After the name in brackets, which may hold anything.
    times = (folder / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return {
        "rss_mb": status_mb("VmRSS", pid),
        "anonymous_mb": status_mb("RssAnon", pid),
        "shared_mb": status_mb("RssShmem", pid),
        "threads": int(times[17]),
        "handles": len(list((folder / "fd").iterdir())),
        "cpu_s": (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
    }


def shared_files(pid: int) -> set[str]:
    """Names of Fast DDS's files in shared memory that a process has mapped; none when it has ended."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError:
        return set()
    return {found[1] for found in re.finditer(rf" {SHM}/((?:sem\.)?fast\S+)", maps)}
