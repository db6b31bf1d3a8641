"""The fusion node on the /clock of a player: a recording that begins again is one new epoch, and no loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import Program
from ros.support import START_NS, Listener, S, node_command, recording, running
from sentryfuse.msg import SensorHealth

from sentryfuse_core.bags.writer import BagWriter

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

SECONDS = 3.0
LIDAR = "/lidar/points"


def test_each_pass_is_one_epoch_and_whole_when_a_player_loops_on_its_own_clock(
    listener: Listener, tmp_path: Path
) -> None:
    messages = recording(seconds=SECONDS)
    bag = tmp_path / "world.mcap"
    with BagWriter(bag) as writer:
        for item in messages:
            writer.write_cdr(item.topic, item.type_name, START_NS + item.offset_ns, item.cdr)
    # Slowly, since other programs may leave the node a third of a core.
    player = node_command("player_node", bag=bag, stamps="clock", loop="true", rate=0.3, wait_s=30.0)
    with running(listener, use_sim_time=True), Program(player):
        scans = sum(item.topic == LIDAR for item in messages)
        for number in range(1, 9):  # other programs can hold up the node for longer than queues are long
            listener.wait_for("status", lambda status, number=number: status.epoch == number + 1, since_s=0.0)
            whole = [status for status in listener.since("status", 0.0) if status.epoch == number]
            # A pass is one epoch, with a set for every scan; the first one's may be a tick before the scan.
            stamps_ns = {status.header.stamp.sec * S + status.header.stamp.nanosec for status in whole}
            assert len(stamps_ns) == len({status.sequence for status in whole})
            states = {sensor.state for status in whole for sensor in status.sensors}
            if (
                whole
                and len(stamps_ns) + whole[-1].skipped_sets - whole[0].skipped_sets >= 0.99 * scans
                and (max(stamps_ns) - min(stamps_ns)) / S > SECONDS - 0.35
                and states <= {SensorHealth.OK, SensorHealth.DEGRADED}
            ):
                return
    raise AssertionError(
        f"no pass was whole: {len(whole)} sets of {scans} scans in the last, states {states}"
    )
