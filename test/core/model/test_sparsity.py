"""Strategies: what each token sees, checked against plain attention under a mask."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.model.attention import SentryAttend
from sentryfuse_core.model.backbones import ClassifierShape, Stream, make_backbone
from sentryfuse_core.model.sparsity import (
    SPARSITIES,
    BlockTopK,
    Dense,
    Pooled,
    Segment,
    Sparsity,
    Window,
    folded_attention,
    make_sparsity,
    pool_segments,
)

segment_lists = st.lists(
    st.builds(Segment, length=st.integers(0, 23), stride=st.sampled_from([1, 2, 4])), min_size=1, max_size=4
).filter(lambda segments: any(segment.length for segment in segments))


def draw(segments: Sequence[Segment], heads: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Query [2, 3, heads, N, 8], key and value [2, 3, N, 8]."""
    tokens = sum(segment.length for segment in segments)
    generator = torch.Generator().manual_seed(tokens)
    query = torch.randn(2, 3, heads, tokens, 8, generator=generator)
    key, value = torch.randn(2, 2, 3, tokens, 8, generator=generator)
    return query, key, value


def attended(sparsity: Sparsity, segments: Sequence[Segment]) -> Tensor:
    """What the strategy makes of `draw`, keys and values being linear maps of the tokens: none here."""
    query, key, value = draw(segments)
    sources = [sparsity.sources(each.flatten(0, 1), segments).unflatten(0, (2, 3)) for each in (key, value)]
    assert sources[0].shape[2] == sparsity.source_count(segments)
    return sparsity.attend(query, *sources, segments)


def test_pool_segments_averages_within_a_sensor_when_strides_differ() -> None:
    tokens = torch.arange(7.0).view(1, 7, 1)
    pooled = pool_segments(tokens, [Segment(3, 1), Segment(4, 2)])
    assert pooled.flatten().tolist() == [0.0, 1.0, 2.0, 3.5, 5.5]


def test_pool_segments_averages_what_is_there_when_the_last_group_is_smaller() -> None:
    tokens = torch.tensor([0.0, 2.0, 4.0, 6.0, 9.0, 100.0]).view(1, 6, 1)
    segments = [Segment(5, 4), Segment(1, 4)]
    assert pool_segments(tokens, segments).flatten().tolist() == [3.0, 9.0, 100.0]
    assert [segment.keys for segment in segments] == [2, 1]


