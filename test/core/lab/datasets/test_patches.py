"""The rule that cuts anyone's arrays into tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.lab.datasets.patches import patch_side, tokenise


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ((100,), 10),
        ((128,), 8),
        ((16,), 1),
        ((17,), 2),
        ((3,), 1),
        ((28, 28), 7),
        ((30, 30), 10),
        ((5, 4), 2),
    ],
)
def test_patch_side_follows_its_rule_when_sizes_differ(sizes: tuple[int, ...], side: int) -> None:
    assert patch_side(sizes) == side


@given(st.lists(st.integers(1, 400), min_size=1, max_size=2))
def test_patch_side_gives_few_tokens_when_an_array_has_any_size(sizes: list[int]) -> None:
    values = np.zeros((1, *sizes, 1), np.uint8)
    tokens = tokenise(values).shape[1]
    assert tokens <= 16
    if len(sizes) == 1:
        assert tokens >= min(8, sizes[0])


@given(st.lists(st.integers(1, 23), min_size=1, max_size=2), st.integers(1, 3), st.integers(1, 9) | st.none())
def test_tokenise_keeps_every_value_when_patches_do_not_divide_the_array(
    sizes: list[int], channels: int, side: int | None
) -> None:
    values = np.arange(2 * math.prod(sizes) * channels).reshape(2, *sizes, channels)
    tokens = tokenise(values, side=side)
    for row in range(2):
        assert set(tokens[row].ravel()) == set(values[row].ravel())


def test_tokenise_repeats_the_edge_when_the_last_patch_is_short() -> None:
    series = np.arange(10.0).reshape(1, 5, 2)
    assert tokenise(series, side=2).tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 8, 9]]]
    assert tokenise(np.arange(3.0)[None], side=2).tolist() == [[[0, 1], [2, 2]]]


def test_tokenise_keeps_a_patch_together_when_it_cuts_images() -> None:
    image = np.arange(16).reshape(1, 4, 4, 1)
    assert tokenise(image, side=2)[0].tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]
