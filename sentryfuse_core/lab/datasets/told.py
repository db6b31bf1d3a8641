"""What a recording has to tell before it is learned from: how high its lidar is, which intensity is 1."""

from __future__ import annotations

from collections.abc import Collection
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


def check_told(bag: Path, selection: Selection, config: Config, told: Collection[str]) -> None:
    """Raises DatasetError that asks for it, where the parameters' defaults would be a guess.

    `told` are the options that somebody gave; what they say is no guess.
    """
    lidars = [name for name in config.of_kind(Modality.LIDAR) if name in selection.topics]
    if not lidars:
        return
    placer = Placer(config)
    names = tuple(topic.name for topic in selection.topics.values())
    with BagReader(bag) as reader:
        BagTransforms(reader, config, names, placer)
        unplaced = [name for name in lidars if f"{name}.translation_m" not in told]
        if placer.transforms is None and unplaced:
            raise DatasetError(
                f"{bag} has no /tf_static that says where its lidar is; "
                f"give --set {unplaced[0]}.translation_m=[x,y,z], in m above the ground"
            )
        unscaled = {name for name in lidars if f"{name}.intensity_full_scale" not in told}
        for one in arrivals(reader, selection.feeds) if unscaled else ():
            if one.sensor in unscaled:
                unscaled.remove(one.sensor)
                _check_intensity(bag, one.sensor, one.message)
            if not unscaled:
                return


def _check_intensity(bag: Path, name: str, message: object) -> None:
    full_scale = Config().lidar.intensity_full_scale
    try:
        points = lidar.decode(point_cloud(message), intensity_full_scale=1.0)
    except InvalidMessageError:
        return  # health will tell
    most = float(points[3].max(initial=0.0))
    if most and not _LEAST_SHARE * full_scale <= most <= full_scale:
        raise DatasetError(
            f"{bag} has intensities up to {most:g}, and nobody told which counts as 1 "
            f"(usual: {full_scale:g}); give --set {name}.intensity_full_scale=VALUE"
        )
