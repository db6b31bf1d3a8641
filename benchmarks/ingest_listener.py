"""The fusion node's way in, without the network: subscriptions, executor, ingest and worker, all noted."""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node

from sentryfuse_core.clock import NS_PER_S, SteadyClock
from sentryfuse_core.config import Config, override
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.types import Modality, ModalitySet, SyncedSet
from sentryfuse_ros.arrival import catch_up
from sentryfuse_ros.spin import run_node
from sentryfuse_ros.subscribe import Inputs, sensor_topics
from sentryfuse_ros.worker import Worker

# Of each message: its stamp, the callback's system time, how long since the middleware had it, the CPU time.
_NOTED = ("stamps_ns", "called_ns", "waited_ns", "cpu_ns")
_POLL_S = 0.25  # as the fusion node looks at the graph
_COLLECTIONS = 3  # full collections forced at the end, to see how long one holds everything up


class Listener(Node):
    """Takes four sensors in as the fusion node does, and drops every set where the pipeline would run."""

    def __init__(self, out: Path, config: Config) -> None:
        super().__init__("sentryfuse")
        self._out = out
        self._steady = SteadyClock()
        self._arrival_ns = 0
        self._seen = {(modality, name): array("q") for modality in Modality for name in _NOTED}
        self._sets: list[tuple[int, int]] = []  # steady time in ns, mask
        self._cpu: list[tuple[int, int, int]] = []  # system time, CPU of the process, of the executor; all ns
        self._transitions: list[str] = []
        self._pauses_ns: list[tuple[int, int]] = []  # generation, how long a collection took
        self._collecting_ns = 0
        self._errors = 0
        self._ingest = Ingest(config, topics=sensor_topics(self, config), on_ready=self._wake)
        self._worker = Worker(
            self._ingest,
            clock=self._steady,
            catch_up=lambda: catch_up(self.executor),
            handle=self._take,
            idle=self._follow,
            report=self._failed,
        )
        # As the node does at the end of its activation.
        gc.collect()
        gc.freeze()
        gc.callbacks.append(self._collection)
        self._worker.start()
        self._inputs = Inputs(self, config, self)
        self.create_timer(_POLL_S, self._poll)

    def on_sensor(self, name: str, message: Any, type_name: str, waited_ns: int) -> None:
        """Stamp, check and enqueue, as a session does; note what it took."""
        now_ns, began_ns = time.time_ns(), time.thread_time_ns()
        self._arrival_ns = max(self._arrival_ns, self._steady.now_ns() - waited_ns)
        self._ingest.message(
            name,
            message,
            type_name=type_name,
            arrival_ns=self._arrival_ns,
            received_ns=now_ns - waited_ns,
        )
        self._worker.wake_by(self._ingest.next_deadline_ns())
        stamp = message.header.stamp
        noted = (
            stamp.sec * NS_PER_S + stamp.nanosec,
            now_ns,
            waited_ns,
            time.thread_time_ns() - began_ns,
        )
        for what, value in zip(_NOTED, noted, strict=True):
            self._seen[name, what].append(value)

    def on_other(self, *_: Any) -> None:
        """Nobody sends any."""

    on_camera_info = on_audio_info = on_battery = on_budget = on_odometry = on_other

    def destroy_node(self) -> None:
        """Write down everything and end."""
        gc.callbacks.remove(self._collection)
        full_ms = _full_collections_ms()
        self._inputs.close()
        self._worker.stop()
        notes = {
            "sets": self._sets,
            "cpu_ns": self._cpu,
            "transitions": self._transitions,
            "collections": self._pauses_ns,
            "full_collections_ms": full_ms,
            "skipped_sets": self._worker.skipped,
            "errors": self._errors,
            "invalid": {
                name: report.invalid for name, report in self._ingest.reports(self._steady.now_ns()).items()
            },
        }
        arrays = {f"{sensor}_{what}": np.array(seen, np.int64) for (sensor, what), seen in self._seen.items()}
        np.savez(self._out, notes=json.dumps(notes), **arrays)
        super().destroy_node()

    def _wake(self) -> None:
        self._worker.wake()

    def _take(self, synced: SyncedSet) -> None:
        self._sets.append(
            (time.time_ns(), ModalitySet.of(*map(Modality, self._ingest.trust(synced)[0])).bits)
        )

    def _follow(self, _now_ns: int) -> None:
        for item in self._ingest.take_transitions():
            self._transitions.append(f"{item.sensor}: {item.before.name} -> {item.after.name} {item.reason}")

    def _failed(self, error: Exception) -> None:
        self._errors += 1
        self.get_logger().error(repr(error), once=True)

    def _poll(self) -> None:
        self._inputs.poll()
        self._cpu.append((time.time_ns(), time.process_time_ns(), time.thread_time_ns()))

    def _collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_ns = time.perf_counter_ns()
        else:
            self._pauses_ns.append((info["generation"], time.perf_counter_ns() - self._collecting_ns))


def _full_collections_ms() -> list[float]:
    """How long full collections take with everything still held."""
    found = []
    for _ in range(_COLLECTIONS):
        began_ns = time.perf_counter_ns()
        gc.collect()
        found.append((time.perf_counter_ns() - began_ns) / 1e6)
    return found


def main() -> int:
    """Listen until a signal comes, then write what was noted to a .npz file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("reliability", choices=("best_effort", "reliable"))
    args = parser.parse_args()
    config = override(Config(), {f"{one.value}.reliability": args.reliability for one in Modality})
    return run_node(lambda _stop: Listener(args.out, config), args=[])


if __name__ == "__main__":
    sys.exit(main())
