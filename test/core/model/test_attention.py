"""SentryAttend: folding changes nothing, a prefix is a smaller layer, torch's own layer converts exactly."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from sentryfuse_core.model.attention import Segment, SentryAttend, folded_attention
from sentryfuse_core.model.fusion import FeedForward
from sentryfuse_core.model.sparsity import SPARSITIES
from sentryfuse_core.pruning.units import gated, prefix, sliced, sort_units


@settings(max_examples=15)
@given(groups=st.integers(1, 3), heads=st.integers(1, 4), tokens=st.integers(1, 9), keys=st.integers(1, 9))
def test_folded_attention_equals_grouped_and_repeated_when_heads_share_keys(
    groups: int, heads: int, tokens: int, keys: int
) -> None:
    generator = torch.Generator().manual_seed(tokens * 100 + keys)
    query = torch.randn(2, groups, heads, tokens, 8, generator=generator)
    key, value = torch.randn(2, 2, groups, keys, 8, generator=generator).unbind(0)
    folded = folded_attention(query, key, value).flatten(1, 2)
    grouped = functional.scaled_dot_product_attention(query.flatten(1, 2), key, value, enable_gqa=True)
    repeated = functional.scaled_dot_product_attention(
        query.flatten(1, 2), key.repeat_interleave(heads, 1), value.repeat_interleave(heads, 1)
    )
    torch.testing.assert_close(folded, grouped, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(folded, repeated, atol=1e-6, rtol=1e-5)


def test_attention_equals_plain_attention_when_nothing_is_pooled_or_shared() -> None:
    torch.manual_seed(1)
    attend = SentryAttend(16, heads=4, kv_heads=4)
    tokens = torch.randn(2, 10, 16)
    weights = attend.key_value.view(4, 2, 4, 16)
    reference = functional.multi_head_attention_forward(
        tokens.transpose(0, 1),
        tokens.transpose(0, 1),
        tokens.transpose(0, 1),
        16,
        4,
        torch.cat((attend.query, weights[:, 0].flatten(0, 1), weights[:, 1].flatten(0, 1))),
        None,
        None,
        None,
        False,
        0.0,
        attend.output.t(),
        attend.output_bias,
        need_weights=False,
    )[0].transpose(0, 1)
    torch.testing.assert_close(attend(tokens, [Segment(10, 1)]), reference, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_attention_equals_a_copied_smaller_one_to_the_bit_when_groups_are_cut(kept: int) -> None:
    torch.manual_seed(2)
    large = SentryAttend(24, heads=6, kv_heads=3)
    small = SentryAttend(24, heads=6, kv_heads=3)
    rows = kept * 2 * 4
    small.query = torch.nn.Parameter(large.query[:rows].detach().clone())
    small.key_value = torch.nn.Parameter(large.key_value[:rows].detach().clone())
    small.output = torch.nn.Parameter(large.output[:rows].detach().clone())
    small.output_bias = large.output_bias
    tokens, segments = torch.randn(2, 12, 24), [Segment(4, 1), Segment(8, 4)]
    assert torch.equal(large(tokens, segments, width=kept), small(tokens, segments, width=kept))
    assert large.query[:rows].is_contiguous()
    assert large.query[:rows].data_ptr() == large.query.data_ptr()


RAGGED = [Segment(1, 1), Segment(70, 4), Segment(131, 4)]  # by default: several windows and blocks, cut ends


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("bias", [False, True])
def test_sliced_attention_equals_the_narrowed_and_the_gated_one_when_units_go(
    sparsity: str, bias: bool
) -> None:
    torch.manual_seed(3)
    layer = SentryAttend(24, heads=6, kv_heads=3, sparsity=sparsity, bias=bias)
    if bias:
        nn.init.normal_(layer.get_parameter("query_bias"))
        nn.init.normal_(layer.get_parameter("key_value_bias"))
    network = nn.ModuleDict({"attend": layer})
    tokens = torch.randn(2, 202, 24)
    with torch.no_grad():
        whole = layer(tokens, RAGGED)
        small = sliced(network, prefix({"attend": 2}))["attend"](tokens, RAGGED)
        assert torch.equal(small, layer(tokens, RAGGED, width=2))
        with gated(network, {"attend": torch.tensor([1.0, 1.0, 0.0])}):
            torch.testing.assert_close(small, layer(tokens, RAGGED), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(small, whole, atol=1e-2)
        sort_units(network, {"attend": [2, 0, 1]})
        torch.testing.assert_close(layer(tokens, RAGGED), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_converted_layer_equals_torchs_when_nothing_is_pooled(sparsity: str, bias: bool) -> None:
    torch.manual_seed(4)
    theirs = nn.MultiheadAttention(32, 4, bias=bias, batch_first=True).eval()
    if bias:
        nn.init.normal_(theirs.in_proj_bias)
        nn.init.normal_(theirs.out_proj.bias)
    tokens = torch.randn(2, 50, 32)
    ours = SentryAttend.from_multihead(theirs, sparsity=sparsity)
    expected = theirs(tokens, tokens, tokens, need_weights=False)[0]
    torch.testing.assert_close(ours(tokens, [Segment(50, 1)]), expected, atol=1e-5, rtol=1e-5)
    if sparsity == "dense":
        torch.testing.assert_close(ours(tokens, [Segment(50, 4)]), expected, atol=1e-5, rtol=1e-5)


def test_converted_layer_equals_torchs_when_heads_of_a_group_were_alike() -> None:
    torch.manual_seed(5)
    theirs = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    nn.init.normal_(theirs.in_proj_bias)
    with torch.no_grad():
        for tensor in (theirs.in_proj_weight, theirs.in_proj_bias):
            rows = tensor[32:].unflatten(0, (2, 2, 2, 8))  # key or value, group, head, channel
            rows[:, :, 1] = rows[:, :, 0]
    ours = SentryAttend.from_multihead(theirs, kv_heads=2)
    tokens = torch.randn(2, 20, 32)
    expected = theirs(tokens, tokens, tokens, need_weights=False)[0]
    assert ours.units == 2
    torch.testing.assert_close(ours(tokens, [Segment(20, 1)]), expected, atol=1e-5, rtol=1e-5)


def test_converted_layers_are_of_the_type_and_on_the_device_of_torchs() -> None:
    theirs = nn.MultiheadAttention(8, 2, dtype=torch.float64, device="meta")
    rise, fall = (nn.Linear(*size, dtype=torch.float64, device="meta") for size in ((8, 32), (32, 8)))
    ours = (SentryAttend.from_multihead(theirs), FeedForward.from_linears(rise, fall, block=8))
    for parameter in (parameter for layer in ours for parameter in layer.parameters()):
        assert (parameter.dtype, parameter.device.type) == (torch.float64, "meta")


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (nn.MultiheadAttention(8, 2, kdim=4), "kdim 4"),
        (nn.MultiheadAttention(8, 2, add_bias_kv=True), "add_bias_kv"),
        (nn.MultiheadAttention(8, 2, add_zero_attn=True), "add_zero_attn"),
    ],
)
def test_conversion_raises_with_the_reason_when_a_layer_has_no_counterpart(
    theirs: nn.MultiheadAttention, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        SentryAttend.from_multihead(theirs)


@pytest.mark.parametrize("bias", [False, True])
def test_converted_feed_forward_equals_its_linear_maps(bias: bool) -> None:
    torch.manual_seed(6)
    rise, fall = nn.Linear(12, 32, bias=bias), nn.Linear(32, 12, bias=bias)
    tokens = torch.randn(2, 5, 12)
    ours = FeedForward.from_linears(rise, fall, block=8)
    assert ours.units == 4
    torch.testing.assert_close(ours(tokens), fall(functional.gelu(rise(tokens))), atol=1e-5, rtol=1e-5)


def test_feed_forward_raises_with_the_shape_when_the_second_map_leads_elsewhere() -> None:
    with pytest.raises(ValueError, match="out_features=7"):
        FeedForward.from_linears(nn.Linear(6, 8), nn.Linear(8, 7), block=4)
