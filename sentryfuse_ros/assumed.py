"""What the node takes for granted of its sensors: how they see, where they sit, that their data fits."""

from __future__ import annotations

from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from sentryfuse_core.config import Config
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
        self, config: Config, preprocessor: Preprocessor, logger: RcutilsLogger, *, camera_topic: str
    ) -> None:
        self._preprocessor = preprocessor
        self._logger = logger
        self._rectified = is_rectified(config.camera, camera_topic)
        self._unusable_info = ""  # why the last CameraInfo could not be used
        self._fit = FitCheck(config, preprocessor.intrinsics)
        self._misfits: tuple[str, ...] = ()  # what of the data does not fit the parameters
        self._posed: dict[Modality, str] = {}  # what is said of each pose,
        self._posed_texts: set[str] = set()  # and what was logged of any

    def take_camera_info(self, message: Any) -> None:
        """Take over the camera's intrinsics; raises InvalidMessageError where they cannot be used."""
        try:
            intrinsics = camera_info(message, rectified=self._rectified)
        except InvalidMessageError as error:
            self._unusable_info = str(error)
            raise
        self._preprocessor.set_intrinsics(intrinsics)
        self._fit.set_intrinsics(intrinsics, frame_id=message.header.frame_id)

    def look(self, synced: SyncedSet) -> None:
        """Note where data does not fit the parameters."""
        found = self._fit.look(synced, felt_m_s2=self._preprocessor.felt_m_s2)
        for note in found:
            self._logger.warning(note)
        if found:
            sensors = {note.partition(":")[0] for note in found}
            kept = (note for note in self._misfits if note.partition(":")[0] not in sensors)
            self._misfits = (*kept, *found)

    def log_poses(self) -> None:
        """Log what is wrong with a pose in use, and when the sensor is placed well again."""
        for modality, placed in self._preprocessor.placer.placements.items():
            text = f"{modality.value} {placed.problem}" if placed.told else ""
            if text == self._posed.get(modality, ""):
                continue
            self._posed[modality] = text
            text = text or f"{modality.value} is placed by {placed.source} now"
            if text in self._posed_texts or len(self._posed_texts) >= _MOST_POSED:
                continue
            self._posed_texts.add(text)
            if placed.told:
                self._logger.warning(text)
            else:
                self._logger.info(text)

    def notes(self, result: FusionResult) -> tuple[str, ...]:
        """What the result took for granted because nobody said otherwise."""
        if Modality.CAMERA not in result.used:
            return self._misfits
        if self._preprocessor.assumed_intrinsics:
            why = f"CameraInfo not used, {self._unusable_info}" if self._unusable_info else _NO_CAMERA_INFO
            return (f"{why}: the intrinsics are the parameters camera.fx and so on", *self._misfits)
        if self._rectified:
            rectified = "the camera's topic is rectified: its intrinsics are P of CameraInfo, no distortion"
            return (rectified, *self._misfits)
        return self._misfits
