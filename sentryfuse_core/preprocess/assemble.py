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
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.placing import Placer
from sentryfuse_core.preprocess.quality import MEASURES, REPEATING, quality
from sentryfuse_core.preprocess.sectors import sector_axes
from sentryfuse_core.preprocess.sides import Shot, Side
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.preprocess.threads import one_thread
from sentryfuse_core.types import Intrinsics, Modality, ModalitySet, Pose, Sample, SyncedSet

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sentryfuse_core.config import AudioConfig, CameraConfig, Config, LidarConfig
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
    """What became of one set: a sensor of the mask is in some `views`, spare, or its error in `invalid`."""

    views: tuple[ModelInput, ...]  # of each sector
    invalid: Mapping[str, InvalidMessageError]  # by name
    content: Mapping[str, ContentStats]  # by name
    notes: tuple[str, ...] = ()  # what to know of the poses, and of what no sector has a use for
    sensors: tuple[str, ...] = ()  # names of those whose data is in the views
    placed: tuple[str, ...] = ()  # names of those with a pose

    @property
    def inputs(self) -> ModelInput:
        """Of the first sector, which is the only one unless others are asked for."""
        return self.views[0]

    @property
    def present(self) -> ModalitySet:
        """The kinds that some sector has."""
        return ModalitySet.of(*(kind for view in self.views for kind in view.present))


