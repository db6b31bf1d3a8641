"""Bytes of tensors: what is shared counts once, what was let go counts no more."""

from __future__ import annotations

import torch
from networks import model_input, network

from sentryfuse_core.lab.bench.runtime.memory import live_bytes, peak_activation_bytes, stored_bytes

KB = 1024


def kilobytes(count: int) -> torch.Tensor:
    return torch.zeros(count * KB, dtype=torch.uint8)


def test_shared_memory_counts_once_when_stored_bytes_are_added() -> None:
    whole = kilobytes(4)
    assert stored_bytes([whole, whole[:KB], whole.view(2, -1), kilobytes(1)]) == 5 * KB


def test_live_bytes_grow_by_a_tensor_when_one_is_made() -> None:
    before = live_bytes("cpu")
    kept = kilobytes(64)
    assert live_bytes("cpu") - before == 64 * KB
    del kept
    assert live_bytes("cpu") == before


def test_peak_is_what_lives_at_one_time_when_tensors_come_and_go() -> None:
    given = kilobytes(100)

    def work() -> torch.Tensor:
        first = given[: 8 * KB].clone()
        second = first + 1  # 16 KB live
        del first
        third = second[: 2 * KB] + 1  # 10 KB
        second += 1  # in place
        return third.view(2, -1)

    assert peak_activation_bytes(work, [given]) == 16 * KB


def test_narrow_level_needs_less_when_the_network_runs() -> None:
    net, inputs = network(), model_input(batch=1)
    known = [*net.parameters(), *net.buffers()]
    full, narrow = (
        peak_activation_bytes(lambda level=level: net(inputs, parts=net.shape.uniform(level)), known)
        for level in (0, 1)
    )  # type: ignore[misc]
    assert 0 < narrow <= full
