"""A recording of the synthetic world: one drive as the messages of its sensors and wheels."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import cv2
import numpy as np
import torch
from torch import Tensor

from sentryfuse_core.config import AudioConfig, Config, LidarConfig
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.world.around import turned
from sentryfuse_core.lab.world.audio import hear, noise_tape, voices
from sentryfuse_core.lab.world.camera import render
from sentryfuse_core.lab.world.config import CLASSES, WorldConfig, world_v2
from sentryfuse_core.lab.world.drive import STEPS_HZ, drive
from sentryfuse_core.lab.world.exposure import expose
from sentryfuse_core.lab.world.imu import draw_bias, measure
from sentryfuse_core.lab.world.lidar import sweep
from sentryfuse_core.lab.world.odometry import ODOMETRY, wheels
from sentryfuse_core.lab.world.rig import Camera, absolute, cameras_of, frame_of, imus_of, lidars_of
from sentryfuse_core.lab.world.scan import plain_scan
from sentryfuse_core.lab.world.scene import Scene, attitude
from sentryfuse_core.preprocess.sectors import sector_axes
from sentryfuse_core.preprocess.threads import one_thread
from sentryfuse_core.rotation import IDENTITY
from sentryfuse_core.types import Modality

__all__ = ["START_NS", "Message", "Recorder", "Sink"]

START_NS = 1_700_000_000_000_000_000  # bag time of the first moment
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
_S = 1_000_000_000
_FULL_SCALE = 32768
_FRAMES_AT_ONCE = 32  # of sound
_FRAMES_AHEAD = 4  # images being made or waiting
_IMAGE = ("", "sensor_msgs/msg/Image")  # what follows the topic, and the type
_JPEG = ("/compressed", "sensor_msgs/msg/CompressedImage")
_FURTHER = 16  # numbers of the noise of the further sensors of a kind begin at a multiple of this
_CAMERA_BITS = 57  # from which on the number of a camera is in the seed of its noise


class Sink(Protocol):
    """Where messages go; bags.writer.BagWriter is one."""

    def write(self, topic: str, type_name: str, log_time_ns: int, fields: Mapping[str, Any]) -> None:
        """Take one message, its fields as a nested mapping."""
        ...


@dataclass(frozen=True, order=True)
class Message:
    """One message on its way to a sink; ordered by the time it would have been received, then by topic."""

    log_time_ns: int
    topic: str
    type_name: str = field(compare=False)
    fields: Mapping[str, Any] = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class Recorder:
    """Turns a seed into messages; the same arguments give the same ones."""

    seed: int
    seconds: float
    light: float | None = None  # 0 = night, 1 = noon, None: by seed
    raw_images: bool = False  # sensor_msgs/Image instead of JPEG
    world: WorldConfig = field(default_factory=world_v2)
    rig: Config = field(default_factory=Config)  # which sensors there are and where they sit

    def __post_init__(self) -> None:
        if not 0.1 <= self.seconds <= 3600:
            raise ConfigError(f"seconds = {self.seconds}: a recording lasts 0.1 to 3600 s")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed = {self.seed}: give an integer from 0 to {2**32 - 1}")
        cameras_of(self.rig, self.world)  # raises for what the world cannot draw

    def drive(self) -> Scene:
        """The truth: scenes at STEPS_HZ."""
        return drive(self.world, seed=self.seed, seconds=self.seconds, light=self.light)

    def write(
        self,
        scenes: Scene,
        sink: Sink,
        *,
        poses: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> int:
        """Write all messages in the order of their log times, tell `progress` 0..1; returns their number.

        `poses` puts /tf_static before them, at the time of the first, so that the recording begins with that.
        """
        count = 0
        own = self.rig.of_kind
        streams = (
            *(self.camera(scenes, number) for number, _ in enumerate(own(Modality.CAMERA))),
            *(self.lidar(scenes, number) for number, _ in enumerate(own(Modality.LIDAR))),
            *(self.imu(scenes, number) for number, _ in enumerate(own(Modality.IMU))),
            *(self.audio(scenes, number) for number, _ in enumerate(own(Modality.AUDIO))),
            self.odometry(scenes),
        )
        with one_thread():  # the bytes are promised
            merged = heapq.merge(*streams)
            first = next(merged)
            transforms = [self.transforms(first.log_time_ns)] if poses else []
            for message in itertools.chain(transforms, [first], merged):
                sink.write(message.topic, message.type_name, message.log_time_ns, message.fields)
                count += 1
                if progress is not None and message.type_name == ODOMETRY_TYPE:
                    progress(min(1.0, (message.log_time_ns - START_NS) / (self.seconds * _S)))
        return count

    def transforms(self, log_time_ns: int) -> Message:
        """Where the sensors are, as a robot's static transforms; the world looks along its camera's axis."""
        sensors = {frame_of(name): self.rig.sensor(name) for name, _ in self.rig.kinds}
        transforms = [
            {
                "header": _header(START_NS, self.rig.output.base_frame),
                "child_frame_id": frame,
                "transform": {
                    "translation": dict(zip("xyz", sensor.translation_m, strict=True)),
                    "rotation": dict(zip("xyzw", sensor.quaternion_xyzw, strict=True)),
                },
            }
            for frame, sensor in sensors.items()
        ]
        return Message(log_time_ns, "/tf_static", "tf2_msgs/msg/TFMessage", {"transforms": transforms})

    def _generator(self, stream: int, number: int = 0) -> torch.Generator:
        """The noise of a stream; `number` counts the sensors that have the same one."""
        own = stream if number == 0 else (stream - 1) * _FURTHER + number
        return torch.Generator().manual_seed((self.seed << 8) + own)

    def _count(self, rate_hz: int) -> int:
        """Samples of a stream before the end."""
        return math.ceil(self.seconds * rate_hz - 1e-9)

    def camera(self, scenes: Scene, number: int = 0) -> Iterator[Message]:
        """Images of one of the rig's cameras, each followed by its CameraInfo.

        Frames are made ahead, on two threads.
        """
        model, camera = self.world.camera, cameras_of(self.rig, self.world)[number]
        info = _camera_info(camera)
        suffix, type_name = _IMAGE if self.raw_images else _JPEG
        topic = camera.topic.removesuffix(suffix) + suffix
        seen = turned(scenes, camera.yaw_rad)
        count = self._count(model.rate_hz)
        with ExitStack() as stack:
            pool = ThreadPoolExecutor(max_workers=2)
            stack.callback(pool.shutdown, cancel_futures=True)  # an interrupted recording waits for none

            def make(index: int) -> Future[dict[str, Any]]:
                return pool.submit(self._frame, seen, camera, number, index)

            ahead = deque(make(index) for index in range(min(_FRAMES_AHEAD, count)))
            for index in range(count):
                fields = ahead.popleft().result()
                if index + _FRAMES_AHEAD < count:
                    ahead.append(make(index + _FRAMES_AHEAD))
                stamp_ns = START_NS + index * _S // model.rate_hz
                header = {"header": _header(stamp_ns, camera.frame)}
                log_ns = stamp_ns + model.latency_ns
                yield Message(log_ns, topic, type_name, header | fields)
                yield Message(log_ns, camera.info_topic, "sensor_msgs/msg/CameraInfo", header | info)

    def _frame(self, scenes: Scene, camera: Camera, number: int, index: int) -> dict[str, Any]:
        """Fields of image `index` of scenes turned to the camera's axis.

        Its noise depends on the seed, the camera and the index, not on the order of work.
        """
        model, view = self.world.camera, camera.view
        position = (sector_axes(camera.yaw_rad) @ np.array(camera.position_m)).astype(np.float32)[None]
        seed = (number << _CAMERA_BITS) + (self.seed << 24) + (1 << 20) + index
        generator = torch.Generator().manual_seed(seed)
        step = index * STEPS_HZ // model.rate_hz
        scene = scenes.at(slice(step, step + 1))
        radiance, _ = render(scene, view, position=torch.from_numpy(position), haze_m=model.haze_m)
        image = expose(radiance, model, light=scene.light, averaged=1.0, generator=generator)
        levels = (image[0] * 255 + 0.5).to(torch.uint8).reshape(3, view.height, view.width)
        pixels = levels.permute(1, 2, 0).contiguous().numpy()
        if self.raw_images:
            size = {"height": view.height, "width": view.width, "step": 3 * view.width}
            return {**size, "encoding": "rgb8", "data": pixels.reshape(-1)}
        quality = [cv2.IMWRITE_JPEG_QUALITY, model.jpeg_quality]
        _, jpeg = cv2.imencode(".jpg", pixels[..., ::-1], quality)
        return {"format": "rgb8; jpeg compressed bgr8", "data": jpeg.reshape(-1)}

    def lidar(self, scenes: Scene, number: int = 0) -> Iterator[Message]:
        """Clouds of one of the rig's lidars: the rays that came back, in its frame."""
        model, lidar = self.world.lidar, lidars_of(self.rig)[number]
        sensor = cast("LidarConfig", self.rig.sensor(lidar.name))
        generator = self._generator(2, number)
        kind = {"datatype": 7, "count": 1}  # FLOAT32
        layout = [
            {"name": name, "offset": 4 * i, **kind} for i, name in enumerate(("x", "y", "z", "intensity"))
        ]
        scale = torch.tensor((1.0, 1.0, 1.0, sensor.intensity_full_scale))
        origin = torch.tensor((*sensor.translation_m, 0.0))
        scan = plain_scan(model, self.world.weather, sensor.translation_m, batch=1)
        for index in range(self._count(model.rate_hz)):
            scene = scenes.at(slice(index * STEPS_HZ // model.rate_hz, index * STEPS_HZ // model.rate_hz + 1))
            points_of_all, _ = sweep(
                scene,
                scan,
                self.world.weather,
                forward_only=False,
                generator=generator,
            )
            swept = points_of_all[0]
            points = ((swept[~swept[:, 0].isnan()] - origin) * scale).numpy()
            if not np.array_equal(lidar.rotation, IDENTITY):
                points[:, :3] = points[:, :3] @ lidar.rotation.astype(np.float32)
            stamp_ns = START_NS + index * _S // model.rate_hz
            fields = {
                "header": _header(stamp_ns, lidar.frame),
                "height": 1,
                "width": len(points),
                "fields": layout,
                "point_step": 16,
                "row_step": 16 * len(points),
                "data": points.reshape(-1).view(np.uint8),
                "is_dense": True,
            }
            yield Message(stamp_ns + model.latency_ns, lidar.topic, "sensor_msgs/msg/PointCloud2", fields)

    def imu(self, scenes: Scene, number: int = 0) -> Iterator[Message]:
        """Readings of one of the rig's IMUs between the drive's steps, in its axes."""
        model, sensor = self.world.imu, imus_of(self.rig)[number]
        generator = self._generator(3, number)
        at = torch.arange(self._count(model.rate_hz)) * (STEPS_HZ / model.rate_hz)
        before = at.long().clamp(max=len(scenes) - 1)
        after = (before + 1).clamp(max=len(scenes) - 1)
        share = at - before
        motion = torch.lerp(scenes.ego_motion[before], scenes.ego_motion[after], share[:, None])
        motion[:, 1] = scenes.ego_motion[after, 1]  # constant during a step
        way = torch.lerp(scenes.way[before], scenes.way[after], share)
        tilt, slope = attitude(scenes.bumps[:1].expand(len(way), -1, -1, -1), way)
        bias = draw_bias(model, batch=1, generator=generator)
        measured = measure(
            motion[None],
            bias,
            model,
            tilt=tilt[None],
            tilt_rate=slope[None] * motion[None, :, :1],
            generator=generator,
        )
        readings = measured[0].double().numpy()
        if not np.array_equal(sensor.rotation, IDENTITY):
            readings = (readings.reshape(-1, 2, 3) @ sensor.rotation).reshape(-1, 6)
        unknown = np.array([-1.0, *([0.0] * 8)])
        gyro = np.diag([model.gyro_noise**2] * 3).reshape(-1)
        accel = np.diag([model.accel_noise**2] * 3).reshape(-1)
        for index, reading in enumerate(readings):
            stamp_ns = START_NS + index * _S // model.rate_hz
            fields = {
                "header": _header(stamp_ns, sensor.frame),
                "orientation_covariance": unknown,
                "angular_velocity": dict(zip("xyz", reading[:3].tolist(), strict=True)),
                "angular_velocity_covariance": gyro,
                "linear_acceleration": dict(zip("xyz", reading[3:].tolist(), strict=True)),
                "linear_acceleration_covariance": accel,
            }
            yield Message(stamp_ns + model.latency_ns, sensor.topic, "sensor_msgs/msg/Imu", fields)

    def odometry(self, scenes: Scene) -> Iterator[Message]:
        """Where the wheels say that the vehicle is, from where it started, and how it moves."""
        found = wheels(scenes, ODOMETRY, count=self._count(ODOMETRY.rate_hz), generator=self._generator(5))
        spread = np.diag([1e-2] * 6).reshape(-1)  # of the pose: drift that no filter here estimates
        noise = (ODOMETRY.speed_noise_m_s, 1e-3, 1e-3, 1e-3, 1e-3, ODOMETRY.yaw_rate_noise_rad_s)
        moving = np.diag(np.square(noise)).reshape(-1)
        readings = zip(found.pose.tolist(), found.twist.tolist(), strict=True)
        topic = absolute(self.rig.odometry.topic)
        for index, ((x, y, yaw), (speed, yaw_rate)) in enumerate(readings):
            stamp_ns = START_NS + index * _S // ODOMETRY.rate_hz
            orientation = {"z": math.sin(yaw / 2), "w": math.cos(yaw / 2)}
            twist = {"linear": {"x": speed}, "angular": {"z": yaw_rate}}
            fields = {
                "header": _header(stamp_ns, "odom"),
                "child_frame_id": self.rig.output.base_frame,
                "pose": {
                    "pose": {"position": {"x": x, "y": y}, "orientation": orientation},
                    "covariance": spread,
                },
                "twist": {"twist": twist, "covariance": moving},
            }
            yield Message(stamp_ns + ODOMETRY.latency_ns, topic, ODOMETRY_TYPE, fields)

    def audio(self, scenes: Scene, number: int = 0) -> Iterator[Message]:
        """Blocks of one of the rig's pairs of microphones; each frame of two is faded into the next."""
        name = self.rig.of_kind(Modality.AUDIO)[number]
        model, sensor = self.world.sound, cast("AudioConfig", self.rig.sensor(name))
        generator = self._generator(4, number)
        hop, rate = model.block_samples, model.sample_rate_hz
        scenes = scenes.slots(self.world.objects[1])  # clutter is silent
        slots = torch.arange(scenes.classes.shape[1])[:, None]
        every_class = torch.arange(len(CLASSES))[:, None].expand(-1, len(slots))
        tape = noise_tape(every_class, round(model.tape_s * rate), model, generator=generator)
        fade = torch.hann_window(2 * hop)
        tail = torch.zeros((2, hop))
        for chunk in torch.split(torch.arange(-1, self._count(rate // hop)), _FRAMES_AT_ONCE):
            first = chunk[:, None, None] * hop  # of a frame that spans this block and the next
            step = ((first + hop) * (STEPS_HZ / rate)).round().long().clamp(0, len(scenes) - 1).reshape(-1)
            scene = scenes.at(step)
            sample = first + torch.arange(2 * hop)
            sound = voices(
                scene.classes,
                scene.speed,
                scene.traits,
                seconds=sample.double() / rate,  # in double: an hour at 16 kHz
                noise=tape[scene.classes[..., None].clamp_min(0), slots, sample % tape.shape[-1]],
            )
            heard = hear(scene, sound.float(), model, middle=sensor.translation_m, spacing=sensor.spacing_m)
            for index, frame in zip(chunk.tolist(), heard * fade, strict=True):
                block, tail = tail + frame[:, :hop], frame[:, hop:]
                if index >= 0:
                    pcm = block + model.noise * torch.randn(block.shape, generator=generator)
                    yield self._audio_message(index, pcm, name)

    def _audio_message(self, index: int, pcm: Tensor, name: str) -> Message:
        """Block `index` of samples [2, N]."""
        model = self.world.sound
        level = (pcm.T * _FULL_SCALE).round().clamp(-_FULL_SCALE, _FULL_SCALE - 1)
        first = index * model.block_samples
        stamp_ns = START_NS + first * _S // model.sample_rate_hz
        fields = {
            "header": _header(stamp_ns, frame_of(name)),
            "sample_rate_hz": model.sample_rate_hz,
            "channels": 2,
            "encoding": "S16LE",
            "data": level.numpy().astype("<i2").reshape(-1).view(np.uint8),
        }
        log_ns = START_NS + (first + model.block_samples) * _S // model.sample_rate_hz + model.latency_ns
        return Message(log_ns, absolute(self.rig.sensor(name).topic), "sentryfuse/msg/AudioChunk", fields)


def _header(stamp_ns: int, frame_id: str) -> dict[str, Any]:
    return {"stamp": {"sec": stamp_ns // _S, "nanosec": stamp_ns % _S}, "frame_id": frame_id}


def _camera_info(camera: Camera) -> dict[str, Any]:
    view, (cx, cy) = camera.view, camera.principal_point
    f = view.focal
    return {
        "height": view.height,
        "width": view.width,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": np.array([f, 0, cx, 0, f, cy, 0, 0, 1.0]),
        "r": np.eye(3).reshape(-1),
        "p": np.array([f, 0, cx, 0, 0, f, cy, 0, 0, 0, 1.0, 0]),
    }
