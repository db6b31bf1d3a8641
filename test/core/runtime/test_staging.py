"""Fixed buffers: the same addresses for every set, and nothing of another shape."""

from __future__ import annotations

import pytest
import torch
from networks import model_input

from sentryfuse_core.errors import BackendError
from sentryfuse_core.runtime.staging import Staging
from sentryfuse_core.runtime.subnetwork import input_tensors


def staging() -> Staging:
    return Staging(torch.device("cpu"), pinned=False)


def test_buffers_hold_the_last_set_at_fixed_addresses_when_sets_follow_each_other() -> None:
    stage = staging()
    first, second = (input_tensors(model_input(seed, batch=1), trusting=False) for seed in (0, 1))
    buffers = stage.on_device(first)
    addresses = {name: tensor.data_ptr() for name, tensor in buffers.items()}
    for tensors in (first, second):
        stage.put(tensors)
        for name, tensor in tensors.items():
            assert torch.equal(buffers[name], tensor)
    assert {name: tensor.data_ptr() for name, tensor in stage.on_device(second).items()} == addresses


def test_maps_are_taken_to_the_host_when_a_run_has_ended() -> None:
    stage = staging()
    maps = {"heatmap": torch.rand(1, 3, 32, 32)}
    taken = stage.take(maps)
    assert torch.equal(taken["heatmap"], maps["heatmap"])
    assert taken["heatmap"].data_ptr() != maps["heatmap"].data_ptr()


def test_a_tensor_is_refused_when_it_has_another_shape() -> None:
    stage = staging()
    stage.put({"lidar": torch.zeros(1, 6, 64, 64)})
    with pytest.raises(BackendError, match=r"lidar is \[1, 1, 64, 64\], its buffer \[1, 6, 64, 64\]"):
        stage.put({"lidar": torch.zeros(1, 1, 64, 64)})  # would be repeated over all six channels
