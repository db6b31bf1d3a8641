"""Moments of the world as sensors have them, drawn into one picture."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sentryfuse_core.config import Config
from sentryfuse_core.errors import OutputError
from sentryfuse_core.lab.world.batch import SEEN_PIXELS, SEEN_RETURNS, training_batch
from sentryfuse_core.lab.world.config import CLASSES, WorldConfig
from sentryfuse_core.lab.world.record import Recorder
from sentryfuse_core.lab.world.scene import ABSENT
from sentryfuse_core.preprocess.audio import bearing_features
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.whole_files import written_whole

__all__ = ["draw", "draw_moments"]

_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
_REMEDY = "give a .png or .jpg file in a folder you may write to"
_MOMENTS = 6
_COLOURS = ("tab:red", "tab:green", "tab:purple")


def draw(recorder: Recorder, path: Path) -> None:
    """Draw the recorder's first moment: camera, lidar from above, sound by frequency and by bearing.

    Raises OutputError for a path that is no picture's, or cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = _kind(path)
    scenes = recorder.drive()
    frame = next(replace(recorder, raw_images=True).camera(scenes)).fields
    image = frame["data"].reshape(frame["height"], frame["width"], 3)
    points = next(recorder.lidar(scenes)).fields["data"].view(np.float32).reshape(-1, 4)
    chunks = [message.fields["data"].view("<i2").reshape(-1, 2) for message in recorder.audio(scenes)]
    pcm = np.concatenate(chunks).astype(np.float32).T / 32768  # [2, S]

    figure = Figure(figsize=(10, 7.2), dpi=75, layout="constrained")
    FigureCanvasAgg(figure)
    camera, above, sound, bearing = figure.subplots(2, 2).flat
    camera.imshow(image)
    camera.set_axis_off()
    camera.set_title("camera")

    above.scatter(points[:, 0], points[:, 1], s=0.3, c=points[:, 2], cmap="viridis", vmin=-1.8, vmax=0.5)
    # The classes and boxes of the first moment, as [M] and [M, 7].
    for number, box in zip(scenes.classes[0].tolist(), scenes.boxes[0].tolist(), strict=True):
        if number != ABSENT:
            colour = _COLOURS[number] if number < len(_COLOURS) else "0.7"  # clutter
            above.plot(*_outline(box), color=colour)
    for trait, colour in zip(CLASSES, _COLOURS, strict=True):
        above.plot([], [], color=colour, label=trait.label)
    above.set(title="lidar from above", xlim=(-5, 42), ylim=(-20, 20), aspect="equal")
    above.set(xlabel="x forward (m)", ylabel="y left (m)")
    above.legend(loc="lower right", fontsize="small")

    sound.specgram(pcm[0] + 1e-9, NFFT=512, noverlap=384, Fs=GEOMETRY.audio_rate_hz, cmap="magma")
    sound.set(title="left microphone", xlabel="time (s)", ylabel="frequency (Hz)")

    window = GEOMETRY.audio_samples
    starts = range(0, pcm.shape[1] - window + 1, window // 4)
    windows = torch.from_numpy(np.stack([pcm[:, start : start + window] for start in starts]))
    features = bearing_features(windows, Config().audio.spacing_m)
    by_bearing = features[..., : GEOMETRY.audio_bands].mean(dim=-1)
    bearing.imshow(
        by_bearing.T.numpy(),
        aspect="auto",
        extent=(0, pcm.shape[1] / GEOMETRY.audio_rate_hz, -90, 90),
        cmap="magma",
    )
    for number, box in zip(scenes.classes[0].tolist(), scenes.boxes[0].tolist(), strict=True):
        if number in range(len(CLASSES)):
            bearing.plot(
                0.0, math.degrees(math.asin(box[1] / math.hypot(box[0], box[1]))), "<", color=_COLOURS[number]
            )
    bearing.set(
        title="correlation of the microphones; marks: objects", xlabel="time (s)", ylabel="bearing (degrees)"
    )
    with written_whole(path, remedy=_REMEDY) as partial:
        figure.savefig(partial, format=kind)


def draw_moments(world: WorldConfig, path: Path, *, seed: int) -> None:
    """Draw six moments that training may draw: the lidar from above with the boxes, and the camera below it.

    Raises OutputError for a path that is no picture's, or cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = _kind(path)
    moments = [training_batch(world, batch=1, seed=seed * _MOMENTS + index) for index in range(_MOMENTS)]
    figure = Figure(figsize=(12, 11.4), dpi=75, layout="constrained")
    FigureCanvasAgg(figure)
    columns = _MOMENTS // 2
    axes = figure.subplots(4, columns, height_ratios=(3, 1.2, 3, 1.2))
    for index, made in enumerate(moments):
        above, camera = (axes[2 * (index // columns) + row, index % columns] for row in (0, 1))
        points = made.points[0]
        above.scatter(points[:, 0], points[:, 1], s=0.3, c=points[:, 2], cmap="viridis", vmin=-0.3, vmax=3.0)
        had = (made.pixels[0] >= SEEN_PIXELS) | (made.returns[0] >= SEEN_RETURNS)
        for number, box, there in zip(made.classes[0].tolist(), made.boxes[0].tolist(), had, strict=True):
            if number != ABSENT and there:
                above.plot(*_outline(box), color=_COLOURS[number])
        above.set(xlim=(0, 34), ylim=(-17, 17), aspect="equal", xticks=[], yticks=[])
        camera.imshow(made.image[0].permute(1, 2, 0).numpy())
        camera.set_axis_off()
    with written_whole(path, remedy=_REMEDY) as partial:
        figure.savefig(partial, format=kind)


def _kind(path: Path) -> str:
    """The format by the ending."""
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None or path.is_dir():
        raise OutputError(f"cannot draw {path!s:.200}; {_REMEDY}")
    return kind


def _outline(box: list[float]) -> tuple[list[float], list[float]]:
    """The footprint of a box (x, y, z, length, width, height, yaw) as a closed line."""
    x, y, _, length, width, _, yaw = box
    corners = [(1, 1), (1, -1), (-1, -1), (-1, 1), (1, 1)]
    along = [(length / 2 * a, width / 2 * b) for a, b in corners]
    cos, sin = math.cos(yaw), math.sin(yaw)
    return [x + a * cos - b * sin for a, b in along], [y + a * sin + b * cos for a, b in along]
