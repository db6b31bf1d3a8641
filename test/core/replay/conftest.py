"""What tests of replays share: the weights of a small network, loaded once."""

from __future__ import annotations

from typing import Any

import pytest
from networks import gated_checkpoint

from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.runtime.bank import Bank


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Of a small network: how good recordings made by hand look is not what is judged here."""
    return gated_checkpoint(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def one_loaded_network(weights: Checkpoint) -> Any:
    """Load the weights once for all tests of a file; a bank holds nothing of a run."""
    bank = Bank(weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sentryfuse_core.pipeline.load_bank", lambda _config: bank)
        yield
