"""What a recording has to tell before it is learned from: how high its lidar is, which intensity is 1."""

from __future__ import annotations

from pathlib import Path

from sentryfuse_core.bags.arrivals import arrivals
from sentryfuse_core.bags.poses import BagTransforms
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.bags.topics import Selection
from sentryfuse_core.config import Config
from sentryfuse_core.convert.cloud import point_cloud
from sentryfuse_core.errors import DatasetError, InvalidMessageError
from sentryfuse_core.preprocess import lidar
from sentryfuse_core.preprocess.placing import Placer
from sentryfuse_core.types import Modality

__all__ = ["check_told"]

_LEAST_SHARE = 0.05  # of the full scale that the brightest point of a cloud reaches


def check_told(bag: Path, selection: Selection) -> None:
    """Raises DatasetError that asks for it, where the parameters' defaults would be a guess."""
    if Modality.LIDAR not in selection.topics:
        return
    config, placer = Config(), Placer(Config())
    names = tuple(topic.name for topic in selection.topics.values())
    with BagReader(bag) as reader:
        BagTransforms(reader, config, names, placer)
        if placer.transforms is None:
            raise DatasetError(
                f"{bag} has no /tf_static that says where its lidar is; "
                "give --set lidar.translation_m=[x,y,z], in m above the ground"
            )
        clouds = (one.message for one in arrivals(reader, selection.feeds) if one.sensor == Modality.LIDAR)
        for message in clouds:
            _check_intensity(bag, message)
            return


def _check_intensity(bag: Path, message: object) -> None:
    full_scale = Config().lidar.intensity_full_scale
    try:
        points = lidar.decode(point_cloud(message), intensity_full_scale=1.0)
    except InvalidMessageError:
        return  # health will tell
    most = float(points[3].max(initial=0.0))
    if most and not _LEAST_SHARE * full_scale <= most <= full_scale:
        raise DatasetError(
            f"{bag} has intensities up to {most:g}, and nobody told which counts as 1 "
            f"(usual: {full_scale:g}); give --set lidar.intensity_full_scale=VALUE"
        )
