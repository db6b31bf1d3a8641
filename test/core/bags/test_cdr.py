"""The bytes of a message are those that rosbags writes, whatever of it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rosbags.interfaces import Nodetype
from rosbags.typesys.store import Typestore

from sentryfuse_core.bags.cdr import cdr
from sentryfuse_core.bags.writer import ros2_typestore

STORE = ros2_typestore()


def some(store: Typestore, kind: Any, rng: np.random.Generator) -> Any:
    """A value of a field: texts and sequences of any length, fields of messages left out."""
    node, detail = kind
    if node == Nodetype.NAME:
        fields = store.fielddefs[detail][1]
        return {name: some(store, item, rng) for name, item in fields if rng.random() < 0.8}
    if node == Nodetype.BASE:
        if detail[0] == "string":
            return "é" * int(rng.integers(9))
        return rng.integers(2 if detail[0] == "bool" else 100)
    item, count = detail
    values = [some(store, item, rng) for _ in range(count if node == Nodetype.ARRAY else rng.integers(5))]
    numbers = item[0] == Nodetype.BASE and item[1][0] != "string"
    return np.array(values) if numbers and rng.random() < 0.5 else values


@pytest.mark.parametrize("type_name", sorted(STORE.fielddefs))
def test_cdr_equals_what_rosbags_writes_when_any_fields_are_given(type_name: str) -> None:
    rng = np.random.default_rng([*type_name.encode()])
    for _ in range(5):
        kind = (Nodetype.NAME, type_name)
        data = cdr(STORE, type_name, some(STORE, kind, rng))
        assert bytes(STORE.serialize_cdr(STORE.deserialize_cdr(data, type_name), type_name)) == data


def test_cdr_takes_attributes_when_value_is_a_message() -> None:
    fields = {"header": {"stamp": {"sec": 3}, "frame_id": "map"}, "pose": {"position": {"x": 1.5}}}
    type_name = "geometry_msgs/msg/PoseStamped"
    data = cdr(STORE, type_name, fields)
    message: Any = STORE.deserialize_cdr(data, type_name)
    assert (message.header.stamp.sec, message.pose.position.x) == (3, 1.5)
    assert cdr(STORE, type_name, message) == data


def test_cdr_gives_no_turn_when_orientation_is_left_out() -> None:
    type_name = "geometry_msgs/msg/Pose"
    found = [STORE.deserialize_cdr(cdr(STORE, type_name, given), type_name) for given in ({}, None)]
    assert [message.orientation.w for message in found] == [1.0, 1.0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("fields", [{"z": 1.0, "up": 1.0}, {"x": 1.0, "y": 1.0, "up": 1.0}, {"up": None}])
def test_cdr_names_the_field_when_there_is_none_of_that_name(fields: dict[str, Any]) -> None:
    with pytest.raises(KeyError, match="Vector3 has no field up"):
        cdr(STORE, "geometry_msgs/msg/Vector3", fields)


def test_cdr_raises_when_an_array_has_another_length() -> None:
    with pytest.raises(ValueError, match="35 values of 36"):
        cdr(STORE, "geometry_msgs/msg/PoseWithCovariance", {"covariance": [0.0] * 35})
