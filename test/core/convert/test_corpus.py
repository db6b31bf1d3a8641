"""Thousands of damaged messages: each is digested, or reported with a reason; nothing else happens."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders import S, message
from damage import SENSOR, SOUND, damage, image
from hypothesis import given, settings
from hypothesis import strategies as st

from sentryfuse_core.config import Config
from sentryfuse_core.convert import camera_info, to_sample
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.types import Modality, ModalitySet, SyncedSet

CONFIG = Config()


@pytest.mark.parametrize("type_name", sorted(SOUND))
def test_a_damaged_message_is_digested_or_reported_whatever_is_wrong(type_name: str) -> None:
    modality = SENSOR.get(type_name.rsplit("/", 1)[1], Modality.AUDIO)
    preprocessor = Preprocessor(CONFIG)
    outcomes = {"digested": 0, "reported": 0}

    @settings(max_examples=350, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def check(seed: int) -> None:
        item = copy.deepcopy(SOUND[type_name]())
        damage(item, seed)
        try:
            sample = to_sample(
                modality,
                item,
                type_name=type_name,
                config=CONFIG.sensor(modality),
                received_ns=2 * S,
                arrival_ns=S,
            )
        except InvalidMessageError:
            outcomes["reported"] += 1
            return
        stamp_ns = sample.stamp_ns + (10_000_000 if modality is Modality.AUDIO else 0)
        synced = SyncedSet(0, 0, stamp_ns, None, {modality: (sample,)}, {}, S, S, S)
        prepared = preprocessor(synced, ModalitySet.all())
        assert (modality in prepared.inputs.present) != (modality in prepared.invalid)
        for tensor in vars(prepared.inputs).values():
            assert tensor is None or torch.isfinite(tensor).all()
        outcomes["digested"] += 1

    check()
    assert min(outcomes.values()) > 5, outcomes


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_damaged_camera_info_is_used_or_reported_whatever_is_wrong(seed: int) -> None:
    item = message(
        width=640,
        height=480,
        distortion_model="plumb_bob",
        k=np.array([300.0, 0.0, 320.0, 0.0, 300.0, 240.0, 0.0, 0.0, 1.0]),
        d=np.array([0.1, -0.2, 0.0, 0.0, 0.1]),
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )
    damage(item, seed)
    try:
        intrinsics = camera_info(item)
    except InvalidMessageError:
        return
    sample = to_sample(
        Modality.CAMERA,
        image(),
        type_name="sensor_msgs/msg/Image",
        config=CONFIG.camera,
        received_ns=S,
        arrival_ns=S,
    )
    preprocessor = Preprocessor(CONFIG)
    preprocessor.set_intrinsics(intrinsics)
    synced = SyncedSet(0, 0, S, None, {Modality.CAMERA: (sample,)}, {}, S, S, S)
    prepared = preprocessor(synced, ModalitySet.all())
    assert (Modality.CAMERA in prepared.inputs.present) != (Modality.CAMERA in prepared.invalid)
