"""Batches: every class as often as any other, the same for a seed, and sets of modalities never empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.lab.datasets.arrays import Arrays
from sentryfuse_core.lab.training.batches import Batch, Batches, draw_present, tensors_of


def samples_of(counts: tuple[int, ...] = (90, 9, 1)) -> Batch:
    """Rare and frequent classes; each sample's value is its row."""
    label = torch.cat([torch.full((count,), index) for index, count in enumerate(counts)])
    rows = torch.arange(len(label), dtype=torch.float32)
    return Batch({"a": rows[:, None, None], "b": -rows[:, None, None]}, label, torch.arange(len(label)))


def batches_of(seed: int = 0) -> Batches:
    return Batches(samples_of(), classes=3, generator=torch.Generator().manual_seed(seed))


def test_classes_are_equally_frequent_when_the_split_is_uneven() -> None:
    drawn = torch.bincount(batches_of().draw(6000).label, minlength=3)
    assert (drawn.float() / 2000 - 1.0).abs().max() < 0.1


def test_batch_holds_the_rows_that_it_names_when_drawn() -> None:
    batch = batches_of().draw(50)
    samples = samples_of()
    assert len(batch) == 50
    assert torch.equal(batch.inputs["a"][:, 0, 0], batch.index.float())
    assert torch.equal(batch.inputs["b"], -batch.inputs["a"])
    assert torch.equal(batch.label, samples.label[batch.index])


def test_batches_are_the_same_when_the_seed_is() -> None:
    one, other, third = batches_of(3), batches_of(3), batches_of(4)
    first = [one.draw(8).index.tolist() for _ in range(3)]
    assert first == [other.draw(8).index.tolist() for _ in range(3)]
    assert first != [third.draw(8).index.tolist() for _ in range(3)]


def test_class_without_a_sample_is_passed_over_when_drawing() -> None:
    batches = Batches(samples_of((5, 0, 5)), classes=4, generator=torch.Generator().manual_seed(0))
    assert set(batches.draw(200).label.tolist()) == {0, 2}


def test_part_and_only_cut_rows_and_modalities_when_asked() -> None:
    batch = samples_of()
    part = batch.part(slice(2, 5))
    assert part.index.tolist() == [2, 3, 4]
    assert part.inputs["b"][:, 0, 0].tolist() == [-2.0, -3.0, -4.0]
    assert list(batch.only(frozenset({"b"}))) == ["b"]
    assert batch.only(frozenset({"b"}))["b"] is batch.inputs["b"]


def test_tensors_hold_one_split_when_read_from_arrays() -> None:
    values = np.arange(6, dtype=np.float32).reshape(6, 1, 1)
    arrays = Arrays(
        name="tiny",
        inputs={"a": values},
        label=np.array([0, 1, 0, 1, 0, 1]),
        split=np.array(["train", "val", "train", "test", "test", "train"]),
        classes=("x", "y"),
        item=np.arange(6),
    )
    batch = tensors_of(arrays, "train")
    assert batch.inputs["a"][:, 0, 0].tolist() == [0.0, 2.0, 5.0]
    assert batch.label.tolist() == [0, 0, 1]
    assert batch.index.tolist() == [0, 1, 2]


@given(count=st.integers(1, 6), dropout=st.floats(0.0, 1.0), seed=st.integers(0, 10**6))
def test_present_modalities_are_never_none_when_drawn(count: int, dropout: float, seed: int) -> None:
    names = [f"m{place}" for place in range(count)]
    generator = torch.Generator().manual_seed(seed)
    found = draw_present(names, dropout, generator)
    assert found
    assert found <= set(names)
    if dropout == 0.0:
        assert found == set(names)


@pytest.mark.parametrize("dropout", [0.2, 0.5, 1.0])
def test_each_modality_is_absent_as_often_as_asked_when_drawn_many_times(dropout: float) -> None:
    generator, names, draws = torch.Generator().manual_seed(0), "abcd", 2000
    sets = [draw_present(names, dropout, generator) for _ in range(draws)]
    # When all are gone one of the four comes back.
    expected = (1.0 - dropout) + dropout**4 / 4
    for name in names:
        assert abs(sum(name in one for one in sets) / draws - expected) < 0.05
