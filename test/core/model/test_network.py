"""The network: an absent sensor cannot change anything, a level is a prefix of the same weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from networks import TINY, model_input, network
from torch import Tensor

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.model.lift import depth_bins
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.quality import MEASURES
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

APART = dataclasses.replace(
    TINY,
    camera_halved=(1.0, 0.5),
    audio_widths=(1.0, 0.5),
    qualities=tuple(measure.key for measure in MEASURES),
)


def good_quality(net: SentryFuseNet, batch: int = 2) -> Tensor:
    assert net.trust is not None
    return net.trust.centre.expand(batch, -1)


@pytest.mark.parametrize("bits", range(1, 16))
def test_network_ignores_the_weights_of_a_sensor_when_it_is_absent(bits: int) -> None:
    mask = ModalitySet(bits)
    net, broken = network(), network()
    with torch.no_grad():
        for modality in ModalitySet.all() - mask:
            for weight in getattr(broken, modality.value).parameters():
                weight.fill_(torch.nan)
    inputs = model_input().only(mask)
    with torch.inference_mode():
        whole, without = net(inputs), broken(inputs)
    assert torch.equal(whole.heatmap, without.heatmap)
    assert torch.equal(whole.boxes, without.boxes)


@pytest.mark.parametrize("modality", list(Modality))
def test_network_answers_differently_when_a_sensor_joins(modality: Modality) -> None:
    net, inputs = network(), model_input()
    rest = ModalitySet.all() - ModalitySet.of(modality)
    with torch.inference_mode():
        assert not torch.equal(net(inputs).heatmap, net(inputs.only(rest)).heatmap)


def test_network_has_shorter_sequences_when_sensors_are_absent() -> None:
    net = network()
    lengths = []
    hook = net.trunk.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    with torch.inference_mode():
        for mask in (ModalitySet(), ModalitySet.of(Modality.IMU), ModalitySet.all()):
            net(model_input().only(mask), batch=2)
    hook.remove()
    assert lengths == [256, 258, 256 + 48 + 64 + 2 + 16]


@pytest.mark.parametrize("parts", [PartLevels(), PartLevels(camera=2)], ids=["whole image", "half image"])
def test_network_gives_the_same_when_it_is_told_that_everything_is_seen(parts: PartLevels) -> None:
    net, inputs = network(shape=APART), model_input()
    seen = dataclasses.replace(inputs, camera_seen=torch.ones(2, 1, 32, 96))
    with torch.inference_mode():
        torch.testing.assert_close(net(seen, parts=parts).heatmap, net(inputs, parts=parts).heatmap)


@pytest.mark.parametrize("parts", [PartLevels(), PartLevels(camera=2)], ids=["whole image", "half image"])
def test_camera_speaks_of_what_it_sees_alone_when_half_of_its_view_is_hidden(parts: PartLevels) -> None:
    net, inputs = network(shape=APART), model_input().only(ModalitySet.of(Modality.CAMERA))
    seen = torch.ones(2, 1, 32, 96)
    seen[..., 48:] = 0.0
    with torch.inference_mode():
        half = net.encode(dataclasses.replace(inputs, camera_seen=seen), parts=parts)[Modality.CAMERA]
    assert half.canvas is not None
    left, right = net.canvas.centres[:, 1] > 0.0, net.canvas.centres[:, 1] < -2.0  # between them both show
    assert half.canvas[:, right].abs().sum() == 0.0
    assert half.canvas[:, left].abs().sum() > 0.0
    assert half.shown is not None
    assert sorted(set(half.shown.flatten().tolist())) == [0.0, 1.0]
    assert float(half.shown.mean()) == 0.5


def test_trunk_hears_no_token_of_what_the_camera_does_not_see() -> None:
    net, inputs = network(), model_input().only(ModalitySet.of(Modality.CAMERA))
    with torch.inference_mode():
        features = net.encode(dataclasses.replace(inputs, camera_seen=torch.zeros(2, 1, 32, 96)))
        blind = features[Modality.CAMERA]
        loud = dataclasses.replace(blind, tokens=100.0 * blind.tokens)
        answers = [
            net.fuse({Modality.CAMERA: item}, parts=PartLevels(), batch=2).heatmap for item in (blind, loud)
        ]
    assert torch.equal(*answers)


def test_network_has_a_key_for_each_block_of_cells_when_the_canvas_is_pooled() -> None:
    keys = {}
    for pool in (1, 4):
        net = network(shape=dataclasses.replace(TINY, canvas_pool=pool))
        seen: list[int] = []
        net.trunk.register_forward_pre_hook(
            lambda _, args, seen=seen: seen.append(sum(segment.keys for segment in args[1]))
        )
        with torch.inference_mode():
            net(model_input().only(ModalitySet()))
        keys[pool] = seen
    assert keys == {1: [256], 4: [64]}


def test_shape_pools_no_canvas_when_its_manifest_is_older() -> None:
    older = TINY.to_mapping()
    del older["canvas_pool"]
    assert ModelShape.from_mapping(older).canvas_pool == 1


def test_network_gives_one_answer_for_the_whole_batch_when_no_sensor_is_there() -> None:
    with torch.inference_mode():
        output = network()(model_input().only(ModalitySet()), batch=3)
    assert output.heatmap.shape == (3, 3, 32, 32)
    assert torch.equal(output.boxes[0], output.boxes[2])


def test_network_equals_a_copied_narrow_network_to_the_bit_when_the_level_is_narrow() -> None:
    net = network()
    narrow = SentryFuseNet(TINY).eval()
    narrow.load_state_dict(net.state_dict())
    width = TINY.width(1)
    for layer in narrow.trunk.layers:
        rows = width.groups * TINY.group * TINY.head_dim
        for owner, name, count in (
            (layer.attend, "query", rows),
            (layer.attend, "key_value", width.groups * 2 * TINY.head_dim),
            (layer.attend, "output", rows),
            (layer.feed, "rise", width.blocks * TINY.ffn_block),
            (layer.feed, "rise_bias", width.blocks * TINY.ffn_block),
            (layer.feed, "fall", width.blocks * TINY.ffn_block),
        ):
            setattr(owner, name, torch.nn.Parameter(getattr(owner, name)[:count].detach().clone()))
    with torch.inference_mode():
        level, inputs = TINY.uniform(1), model_input()
        assert torch.equal(net(inputs, parts=level).heatmap, narrow(inputs, parts=level).heatmap)
        assert not torch.equal(net(inputs, parts=level).heatmap, net(inputs).heatmap)


def test_network_reads_sub_cells_in_place_when_one_canvas_token_changes() -> None:
    net = network()
    tokens = torch.zeros(1, 256, TINY.dim)
    moved = tokens.clone()
    token = int(net.canvas.inverse[5 * 16 + 9])  # cell in row 5 (x), column 9 (y)
    moved[0, token] = torch.randn(TINY.dim)
    with torch.inference_mode():
        with_it, without = (net.canvas.to_fine_grid(net.head.spread(item), 2) for item in (moved, tokens))
    change = (with_it - without).abs().sum(dim=(0, 1))
    assert {tuple(place) for place in change.nonzero().tolist()} == {(10, 18), (10, 19), (11, 18), (11, 19)}


def test_network_gives_each_placed_sensor_its_own_map_of_centres() -> None:
    with torch.inference_mode():
        output = network()(model_input())
        alone = network()(model_input().only(ModalitySet.of(Modality.CAMERA)))
    assert set(output.evidence) == {Modality.CAMERA, Modality.LIDAR, Modality.AUDIO}
    assert {tuple(logits.shape) for logits in output.evidence.values()} == {(2, 1, 32, 32)}
    assert set(alone.evidence) == {Modality.CAMERA}


def test_network_differs_by_the_tilt_only_when_the_imu_is_there() -> None:
    inputs, net = model_input(), network()
    level = dataclasses.replace(inputs, tilt=torch.zeros(2, 2))
    without_imu = ModalitySet.all() - ModalitySet.of(Modality.IMU)
    with torch.inference_mode():
        assert not torch.equal(net(inputs).heatmap, net(level).heatmap)
        blind = [net(item.only(without_imu)).heatmap for item in (inputs, level)]
    assert torch.equal(*blind)


@pytest.mark.parametrize(
    "parts",
    [
        PartLevels(camera=3),
        PartLevels(camera=2, lidar=1),
        PartLevels(audio=1, head=1),
        PartLevels(trunk=1),
        APART.narrowest,
    ],
)
def test_network_narrows_the_parts_that_it_is_told_to_when_each_has_a_level(parts: PartLevels) -> None:
    net, inputs = network(shape=APART), model_input()
    with torch.inference_mode():
        output, full = net(inputs, parts=parts), net(inputs)
        features, whole = net.encode(inputs, parts=parts), net.encode(inputs)
    assert output.heatmap.shape == full.heatmap.shape
    assert bool(output.heatmap.isfinite().all())
    assert not torch.equal(output.heatmap, full.heatmap)
    for modality in Modality:
        same = torch.equal(features[modality].tokens, whole[modality].tokens)
        assert same == (not getattr(parts, modality.value, 0))


def test_network_sees_the_same_horizon_in_half_an_image_when_its_pixels_are_pairs() -> None:
    camera = network(shape=APART).camera
    tilt = torch.tensor([[0.02, -0.03]])
    rows = len(camera.horizon.up)
    fine, coarse = (camera.horizon.target(tilt, count).clamp_min(1e-9).log() for count in (rows, rows // 2))
    torch.testing.assert_close(camera.horizon(coarse, None), camera.horizon(fine, None), atol=2e-3, rtol=0.1)
    assert camera.ground_of(rows // 2).rows.shape == (rows // 2, 1)


def test_network_answers_as_without_quality_when_trust_is_untrained() -> None:
    net, inputs = network(shape=APART), model_input()
    bad = dataclasses.replace(inputs, quality=good_quality(net) + 3.0)
    with torch.inference_mode():
        whole, judged = net(inputs), net(bad)
    assert set(judged.trust) == set(Modality)
    assert not whole.trust
    torch.testing.assert_close(whole.heatmap, judged.heatmap)


def distrust(net: SentryFuseNet, modality: Modality, *, logit: float) -> None:
    """Make a measure of 1 above what is good take so much from the logit of the sensor's trust."""
    assert net.trust is not None
    row = list(Modality).index(modality)
    measure = next(index for index, item in enumerate(MEASURES) if item.modality is modality)
    with torch.no_grad():
        net.trust.hidden.weight.zero_()
        net.trust.hidden.weight[0, measure] = 1.0
        net.trust.trust.weight[row, 0] = logit


