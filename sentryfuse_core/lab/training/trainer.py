"""The training run: full and narrow widths together, modality dropout, a schedule over time, resumable."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.lab.training.curriculum import Curriculum
from sentryfuse_core.lab.training.curve import Curve
from sentryfuse_core.lab.training.data import LabelledBatch, make_batch
from sentryfuse_core.lab.training.losses import (
    detection_loss,
    distillation_loss,
    evidence_loss,
    horizon_loss,
    view_loss,
)
from sentryfuse_core.lab.training.pool import SamplePool
from sentryfuse_core.lab.training.state import Progress, load_state, save_state
from sentryfuse_core.lab.training.targets import make_targets
from sentryfuse_core.lab.training.tensor_files import ROOM
from sentryfuse_core.lab.training.view_targets import make_view_targets
from sentryfuse_core.lab.world.config import WorldConfig
from sentryfuse_core.model.encoders import CameraView
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, ModalitySet
from sentryfuse_core.whole_files import make_folder

__all__ = ["BatchSource", "StepLog", "TrainOptions", "Trainer"]

BatchSource = Callable[[int], LabelledBatch]  # step -> batch

_MASKS = 2  # subsets of sensors a step, beside all of them
_CURVE = ("step", "elapsed_s", "lr", "loss_full", "loss_narrow", "loss_masked", "mask")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How to train; the length is `steps`, or where that is 0 `minutes` of work."""

    folder: Path  # state and curve go here
    minutes: float = 60.0
    steps: int = 0
    batch: int = 32
    seed: int = 0
    device: str = "cpu"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.03  # share of the run
    clip_norm: float = 5.0
    average_decay: float = 0.997  # running average of the weights, a step
    distillation: float = 0.3
    evidence: float = 0.25  # weight of each sensor's own map of centres
    view: float = 0.5  # weight of what the camera's pixels say
    bf16: bool = False  # compute in bfloat16; weights stay float32
    reuse: int = 4  # steps that one batch of the world pays for
    sensors: ModalitySet = field(default_factory=ModalitySet.all)  # fewer: no other is ever shown
    save_every_s: float = 120.0
    curriculum: Curriculum = field(default_factory=Curriculum)
    world: WorldConfig = field(default_factory=WorldConfig)


@dataclass(frozen=True)
class StepLog:
    """What one step did."""

    step: int
    elapsed_s: float
    progress: float  # 0..1 of the run
    learning_rate: float
    loss_full: float  # all sensors, full width
    loss_narrow: float  # one part in turn, a narrower level in turn
    loss_masked: float  # the part with the sensors of `mask`, full width
    mask: ModalitySet


