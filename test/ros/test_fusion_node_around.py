"""The fusion node looks to every side over real DDS, and says which directions it watches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ros.support import Listener, Robot, recording, running

from sentryfuse_core.types import Modality, ModalitySet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentryfuse.msg import Coverage

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

CAMERA, LIDAR, _, AUDIO = (kind.bit for kind in Modality)
# Which sensors the network trusts in which sector, and so which sectors go together, changes from set to set.
BY_SECTOR = re.compile(r"pruning: front: camera\+lidar[^;]*; .*\b(left|back|right): lidar")


@pytest.fixture(scope="module")
def robot(listener: Listener) -> Iterator[Robot]:
    parameters = {"output.sectors": "all_around"}
    with Robot(listener.node, recording()) as found, running(listener, **parameters):
        listener.wait_for("status", lambda status: status.mask == ModalitySet.all().bits)
        yield found


def watched(coverage: Coverage) -> np.ndarray:
    return np.asarray(coverage.sensors)


def test_coverage_follows_what_dies(robot: Robot, listener: Listener) -> None:
    everything = CAMERA | LIDAR | AUDIO
    whole = listener.wait_for(
        "coverage",
        lambda item: bool(
            (watched(item) & LIDAR).all()
            and watched(item)[0] == everything
            and watched(item)[180] == LIDAR | AUDIO  # on a busy machine the microphones may be late for a set
        ),
    )
    assert whole.step_deg == pytest.approx(1.0)
    assert watched(whole)[[0, 20, 340]].tolist() == [everything] * 3
    assert not (watched(whole)[60:300] & CAMERA).any()
    assert min(whole.range_m) >= 16.0
    listener.wait_for("status", lambda status: any(BY_SECTOR.match(note) for note in status.notes))
    robot.mute(Modality.LIDAR)
    blind = listener.wait_for(
        "coverage", lambda item: bool(not (watched(item) & LIDAR).any() and watched(item)[0] & CAMERA)
    )
    assert not watched(blind)[90:270].any()
    assert not np.asarray(blind.range_m)[90:270].any()
    robot.mute()
    listener.wait_for("coverage", lambda item: bool((watched(item) & LIDAR).all()))


@pytest.mark.usefixtures("robot")
def test_detections_come_from_behind_too(listener: Listener) -> None:
    listener.wait_for(
        "detections",
        lambda found: (
            found.mask == ModalitySet.all().bits
            and any(box.pose.position.x < -1.0 for box in found.detections)
        ),
    )
