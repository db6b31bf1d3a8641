"""A sensor of each kind that has been well for three seconds."""

from __future__ import annotations

import pytest
from health_bench import Bench

from sentryfuse_core.types import Modality


@pytest.fixture(params=list(Modality), ids=lambda modality: modality.value)
def bench(request: pytest.FixtureRequest) -> Bench:
    started = Bench(request.param)
    started.good(3.0)
    return started
