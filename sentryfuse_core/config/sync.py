"""Section `sync`: when samples become a set."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt

__all__ = ["SyncConfig"]


@dataclass(frozen=True, kw_only=True)
class SyncConfig:
    """When samples become a set."""

    max_wait_s: float = opt(0.05, "longest wait after the anchor arrived, in s", low=0.0, high=1.0)
    slop_s: float = opt(0.04, "largest distance of a paired camera or lidar sample in s; at most T/2",
                        low=0.0, high=1.0)  # fmt: skip
    tick_period_s: float = opt(0.1, "period of sets when neither camera, lidar nor audio lives, in s",
                               low=0.01, high=10.0)  # fmt: skip
    audio_anchor_period_s: float = opt(0.1, "distance of two sets anchored on audio, to half a block, in s",
                                       low=0.01, high=10.0)  # fmt: skip
    max_future_s: float = opt(0.5, "stamps further in the future are dropped, in s", low=0.01, high=60.0)
    jump_back_s: float = opt(
        1.0, "two streams going back further than this are a time jump, in s", low=0.1, high=60.0
    )
    rebase_messages: int = opt(
        5, "consistent messages before a stream that went back is believed", low=2, high=100
    )
    buffer_s: float = opt(2.0, "longest time a sample is kept, in s", low=0.1, high=60.0)
