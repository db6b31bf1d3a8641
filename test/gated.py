"""Builders of a small bank whose gate plans by presence and quality, and whose network trusts by quality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from networks import GATED, WORTHS, model_input, network

from sentryfuse_core.model.checkpoint import load_checkpoint, save_checkpoint
from sentryfuse_core.preprocess.quality import MEASURES
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import Modality, ModalitySet, Plan

SHAPE = GATED
CAMERA, LIDAR = ModalitySet.of(Modality.CAMERA), ModalitySet.of(Modality.LIDAR)


def gated_bank(folder: Path, *, doubting: bool = False, max_level: int = 0) -> Bank:
    """A bank with that gate; `doubting`: trust is anything but 1."""
    path = folder / "gated.safetensors"
    facts = {"labels": ["car", "pedestrian", "cyclist"], "gate": WORTHS.to_mapping()}
    net = network(shape=SHAPE)
    if doubting and net.trust is not None:
        torch.nn.init.normal_(net.trust.trust.weight, std=3.0)
        torch.nn.init.normal_(net.trust.presence.weight)
    save_checkpoint(path, net, facts)
    return Bank(load_checkpoint(path), max_level=max_level)


def measured_input(seed: int = 0) -> ModelInput:
    """One set of all four sensors, random, with random measures of quality but for the IMU, not measured."""
    generator = torch.Generator().manual_seed(seed)
    measures = torch.randn(1, len(MEASURES), generator=generator)
    measures[:, [measure.modality is Modality.IMU for measure in MEASURES]] = torch.nan
    return replace(model_input(seed, batch=1), quality=measures)


def all_plans(bank: Bank) -> Iterator[Plan]:
    """What runs for every set of sensors, any of them poor, at every level."""
    for mask in ModalitySet.subsets():
        for poor in (ModalitySet(), *ModalitySet.subsets()):
            for level in bank.loaded if poor & mask == poor else ():
                plan = bank.plan(mask, level, "", poor)
                if plan.mask:  # nothing is left of an IMU alone that is poor
                    yield plan
