"""A synchronised set to the network's input: what can be used, as tensors in one frame at one moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import torch

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config.sectors import sector_yaws_deg
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess import audio, camera, imu, lidar, motion
from sentryfuse_core.preprocess.attitude import AttitudeFilter
from sentryfuse_core.preprocess.content import audio_stats, cloud_stats, image_stats
from sentryfuse_core.preprocess.deskew import deskewed, even_motion, point_times_s
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.preprocess.placing import Placer
from sentryfuse_core.preprocess.quality import MEASURES, REPEATING, quality
from sentryfuse_core.preprocess.sectors import sector_axes
from sentryfuse_core.preprocess.sides import Shot, Side
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.preprocess.threads import one_thread
from sentryfuse_core.types import Intrinsics, Modality, ModalitySet, Pose, SyncedSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sentryfuse_core.config import Config
    from sentryfuse_core.ego import EgoMotion
    from sentryfuse_core.health.stats import ContentStats
    from sentryfuse_core.types import CompressedFrame, ImageFrame, PointCloud

    # What one sensor contributes: to each sector tensors by their name in ModelInput, none where it does not
    # look; and what its content looks like.
    _Part: TypeAlias = tuple[Sequence[Mapping[str, Tensor]], ContentStats | None]

__all__ = ["Prepared", "Preprocessor"]

_LEAST_TOLD = 0.5  # of a window that readings or sound reach over: with less nothing is measured of it
STILL_RAD = 1e-3  # less is a tenth of a virtual pixel: not worth new camera maps


@dataclass(frozen=True, eq=False)
class Prepared:
    """What became of one set: a sensor of the mask is in one of the `views`, or its error in `invalid`."""

    views: tuple[ModelInput, ...]  # of each sector
    invalid: Mapping[Modality, InvalidMessageError]
    content: Mapping[Modality, ContentStats]
    notes: tuple[str, ...] = ()  # what to know of the poses

    @property
    def inputs(self) -> ModelInput:
        """Of the first sector, which is the only one unless others are asked for."""
        return self.views[0]

    @property
    def present(self) -> ModalitySet:
        """The sensors that some sector has."""
        return ModalitySet.of(*(modality for view in self.views for modality in view.present))


class Preprocessor:
    """Decodes, moves to the base frame at the set's stamp, and makes tensors.

    Poses come from the placer, at each sample's stamp. Intrinsics come from the configuration until they are
    set; they may be set from another thread than the one that calls.
    """

    def __init__(self, config: Config, *, geometry: Geometry = GEOMETRY, measures: bool = False) -> None:
        """`measures`: also tell how good each sensor's data is, for a network that reads it (half a ms)."""
        self._config = config
        self._measures = measures
        self.points: Tensor | None = None  # [1, N, 4] of the set in hand, as `pillars` got them
        self.pcm: Tensor | None = None  # [1, C, S] what was heard of its window of sound
        self._short: set[Modality] = set()  # sensors whose window it fills too little to be measured
        self._repeating = {
            one.key for one in MEASURES if one.key in REPEATING and config.sensor(one.modality).may_repeat
        }
        self._geometry = geometry
        self.yaws_rad = tuple(math.radians(yaw) for yaw in sector_yaws_deg(config.output.sectors))
        self._axes = tuple(sector_axes(yaw) for yaw in self.yaws_rad)
        alone = len(self._axes) == 1
        self._sides = tuple(Side(axes, alone=alone, geometry=geometry) for axes in self._axes)
        self._attitude = AttitudeFilter()
        section = config.camera
        self.intrinsics = Intrinsics(  # those in use
            section.image_width, section.image_height, section.fx, section.fy, section.cx, section.cy
        )
        self.assumed_intrinsics = True  # nobody has set others than the parameters'
        self.felt_m_s2: tuple[float, ...] = ()  # mean acceleration of the last window in base axes
        self.placer = Placer(config)
        self._poses: dict[Modality, Pose] = {}  # of the set in hand, as are the next two
        self._ego: EgoMotion | None = None
        self._skewed = ""  # why points with times of their own stay where they are
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

    def __call__(self, synced: SyncedSet, mask: ModalitySet, *, ego: EgoMotion | None = None) -> Prepared:
        """Tensors of the sensors in `mask`; one whose data cannot be used is left out and reported.

        `ego` is how the robot moves, where odometry tells it.
        """
        views: tuple[dict[str, Tensor], ...] = tuple({} for _ in self.yaws_rad)
        invalid: dict[Modality, InvalidMessageError] = {}
        content: dict[Modality, ContentStats] = {}
        sensors = mask & synced.present
        self._poses, self._ego, self._skewed, self._short = {}, ego, "", set()
        self.points = self.pcm = None
        for modality in sensors:  # all of them first: the others ask for the IMU's
            try:
                self._poses[modality] = self.placer.pose(synced.samples[modality][-1])
            except InvalidMessageError as error:  # noqa: PERF203 - four of them at most
                invalid[modality] = error
        with one_thread():
            for modality in self._poses:
                try:
                    parts, looks = self._builders[modality](synced, mask)
                except InvalidMessageError as error:
                    invalid[modality] = error
                    continue
                for tensors, part in zip(views, parts, strict=True):
                    tensors.update(part)
                if looks is not None:
                    content[modality] = looks
            inputs = tuple(self._view(tensors, axes) for tensors, axes in zip(views, self._axes, strict=True))
        skewed = (f"lidar is not deskewed: {self._skewed}",) if self._skewed else ()
        return Prepared(inputs, invalid, content, (*self.placer.notes(sensors), *skewed))

    def _view(self, tensors: dict[str, Tensor], axes: motion.Rotation) -> ModelInput:
        """The input of one sector, and how good its data is."""
        if axes[0, 0] < 0.0 and not tensors.keys() & {"camera", "lidar"}:
            tensors.pop("audio", None)  # two microphones do not know front from back
        if self._measures and tensors:
            untaken = {one.key for one in MEASURES if one.modality in self._short} | self._repeating
            inputs, pcm = ModelInput(**tensors), self.pcm
            tensors["quality"] = quality(inputs, pcm, untaken=untaken, geometry=self._geometry)
        return ModelInput(**tensors)

    def _camera(self, synced: SyncedSet, mask: ModalitySet) -> _Part:
        sample = synced.samples[Modality.CAMERA][-1]
        frame = cast("ImageFrame | CompressedFrame", sample.payload)
        pose = self._poses[Modality.CAMERA]
        intrinsics = camera.fitting(self.intrinsics, frame.width, frame.height)
        turned = self._turned(synced, mask, sample.stamp_ns)
        image = camera.decode_for(frame, intrinsics, self._geometry)
        mount, place = motion.pose_rotation(pose), turned @ np.asarray(pose.translation)
        small = camera.shrunk(image, intrinsics, self._geometry)
        shots = {"camera": Shot(small, intrinsics, mount, turned, place)}
        parts = [side.show(shots)[0] for side in self._sides]
        if not any(parts):
            raise InvalidMessageError("outside_view", "the camera looks at none of output.sectors")
        return parts, image_stats(image)

    def _lidar(self, synced: SyncedSet, mask: ModalitySet) -> _Part:
        sample = synced.samples[Modality.LIDAR][-1]
        cloud = cast("PointCloud", sample.payload)
        pose = self._poses[Modality.LIDAR]
        full_scale = self._config.lidar.intensity_full_scale
        points, times = lidar.decode_timed(cloud, intensity_full_scale=full_scale)
        now = None if times is None else self._deskewed(points, times, synced, mask)
        turned = self._turned(synced, mask, sample.stamp_ns) if now is None else motion.IDENTITY
        rotation, translation = turned @ motion.pose_rotation(pose), turned @ np.asarray(pose.translation)
        seen = points if now is None else now
        moved = [lidar.move(seen, axes @ rotation, axes @ translation) for axes in self._axes]
        self.points = moved[0]
        grids = [{"lidar": lidar.pillars(cloud, geometry=self._geometry)} for cloud in moved]
        return grids, cloud_stats(points)

    def _deskewed(
        self, points: NDArray[np.float32], times: NDArray[Any], synced: SyncedSet, mask: ModalitySet
    ) -> NDArray[np.float32] | None:
        """Points of the lidar as it would see them at the set's stamp; None where they stay as they are."""
        section, stamp_ns = self._config.lidar, synced.samples[Modality.LIDAR][-1].stamp_ns
        if not section.deskew:
            return None
        since_s = point_times_s(times, stamp_ns=stamp_ns + round(section.stamp_offset_s * NS_PER_S))
        if isinstance(since_s, str):
            self._skewed = f"the times of its points are not used, {since_s}"
            return None
        if not since_s.size:
            return None
        since_s += np.float32((stamp_ns - synced.stamp_ns) / NS_PER_S)
        ends_ns = [synced.stamp_ns + round(float(end) * NS_PER_S) for end in (since_s.min(), since_s.max())]
        imu_pose = self._poses.get(Modality.IMU) if Modality.IMU in mask else None
        readings = () if imu_pose is None else synced.samples[Modality.IMU]
        moves = even_motion(self._ego, readings, imu_pose, from_ns=ends_ns[0], to_ns=ends_ns[1])
        if moves is None:
            self._skewed = "neither IMU nor odometry tells how the robot moved meanwhile"
            return None
        return deskewed(points, since_s, moves, self._poses[Modality.LIDAR])

    def _imu(self, synced: SyncedSet, _mask: ModalitySet) -> _Part:
        stamps_ns, readings = imu.readings_of(synced.samples[Modality.IMU])
        to_base = motion.pose_rotation(self._poses[Modality.IMU])
        times_s, values = imu.in_base_axes(stamps_ns, readings, to_base=to_base, end_ns=synced.stamp_ns)
        self.felt_m_s2 = tuple(values[0, :, 3:].mean(dim=0).tolist())
        tilt = self._attitude.update(stamps_ns, readings @ to_base.T, epoch=synced.epoch)
        window = imu.resample(times_s, values, geometry=self._geometry)
        # Held readings fill the rest of a window: an IMU that has just begun would look stuck.
        if float(times_s[0, -1] - times_s[0, 0]) < _LEAST_TOLD * self._geometry.imu_window_s:
            self._short.add(Modality.IMU)
        parts = [
            {"imu": imu.turned(window, axes), "tilt": torch.tensor([imu.turned_tilt(tilt, axes)])}
            for axes in self._axes
        ]
        return parts, None

    def _audio(self, synced: SyncedSet, _mask: ModalitySet) -> _Part:
        blocks = audio.blocks_of(synced.samples[Modality.AUDIO])
        pcm = audio.window(blocks, end_ns=synced.stamp_ns, geometry=self._geometry)
        features = [
            self._heard(pcm if sign > 0.0 else pcm.flip(1)) if abs(sign) == 1.0 else {}
            for sign in (float(axes[0, 0]) for axes in self._axes)
        ]
        # What no block of the set brought is not silent.
        self.pcm = pcm[..., audio.heard(blocks, end_ns=synced.stamp_ns, geometry=self._geometry)]
        if self.pcm.shape[-1] < _LEAST_TOLD * pcm.shape[-1]:
            self._short.add(Modality.AUDIO)
        return features, audio_stats([block for _, block in blocks])

    def _heard(self, pcm: Tensor) -> Mapping[str, Tensor]:
        """What microphones hear, left one first."""
        spacing_m = self._config.audio.spacing_m
        return {"audio": audio.bearing_features(pcm, spacing_m, geometry=self._geometry)}

    def yaw_since(self, synced: SyncedSet, used: ModalitySet, stamp_ns: int) -> float:
        """How far the base has turned left from `stamp_ns` to the set, in rad, by the gyro; 0 without one."""
        return self.turning(synced, used)(stamp_ns)

    def turning(self, synced: SyncedSet, used: ModalitySet) -> Callable[[int], float]:
        """`yaw_since` by the stamp alone, of the set in hand, also once another one is."""
        turned = self._gyro(synced, used)

        def yaw_since(stamp_ns: int) -> float:
            rotation = turned(stamp_ns)
            yaw = float(np.arctan2(rotation[0, 1], rotation[0, 0]))
            return yaw if np.isfinite(yaw) else 0.0

        return yaw_since

    def _turned(self, synced: SyncedSet, mask: ModalitySet, stamp_ns: int) -> motion.Rotation:
        """How base axes at the sample's stamp lie in those at the set's, where it is worth new maps."""
        rotation = self._gyro(synced, mask)(stamp_ns)
        return rotation if motion.angle_rad(rotation) > STILL_RAD else motion.IDENTITY

    def _gyro(self, synced: SyncedSet, mask: ModalitySet) -> Callable[[int], motion.Rotation]:
        """How base axes at a stamp lie in those at the set's stamp, by the gyro where it is trusted."""
        imu_pose = self._poses.get(Modality.IMU)
        if Modality.IMU not in mask or imu_pose is None:
            return lambda _stamp_ns: motion.IDENTITY
        readings, to_ns = synced.samples[Modality.IMU], synced.stamp_ns
        return lambda stamp_ns: motion.turned(readings, imu_pose, from_ns=stamp_ns, to_ns=to_ns)