@pytest.mark.parametrize("modality", [Modality.CAMERA, Modality.LIDAR, Modality.AUDIO])
def test_network_answers_nearly_as_without_a_sensor_when_it_is_not_trusted(modality: Modality) -> None:
    net, inputs = network(shape=APART), model_input()
    distrust(net, modality, logit=-60.0)
    bad = dataclasses.replace(inputs, quality=good_quality(net) + 1.0)
    rest = ModalitySet.all() - ModalitySet.of(modality)
    with torch.inference_mode():
        judged, full, without = net(bad), net(inputs), net(inputs.only(rest))
    assert float(judged.trust[modality].max()) < 1e-6
    assert float(judged.evidence[modality].max()) < -10.0
    left = (judged.heatmap - without.heatmap).abs().mean()
    assert left < 0.2 * (full.heatmap - without.heatmap).abs().mean()


@pytest.mark.parametrize("modality", list(Modality))
def test_network_trusts_a_sensor_as_on_a_good_day_when_its_measures_were_not_taken(
    modality: Modality,
) -> None:
    net = network(shape=APART)
    distrust(net, modality, logit=-60.0)
    assert net.trust is not None
    net.trust.centre.fill_(0.3)
    untaken = good_quality(net).clone()
    untaken[:, [measure.modality is modality for measure in MEASURES]] = torch.nan
    everything = ModalitySet.all()
    with torch.inference_mode():
        trust, good = net.trust(untaken, everything), net.trust(good_quality(net), everything)
        bad = net.trust(good_quality(net) + 1.0, everything)
    torch.testing.assert_close(trust, good)
    assert float(bad[modality].max()) < 1e-6


