"""Draw docs/images/sync_timing.png: what the synchroniser really does when a lidar dies and comes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

from sentryfuse_core.config import Config
from sentryfuse_core.sync import MatchedSet, StreamSpec, Synchronizer

MS = 1_000_000
SECONDS = 1.6
DEAD_MS = (400.0, 1000.0)  # the lidar sends nothing between
LOST_MS, BACK_MS = 720.0, 1250.0  # as a health monitor would say: silent too long; believed again
COLOURS = {"lidar": "#1f77b4", "camera": "#d95f02", "imu": "#7f7f7f"}


@dataclass(frozen=True)
class Message:
    """A sample with its three times in ns."""

    stamp_ns: int
    received_ns: int
    arrival_ns: int


def script() -> list[tuple[str, Message]]:
    """Streams of a lidar (10 Hz), a camera (12.5 Hz) and an IMU (50 Hz) in the order they arrive."""
    messages = []
    for key, period_ms, phase_ms, lag_ms in (
        ("lidar", 100.0, 20.0, 15.0),
        ("camera", 80.0, 5.0, 25.0),
        ("imu", 20.0, 0.0, 3.0),
    ):
        for index in range(int(SECONDS * 1000 / period_ms)):
            at_ms = phase_ms + index * period_ms
            if key != "lidar" or not DEAD_MS[0] <= at_ms < DEAD_MS[1]:
                arrival_ns = round((at_ms + lag_ms) * MS)
                messages.append((key, Message(round(at_ms * MS), arrival_ns, arrival_ns)))
    return sorted(messages, key=lambda item: item[1].arrival_ns)


def run() -> tuple[list[tuple[str, Message]], list[MatchedSet[str, Message]]]:
    """The messages, and the sets that come of them, deadlines kept to the nanosecond."""
    sync: Synchronizer[str, Message] = Synchronizer(
        Config().sync,
        {
            "lidar": StreamSpec(anchor_rank=0),
            "camera": StreamSpec(anchor_rank=1),
            "imu": StreamSpec(anchor_rank=None, window_ns=100 * MS),
        },
    )
    messages, sets = script(), []
    for key, message in messages:
        while (due_ns := sync.next_deadline_ns()) is not None and due_ns <= message.arrival_ns:
            sets += sync.advance(due_ns)
        sync.set_lost(["lidar"] if LOST_MS * MS <= message.arrival_ns < BACK_MS * MS else [])
        sets += sync.add(key, message)
    return messages, sets


def draw(path: Path) -> None:
    """Write the picture."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    messages, sets = run()
    rows = {"lidar": 3.0, "camera": 2.0, "imu": 1.0, "set": 0.0}
    figure, axes = plt.subplots(figsize=(13, 5.2), dpi=110)
    axes.axvspan(*DEAD_MS, ymin=0.79, color="#f4c7c3", label="lidar sends nothing")
    axes.axvspan(LOST_MS, BACK_MS, ymin=0.745, ymax=0.79, color="#c0504d", label="lidar LOST or RECOVERING")
    for key, colour in COLOURS.items():
        own = [message for name, message in messages if name == key]
        tall = 0.22 if key != "imu" else 0.1
        stamps = [message.stamp_ns / MS for message in own]
        axes.vlines(stamps, rows[key] - tall, rows[key] + tall, color=colour, lw=2 if key != "imu" else 1)
    for matched in sets:
        out_ms, colour = matched.released_ns / MS, COLOURS.get(matched.anchor or "", "black")
        axes.plot(out_ms, rows["set"], "^", color=colour, ms=9)
        for key, members in matched.samples.items():
            if key != "imu":
                start = members[0].stamp_ns / MS, rows[key] - 0.22
                axes.plot([start[0], out_ms], [start[1], 0.13], color=COLOURS[key], lw=0.8, alpha=0.7)
        missing = [f"{key} {why.name}" for key, why in matched.absent.items()]
        if missing:
            axes.text(out_ms, -0.2, "\n".join(missing), ha="center", va="top", fontsize=7, rotation=90)
    axes.set_yticks(list(rows.values()), ["lidar stamps", "camera stamps", "IMU stamps", "sets come out"])
    axes.set_ylim(-1.75, 3.9)
    axes.set_xlim(-20, SECONDS * 1000)
    axes.set_xlabel("time in ms (a set has the colour of its anchor; lines lead from its samples to it)")
    axes.legend(loc="upper right", fontsize=8, ncol=2, framealpha=1.0)
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    draw(Path(__file__).resolve().parent.parent / "docs" / "images" / "sync_timing.png")
