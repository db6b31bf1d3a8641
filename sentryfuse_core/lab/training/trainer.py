"""The training run: full and narrow widths together, modality dropout, a schedule over time, resumable."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from sentryfuse_core.errors import CheckpointError, ConfigError
from sentryfuse_core.lab.training.curriculum import Curriculum
from sentryfuse_core.lab.training.curve import Curve
from sentryfuse_core.lab.training.data import LabelledBatch, make_batch, with_room
from sentryfuse_core.lab.training.in_view import classes_for
from sentryfuse_core.lab.training.losses import (
    detection_loss,
    distillation_loss,
    evidence_loss,
    horizon_loss,
    view_loss,
)
from sentryfuse_core.lab.training.pool import SamplePool
from sentryfuse_core.lab.training.schedule import rate_share
from sentryfuse_core.lab.training.spoiling import AGES_S, spoilt_at_random
from sentryfuse_core.lab.training.state import Progress, load_state, save_state
from sentryfuse_core.lab.training.targets import Targets, make_targets
from sentryfuse_core.lab.training.tensor_files import ROOM
from sentryfuse_core.lab.training.view_targets import make_view_targets
from sentryfuse_core.lab.world.config import WorldConfig, world_v2
from sentryfuse_core.model.features import CameraView
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.quality import measures_of
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, ModalitySet, PartLevels
from sentryfuse_core.whole_files import make_folder

__all__ = ["BatchSource", "StepLog", "TrainOptions", "Trainer"]

BatchSource = Callable[[int], LabelledBatch]  # step -> batch

_PLAIN = 6  # one batch in so many is of the plain world of before, that nothing learned there is lost
_MASKS = 2  # subsets of sensors a step, beside all of them; a sensor of the last one is spoilt
_ALL_SHARE = 4  # one frame in so many has every sensor
_DRAWS = 8  # of a set of sensors that the frames have; then all of theirs
_NARROW = 2  # passes at narrow widths a step
_UNIFORM, _NARROWEST = 0.2, 0.35  # of narrow passes: all parts at one level; up to here, the narrowest
_TRUST_RATE = 3.0  # trust has the way from 1 to nothing before it, and little time
_KEPT = dict.fromkeys(Modality, 0.3)  # chance of each sensor to be absent beside a spoilt one
_LEAST_SPREAD = 0.005  # share of a measure's range that good data differs by at least
_SETTLING = 4  # batches that tell what good data measures
_CURVE = (
    "step",
    "elapsed_s",
    "lr",
    "loss_full",
    "loss_narrow",
    "loss_masked",
    "loss_spoilt",
    "mask",
    "spoilt",
)


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
    lidar_first: float = 0.0  # share of the run in which the lidar is shown alone
    save_every_s: float = 120.0
    curriculum: Curriculum = field(default_factory=Curriculum)
    spoilt: Curriculum = field(default_factory=lambda: Curriculum(chance=_KEPT, alone=0.0))
    faults: bool = True  # spoil a sensor of the last part, where frames have their raw data
    teacher: float = 1.0  # weight of a teacher's answer, and of that without the spoilt sensor
    kept_up: ModalitySet = field(default_factory=ModalitySet.all)  # a teacher answers where one of these is
    world: WorldConfig = field(default_factory=WorldConfig)


@dataclass(frozen=True)
class StepLog:
    """What one step did."""

    step: int
    elapsed_s: float
    progress: float  # 0..1 of the run
    learning_rate: float
    loss_full: float  # all sensors, full width
    loss_narrow: float  # one part in turn at random narrow widths
    loss_masked: float  # the part with the sensors of `mask`, full width
    mask: ModalitySet
    loss_spoilt: float = math.nan  # the part whose sensor `spoilt` is at fault, full width
    spoilt: Modality | None = None


class Trainer:
    """One run; `run` may be interrupted at any time and resumed from its folder."""

    def __init__(
        self,
        shape: ModelShape,
        options: TrainOptions,
        *,
        labels: Sequence[str],
        source: BatchSource | None = None,
        resume: bool = False,
        teacher: SentryFuseNet | None = None,
    ) -> None:
        """`labels` are of the classes, by which the boxes are judged as the robot reads them.

        `teacher`: what this network is to keep up with at full width, for example the one it began as.
        """
        torch.manual_seed(options.seed)
        self.options = options
        self.net = SentryFuseNet(shape, labels=labels).to(options.device)
        self.average = copy.deepcopy(self.net).requires_grad_(requires_grad=False)
        self._teacher = None if teacher is None else teacher.to(options.device)
        self._source = source or SamplePool(self._world_batch, reuse=options.reuse)
        self._optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=options.learning_rate, betas=(0.9, 0.98)
        )
        self._in_world = source is None
        self._settles = True  # one drive's good data says little of what is good: weights that know keep it
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
        # Half an image is read at first as the whole one is.
        halves = {name.replace("camera.", "camera.halved.", 1): item for name, item in tensors.items()}
        given = {**halves, **tensors}
        fitting = {
            name: given[name] for name in own if name in given and own[name].shape == given[name].shape
        }
        if not fitting:
            raise CheckpointError("none of these weights fit the network; start from random ones")
        for net in (self.net, self.average):
            net.load_state_dict({**own, **fitting})
        self._settles = self._in_world or "trust.centre" not in fitting
        return sorted(own.keys() - fitting.keys())

    def run(self, on_step: Callable[[StepLog], None] = lambda _: None) -> None:
        """Train to the end, writing `curve.csv` and, now and then and at the end, the state.

        Raises OutputError where they cannot be written, ConfigError when loss or gradients are no numbers.
        """
        step, saved_s = self.progress.step, self.progress.elapsed_s
        make_folder(self.options.folder, remedy=ROOM)
        # A run without a single step leaves the weights as they are.
        if not self.progress.step and self._share() < 1.0 and self._settles:
            self._settle_trust()
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
        rate = options.learning_rate * rate_share(share, options.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        generator = torch.Generator().manual_seed(options.seed * 2**20 + self.progress.step)
        options_of = [options.curriculum] * (_MASKS - 1) + [options.spoilt]
        batch = self._source(self.progress.step)
        sensors = self._shown(share) & batch.inputs.present
        masks = [self._mask(curriculum, share, sensors, generator) for curriculum in options_of]
        bad = self._bad(masks[-1], generator) if options.faults and batch.raw is not None else None
        losses = self._losses(batch, [sensors, *masks], bad, generator)
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.stack([weight * loss for loss, weight in losses.values()]).sum()
        self._check("loss", total)
        total.backward()  # type: ignore[no-untyped-call]
        self._check("gradient", nn.utils.clip_grad_norm_(self.net.parameters(), options.clip_norm))
        self._optimizer.step()
        self._average()
        self.progress.step += 1
        self.progress.elapsed_s += time.monotonic() - started_s
        full, narrow, masked, spoilt = (
            losses[name][0].item() for name in ("part0", "narrow0", "part1", f"part{_MASKS}")
        )
        log = StepLog(
            self.progress.step, self.progress.elapsed_s, share, rate, full, narrow, masked, masks[0]
        )
        return log if bad is None else replace(log, loss_spoilt=spoilt, spoilt=bad)

    def _check(self, what: str, value: torch.Tensor) -> None:
        """Raises ConfigError for no number, which would spoil the weights and every state after."""
        if not bool(value.isfinite()):  # backward from no number may also crash the process: grid_sample
            raise ConfigError(
                f"the {what} became {float(value.detach()):g} in step {self.progress.step + 1}; "
                f"train anew with a --learning-rate below {self.options.learning_rate:g}"
            )

    def _mask(
        self, curriculum: Curriculum, share: float, sensors: ModalitySet, generator: torch.Generator
    ) -> ModalitySet:
        """What the curriculum draws; with fewer sensors what is left of it, once that can see or hear."""
        if sensors == ModalitySet.all():
            return curriculum.mask(share, generator)
        for _ in range(_DRAWS):
            left = curriculum.mask(share, generator) & sensors
            if left - ModalitySet.of(Modality.IMU):
                return left
        return sensors

    def _shown(self, share: float) -> ModalitySet:
        """The sensors there are at this share of the run: at first the lidar alone, if that is asked for."""
        first = share < self.options.lidar_first
        return self.options.sensors & ModalitySet.of(Modality.LIDAR) if first else self.options.sensors

    def _bad(self, mask: ModalitySet, generator: torch.Generator) -> Modality:
        """The sensor of `mask` that is spoilt this time."""
        there = list(mask)
        return there[int(torch.randint(len(there), (), generator=generator))]

    def _losses(
        self,
        batch: LabelledBatch,
        masks: Sequence[ModalitySet],
        bad: Modality | None,
        generator: torch.Generator,
    ) -> dict[str, tuple[torch.Tensor, float]]:
        """Loss and weight of each part: a share of the batch with the first of `masks`, the rest with others.

        In the last part the sensor `bad` is spoilt, and the answer without it is the teacher's. Two parts in
        turn also run narrow, which learns the boxes and, a little, from the teacher or from full width.
        """
        net, size, options = self.net, len(batch.boxes), self.options
        losses: dict[str, tuple[torch.Tensor, float]] = {}
        first, others = size // _ALL_SHARE, len(masks) - 1
        ends = [0, *(first + index * (size - first) // others for index in range(others + 1))]
        for part, (mask, start, stop) in enumerate(zip(masks, ends[:-1], ends[1:], strict=True)):
            rows = batch.rows(start, stop)
            classes = classes_for(rows, mask)
            targets = make_targets(rows.boxes, classes, class_count=net.shape.classes, known=rows.known)
            spoilt = bad if part == others else None
            given = rows.inputs if spoilt is None else spoilt_at_random(rows, spoilt, generator)
            inputs = given.only(mask)
            blind = spoilt is Modality.CAMERA  # its pixels cannot say what they do not show
            wide = self._run(self.net, inputs, parts=FULL_WIDTH, batch=stop - start)
            loss = self._own_loss(wide, rows, targets, blind=blind)
            losses[f"part{part}"] = (loss, (stop - start) / size)
            known = wide
            good = mask if spoilt is None else mask - ModalitySet.of(spoilt)
            teacher = self._teacher if good & options.kept_up else None
            if spoilt is not None or teacher is not None:
                known = self._known(teacher, rows.inputs.only(good), batch=stop - start)
                weight = options.teacher * (stop - start) / size
                losses[f"known{part}"] = (distillation_loss(wide, known, targets), weight)
            for turn in range(_NARROW):
                if part == (self.progress.step + turn) % len(masks):
                    parts = self._narrow_parts(generator)
                    narrow = self._run(self.net, inputs, parts=parts, batch=stop - start)
                    own = self._own_loss(narrow, rows, targets, blind=blind)
                    losses[f"narrow{turn}"] = (own, 0.5)
                    losses[f"distil{turn}"] = (
                        distillation_loss(narrow, known, targets),
                        options.distillation,
                    )
        return losses

    def _known(self, teacher: SentryFuseNet | None, inputs: ModelInput, *, batch: int) -> HeadOutput:
        """What the teacher says, or without one the running average, which is this network at its best."""
        with torch.no_grad():
            return self._run(teacher or self.average, inputs, parts=FULL_WIDTH, batch=batch)

    def _own_loss(
        self, output: HeadOutput, rows: LabelledBatch, targets: Targets, *, blind: bool
    ) -> torch.Tensor:
        """Boxes, each sensor's own map of centres and, unless it is `blind`, what the camera's pixels say."""
        loss = detection_loss(output, targets) + self.options.evidence * evidence_loss(output, targets)
        position = rows.inputs.camera_position
        if output.view is None or position is None or blind:
            return loss
        return loss + self.options.view * self._view_loss(output.view, rows, position)

    def _view_loss(self, view: CameraView, rows: LabelledBatch, position: torch.Tensor) -> torch.Tensor:
        """What the pixels should say; the vehicle's tilt counts, where it is known, whatever the mask."""
        camera, shape, rows_of_map = self.net.camera, self.net.shape, view.foot.shape[1]
        targets = make_view_targets(
            rows.boxes,
            rows.classes,
            position=position,
            tilt=rows.inputs.tilt if rows.attitude is None else rows.attitude,
            ground=camera.ground_of(rows_of_map),
            class_count=shape.classes,
            bins=shape.depth_bins,
        )
        loss = view_loss(view, targets)
        if rows.attitude is None:
            return loss
        horizon = camera.horizon.target(rows.attitude, rows_of_map)
        return loss + horizon_loss(view, horizon, rows.attitude)

    def _run(self, net: SentryFuseNet, inputs: ModelInput, *, parts: PartLevels, batch: int) -> HeadOutput:
        """Maps in float32, whatever they were computed in."""
        kind = torch.device(self.options.device).type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.options.bf16):
            output = net(inputs, parts=parts, batch=batch)
        evidence = {modality: logits.float() for modality, logits in output.evidence.items()}
        return HeadOutput(output.heatmap.float(), output.boxes.float(), evidence, output.view, output.trust)

    def _narrow_parts(self, generator: torch.Generator) -> PartLevels:
        """All parts at one level, all as narrow as they go, or each at a level of its own."""
        narrowest = self.net.shape.narrowest
        kind = float(torch.rand((), generator=generator))
        drawn = {
            name: int(torch.randint(last + 1, (), generator=generator))
            for name, last in asdict(narrowest).items()
        }
        if kind < _UNIFORM:
            return self.net.shape.uniform(max(1, drawn["lidar"]) if self.net.shape.levels > 1 else 0)
        return narrowest if kind < _NARROWEST else PartLevels(**drawn)

    def _settle_trust(self) -> None:
        """Tell the trust head what good data measures, before it learns what bad data means."""
        if self.net.trust is None:
            return
        found = [self._source(step).inputs.quality for step in range(_SETTLING)]
        values = torch.cat([item for item in found if item is not None])
        measures = measures_of(self.net.shape.qualities)
        least = values.new_tensor([_LEAST_SPREAD * (item.high - item.low) for item in measures])
        mean = values.nanmean(dim=0)
        spread = torch.maximum((values - mean).square().nanmean(dim=0).sqrt(), least)
        taken = mean.isfinite()  # the others are of sensors that the data lacks: what is known of them stays
        for net in (self.net, self.average):
            if net.trust is not None:
                net.trust.centre.copy_(torch.where(taken, mean, net.trust.centre))
                net.trust.scale.copy_(torch.where(taken, spread, net.trust.scale))

    def _average(self) -> None:
        """Move the running average; early on it follows closely, so that a short run is not all start."""
        decay = min(self.options.average_decay, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1.0 - decay)

    def _world_batch(self, step: int) -> LabelledBatch:
        options, world = self.options, self.options.world
        plain = world.variety is not None and step // options.reuse % _PLAIN == 0
        batch = make_batch(
            world_v2() if plain else world,
            batch=options.batch,
            seed=options.seed,
            step=step,
            device=options.device,
            ages_s=AGES_S if options.faults else None,
        )
        return with_room(batch, world) if plain else batch

    def _parameter_groups(self) -> list[dict[str, object]]:
        """Matrices decay, vectors (norms, biases) do not, and trust neither."""
        trust = [] if self.net.trust is None else list(self.net.trust.parameters())
        others = [item for item in self.net.parameters() if all(item is not one for one in trust)]
        groups: list[dict[str, object]] = [
            {
                "params": [item for item in others if item.ndim > 1],
                "weight_decay": self.options.weight_decay,
                "scale": 1.0,
            },
            {"params": [item for item in others if item.ndim <= 1], "weight_decay": 0.0, "scale": 1.0},
        ]
        return [*groups, {"params": trust, "weight_decay": 0.0, "scale": _TRUST_RATE}] if trust else groups


def _row(log: StepLog) -> list[object]:
    numbers = (log.learning_rate, log.loss_full, log.loss_narrow, log.loss_masked, log.loss_spoilt)
    spoilt = "" if log.spoilt is None else log.spoilt.value
    return [log.step, f"{log.elapsed_s:.1f}", *(f"{number:.5g}" for number in numbers), str(log.mask), spoilt]
