"""Results in rerun: boxes, sensors, states and latencies on the recording's time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentryfuse_core.bags.poses import BagTransforms
from sentryfuse_core.bags.readers import BagMessage, BagReader
from sentryfuse_core.config import Config, from_mapping
from sentryfuse_core.convert import to_sample
from sentryfuse_core.errors import (
    BackendError,
    BagError,
    InvalidMessageError,
    OutputError,
    SentryFuseError,
    TopicError,
)
from sentryfuse_core.preprocess.placing import Placer
from sentryfuse_core.replay.frames import COLOURS, camera_picture, lidar_points
from sentryfuse_core.replay.records import SetRecord, read_results
from sentryfuse_core.safe_files import check_regular
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import Modality
from sentryfuse_core.whole_files import written_whole

__all__ = ["show"]

_TIMELINE = "recording"
_PICTURES = (Modality.CAMERA, Modality.LIDAR)


def show(results: Path, *, save: Path | None) -> str:
    """Open the viewer with a run's results, or write them to `save`; returns what was left out, or nothing.

    `results` is a run's folder or its results.mcap. Pictures and points come from the recording that the
    folder's manifest names, where it still is.
    """
    try:
        import rerun
    except ImportError as error:
        raise BackendError(
            "the viewer needs rerun; pip install 'sentryfuse-python[view]', or open results.mcap in Foxglove"
        ) from error
    folder = results if results.is_dir() else results.parent
    path = folder / "results.mcap" if results.is_dir() else results
    try:
        records = list(read_results(path))
    except SentryFuseError:
        raise
    except Exception as error:  # the fields of another version, or messages that cannot be decoded
        raise BagError(
            f"{path} holds no results of this version ({reason_of(error)}); replay the recording again"
        ) from error
    if not records:
        raise BagError(f"{path} holds no results; give the folder that `sentryfuse replay` wrote")
    stream = rerun.RecordingStream("sentryfuse", recording_id=None)
    if save is None:
        stream.spawn(default_blueprint=_blueprint(rerun))
        return _log(rerun, stream, folder, records)
    if save.suffix != ".rrd" or save.is_dir():
        raise OutputError(f"{save!s:.200} is no place for a recording of rerun; give --save FILE.rrd")
    with written_whole(save, remedy="choose another --save") as partial:
        try:
            stream.save(partial, default_blueprint=_blueprint(rerun))
        except RuntimeError as error:
            raise OSError(0, reason_of(error)) from error
        missing = _log(rerun, stream, folder, records)
        stream.disconnect()
    return missing


def _log(rerun: Any, stream: Any, folder: Path, records: Sequence[SetRecord]) -> str:
    """All sets and sensors; returns what was left out."""
    stream.log("base", rerun.ViewCoordinates.FLU, static=True)
    for record in records:
        _log_set(rerun, stream, record)
    end_ns = records[-1].released_ns if records else 0  # the recording may go on
    missing = _log_sensors(rerun, stream, folder, end_ns=end_ns)
    stream.flush()
    return missing


def _blueprint(rerun: Any) -> Any:
    views = rerun.blueprint
    plots = views.Vertical(
        views.StateTimelineView(origin="states", name="sensors"),
        views.TimeSeriesView(origin="run", name="level and detections"),
        views.TimeSeriesView(origin="latency_ms", name="latency (ms)"),
    )
    scene = views.Vertical(
        views.Spatial3DView(origin="base", name="boxes"), views.Spatial2DView(origin="camera", name="camera")
    )
    return views.Blueprint(views.Horizontal(scene, plots))


def _log_set(rerun: Any, stream: Any, record: SetRecord) -> None:
    stream.set_time(_TIMELINE, timestamp=record.released_ns * 1e-9)
    found = record.detections
    stream.log(
        "base/detections",
        rerun.Boxes3D(
            centers=[(item.x, item.y, item.z) for item in found],
            sizes=[(item.length, item.width, item.height) for item in found],
            rotation_axis_angles=[rerun.RotationAxisAngle((0, 0, 1), radians=item.yaw) for item in found],
            colors=[COLOURS[item.class_id % len(COLOURS)] for item in found],
            labels=[f"{item.label} {item.score:.2f}" for item in found],
        ),
    )
    for name, state in record.states.items():
        stream.log(f"states/{name}", rerun.StateChange(state=state.name))
    stream.log("run/level", rerun.Scalars(record.level))
    stream.log("run/detections", rerun.Scalars(len(found)))
    for stage in ("pre", "infer", "post", "e2e"):
        stream.log(f"latency_ms/{stage}", rerun.Scalars(record.latency_ms[stage]))


def _log_sensors(rerun: Any, stream: Any, folder: Path, *, end_ns: int) -> str:
    """Pictures and points of the recording; says so where it is not at hand."""
    try:
        manifest, metrics = (_json(folder / name) for name in ("manifest.json", "metrics.json"))
        config = from_mapping(manifest["config"]["values"])
        bag, sensors = Path(manifest["bag"]["path"]), metrics["sensors"]
        shown = (name for kind in _PICTURES for name in config.of_kind(kind))
        topics = {sensors[name]["topic"]: name for name in shown if sensors.get(name, {}).get("topic")}
    except Exception as error:  # noqa: BLE001 - files of another version, or of somebody else, hold anything
        why = f"no manifest.json and metrics.json of this run beside the results ({reason_of(error)})"
        return f"{why}: no pictures, no points"
    try:
        placer = Placer(config)
        with BagReader(bag) as reader:
            poses = BagTransforms(reader, config, tuple(topics), placer)
            for item in reader.messages(topics):
                if item.log_time_ns > end_ns:
                    break
                poses.now_ns = item.log_time_ns
                _log_message(rerun, stream, item, topics[item.topic], config, placer)
    except (BagError, TopicError) as error:
        return f"{error}: no pictures, no points"
    return ""


def _json(path: Path) -> Any:
    check_regular(path)
    return json.loads(path.read_text(encoding="utf-8"))


def _entity(place: str, name: str) -> str:
    """Where a sensor's data is shown: a sensor that is called like its kind has the place for itself."""
    return place if name in tuple(Modality) else f"{place}/{name}"


def _log_message(
    rerun: Any, stream: Any, item: BagMessage, name: str, config: Config, placer: Placer
) -> None:
    """A picture or a cloud; one that cannot be read is left out, as the states tell."""
    try:
        sample = to_sample(
            config.kind_of(name),
            item.message,
            sensor=name,
            type_name=item.type_name,
            config=config.sensor(name),
            received_ns=item.log_time_ns,
            arrival_ns=item.log_time_ns,
        )
    except InvalidMessageError:
        return
    stream.set_time(_TIMELINE, timestamp=item.log_time_ns * 1e-9)
    if sample.modality is Modality.CAMERA:
        picture = camera_picture(sample)
        if picture is not None:
            stream.log(_entity("camera", name), rerun.Image(picture).compress(jpeg_quality=80))
        return
    points = lidar_points(sample, config, placer.pose(sample))
    if points is not None:
        stream.log(_entity("base/points", name), rerun.Points3D(points, radii=0.03))
