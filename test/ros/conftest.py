"""What the tests over real DDS share: a listener for each file, a node for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def listener() -> Iterator[object]:
    """A `Listener`, imported late: many tests beside this file need no ROS."""
    from ros.support import Listener

    with Listener() as found:
        yield found


@pytest.fixture
def node() -> Iterator[object]:
    """An rclpy node with a context, and so a participant, of its own."""
    from ros.support import participant

    with participant("bench") as made:
        yield made