@settings(max_examples=12, deadline=None)
@given(segments=segment_lists)
def test_every_strategy_equals_dense_when_it_covers_everything(segments: list[Segment]) -> None:
    query, key, value = draw(segments)
    expected = folded_attention(query, key, value)
    unpooled = [Segment(segment.length, 1) for segment in segments]
    for sparsity, runs in (
        (Dense(), segments),
        (Pooled(), unpooled),
        (Window(size=8, stride=1), segments),
        (Window(size=8, stride=4), unpooled),
        (BlockTopK(blocks=12, block=8), segments),
        (BlockTopK(blocks=1, block=4), unpooled),
    ):
        torch.testing.assert_close(attended(sparsity, runs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [5, 16, 21])
def test_window_equals_dense_when_one_covers_the_only_sensor(length: int) -> None:
    segments = [Segment(3, 1), Segment(length, 4)]
    found = attended(Window(size=24, stride=4), segments)
    expected = attended(Dense(), segments)  # the first three see the sensor's pooled keys
    torch.testing.assert_close(found[..., 3:, :], expected[..., 3:, :], atol=1e-5, rtol=1e-5)


@settings(max_examples=12, deadline=None)
@given(segments=segment_lists)
def test_window_equals_masked_attention_over_tokens_and_means_when_it_is_small(
    segments: list[Segment],
) -> None:
    size, stride = 8, 4
    query, key, value = draw(segments)
    token, own_window, group_window, coarse = 0, [], [], []
    for index, segment in enumerate(segments):
        step = size if segment.stride > 1 else max(segment.length, 1)
        coarse.append(Segment(segment.length, stride if segment.stride > 1 else 1))
        windows = [(index, place // step) for place in range(segment.length)]
        own_window += windows
        group_window += windows[:: coarse[-1].stride]
        token += segment.length
    is_near = torch.tensor([[a == b for b in own_window] for a in own_window])
    is_far = torch.tensor([[a != b for b in group_window] for a in own_window])
    expected = functional.scaled_dot_product_attention(
        query,
        torch.cat((key, pool_segments(key, coarse)), 2)[:, :, None].expand(-1, -1, 2, -1, -1),
        torch.cat((value, pool_segments(value, coarse)), 2)[:, :, None].expand(-1, -1, 2, -1, -1),
        attn_mask=torch.cat((is_near, is_far), dim=1),
    )
    found = attended(Window(size=size, stride=stride), segments)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=12, deadline=None)
@given(segments=segment_lists, blocks=st.integers(1, 3))
def test_block_topk_equals_masked_attention_when_it_covers_a_part(
    segments: list[Segment], blocks: int
) -> None:
    block = 4
    query, key, value = draw(segments)
    of_token: list[tuple[int, int] | None] = []
    for index, segment in enumerate(segments):
        of_token += [(index, at // block) if segment.stride > 1 else None for at in range(segment.length)]
    names = sorted({name for name in of_token if name})
    member = torch.tensor([[name == own for own in of_token] for name in names]).float()
    member = member.reshape(len(names), len(of_token))
    mean = member / member.sum(dim=1, keepdim=True)
    fit = (mean @ query.mean(dim=2)) @ (mean @ key).transpose(-1, -2)  # [B, G, blocks, blocks]
    fit = fit + 1e6 * torch.eye(len(names))
    limit = min(blocks, len(names))
    best = fit >= fit.topk(limit, dim=-1).values[..., -1:] if names else fit > 0
    shared = torch.tensor([name is None for name in of_token])
    seen = (member.T @ best.float() @ member > 0) | shared | shared[:, None]
    expected = functional.scaled_dot_product_attention(
        query,
        key[:, :, None].expand(-1, -1, 2, -1, -1),
        value[:, :, None].expand(-1, -1, 2, -1, -1),
        attn_mask=seen[:, :, None],
    )
    found = attended(BlockTopK(blocks=blocks, block=block), segments)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backbone", ["trunk", "branches", "bottleneck"])
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_absent_modality_cannot_change_the_output_when_its_weights_and_order_change(
    sparsity: str, backbone: str
) -> None:
    torch.manual_seed(0)
    shape = ClassifierShape(
        backbone=backbone, dim=16, heads=4, kv_heads=2, ffn=16, layers=1, own_layers=1, sparsity=sparsity
    )
    streams = {"a": Stream(70, 3), "b": Stream(201, 2)}
    network = make_backbone(shape, streams, 3)
    alone = make_backbone(shape, {"a": streams["a"]}, 3)
    weights = network.state_dict()
    alone.load_state_dict({name: weights[name] for name in alone.state_dict()})
    inputs = {"a": torch.randn(2, 70, 3)}
    before = network(inputs)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".b." in name:
                parameter.fill_(torch.nan)
    assert torch.isfinite(before).all()
    assert torch.equal(network(inputs), before)
    assert torch.equal(alone(inputs), before)


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_one_sample_is_the_same_alone_and_in_a_batch(sparsity: str) -> None:
    torch.manual_seed(0)
    segments = [Segment(2, 1), Segment(150, 4), Segment(70, 2)]
    attend = SentryAttend(16, heads=4, kv_heads=2, sparsity=sparsity)
    tokens = torch.randn(3, 222, 16)
    torch.testing.assert_close(attend(tokens, segments)[1:2], attend(tokens[1:2], segments))


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_gradients_reach_every_weight_when_training(sparsity: str) -> None:
    torch.manual_seed(0)
    attend = SentryAttend(16, heads=4, kv_heads=2, sparsity=sparsity, bias=True)
    attend(torch.randn(2, 271, 16), [Segment(1, 1), Segment(270, 4)]).square().sum().backward()
    for name, parameter in attend.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_strategies_raise_with_the_value_when_sizes_or_names_are_wrong() -> None:
    with pytest.raises(ValueError, match="window 10 must be a positive multiple of its stride 4"):
        Window(size=10, stride=4)
    with pytest.raises(ValueError, match="blocks 0"):
        BlockTopK(blocks=0)
    with pytest.raises(ValueError, match="unknown sparsity 'none'; there are pooled, dense"):
        make_sparsity("none")
