"""What the node takes for granted of its sensors: how they see, where they sit, that their data fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from sentryfuse_core.config import CameraConfig, Config
from sentryfuse_core.convert import camera_info, is_rectified
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.preprocess.fit import FitCheck
from sentryfuse_core.types import FusionResult, Modality, SyncedSet

__all__ = ["Assumptions"]

_MOST_POSED = 100  # lines about poses in the log, however often a driver changes its frame
_NO_CAMERA_INFO = "no CameraInfo received"


class Assumptions:
    """Tells them in the notes of every status, and each once in the log; the worker's, but for CameraInfo."""

    def __init__(
        self,
        config: Config,
        preprocessor: Preprocessor,
        logger: RcutilsLogger,
        *,
        topics: Mapping[str, str],
    ) -> None:
        """`topics`: of the sensors, by name."""
        cameras = ((name, config.sensor(name)) for name in config.of_kind(Modality.CAMERA))
        self._preprocessor = preprocessor
        self._logger = logger
        self._rectified = {
            name
            for name, section in cameras
            if isinstance(section, CameraConfig) and is_rectified(section, topics.get(name, ""))
        }
        self._unusable_infos: dict[str, str] = {}  # by camera, why the last CameraInfo could not be used
        self._fit = FitCheck(config, preprocessor.intrinsics)
        self._posed: dict[str, str] = {}  # what is said of each pose,
        self._posed_texts: set[str] = set()  # and what was logged of any

    def take_camera_info(self, message: Any, name: str) -> None:
        """Take over a camera's intrinsics; raises InvalidMessageError where they cannot be used."""
        try:
            intrinsics = camera_info(message, rectified=name in self._rectified)
        except InvalidMessageError as error:
            self._unusable_infos[name] = str(error)
            raise
        self._preprocessor.set_intrinsics(intrinsics, name)
        self._fit.set_intrinsics(intrinsics, frame_id=message.header.frame_id, name=name)

    def look(self, synced: SyncedSet) -> None:
        """Note where data does not fit the parameters."""
        for note in self._fit.look(synced, felt_m_s2=self._preprocessor.felt_m_s2):
            self._logger.warning(note)

    def log_poses(self) -> None:
        """Log what is wrong with a pose in use, and when the sensor is placed well again."""
        for name, placed in self._preprocessor.placer.placements.items():
            text = f"{name} {placed.problem}" if placed.told else ""
            if text == self._posed.get(name, ""):
                continue
            self._posed[name] = text
            text = text or f"{name} is placed by {placed.source} now"
            if text in self._posed_texts or len(self._posed_texts) >= _MOST_POSED:
                continue
            self._posed_texts.add(text)
            if placed.told:
                self._logger.warning(text)
            else:
                self._logger.info(text)

    def notes(self, result: FusionResult) -> tuple[str, ...]:
        """What the result took for granted because nobody said otherwise."""
        cameras = [name for name in result.sensors if name in self._preprocessor.intrinsics]
        return (*filter(None, map(self._of_camera, cameras)), *self._fit.misfits)

    def _of_camera(self, name: str) -> str:
        """What is taken for granted of one camera's intrinsics; empty: nothing is."""
        whose = "the camera" if len(self._preprocessor.intrinsics) == 1 else name
        if name in self._preprocessor.assumed_intrinsics:
            unusable = self._unusable_infos.get(name)
            why = f"CameraInfo not used, {unusable}" if unusable else _NO_CAMERA_INFO
            why = why if len(self._preprocessor.intrinsics) == 1 else f"{name}: {why}"
            return f"{why}: the intrinsics are the parameters {name}.fx and so on"
        if name in self._rectified:
            return f"{whose}'s topic is rectified: its intrinsics are P of CameraInfo, no distortion"
        return ""
