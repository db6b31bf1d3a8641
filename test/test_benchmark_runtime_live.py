"""The live bench judges by the stamps that were sent, whoever lost a set."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.runtime_live import SETTLE_S, WAIT_LIMIT_MS, Found, Heard, figures_of, judge, run
from sentryfuse_core.account.latency import STAGES

S = 1_000_000_000
CLOUDS_NS = np.arange(100, dtype=np.int64) * S // 10 + 1000 * S
SETTLED = round(SETTLE_S * 10)


def heard(stamp_ns: int, *, skipped: int = 0, mask: int = 15, **latency: float) -> Heard:
    times = dict.fromkeys(STAGES, 1.0) | {"wait": 20.0, "infer": 50.0, "e2e": 80.0} | latency
    return Heard(int(stamp_ns), mask, 0, skipped, times)


def judged(*, without: tuple[int, ...] = (), **latency: float) -> Found:
    return judge(CLOUDS_NS, [heard(ns, **latency) for i, ns in enumerate(CLOUDS_NS) if i not in without])


def test_set_is_lost_when_no_status_has_the_stamp_of_its_cloud() -> None:
    found = judged(without=(SETTLED, 99))
    assert (found.clouds, found.lost) == (100 - SETTLED, 2)
    assert found.lost_at_s == [0.0, 4.9]


def test_clouds_are_not_judged_when_the_node_still_settles() -> None:
    assert judged(without=tuple(range(SETTLED))).lost == 0


def test_repeated_status_counts_once_when_no_sensor_lives() -> None:
    found = judge(CLOUDS_NS, [heard(ns) for ns in CLOUDS_NS for _ in range(3)])
    assert (found.lost, len(found.sets)) == (0, found.clouds)


def test_rest_is_what_neither_network_nor_wait_took_when_judged() -> None:
    assert judged().rest_ms["p95"] == pytest.approx(10.0)


@pytest.mark.parametrize(("wait", "rest", "met"), [(24.9, 14.9, True), (25.1, 15.1, False)])
def test_targets_are_met_when_the_figures_lie_on_their_good_side(wait: float, rest: float, met: bool) -> None:
    assert WAIT_LIMIT_MS == 25.0
    rows = figures_of(judged(wait=wait, e2e=50.0 + wait + rest))
    assert [row.met for row in rows if row.target is not None] == [True, met, met]


@pytest.mark.bench
@pytest.mark.ros
def test_live_run_gives_sets_with_every_sensor_when_played_for_a_moment() -> None:
    found = run(seconds=5.0, reliability="best_effort")
    assert found.clouds >= 40
    assert "15" in found.masks
    assert found.lost < found.clouds
