"""The demo's recording of the synthetic world, made once and kept by a hash of everything it depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.config import Config, to_mapping
from sentryfuse_core.lab import world as world_source
from sentryfuse_core.lab.world.config import with_weather, world_v2
from sentryfuse_core.types import Modality
from sentryfuse_core.whole_files import make_folder

__all__ = ["World", "cached_world"]

_BAG, _LABELS = "world.mcap", "labels.jsonl"


@dataclasses.dataclass(frozen=True)
class World:
    """A recording and its ground truth."""

    bag: Path
    labels: Path


def cached_world(cache: Path, *, seed: int, seconds: float, light: float, rig: Config) -> World:
    """The recording for these arguments, made with a progress bar unless `cache` holds it already."""
    key = _key(
        {"seed": seed, "seconds": seconds, "light": light} | dataclasses.asdict(world_v2()) | to_mapping(rig)
    )
    folder = cache / f"world_{key}"
    world = World(folder / _BAG, folder / _LABELS)
    if world.bag.is_file() and world.labels.is_file():
        return world
    partial = cache / f".world_{key}.part"
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(partial, remedy="choose another --cache")
    _record(World(partial / _BAG, partial / _LABELS), seed=seed, seconds=seconds, light=light, rig=rig)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return world


def _record(world: World, *, seed: int, seconds: float, light: float, rig: Config) -> None:
    from sentryfuse_core.lab.world.labels import write_labels
    from sentryfuse_core.lab.world.record import Recorder

    clear = with_weather(world_v2(), "clear")  # the story is about sensors, not weather
    recorder = Recorder(seed=seed, seconds=seconds, light=light, world=clear, rig=rig)
    scenes = recorder.drive()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeRemainingColumn()) as progress, BagWriter(world.bag) as writer:
        cameras = len(rig.of_kind(Modality.CAMERA))
        what = f"{seconds:.0f} s of the synthetic world with {cameras} camera{'s' * (cameras > 1)}"
        task = progress.add_task(f"recording {what}, once", total=1.0)
        recorder.write(
            scenes, writer, poses=True, progress=lambda done: progress.update(task, completed=done)
        )
    write_labels(world.labels, scenes, recorder.world, seconds=seconds)


def _key(arguments: dict[str, object]) -> str:
    """A hash of the arguments and of the world's source: another world gives another recording."""
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode())
    for source in sorted(Path(world_source.__path__[0]).glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
