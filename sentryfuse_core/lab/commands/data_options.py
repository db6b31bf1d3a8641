"""The options that say how driving sets and recordings are read, declared without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.lab.datasets import LAYOUTS

if TYPE_CHECKING:
    from argparse import _ActionsContainer

__all__ = ["LIDAR_HEIGHTS_M", "add_data_arguments", "add_frame_arguments"]

LIDAR_HEIGHTS_M = (0.0, 100.0)  # that --lidar-height may say


def add_data_arguments(group: _ActionsContainer) -> None:
    """Declare them; --params and --set are `add_config_arguments`'."""
    group.add_argument(
        "--format", choices=LAYOUTS, help="layout of the data (default: told by what lies in it)"
    )
    group.add_argument(
        "--labels", type=Path, metavar="FILE", help="of a recording (default: labels.jsonl beside it)"
    )
    group.add_argument(
        "--topic",
        action="append",
        default=[],
        metavar="SENSOR=TOPIC",
        help="of recordings: use this topic for a sensor instead of the one found; repeatable",
    )
    group.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=CLASS",
        help="what a class of the data is to the detector, e.g. bicycle=cyclist, or none; repeatable",
    )
    group.add_argument(
        "--lidar-height",
        type=float,
        metavar="M",
        help="of KITTI's layouts: how high the lidar is above the ground, in m (default: KITTI's 1.73)",
    )


def add_frame_arguments(group: _ActionsContainer) -> None:
    """Declare which frames of the data are made."""
    group.add_argument(
        "--only-frames",
        metavar="A-B",
        help="frames A to B of every drive, counted from 0 (default: all); with --around key frames, each "
        "with all its sides",
    )
    group.add_argument(
        "--around",
        action="store_true",
        help="of nuScenes, which is labelled all around: every key frame gives four frames, to the front, "
        "left, back and right, of all six cameras (default: the one ahead, of CAM_FRONT)",
    )
