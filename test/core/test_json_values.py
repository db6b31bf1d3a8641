"""Values as JSON takes them."""

from __future__ import annotations

import math

from sentryfuse_core.json_values import json_value


def test_json_value_has_null_for_nan_and_rounds_when_floats_lie_deep() -> None:
    value = {"a": math.nan, "b": (1.23456, {"c": [math.nan, 7, "1.23456", True]})}
    assert json_value(value, 2) == {"a": None, "b": [1.23, {"c": [None, 7, "1.23456", True]}]}
    assert json_value(value)["b"][0] == 1.23456
