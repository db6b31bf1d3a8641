"""The health room used alone, as its page shows."""

from __future__ import annotations

import doctest

from sentryfuse_core import health


def test_health_example_is_true_when_it_is_run() -> None:
    result = doctest.testmod(health)
    assert result.attempted >= 8
    assert result.failed == 0
