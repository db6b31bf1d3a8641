"""Units of the whole detector: what goes costs nothing and changes what leaving it out changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import TINY, assert_close, labelled, model_input, network

from sentryfuse_core.lab.rivals import detector_scores as rules
from sentryfuse_core.lab.rivals.detector_units import detector_layers, kept_all, kept_macs, without
from sentryfuse_core.lab.rivals.flap import standardised
from sentryfuse_core.lab.training.losses import frame_losses
from sentryfuse_core.lab.training.targets import make_targets
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.types import ModalitySet

# Two units of 16 in every layer of channels, of which level 1 keeps the first.
SHAPE = replace(
    TINY,
    dim=32,
    canvas_pool=4,
    camera_channels=(32,) * 5,
    lift_channels=32,
    fine_channels=32,
    lidar_channels=(32, 32),
    audio_widths=(1.0, 0.5),
    channel_step=16,
)
EVERYTHING = ModalitySet.all()


def half(net: SentryFuseNet) -> dict[str, torch.Tensor]:
    return {name: torch.arange(layer.units) < layer.units / 2 for name, layer in detector_layers(net).items()}


@pytest.mark.parametrize("mask", ModalitySet.subsets(), ids=str)
def test_cost_is_that_of_the_same_network_by_formula_when_a_prefix_stays(mask: ModalitySet) -> None:
    net = network(shape=SHAPE)
    layers = detector_layers(net)
    assert kept_macs(net, kept_all(layers), mask) == count_macs(SHAPE, GEOMETRY, mask, FULL_WIDTH).total
    assert kept_macs(net, half(net), mask) == count_macs(SHAPE, GEOMETRY, mask, SHAPE.uniform(1)).total


def test_network_without_units_gives_what_its_prefix_gives() -> None:
    net, inputs = network(shape=SHAPE), model_input(batch=1)
    small = without(net, detector_layers(net), half(net))
    with torch.inference_mode():
        assert_close(small(inputs), net(inputs, parts=SHAPE.uniform(1)), most=1e-4)


def test_taylor_is_the_squared_slope_of_the_loss_by_a_factor_on_the_unit() -> None:
    net, frame = network(shape=SHAPE), labelled(batch=1)
    layers = detector_layers(net)
    scores = rules.taylor(net, layers, [frame], [EVERYTHING])
    targets = make_targets(frame.boxes, frame.classes, class_count=SHAPE.classes)

    def loss(name: str, unit: int, factor: float) -> float:
        other = network(shape=SHAPE)
        rows = torch.ones(layers[name].units)
        rows[unit] = factor
        with torch.inference_mode():
            for gate in layers[name].gates:
                tensor = other.get_parameter(gate)
                tensor *= rows.repeat_interleave(layers[name].block).view(-1, *[1] * (tensor.ndim - 1))
            return float(frame_losses(other(frame.inputs), targets).sum())

    for name in ("camera.fine.2", "camera.lifted", "lidar.stem.2", "head.second", "trunk.layers.0.feed"):
        unit = int(scores[name].argmax())
        slope = (loss(name, unit, 1.01) - loss(name, unit, 0.99)) / 0.02
        assert float(scores[name][unit]) == pytest.approx(slope**2, rel=0.3)  # it bends


def test_every_rule_tells_the_units_of_every_layer_apart() -> None:
    net, frame = network(shape=SHAPE), labelled(batch=1)
    layers = detector_layers(net)
    found = {
        "magnitude": rules.magnitude(net, layers),
        "flap": rules.flap(net, layers, [frame], [EVERYTHING]),
        "synflow": rules.synflow(net, layers, kept_all(layers), rules.ones_like(frame.inputs)),
    }
    for rule, scores in found.items():
        assert set(scores) == set(layers)
        for name, score in scores.items():
            assert score.isfinite().all(), (rule, name)
            assert len(score.unique()) == layers[name].units, (rule, name)
    assert all((score > 0).all() for score in found["synflow"].values())


def test_flap_goes_by_the_variance_of_each_channel_when_a_layer_has_tokens() -> None:
    net, frame = network(shape=SHAPE), labelled(batch=1)
    layers, name = detector_layers(net), "audio.mix"
    seen: list[torch.Tensor] = []
    net.get_submodule("audio.token").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    scores = rules.flap(net, layers, [frame], [EVERYTHING])[name]
    variance = seen[0].flatten(0, 1).var(dim=0, unbiased=False)
    read = [
        net.get_parameter(reader).detach()[:, -layers[name].channels :] for reader in layers[name].readers
    ]
    power = torch.stack([weight.transpose(0, 1).flatten(1).square().sum(dim=1) for weight in read]).sum(dim=0)
    torch.testing.assert_close(
        scores, standardised(variance * power, layers[name].units), atol=1e-4, rtol=1e-3
    )


def test_nothing_flows_through_units_that_are_gone() -> None:
    net, frame = network(shape=SHAPE), labelled(batch=1)
    layers, kept = detector_layers(net), half(net)
    scores = rules.synflow(net, layers, kept, rules.ones_like(frame.inputs))
    assert all((score[~kept[name]] == 0).all() for name, score in scores.items())
