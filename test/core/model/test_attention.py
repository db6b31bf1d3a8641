"""SentryAttend: folding changes nothing, pooling is a mean, a prefix is a smaller network."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sentryfuse_core.model.attention import Segment, SentryAttend, folded_attention, pool_segments


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
    torch.testing.assert_close(folded, grouped, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(folded, repeated, atol=1e-5, rtol=1e-5)


def test_pool_segments_averages_within_a_sensor_when_strides_differ() -> None:
    tokens = torch.arange(7.0).view(1, 7, 1)
    pooled = pool_segments(tokens, [Segment(3, 1), Segment(4, 2)])
    assert pooled.flatten().tolist() == [0.0, 1.0, 2.0, 3.5, 5.5]


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
