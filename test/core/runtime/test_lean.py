"""The deploy form gives what the training form gives, at every width of every part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from networks import APART, assert_close, model_input, network

from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.quality import quality
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.lean.form import LeanForm, Part, parts_of
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

TOLERANCE = 1e-5  # of values about one; beyond, the same share of the value


def partly_seen(inputs: ModelInput) -> ModelInput:
    """The same where the right quarter of the image is not seen, nor most of what is beside that."""
    seen = torch.ones(1, 1, 32, 96)
    seen[..., 72:] = 0.0
    seen[..., 66:72] = 0.25
    return replace(inputs, camera_seen=seen)


def doubled(inputs: ModelInput) -> ModelInput:
    """The same in numbers of 64 bits."""
    return ModelInput(**{name: item.double() for name, item in vars(inputs).items() if item is not None})


def widths(net: SentryFuseNet) -> Iterator[PartLevels]:
    """Each width of each part once, the others as they come."""
    last = net.shape.narrowest
    for level in range(1 + max(last.camera, last.lidar, last.audio, last.trunk, last.head)):
        yield PartLevels(**{name: min(level, most) for name, most in vars(last).items()})


@pytest.mark.parametrize("mask", ModalitySet.subsets(), ids=str)
def test_lean_form_equals_the_network_when_any_sensors_are_there(mask: ModalitySet) -> None:
    net = network(shape=APART).double()  # or rounding alone, which random weights swell, would be as much
    assert net.trust is not None
    torch.nn.init.normal_(net.trust.trust.weight)
    inputs = model_input(batch=1)
    inputs = replace(inputs, quality=quality(inputs))
    forms = [LeanForm(net, engine=engine) for engine in (False, True)]
    with torch.inference_mode():
        for parts in widths(net):
            for given in (inputs, partly_seen(inputs)) if Modality.CAMERA in mask else (inputs,):
                own = doubled(given.only(mask))
                expected = net(own, parts=parts)
                for form in forms:
                    assert_close(form(own, parts), expected, most=TOLERANCE)


@pytest.mark.parametrize("engine", [False, True], ids=["eager", "engine"])
def test_lean_form_equals_the_shipped_network_at_every_width(*, engine: bool) -> None:
    net = load_checkpoint(SHIPPED).network()
    form, inputs = LeanForm(net, engine=engine), model_input(batch=1)
    inputs = replace(inputs, quality=quality(inputs))
    with torch.inference_mode():
        for parts in widths(net):
            assert_close(form(inputs, parts), net(inputs, parts=parts), most=2 * TOLERANCE)


def test_lean_form_answers_for_a_batch_and_for_no_sensor() -> None:
    net, inputs = network(shape=APART), model_input(batch=2)
    with torch.inference_mode():
        assert_close(LeanForm(net)(inputs, PartLevels()), net(inputs), most=TOLERANCE)
        nothing = inputs.only(ModalitySet())
        assert_close(LeanForm(net)(nothing, PartLevels()), net(nothing), most=TOLERANCE)


def test_lean_weights_are_views_of_the_network_when_eager_runs_them() -> None:
    net = network(shape=APART)
    form = LeanForm(net)
    own = {item.untyped_storage().data_ptr() for item in (*net.parameters(), *net.buffers())}
    for key in parts_of(ModalitySet.all(), PartLevels(1, 1, 1, 1, 1)):
        for module in form.part(key).modules():
            kept = [item for item in vars(module).values() if isinstance(item, torch.Tensor)]
            for weight in kept:
                if weight.ndim == 4 and weight.shape[-1] == 3:  # convolutions: most of all weights
                    assert weight.untyped_storage().data_ptr() in own


def test_parts_are_those_of_the_mask_with_the_tilt_where_the_imu_is() -> None:
    without = parts_of(ModalitySet.of(Modality.LIDAR), PartLevels(lidar=1, trunk=2, head=1))
    assert without == (Part("lidar", 1), Part("fuse", 2, 1))
    assert [str(part) for part in parts_of(ModalitySet.of(Modality.CAMERA, Modality.IMU), PartLevels(2))] == [
        "camera2_tilted",
        "imu0",
        "fuse0_head0",
    ]
