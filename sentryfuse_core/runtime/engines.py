"""What backends of built parts have in common: what the parts are fed, and one set through them."""

from __future__ import annotations

import torch
from torch import Tensor

from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank, blank_input
from sentryfuse_core.runtime.lean.form import LeanForm, Part, Runner, parts_of, put_together
from sentryfuse_core.runtime.subnetwork import input_tensors
from sentryfuse_core.types import Plan

__all__ = ["FUSE_INPUTS", "examples", "run_parts"]

FUSE_INPUTS = ("placed", "tokens", "counts", "pool", "fine")  # of `LeanFuse.forward`


def run_parts(bank: Bank, run: Runner, inputs: ModelInput, plan: Plan) -> HeadOutput:
    """One set through the parts of `plan`; raises BackendError for anything but one set."""
    given = ModelInput(**input_tensors(inputs, trusting=bank.trusting))
    with torch.inference_mode():
        return put_together(bank.network, run, given, plan.parts)


def examples(bank: Bank) -> dict[Part, tuple[Tensor, ...]]:
    """What each loaded part is fed, of a blank set; how many tokens fuse is fed hangs on the sensors."""
    form = LeanForm(bank.network)
    found: dict[Part, tuple[Tensor, ...]] = {}

    def note(key: Part, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        found.setdefault(key, tensors)
        maps: tuple[Tensor, ...] = form.part(key)(*tensors)
        return maps

    blank = blank_input()
    with torch.no_grad():
        for plan in bank.sub_networks:
            if not found.keys() >= set(parts_of(plan.mask, plan.parts)):
                tensors = input_tensors(blank.only(plan.mask), trusting=bank.trusting)
                put_together(bank.network, note, ModelInput(**tensors), plan.parts)
    return found