class Trainer:
    """One run; `run` may be interrupted at any time and resumed from its folder."""

    def __init__(
        self,
        shape: ModelShape,
        options: TrainOptions,
        *,
        source: BatchSource | None = None,
        resume: bool = False,
    ) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.net = SentryFuseNet(shape).to(options.device)
        self.average = copy.deepcopy(self.net).requires_grad_(requires_grad=False)
        self._source = source or SamplePool(self._world_batch, reuse=options.reuse)
        self._optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=options.learning_rate, betas=(0.9, 0.98)
        )
        self.progress = Progress(seed=options.seed)
        if resume:
            self.progress = load_state(
                options.folder, net=self.net, average=self.average, optimizer=self._optimizer
            )

    def start_from(self, tensors: Mapping[str, torch.Tensor]) -> list[str]:
        """Take over another network's weights where name and shape are the same; the names left out.

        Raises CheckpointError when nothing fits.
        """
        own = self.net.state_dict()
        fitting = {
            name: item for name, item in tensors.items() if name in own and own[name].shape == item.shape
        }
        if not fitting:
            raise CheckpointError("none of these weights fit the network; start from random ones")
        for net in (self.net, self.average):
            net.load_state_dict({**own, **fitting})
        return sorted(own.keys() - fitting.keys())

    def run(self, on_step: Callable[[StepLog], None] = lambda _: None) -> None:
        """Train to the end, writing `curve.csv` and, now and then and at the end, the state.

        Raises OutputError where they cannot be written.
        """
        step, saved_s = self.progress.step, self.progress.elapsed_s
        make_folder(self.options.folder, remedy=ROOM)
        with Curve(self.options.folder / "curve.csv", _CURVE, keep=lambda row: int(row[0]) <= step) as curve:
            while self._share() < 1.0:
                log = self._step()
                curve.add(_row(log))
                on_step(log)
                if self.progress.elapsed_s - saved_s > self.options.save_every_s:
                    self.save()
                    curve.flush()
                    saved_s = self.progress.elapsed_s
        self.save()

    def save(self) -> None:
        """Write the state to resume from."""
        save_state(
            self.options.folder,
            net=self.net,
            average=self.average,
            optimizer=self._optimizer,
            progress=self.progress,
        )

    def _share(self) -> float:
        if self.options.steps:
            return self.progress.step / self.options.steps
        return self.progress.elapsed_s / (60.0 * self.options.minutes) if self.options.minutes else 1.0

    def _step(self) -> StepLog:
        started_s = time.monotonic()
        options, share = self.options, self._share()
        rate = options.learning_rate * _schedule(share, options.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        generator = torch.Generator().manual_seed(options.seed * 2**20 + self.progress.step)
        masks = [self._mask(share, generator) for _ in range(_MASKS)]
        losses = self._losses(self._source(self.progress.step), masks)
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.stack([weight * loss for loss, weight in losses.values()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), options.clip_norm)
        self._optimizer.step()
        self._average()
        self.progress.step += 1
        self.progress.elapsed_s += time.monotonic() - started_s
        full, narrow, masked = (losses[name][0].item() for name in ("part0", "narrow", "part1"))
        return StepLog(
            self.progress.step, self.progress.elapsed_s, share, rate, full, narrow, masked, masks[0]
        )

    def _mask(self, share: float, generator: torch.Generator) -> ModalitySet:
        """What the curriculum draws; with fewer sensors what is left of it, if that can see or hear."""
        drawn, sensors = self.options.curriculum.mask(share, generator), self.options.sensors
        if sensors == ModalitySet.all():
            return drawn
        left = drawn & sensors
        return left if left - ModalitySet.of(Modality.IMU) else sensors

    def _losses(
        self, batch: LabelledBatch, masks: Sequence[ModalitySet]
    ) -> dict[str, tuple[torch.Tensor, float]]:
        """Loss and weight of each part: an eighth of the batch with every sensor, the rest with `masks`.

        One part in turn also runs narrow, which learns the boxes and, a little, from it; level after level.
        """
        net, size = self.net, len(batch.boxes)
        losses: dict[str, tuple[torch.Tensor, float]] = {}
        kept = [self.options.sensors, *masks]
        ends = [0, *(size // 8 + index * (size - size // 8) // len(masks) for index in range(len(masks) + 1))]
        for part, (mask, start, stop) in enumerate(zip(kept, ends[:-1], ends[1:], strict=True)):
            rows = batch.rows(start, stop)
            targets = make_targets(rows.boxes, rows.classes, class_count=net.shape.classes)
            inputs = rows.inputs.only(mask)
            wide = self._run(inputs, level=0, batch=stop - start)
            loss = detection_loss(wide, targets) + self.options.evidence * evidence_loss(wide, targets)
            if wide.view is not None and rows.inputs.camera_position is not None:
                position = rows.inputs.camera_position
                loss = loss + self.options.view * self._view_loss(wide.view, rows, position)
            losses[f"part{part}"] = (loss, (stop - start) / size)
            if part == self.progress.step % len(kept):
                narrow = self._run(inputs, level=self._narrow_level(len(kept)), batch=stop - start)
                losses["narrow"] = (detection_loss(narrow, targets), 0.5)
                losses["distil"] = (distillation_loss(narrow, wide, targets), self.options.distillation)
        return losses

    def _view_loss(self, view: CameraView, rows: LabelledBatch, position: torch.Tensor) -> torch.Tensor:
        """What the pixels should say; the vehicle's tilt counts, where it is known, whatever the mask."""
        camera, shape = self.net.camera, self.net.shape
        targets = make_view_targets(
            rows.boxes,
            rows.classes,
            position=position,
            tilt=rows.inputs.tilt if rows.attitude is None else rows.attitude,
            ground=camera.ground,
            class_count=shape.classes,
            bins=shape.depth_bins,
        )
        loss = view_loss(view, targets)
        if rows.attitude is None:
            return loss
        return loss + horizon_loss(view, camera.horizon.target(rows.attitude), rows.attitude)

    def _run(self, inputs: ModelInput, *, level: int, batch: int) -> HeadOutput:
        """Maps in float32, whatever they were computed in."""
        kind = torch.device(self.options.device).type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.options.bf16):
            output = self.net(inputs, level=level, batch=batch)
        evidence = {modality: logits.float() for modality, logits in output.evidence.items()}
        return HeadOutput(output.heatmap.float(), output.boxes.float(), evidence, output.view)

    def _narrow_level(self, parts: int) -> int:
        """Each level below full width in turn, for every part of the batch; 0 where there is no other."""
        others = self.net.shape.levels - 1
        return 1 + self.progress.step // parts % others if others else 0

    def _average(self) -> None:
        """Move the running average; early on it follows closely, so that a short run is not all start."""
        decay = min(self.options.average_decay, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1.0 - decay)

    def _world_batch(self, step: int) -> LabelledBatch:
        options = self.options
        return make_batch(
            options.world, batch=options.batch, seed=options.seed, step=step, device=options.device
        )

    def _parameter_groups(self) -> list[dict[str, object]]:
        """Matrices decay, vectors (norms, biases) do not."""
        matrices = [item for item in self.net.parameters() if item.ndim > 1]
        vectors = [item for item in self.net.parameters() if item.ndim <= 1]
        return [
            {"params": matrices, "weight_decay": self.options.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]


def _schedule(share: float, warmup: float) -> float:
    """Linear rise, then a cosine to nearly nothing."""
    if share < warmup:
        return max(share / warmup, 0.02)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (share - warmup) / (1.0 - warmup)))


def _row(log: StepLog) -> list[object]:
    numbers = (log.learning_rate, log.loss_full, log.loss_narrow, log.loss_masked)
    return [log.step, f"{log.elapsed_s:.1f}", *(f"{number:.5g}" for number in numbers), str(log.mask)]