def test_network_takes_no_tilt_from_an_imu_that_is_not_trusted() -> None:
    net, inputs = network(shape=APART), model_input()
    distrust(net, Modality.IMU, logit=-60.0)
    quality = good_quality(net) + 1.0
    bad = dataclasses.replace(inputs, quality=quality)
    level = dataclasses.replace(inputs, quality=quality, tilt=torch.zeros(2, 2))
    with torch.inference_mode():
        torch.testing.assert_close(net(bad).heatmap, net(level).heatmap)


@pytest.mark.parametrize(
    "wrong",
    [
        {"heads": 5},
        {"dim": 18},
        {"ffn": 70},
        {"widths": (0.5, 1.0)},
        {"audio_widths": (0.5,)},
        {"camera_halved": (2.0,)},
        {"channel_step": 12},
    ],
)
def test_shape_raises_when_sizes_do_not_divide(wrong: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="impossible network shape"):
        dataclasses.replace(TINY, **wrong)


def test_shape_returns_the_same_when_written_and_read() -> None:
    assert ModelShape.from_mapping(TINY.to_mapping()) == TINY
    with pytest.raises(CheckpointError, match="depth"):
        ModelShape.from_mapping({"depth": 3})


def test_network_is_finite_when_the_camera_is_said_to_lie_on_the_ground() -> None:
    inputs = dataclasses.replace(model_input(), camera_position=torch.zeros(2, 3))
    with torch.inference_mode():
        output = network()(inputs)
    assert bool(output.heatmap.isfinite().all())
    assert bool(output.boxes.isfinite().all())


