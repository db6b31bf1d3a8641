"""A synchronised set to the network's input: what can be used, as tensors in one frame at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch

from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess import audio, camera, imu, lidar, motion
from sentryfuse_core.preprocess.attitude import AttitudeFilter
from sentryfuse_core.preprocess.content import audio_stats, cloud_stats, image_stats
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.preprocess.placing import Placer
from sentryfuse_core.preprocess.quality import quality
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.preprocess.threads import one_thread
from sentryfuse_core.types import Intrinsics, Modality, ModalitySet, Pose, SyncedSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from sentryfuse_core.config import Config
    from sentryfuse_core.health.stats import ContentStats
    from sentryfuse_core.types import CompressedFrame, ImageFrame, PointCloud

    # What one sensor contributes: tensors by their name in ModelInput, and what its content looks like.
    _Part: TypeAlias = tuple[Mapping[str, Tensor], ContentStats | None]

__all__ = ["Prepared", "Preprocessor"]

STILL_RAD = 1e-3  # less is a tenth of a virtual pixel: not worth new camera maps


@dataclass(frozen=True, eq=False)
class Prepared:
    """What became of one set: a sensor of the mask is in `inputs`, or its error in `invalid`."""

    inputs: ModelInput
    invalid: Mapping[Modality, InvalidMessageError]
    content: Mapping[Modality, ContentStats]
    notes: tuple[str, ...] = ()  # what to know of the poses


class Preprocessor:
    """Decodes, moves to the base frame at the set's stamp, and makes tensors.

    Poses come from the placer, at each sample's stamp. Intrinsics come from the configuration until they are
    set; they may be set from another thread than the one that calls.
    """

    def __init__(self, config: Config, *, geometry: Geometry = GEOMETRY, measures: bool = False) -> None:
        """`measures`: also tell how good each sensor's data is, for a network that reads it (half a ms)."""
        self._config = config
        self._measures = measures
        self._pcm: Tensor | None = None  # the window of sound of the set in hand
        self._geometry = geometry
        self._virtual_camera = camera.VirtualCamera(geometry)
        self._attitude = AttitudeFilter()
        section = config.camera
        self.intrinsics = Intrinsics(  # those in use
            section.image_width, section.image_height, section.fx, section.fy, section.cx, section.cy
        )
        self.assumed_intrinsics = True  # nobody has set others than the parameters'
        self.felt_m_s2: tuple[float, ...] = ()  # mean acceleration of the last window in base axes
        self.placer = Placer(config)
        self._poses: dict[Modality, Pose] = {}  # of the set in hand
        self._builders: Mapping[Modality, Callable[[SyncedSet, ModalitySet], _Part]] = {
            Modality.CAMERA: self._camera,
            Modality.LIDAR: self._lidar,
            Modality.IMU: self._imu,
            Modality.AUDIO: self._audio,
        }

    def set_intrinsics(self, intrinsics: Intrinsics) -> None:
        """Use these from the next set on."""
        self.intrinsics = intrinsics
        self.assumed_intrinsics = False

    def __call__(self, synced: SyncedSet, mask: ModalitySet) -> Prepared:
        """Tensors of the sensors in `mask`; one whose data cannot be used is left out and reported."""
        tensors: dict[str, Tensor] = {}
        invalid: dict[Modality, InvalidMessageError] = {}
        content: dict[Modality, ContentStats] = {}
        sensors = mask & synced.present
        self._poses, self._pcm = {}, None
        for modality in sensors:  # all of them first: the others ask for the IMU's
            try:
                self._poses[modality] = self.placer.pose(synced.samples[modality][-1])
            except InvalidMessageError as error:  # noqa: PERF203 - four of them at most
                invalid[modality] = error
        with one_thread():
            for modality in self._poses:
                try:
                    part, looks = self._builders[modality](synced, mask)
                except InvalidMessageError as error:
                    invalid[modality] = error
                    continue
                tensors.update(part)
                if looks is not None:
                    content[modality] = looks
            if self._measures and tensors:
                tensors["quality"] = quality(ModelInput(**tensors), self._pcm, geometry=self._geometry)
        return Prepared(ModelInput(**tensors), invalid, content, self.placer.notes(sensors))

    def _camera(self, synced: SyncedSet, mask: ModalitySet) -> _Part:
        sample = synced.samples[Modality.CAMERA][-1]
        frame = cast("ImageFrame | CompressedFrame", sample.payload)
        pose = self._poses[Modality.CAMERA]
        intrinsics = camera.fitting(self.intrinsics, frame.width, frame.height)
        turned = self._turned(synced, mask, sample.stamp_ns)
        image = self._virtual_camera.decode(frame, intrinsics)
        warped = self._virtual_camera.warp(image, intrinsics, turned @ motion.pose_rotation(pose))
        position = torch.from_numpy((turned @ np.asarray(pose.translation)).astype(np.float32))[None]
        return {"camera": warped, "camera_position": position}, image_stats(image)

    def _lidar(self, synced: SyncedSet, mask: ModalitySet) -> _Part:
        sample = synced.samples[Modality.LIDAR][-1]
        cloud = cast("PointCloud", sample.payload)
        pose = self._poses[Modality.LIDAR]
        turned = self._turned(synced, mask, sample.stamp_ns)
        points = lidar.decode(cloud, intensity_full_scale=self._config.lidar.intensity_full_scale)
        moved = lidar.move(points, turned @ motion.pose_rotation(pose), turned @ np.asarray(pose.translation))
        return {"lidar": lidar.pillars(moved, geometry=self._geometry)}, cloud_stats(points)

    def _imu(self, synced: SyncedSet, _mask: ModalitySet) -> _Part:
        stamps_ns, readings = imu.readings_of(synced.samples[Modality.IMU])
        to_base = motion.pose_rotation(self._poses[Modality.IMU])
        times_s, values = imu.in_base_axes(stamps_ns, readings, to_base=to_base, end_ns=synced.stamp_ns)
        self.felt_m_s2 = tuple(values[0, :, 3:].mean(dim=0).tolist())
        tilt = self._attitude.update(stamps_ns, readings @ to_base.T, epoch=synced.epoch)
        window = imu.resample(times_s, values, geometry=self._geometry)
        return {"imu": window, "tilt": torch.tensor([tilt])}, None

    def _audio(self, synced: SyncedSet, _mask: ModalitySet) -> _Part:
        blocks = audio.blocks_of(synced.samples[Modality.AUDIO])
        pcm = audio.window(blocks, end_ns=synced.stamp_ns, geometry=self._geometry)
        features = audio.bearing_features(pcm, self._config.audio.spacing_m, geometry=self._geometry)
        self._pcm = pcm
        return {"audio": features}, audio_stats([block for _, block in blocks])

    def _turned(self, synced: SyncedSet, mask: ModalitySet, stamp_ns: int) -> motion.Rotation:
        """How base axes at the sample's stamp lie in those at the set's, by the gyro where it is trusted."""
        imu_pose = self._poses.get(Modality.IMU)
        if Modality.IMU not in mask or imu_pose is None:
            return motion.IDENTITY
        samples = synced.samples[Modality.IMU]
        rotation = motion.turned(samples, imu_pose, from_ns=stamp_ns, to_ns=synced.stamp_ns)
        return rotation if motion.angle_rad(rotation) > STILL_RAD else motion.IDENTITY
