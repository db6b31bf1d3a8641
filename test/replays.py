"""Short replays of recordings made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bags

from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.run import ReplayOptions, ReplayResult, replay


def run(
    tmp_path: Path, messages: Sequence[bags.Message], *, name: str = "out", **options: Any
) -> ReplayResult:
    """Replay `messages` from a bag in `tmp_path`, written unless it is there, into a folder beside it."""
    bag = tmp_path / "bag.mcap"
    if not bag.exists():
        bags.write(bag, messages)
    return replay(ReplayOptions(bag=bag, **options), RunOutputs(tmp_path / name, bag=bag))