def test_camera_takes_the_distance_of_the_ground_at_the_foot_when_nothing_else_is_learned() -> None:
    net, inputs = network(), model_input().only(ModalitySet.of(Modality.CAMERA))
    assert inputs.camera_position is not None
    camera, rows_lower = net.camera, 16.0
    with torch.no_grad():
        camera.look.weight.zero_()
        camera.look.bias.zero_()
        camera.foot.bias.copy_(torch.tensor([rows_lower / 16.0, -1.5]))
    with torch.inference_mode():
        view = net(inputs).view
        assert view is not None
        stands = camera.ground.rows + rows_lower
        torch.testing.assert_close(view.foot, stands.expand_as(view.foot))
        metres = camera.ground.ahead(inputs.camera_position, view.tilt, stands)
    nearest = depth_bins(metres, net.shape.depth_bins).round().long()
    found = view.look[:, : net.shape.depth_bins].argmax(dim=1)
    assert bool(((found - nearest).abs() <= 1).all())
    assert int(found.max()) > int(found.min())


def test_camera_takes_no_notice_of_the_imu_when_its_horizon_is_sure() -> None:
    net, inputs = network(), model_input()
    assert inputs.tilt is not None
    with torch.no_grad():
        net.camera.horizon.column.fill_(20.0)
    other = dataclasses.replace(inputs, tilt=-inputs.tilt)
    with torch.inference_mode():
        first, second = net.encode(inputs)[Modality.CAMERA], net.encode(other)[Modality.CAMERA]
    assert first.canvas is not None
    assert second.canvas is not None
    torch.testing.assert_close(first.canvas, second.canvas, atol=1e-3, rtol=1e-3)
