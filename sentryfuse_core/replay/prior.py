"""What the network says without any sensor: the boxes its canvas alone proposes."""

from __future__ import annotations

from collections.abc import Mapping

from sentryfuse_core.config import ModelConfig
from sentryfuse_core.model.heads import decode
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.load import load_bank
from sentryfuse_core.types import Detection, ModalitySet

__all__ = ["canvas_prior"]


def canvas_prior(config: ModelConfig) -> Mapping[int, tuple[Detection, ...]]:
    """The canvas's own boxes at every loaded level, best first and however unsure it is of them."""
    bank = load_bank(config)
    backend = EagerBackend(bank, threads=config.threads)  # the only one that runs without any sensor
    nothing = ModelInput(camera=None, camera_position=None, lidar=None, imu=None, audio=None)
    found = {}
    for level in bank.loaded:
        output = backend.run(nothing, bank.plan(ModalitySet(), level, "canvas without tokens"))
        found[level] = decode(
            output, score_threshold=0.0, max_detections=config.max_detections, labels=bank.labels
        )[0]
    return found