class Preprocessor:
    """Decodes, moves to the base frame at the set's stamp, and makes tensors.

    Each sector of `output.sectors` has an input of its own. Clouds of several lidars become one, pictures of
    several cameras each sector's; of several IMUs or microphones the first that can be used is. Poses come
    from the placer, at each sample's stamp. Intrinsics come from the configuration until they are set; they
    may be set from another thread than the one that calls.
    """

    def __init__(self, config: Config, *, measures: bool = False) -> None:
        """`measures`: also tell how good each sensor's data is, for a network that reads it (half a ms)."""
        self._config = config
        self._measures = measures
        self.points: Tensor | None = None  # [1, N, 4] of the set in hand, as `pillars` got them
        self.pcm: Tensor | None = None  # [1, C, S] what was heard of its window of sound
        self._short: set[Modality] = set()  # sensors whose window it fills too little to be measured
        self._repeating = {
            one.key
            for one in MEASURES
            if one.key in REPEATING
            and any(config.sensor(name).may_repeat for name in config.of_kind(one.modality))
        }
        cameras = config.of_kind(Modality.CAMERA)
        self.yaws_rad = tuple(math.radians(yaw) for yaw in sector_yaws_deg(config.output.sectors))
        self._axes = tuple(sector_axes(yaw) for yaw in self.yaws_rad)
        self._ways = [float(axes[0, 0]) for axes in self._axes]  # 1 looks ahead, -1 back
        alone = len(self._axes) == 1 and len(cameras) == 1
        self._sides = tuple(Side(axes, alone=alone) for axes in self._axes)
        self._attitude = AttitudeFilter()
        self.intrinsics = {  # those in use, by camera
            name: camera.parameter_intrinsics(cast("CameraConfig", config.sensor(name))) for name in cameras
        }
        self.assumed_intrinsics = set(cameras)  # nobody has set others than the parameters' of these
        self.felt_m_s2: dict[str, tuple[float, ...]] = {}  # mean in base axes, of the IMU of the set in hand
        self.placer = Placer(config)
        self._poses: dict[str, Pose] = {}  # of the set in hand, as is all that follows
        self._imu_name = ""  # of the IMU that tells turns; empty: none does
        self._turns: tuple[Sample, ...] = ()  # its readings that tell
        self._ego: EgoMotion | None = None
        self._readings: Mapping[str, Sequence[Sample]] = {}
        self._skewed: dict[str, str] = {}  # why points with times of their own stay where they are
        self._invalid: dict[str, InvalidMessageError] = {}
        self._content: dict[str, ContentStats] = {}
        self._used: list[str] = []
        self._builders: Mapping[Modality, Callable[[SyncedSet, str], _Part]] = {
            Modality.IMU: self._imu,
            Modality.AUDIO: self._audio,
        }

    def set_intrinsics(self, intrinsics: Intrinsics, name: str = Modality.CAMERA) -> None:
        """Use these of a camera from the next set on."""
        self.intrinsics[name] = intrinsics
        self.assumed_intrinsics.discard(name)

    def __call__(
        self,
        synced: SyncedSet,
        mask: Container[str],
        *,
        ego: EgoMotion | None = None,
        readings: Mapping[str, Sequence[Sample]] | None = None,
    ) -> Prepared:
        """Tensors of the sensors named in `mask`; one whose data cannot be used is left out and reported.

        `ego` is how the robot moves, where odometry tells it. `readings` are those of each IMU that tell how
        it turned, as `Ingest.readings` has them; None: all that this set holds.
        """
        self._poses, self._ego, self._skewed, self._short = {}, ego, {}, set()
        self._readings = synced.samples if readings is None else readings
        self.points = self.pcm = None
        self._invalid, self._content, self._used, self.felt_m_s2 = {}, {}, [], {}
        sensors = [name for name in synced.samples if name in mask]
        for name in sensors:  # all of them first: the others ask for the IMU's
            try:
                self._poses[name] = self.placer.pose(synced.samples[name][-1])
            except InvalidMessageError as error:  # noqa: PERF203 - a few of them at most
                self._invalid[name] = error
        posed = {kind: [name for name in synced.of_kind(kind) if name in self._poses] for kind in Modality}
        deaf = () if {1.0, -1.0} & set(self._ways) else posed.pop(Modality.AUDIO)
        telling = ((name, self._telling(synced, name)) for name in posed[Modality.IMU])
        self._imu_name, self._turns = next((item for item in telling if item[1]), ("", ()))
        with one_thread():
            parts = (
                self._pictures(synced, posed[Modality.CAMERA]),
                self._merged(synced, posed[Modality.LIDAR]),
                self._first(synced, posed[Modality.IMU], Modality.IMU),
                self._first(synced, posed.get(Modality.AUDIO, ()), Modality.AUDIO),
            )
            views = tuple(map(self._view, self._axes, *parts))
        skewed = (f"{name} is not deskewed: {why}" for name, why in self._skewed.items())
        unheard = (f"{name} is left out: no sector looks ahead or back, where a pair hears" for name in deaf)
        notes = (*self.placer.notes(sensors), *skewed, *unheard)
        return Prepared(views, self._invalid, self._content, notes, tuple(self._used), tuple(self._poses))

    def _view(self, axes: motion.Rotation, *parts: Mapping[str, Tensor]) -> ModelInput:
        """The input of one sector, and how good its data is."""
        tensors = {name: tensor for part in parts for name, tensor in part.items()}
        if axes[0, 0] < 0.0 and not tensors.keys() & {"camera", "lidar"}:
            tensors.pop("audio", None)  # two microphones do not know front from back
        if self._measures and tensors:
            untaken = self._repeating
            if self._short:
                untaken = untaken | {one.key for one in MEASURES if one.modality in self._short}
            inputs, pcm = ModelInput(**tensors), self.pcm
            tensors["quality"] = quality(inputs, pcm, untaken=untaken)
        return ModelInput(**tensors)

    def _first(
        self, synced: SyncedSet, names: Sequence[str], kind: Modality
    ) -> Sequence[Mapping[str, Tensor]]:
        """Tensors of the first of the sensors whose data can be used."""
        for name in names:
            try:
                part, looks = self._builders[kind](synced, name)
            except InvalidMessageError as error:
                self._invalid[name] = error
                continue
            self._note(name, looks)
            return part
        return [{} for _ in self._axes]

    def _merged(self, synced: SyncedSet, names: Sequence[str]) -> Sequence[Mapping[str, Tensor]]:
        """Pillars of the points of all lidars whose data can be used."""
        clouds = []
        for name in names:
            try:
                points, looks = self._cloud(synced, name)
            except InvalidMessageError as error:
                self._invalid[name] = error
                continue
            self._note(name, looks)
            clouds.append(points)
        if not clouds:
            return [{} for _ in self._axes]
        points = clouds[0] if len(clouds) == 1 else torch.cat(clouds, dim=1)
        turned = [lidar.turned(points, axes) for axes in self._axes]
        self.points = turned[0]
        return [{"lidar": lidar.pillars(cloud)} for cloud in turned]

    def _note(self, name: str, looks: ContentStats | None) -> None:
        self._used.append(name)
        if looks is not None:
            self._content[name] = looks

    def _pictures(self, synced: SyncedSet, names: Sequence[str]) -> Sequence[Mapping[str, Tensor]]:
        """Each sector's picture, from the cameras that see it and whose data can be used."""
        shots: dict[str, Shot] = {}
        looks: dict[str, ContentStats] = {}
        for name in names:
            try:
                found = self._shot(synced, name)
            except InvalidMessageError as error:
                self._invalid[name] = error
                continue
            if found is not None:
                shots[name], looks[name] = found
        try:
            shown = [side.show(shots) for side in self._sides]
        except InvalidMessageError as error:  # of a camera alone
            self._invalid.update(dict.fromkeys(shots, error))
            return [{} for _ in self._axes]
        for name in shots:
            if any(name in used for _, used in shown):
                self._note(name, looks[name])
        return [part for part, _ in shown]

    def _shot(self, synced: SyncedSet, name: str) -> tuple[Shot, ContentStats] | None:
        """The picture of one camera, and how it looks; None where it looks at no sector."""
        sample = synced.samples[name][-1]
        frame, pose = cast("ImageFrame | CompressedFrame", sample.payload), self._poses[name]
        intrinsics = camera.fitting(self.intrinsics[name], frame.width, frame.height)
        mount = motion.pose_rotation(pose)
        if not any(side.wants(name, intrinsics, mount) for side in self._sides):
            return None
        turned = self._turned(synced, sample.stamp_ns)
        image = camera.decode_for(frame, intrinsics)
        small = camera.shrunk(image, intrinsics)
        return Shot(small, intrinsics, mount, turned, turned @ np.asarray(pose.translation)), image_stats(
            image
        )

    def _cloud(self, synced: SyncedSet, name: str) -> tuple[Tensor, ContentStats]:
        """The points of one lidar [1, N, 4] in the base frame at the set's stamp, and how they look."""
        sample, section = synced.samples[name][-1], cast("LidarConfig", self._config.sensor(name))
        cloud = cast("PointCloud", sample.payload)
        pose = self._poses[name]
        points, times = lidar.decode_timed(cloud, intensity_full_scale=section.intensity_full_scale)
        now = self._deskewed(points, times, synced, name, section)
        turned = self._turned(synced, sample.stamp_ns) if now is None else motion.IDENTITY
        rotation, translation = turned @ motion.pose_rotation(pose), turned @ np.asarray(pose.translation)
        moved = lidar.move(points if now is None else now, rotation, translation)
        return moved, cloud_stats(points)

    def _deskewed(
        self,
        points: NDArray[np.float32],
        times: NDArray[Any] | None,
        synced: SyncedSet,
        name: str,
        section: LidarConfig,
    ) -> NDArray[np.float32] | None:
        """Points of a lidar as it would see them at the set's stamp; None where they stay as they are."""
        stamp_ns = synced.samples[name][-1].stamp_ns
        since_s = self._since_s(times, name, section, stamp_ns)
        if since_s is None:
            if stamp_ns == synced.stamp_ns or self._ego is None or not points.size:
                return None
            # A cloud of one moment that is not the set's: another lidar's, beside the one that anchors.
            if self._ego.velocity(stamp_ns) is None:
                return None
            since_s = np.zeros(points.shape[1], np.float32)
        since_s += np.float32((stamp_ns - synced.stamp_ns) / NS_PER_S)
        ends_ns = [synced.stamp_ns + round(float(end) * NS_PER_S) for end in (since_s.min(), since_s.max())]
        imu_pose = self._poses.get(self._imu_name)
        moves = even_motion(self._ego, self._turns, imu_pose, from_ns=ends_ns[0], to_ns=ends_ns[1])
        if moves is None:
            self._skewed[name] = "neither IMU nor odometry tells how the robot moved meanwhile"
            return None
        return deskewed(points, since_s, moves, self._poses[name])

    def _since_s(
        self, times: NDArray[Any] | None, name: str, section: LidarConfig, stamp_ns: int
    ) -> NDArray[np.float32] | None:
        """Seconds from the cloud's stamp to each point [N]; None: of one moment, or not known."""
        if times is None or not section.deskew:
            return None
        since_s = point_times_s(times, stamp_ns=stamp_ns + round(section.stamp_offset_s * NS_PER_S))
        if isinstance(since_s, str):
            self._skewed[name] = f"the times of its points are not used, {since_s}"
            return None
        return since_s if since_s.size else None

    def _imu(self, synced: SyncedSet, name: str) -> _Part:
        stamps_ns, readings = imu.readings_of(synced.samples[name])
        to_base = motion.pose_rotation(self._poses[name])
        times_s, values = imu.in_base_axes(stamps_ns, readings, to_base=to_base, end_ns=synced.stamp_ns)
        self.felt_m_s2[name] = tuple(values[0, :, 3:].mean(dim=0).tolist())
        tilt = self._tilt(synced, name, to_base)
        window = imu.resample(times_s, values)
        # Held readings fill the rest of a window: an IMU that has just begun would look stuck.
        if float(times_s[0, -1] - times_s[0, 0]) < _LEAST_TOLD * GEOMETRY.imu_window_s:
            self._short.add(Modality.IMU)
        parts = [
            {"imu": imu.turned(window, axes), "tilt": torch.tensor([imu.turned_tilt(tilt, axes)])}
            for axes in self._axes
        ]
        return parts, None

    def _tilt(self, synced: SyncedSet, name: str, to_base: motion.Rotation) -> tuple[float, float]:
        stamps_ns, readings = imu.measured(self._readings[name])
        return self._attitude.update(
            stamps_ns, readings @ to_base.T, end_ns=synced.stamp_ns, source=(synced.epoch, name)
        )

    def _audio(self, synced: SyncedSet, name: str) -> _Part:
        blocks = audio.blocks_of(synced.samples[name])
        spacing_m = cast("AudioConfig", self._config.sensor(name)).spacing_m
        pcm = audio.window(blocks, end_ns=synced.stamp_ns)
        features = [
            {"audio": audio.bearing_features(heard, spacing_m)} if heard is not None else {}
            for heard in ({1.0: pcm, -1.0: pcm.flip(1)}.get(way) for way in self._ways)
        ]
        # What no block of the set brought is not silent.
        self.pcm = pcm[..., audio.heard(blocks, end_ns=synced.stamp_ns)]
        if self.pcm.shape[-1] < _LEAST_TOLD * pcm.shape[-1]:
            self._short.add(Modality.AUDIO)
        return features, audio_stats([block for _, block in blocks])

    @property
    def tells_turns(self) -> bool:
        """Whether an IMU tells how the robot turned up to the set in hand."""
        return bool(self._turns)

    def yaw_since(self, synced: SyncedSet, used: ModalitySet, stamp_ns: int) -> float:
        """How far the base has turned left from `stamp_ns` to the set, in rad, by the gyro; 0 without one."""
        return self.turning(synced, used)(stamp_ns)

    def turning(self, synced: SyncedSet, used: ModalitySet) -> Callable[[int], float]:
        """`yaw_since` by the stamp alone, of the set in hand, also once another one is."""
        turned = self._gyro(synced) if Modality.IMU in used else _still

        def yaw_since(stamp_ns: int) -> float:
            rotation = turned(stamp_ns)
            yaw = float(np.arctan2(rotation[0, 1], rotation[0, 0]))
            return yaw if np.isfinite(yaw) else 0.0

        return yaw_since

    def _turned(self, synced: SyncedSet, stamp_ns: int) -> motion.Rotation:
        """How base axes at the sample's stamp lie in those at the set's, where it is worth new maps."""
        rotation = self._gyro(synced)(stamp_ns)
        return rotation if motion.angle_rad(rotation) > STILL_RAD else motion.IDENTITY

    def _gyro(self, synced: SyncedSet) -> Callable[[int], motion.Rotation]:
        """How base axes at a stamp lie in those at the set's stamp, by the gyro where one is trusted."""
        imu_pose = self._poses.get(self._imu_name)
        if imu_pose is None:
            return _still
        readings, to_ns = self._turns, synced.stamp_ns
        return lambda stamp_ns: motion.turned(readings, imu_pose, from_ns=stamp_ns, to_ns=to_ns)

    def _telling(self, synced: SyncedSet, name: str) -> tuple[Sample, ...]:
        """Readings of an IMU that tell how it turned; none where none of the set's window does."""
        full_scale_rad_s = self._config.health.gyro_full_scale_rad_s
        found = motion.telling(self._readings.get(name, ()), full_scale_rad_s=full_scale_rad_s)
        within = bool(found) and found[-1].stamp_ns >= synced.samples[name][0].stamp_ns
        return found if within else ()


def _still(_stamp_ns: int) -> motion.Rotation:
    return motion.IDENTITY
