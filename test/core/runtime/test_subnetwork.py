"""A sub-network as a function of plain tensors gives what the network gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import assert_close, model_input, network

from sentryfuse_core.errors import BackendError
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.lean.form import LeanForm
from sentryfuse_core.runtime.subnetwork import SubNetwork, input_tensors, output_from
from sentryfuse_core.types import ModalitySet


@pytest.mark.parametrize("mask", ModalitySet.subsets(), ids=str)
def test_sub_network_equals_the_network_when_given_its_tensors(mask: ModalitySet) -> None:
    net, inputs = network(), model_input(batch=1).only(mask)
    tensors = input_tensors(inputs, trusting=False)
    with torch.inference_mode():
        found = output_from(
            SubNetwork(LeanForm(net), tuple(tensors), net.shape.uniform(1))(*tensors.values())
        )
        expected = net(inputs, parts=net.shape.uniform(1))
    assert_close(found, expected, most=1e-5)


@pytest.mark.parametrize(("precision", "most"), [(torch.float16, 0.05), (torch.bfloat16, 0.4)])
def test_sub_network_stays_close_and_gives_float32_when_its_precision_is_lower(
    precision: torch.dtype, most: float
) -> None:
    net, tensors = network(), input_tensors(model_input(batch=1), trusting=False)
    with torch.inference_mode():
        expected = SubNetwork(LeanForm(net), tuple(tensors), net.shape.uniform(0))(*tensors.values())
        found = SubNetwork(LeanForm(net), tuple(tensors), net.shape.uniform(0), precision=precision)(
            *tensors.values()
        )
    for name, values in expected.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], values, atol=most, rtol=0.0)


def test_input_is_level_when_the_imu_gives_no_tilt() -> None:
    net, inputs = network(), replace(model_input(batch=1), tilt=None)
    with torch.no_grad():  # an IMU that says level counts for more than none
        net.camera.horizon.imu.fill_(5.0)
    tensors = input_tensors(inputs, trusting=False)
    assert torch.equal(tensors["tilt"], torch.zeros(1, 2))
    with torch.inference_mode():
        found = SubNetwork(LeanForm(net), tuple(tensors), net.shape.uniform(0))(*tensors.values())["heatmap"]
        torch.testing.assert_close(found, net(inputs).heatmap, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("inputs", [model_input(batch=2), ModelInput()], ids=["two", "none"])
def test_input_is_refused_when_it_is_not_one_set(inputs: ModelInput) -> None:
    with pytest.raises(BackendError, match="one set at a time; use eager"):
        input_tensors(inputs, trusting=False)
