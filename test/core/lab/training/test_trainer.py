"""The trainer: it learns, an interrupted run ends where an uninterrupted one does, bad states are named."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import GATED, TINY, labelled

from sentryfuse_core.errors import CheckpointError, ConfigError, OutputError
from sentryfuse_core.lab.datasets.vocabulary import LABELS
from sentryfuse_core.lab.training.curve import Curve
from sentryfuse_core.lab.training.data import LabelledBatch, make_batch
from sentryfuse_core.lab.training.run_identity import check_identity, start_anew
from sentryfuse_core.lab.training.trainer import StepLog, Trainer, TrainOptions
from sentryfuse_core.lab.world.config import world_v2
from sentryfuse_core.preprocess.quality import MEASURES
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, ModalitySet, PartLevels


def same(_: int) -> LabelledBatch:
    return labelled(0, batch=8)


def varied(step: int) -> LabelledBatch:
    return labelled(step, batch=8)


def trainer(folder: Path, *, steps: int, source: Any = varied, resume: bool = False) -> Trainer:
    return Trainer(
        TINY, TrainOptions(folder=folder, steps=steps, batch=8), labels=LABELS, source=source, resume=resume
    )


def steps_logged(folder: Path) -> list[int]:
    with (folder / "curve.csv").open(encoding="utf-8") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


class StopError(Exception):
    pass


def test_networks_know_their_labels_when_a_run_is_resumed(tmp_path: Path) -> None:
    trainer(tmp_path, steps=1).run(lambda _: None)
    again = trainer(tmp_path, steps=2, resume=True)
    assert (again.net.labels, again.average.labels) == (LABELS, LABELS)


def test_trainer_lowers_the_loss_when_a_batch_is_repeated(tmp_path: Path) -> None:
    logs: list[StepLog] = []
    trainer(tmp_path, steps=15, source=same).run(logs.append)
    assert logs[-1].loss_full < 0.8 * logs[0].loss_full
    assert logs[-1].step == 15
    assert steps_logged(tmp_path) == list(range(1, 16))


def test_trainer_says_what_to_do_when_its_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--resume"):
        trainer(tmp_path / "file" / "state", steps=1).run()
    (tmp_path / "state" / "curve.csv").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"curve\.csv: Is a directory"):
        trainer(tmp_path / "state", steps=1).run()


def test_curve_says_what_to_do_when_the_disk_is_full(tmp_path: Path) -> None:
    def write() -> None:
        with Curve(tmp_path / "curve.csv", ("step", "loss"), keep=lambda _: True) as curve:
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, curve._file.fileno())
            os.close(full)
            curve.add([1, 0.5])

    with pytest.raises(OutputError, match="No space left on device; make room"):
        write()
    assert (tmp_path / "curve.csv").read_text(encoding="utf-8").split() == ["step,loss"]


def test_trainer_runs_parts_at_levels_of_their_own_when_it_draws_narrow_widths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = replace(TINY, widths=(1.0, 0.5, 0.25), camera_halved=(0.5,))
    made = Trainer(shape, TrainOptions(folder=tmp_path, steps=12, batch=8), labels=LABELS, source=same)
    fuse, seen = made.net.fuse, set()

    def noted(*args: Any, parts: PartLevels, **named: Any) -> Any:
        seen.add(parts)
        return fuse(*args, parts=parts, **named)

    monkeypatch.setattr(made.net, "fuse", noted)
    made.run()
    assert shape.narrowest in seen
    assert {PartLevels(), *(shape.uniform(level) for level in (1, 2))} & seen
    assert len({parts.camera for parts in seen}) == 4
    assert any(parts.camera != parts.trunk for parts in seen)


def with_raw(step: int) -> LabelledBatch:
    return make_batch(world_v2(), batch=8, seed=1, step=step % 2, ages_s=(0.3, 0.3))


def test_trainer_is_taught_by_the_answer_without_the_sensor_that_it_spoils(tmp_path: Path) -> None:
    shape = replace(TINY, qualities=tuple(measure.key for measure in MEASURES))
    options = TrainOptions(folder=tmp_path, steps=6, batch=8)
    made, logs = Trainer(shape, options, labels=LABELS, source=with_raw), []
    made.run(logs.append)
    assert all(log.spoilt is not None and log.loss_spoilt > 0.0 for log in logs)
    assert made.net.trust is not None
    assert float(made.net.trust.trust.weight.detach().abs().max()) > 0.0  # it has begun to learn
    assert float(made.net.trust.centre.abs().max()) > 0.0  # and knows what good data measures
    assert torch.equal(made.net.trust.centre, made.average.trust.centre)


def test_trust_keeps_what_it_knows_of_a_sensor_that_the_data_lacks(tmp_path: Path) -> None:
    audio = [index for index, measure in enumerate(MEASURES) if measure.modality is Modality.AUDIO]

    def deaf(step: int) -> LabelledBatch:
        batch = labelled(step, batch=8)
        quality = torch.rand(8, len(MEASURES))
        quality[:, audio] = torch.nan
        return replace(batch, inputs=replace(batch.inputs, audio=None, quality=quality))

    made = Trainer(GATED, TrainOptions(folder=tmp_path, steps=1, batch=8), labels=LABELS, source=deaf)
    assert made.net.trust is not None
    made.net.trust.centre.fill_(0.25)
    made.run()
    centre = made.net.trust.centre
    assert centre.isfinite().all()
    assert centre[audio].tolist() == [0.25] * len(audio)
    assert (centre != 0.25).sum() == len(MEASURES) - len(audio)


def test_trust_keeps_what_good_data_measures_when_it_starts_from_weights_that_know(tmp_path: Path) -> None:
    def alike(step: int) -> LabelledBatch:
        batch = labelled(step, batch=8)
        return replace(batch, inputs=replace(batch.inputs, quality=torch.full((8, len(MEASURES)), 0.5)))

    made = Trainer(GATED, TrainOptions(folder=tmp_path, steps=1, batch=8), labels=LABELS, source=alike)
    known = {**made.net.state_dict(), "trust.centre": torch.full((len(MEASURES),), 0.25)}
    made.start_from({name: item.clone() for name, item in known.items()})
    made.run()
    for net in (made.net, made.average):
        assert net.trust is not None
        assert torch.equal(net.trust.centre, known["trust.centre"])
        assert torch.equal(net.trust.scale, torch.ones(len(MEASURES)))


def test_trainer_spoils_nothing_when_it_is_told_so(tmp_path: Path) -> None:
    options = TrainOptions(folder=tmp_path, steps=1, batch=8, faults=False)
    logs: list[StepLog] = []
    Trainer(TINY, options, labels=LABELS, source=with_raw).run(logs.append)
    assert logs[0].spoilt is None


def test_trainer_counts_the_horizon_when_the_true_tilt_is_known(tmp_path: Path) -> None:
    def known(_: int) -> LabelledBatch:
        batch = same(0)
        return replace(batch, attitude=batch.inputs.tilt)  # so that all other targets are the same

    logs: list[StepLog] = []
    trainer(tmp_path, steps=1, source=same).run(logs.append)
    trainer(tmp_path, steps=1, source=known).run(logs.append)
    without, with_horizon = (log.loss_full for log in logs)
    assert with_horizon > without + 0.05


def test_trainer_ends_with_the_same_weights_when_it_is_interrupted_and_resumed(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", steps=6)
    whole.run()
    first = trainer(tmp_path / "parts", steps=6)

    def stop(log: StepLog) -> None:
        if log.step == 3:
            first.save()
        if log.step == 4:
            raise StopError

    with pytest.raises(StopError):
        first.run(stop)
    assert steps_logged(tmp_path / "parts") == [1, 2, 3, 4]
    second = trainer(tmp_path / "parts", steps=6, resume=True)
    assert second.progress.step == 3
    second.run()
    assert steps_logged(tmp_path / "parts") == [1, 2, 3, 4, 5, 6]
    for one, other in zip(whole.net.parameters(), second.net.parameters(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(whole.average.parameters(), second.average.parameters(), strict=True):
        assert torch.equal(one, other)


def test_trainer_names_the_learning_rate_and_keeps_its_state_when_the_loss_is_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(step: int) -> LabelledBatch:
        good = varied(step)
        none = torch.full_like(good.inputs.lidar, torch.nan)
        return good if step < 2 else replace(good, inputs=replace(good.inputs, lidar=none))

    trainer(tmp_path, steps=2, source=broken).run()
    state = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"loss became nan in step 3; .* --learning-rate below 0\.002"):
        trainer(tmp_path, steps=4, source=broken, resume=True).run()
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(torch.inf))
    with pytest.raises(ConfigError, match="gradient became inf in step 3"):
        trainer(tmp_path, steps=4, resume=True).run()
    assert (tmp_path / "state.safetensors").read_bytes() == state


def test_trainer_raises_when_there_is_no_state_to_resume(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"state\.safetensors"):
        trainer(tmp_path, steps=1, resume=True)


@pytest.mark.parametrize(
    ("noted", "told"),
    [({"seed": 1}, "did not note its batch"), ({"seed": 1, "batch": 16}, "is of batch 16, this run of 8")],
)
def test_state_says_what_it_is_of_when_another_run_resumes_it(
    noted: dict[str, int], told: str, tmp_path: Path
) -> None:
    start_anew(tmp_path, noted, old=())
    check_identity(tmp_path, {**noted, "layers": None})
    with pytest.raises(CheckpointError, match=told):
        check_identity(tmp_path, {"seed": 1, "batch": 8})


def test_trainer_raises_when_the_state_is_truncated(tmp_path: Path) -> None:
    trainer(tmp_path, steps=1).run()
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot resume"):
        trainer(tmp_path, steps=2, resume=True)


def test_trainer_shows_no_other_sensor_when_it_trains_for_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensors = ModalitySet.of(Modality.CAMERA, Modality.IMU)
    options = TrainOptions(folder=tmp_path, steps=6, batch=8, sensors=sensors)
    made = Trainer(TINY, options, labels=LABELS, source=varied)
    encode, seen = made.net.encode, []

    def noted(inputs: ModelInput, **named: Any) -> Any:
        seen.append(inputs.present)
        return encode(inputs, **named)

    monkeypatch.setattr(made.net, "encode", noted)
    made.run()
    assert set(seen) > {sensors}
    assert all(mask and mask & sensors == mask for mask in seen)


@pytest.mark.gpu
def test_trainer_learns_in_the_world_when_the_world_is_made_on_a_gpu(tmp_path: Path) -> None:
    logs: list[StepLog] = []
    options = TrainOptions(folder=tmp_path, steps=5, batch=8, device="cuda", reuse=2)
    Trainer(TINY, options, labels=LABELS).run(logs.append)
    assert all(log.loss_full > 0.0 for log in logs)


def test_trainer_draws_sensors_that_the_frames_have(tmp_path: Path) -> None:
    seen = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)

    def without(step: int) -> LabelledBatch:
        batch = varied(step)
        return replace(batch, inputs=batch.inputs.only(seen))

    logs: list[StepLog] = []
    trainer(tmp_path, steps=12, source=without).run(logs.append)
    masks = {log.mask for log in logs}
    assert all(mask and mask & seen == mask for mask in masks)
    assert len(masks) > 1
