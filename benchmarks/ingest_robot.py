"""A robot's four drivers in one process: serialised messages at a fixed pace, stamped as they go out."""

from __future__ import annotations

import argparse
import gc
import heapq
import struct
import sys
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, Imu, PointCloud2, PointField
from sentryfuse.msg import AudioChunk
from std_msgs.msg import Header

from benchmarks._live import until
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import Modality
from sentryfuse_ros.middleware import apply_profile

RATES_HZ = {Modality.CAMERA: 30, Modality.LIDAR: 10, Modality.IMU: 400, Modality.AUDIO: 50}
POINTS = 65_536
POINT_BYTES = 16
_TOPICS = {
    Modality.CAMERA: "/camera/image",
    Modality.LIDAR: "/lidar/points",
    Modality.IMU: "/imu/data",
    Modality.AUDIO: "/audio",
}
_DEPTH = 10  # what drivers keep for readers that lag
_MATCH_WITHIN_S = 60.0
_STAMP_AT = 4  # in CDR, behind the encapsulation


@dataclass
class _Driver:
    """One sensor: what it sends in turn, and the stamps it has sent."""

    publisher: Any
    messages: list[bytearray]
    period_ns: int
    lag_ns: int  # from the stamp to going out
    stamps_ns: array[int]


def main() -> int:
    """Publish for a while, then write the stamps of everything sent to a .npz file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--reliability", choices=("best_effort", "reliable"), required=True)
    parser.add_argument("--image", type=int, nargs=2, required=True, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--imu-hz", type=int, default=RATES_HZ[Modality.IMU])
    parser.add_argument("--pace", type=float, default=1.0, help="so many times slower")
    parser.add_argument(
        "--first-sample",
        action="store_true",
        help="stamp audio at its first sample, not as it goes out",
    )
    args = parser.parse_args()
    apply_profile()
    rclpy.init(args=[])
    node = rclpy.create_node("robot")
    drivers = _drivers(node, args)
    publishers = [driver.publisher for driver in drivers.values()]
    until(
        lambda: all(publisher.get_subscription_count() for publisher in publishers),
        lambda: time.sleep(0.02),
        "a subscriber for every sensor",
        within_s=_MATCH_WITHIN_S,
    )
    gc.collect()
    gc.freeze()
    longest_late_ns = _publish(list(drivers.values()), round(args.seconds * NS_PER_S))
    # Reliable writers resend what a reader has not acknowledged; they must live until it has.
    time.sleep(1.0)
    stamps = {modality.value: np.array(driver.stamps_ns) for modality, driver in drivers.items()}
    np.savez(args.out, longest_late_ns=longest_late_ns, **stamps)
    node.destroy_node()
    rclpy.shutdown()
    return 0


def _publish(drivers: list[_Driver], length_ns: int) -> int:
    """Send everything that is due in `length_ns`; how late the latest message went out, in ns.

    A message that is late is sent all the same: the count of messages does not depend on the machine.
    """
    start_ns = time.monotonic_ns()
    due = [(start_ns + driver.period_ns, index) for index, driver in enumerate(drivers)]
    heapq.heapify(due)
    longest_ns = 0
    while due[0][0] < start_ns + length_ns:
        due_ns, index = due[0]
        driver = drivers[index]
        late_ns = time.monotonic_ns() - due_ns
        if late_ns < 0:
            time.sleep(-late_ns / NS_PER_S)
        longest_ns = max(longest_ns, late_ns)
        message = driver.messages[len(driver.stamps_ns) % len(driver.messages)]
        stamp_ns = time.time_ns() - driver.lag_ns
        struct.pack_into("<iI", message, _STAMP_AT, *divmod(stamp_ns, NS_PER_S))
        driver.publisher.publish(bytes(message))
        driver.stamps_ns.append(stamp_ns)
        heapq.heapreplace(due, (due_ns + driver.period_ns, index))
    return longest_ns


def _drivers(node: Any, args: argparse.Namespace) -> dict[Modality, _Driver]:
    rng = np.random.default_rng(0)
    made = {
        Modality.CAMERA: [_image(rng, *args.image) for _ in range(3)],
        Modality.LIDAR: [_cloud(rng) for _ in range(3)],
        Modality.IMU: [_imu(rng) for _ in range(400)],
        Modality.AUDIO: [_audio(rng) for _ in range(50)],
    }
    reliability = ReliabilityPolicy[args.reliability.upper()]
    periods_ns = {modality: NS_PER_S // rate_hz for modality, rate_hz in RATES_HZ.items()}
    periods_ns[Modality.IMU] = NS_PER_S // args.imu_hz
    periods_ns = {modality: round(args.pace * period_ns) for modality, period_ns in periods_ns.items()}
    lags_ns = {Modality.AUDIO: periods_ns[Modality.AUDIO]} if args.first_sample else {}
    return {
        modality: _Driver(
            publisher=node.create_publisher(
                type(messages[0]), _TOPICS[modality], QoSProfile(depth=_DEPTH, reliability=reliability)
            ),
            messages=[bytearray(serialize_message(message)) for message in messages],
            period_ns=periods_ns[modality],
            lag_ns=lags_ns.get(modality, 0),
            stamps_ns=array("q"),
        )
        for modality, messages in made.items()
    }


def _image(rng: np.random.Generator, width: int, height: int) -> Image:
    data = array("B")  # the one fast way into a message's uint8[]
    data.frombytes(rng.integers(0, 255, height * width * 3, dtype=np.uint8).tobytes())
    header = Header(frame_id="camera")
    return Image(header=header, height=height, width=width, encoding="rgb8", step=width * 3, data=data)


def _cloud(rng: np.random.Generator) -> PointCloud2:
    points = rng.uniform(1, 40, (POINTS, 4)).astype(np.float32)
    data = array("B")
    data.frombytes(points.tobytes())
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(("x", "y", "z", "intensity"))
    ]
    return PointCloud2(
        header=Header(frame_id="lidar"),
        height=1,
        width=POINTS,
        fields=fields,
        point_step=POINT_BYTES,
        row_step=POINT_BYTES * POINTS,
        data=data,
        is_dense=True,
    )


def _imu(rng: np.random.Generator) -> Imu:
    message = Imu(header=Header(frame_id="imu"))
    message.angular_velocity.x, message.angular_velocity.y = rng.normal(0, 0.02, 2).tolist()
    message.linear_acceleration.z = 9.81 + float(rng.normal(0, 0.05))
    return message


def _audio(rng: np.random.Generator) -> AudioChunk:
    frames = 16_000 // RATES_HZ[Modality.AUDIO]
    data = rng.integers(-900, 900, 2 * frames, dtype=np.int16).tobytes()
    header = Header(frame_id="microphones")
    return AudioChunk(header=header, sample_rate_hz=16_000, channels=2, encoding="S16LE", data=data)


if __name__ == "__main__":
    sys.exit(main())
