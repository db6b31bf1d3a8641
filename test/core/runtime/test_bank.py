"""The bank: one set of tensors for all sub-networks, cut to a prefix on demand, and plans by look-up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import networks
import pytest
from networks import TINY, assert_close, model_input
from torch import Tensor, nn

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.runtime import cut
from sentryfuse_core.runtime.bank import Bank, blank_input
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.lean.form import LeanForm, parts_of
from sentryfuse_core.types import Modality, ModalitySet, PartLevels, Plan

SHAPE = replace(TINY, widths=(1.0, 0.5, 0.25), kv_heads=4, camera_channels=(16, 32, 32, 32, 32))
CAMERA, LIDAR = (ModalitySet.of(modality) for modality in (Modality.CAMERA, Modality.LIDAR))
ROWS = [
    {"mask": 0, "level": 0, "recall_4m": 0.1, "score_threshold": 0.05},
    {"mask": 1, "level": 0, "recall_4m": 0.5, "score_threshold": 0.2},
]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return networks.checkpoint(tmp_path, shape=SHAPE, evaluation={"rows": ROWS})


def held_beside(bank: Bank, plans: Iterable[Plan]) -> int:
    """Bytes that the deploy form of these sub-networks holds and the bank's network does not."""
    form = LeanForm(bank.network)
    found: dict[int, int] = {}

    def walk(item: object) -> None:
        if isinstance(item, Tensor):
            found[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
        elif isinstance(item, nn.Module):
            walk([value for name, value in vars(item).items() if not name.endswith("hooks")])
        elif isinstance(item, dict):
            walk(list(item.values()))
        elif isinstance(item, list | tuple):
            for one in item:
                walk(one)

    for plan in plans:
        for key in parts_of(plan.mask, plan.parts):
            walk(form.part(key))
    own = {
        tensor.untyped_storage().data_ptr()
        for tensor in (*bank.network.parameters(), *bank.network.buffers())
    }
    assert found.keys() & own
    return sum(size for memory, size in found.items() if memory not in own)


def test_all_sub_networks_hold_no_more_than_one_when_they_are_made(checkpoint: Checkpoint) -> None:
    bank = Bank(checkpoint)
    one = held_beside(bank, [bank.plan(ModalitySet.all(), 0, "")])
    assert held_beside(bank, bank.sub_networks) == one
    alone = checkpoint.network()
    one_model = sum(tensor.nbytes for tensor in (*alone.parameters(), *alone.buffers()))
    assert bank.weight_bytes <= 1.01 * one_model


@pytest.mark.parametrize("max_level", [1, 2])
def test_bank_answers_to_the_bit_and_holds_less_when_only_a_prefix_is_loaded(
    checkpoint: Checkpoint, max_level: int
) -> None:
    whole, cut = Bank(checkpoint), Bank(checkpoint, max_level=max_level)
    inputs = model_input(batch=1)
    for mask in ModalitySet.subsets():
        for level in cut.loaded:
            plan = whole.plan(mask, level, "")
            assert cut.plan(mask, level, "") == plan
            expected = EagerBackend(whole).run(inputs.only(mask), plan)
            found = EagerBackend(cut).run(inputs.only(mask), plan)
            assert_close(found, expected)
    assert cut.weight_bytes < whole.weight_bytes
    assert cut.weight_bytes < Bank(checkpoint, max_level=max_level - 1).weight_bytes


def test_cut_keeps_the_same_weights_as_when_every_plan_is_run(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = itertools.product((1, 2), (0, 1), (0,), (0, 2), (1,))  # of camera, lidar, audio, trunk, head
    plans = [PartLevels(*own) for own in levels]
    few, each, whole = (checkpoint.network() for _ in range(3))
    assert 1 < len(list(cut._covering(plans))) < len(plans)
    cut.cut_to(few, plans, blank_input())
    monkeypatch.setattr(cut, "_covering", list)
    cut.cut_to(each, plans, blank_input())
    kept = {name: tensor.shape for name, tensor in few.named_parameters()}
    assert kept == {name: tensor.shape for name, tensor in each.named_parameters()}
    assert kept != {name: tensor.shape for name, tensor in whole.named_parameters()}
    inputs = model_input(batch=1)
    for parts in plans:
        assert_close(few(inputs, parts=parts), whole(inputs, parts=parts))


def test_bank_refuses_a_level_when_it_is_not_loaded(checkpoint: Checkpoint) -> None:
    bank = Bank(checkpoint, max_level=1)
    assert list(bank.loaded) == [1, 2]
    assert len(bank.levels) == 3
    with pytest.raises(BackendError, match=r"level 0 is not loaded: model\.max_level = 1"):
        bank.plan(ModalitySet.all(), 0, "")
    with pytest.raises(BackendError, match="no level 3; give one of 1 to 2"):
        bank.plan(ModalitySet.all(), 3, "")


def test_bank_knows_how_good_a_mask_is_when_the_manifest_says_so(checkpoint: Checkpoint) -> None:
    bank = Bank(checkpoint)
    assert (bank.recall(CAMERA, 0), bank.score_threshold(CAMERA, 0)) == ((0.5, 0.1), 0.2)
    assert all(map(math.isnan, (*bank.recall(LIDAR, 1), bank.score_threshold(LIDAR, 0))))
    assert [bank.threshold(CAMERA, 0, asked=asked) for asked in (0.0, 0.7)] == [0.2, 0.7]
    assert bank.threshold(LIDAR, 0, asked=0.0) == 0.3


def test_bank_is_not_made_when_the_checkpoint_has_no_such_level(checkpoint: Checkpoint) -> None:
    with pytest.raises(BackendError, match=r"model\.max_level = 3: .* has the levels 0 to 2"):
        Bank(checkpoint, max_level=3)


def test_warm_up_times_the_loaded_levels_only_when_a_prefix_is_loaded(checkpoint: Checkpoint) -> None:
    times_ms = EagerBackend(Bank(checkpoint, max_level=2)).warm_up()
    assert set(times_ms) == {(bits, 2) for bits in range(1, 16)}
    assert all(math.isfinite(value) for value in times_ms.values())


def test_plan_keeps_everything_but_the_reason_when_looked_up(checkpoint: Checkpoint) -> None:
    bank = Bank(checkpoint)
    first = bank.plan(ModalitySet.all(), 1, "power")
    second = bank.plan(ModalitySet.all(), 1, "battery")
    assert (first.reason, second.reason) == ("power", "battery")
    assert replace(first, reason="battery") == second
