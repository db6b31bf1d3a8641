"""PartGate: work goes where it is worth most, poor sensors are left out, and the choice says why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from networks import TINY

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.pruning.part_gate import Cell, PartGate, Worths
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

SHAPE = replace(TINY, camera_halved=(1.0, 0.5), audio_widths=(1.0, 0.5))
CAMERA, LIDAR, AUDIO = (ModalitySet.of(m) for m in (Modality.CAMERA, Modality.LIDAR, Modality.AUDIO))
IMU = ModalitySet.of(Modality.IMU)
FREE = {"trunk": [0.0, 0.0], "head": [0.0, 5.0]}


def worths(*, prices: tuple[float, ...] = (0.0, 10.0, 200.0)) -> Worths:
    """The camera is worth little beside the lidar, much alone; a poor lidar costs more than it gives."""
    both = {"camera": [0.0, 0.01, 0.02, 0.03], "lidar": [0.0, 4.0], **FREE}
    return Worths(
        cells={
            Cell(CAMERA | LIDAR): both,
            Cell(CAMERA): {"camera": [0.0, 20.0, 30.0, 40.0], **FREE},
            Cell(LIDAR): {"lidar": [0.0, 4.0], **FREE},
            Cell(CAMERA | LIDAR, LIDAR): {**both, "camera": [0.0, 10.0, 20.0, 30.0]},
        },
        off={
            Cell(CAMERA | LIDAR): {Modality.CAMERA: 3.0, Modality.LIDAR: 50.0},
            Cell(CAMERA | LIDAR, LIDAR): {Modality.CAMERA: 30.0, Modality.LIDAR: -2.0},
        },
        prices=prices,
        poor_trust=0.6,
    )


def test_gate_runs_everything_when_work_is_free() -> None:
    choice = PartGate(SHAPE, worths()).choose(CAMERA | LIDAR | IMU, 0)
    assert (choice.used, choice.parts, choice.words) == (CAMERA | LIDAR | IMU, PartLevels(), "")
    assert choice.points == 0.0


def test_gate_narrows_the_camera_while_the_lidar_sees_and_not_when_it_is_alone() -> None:
    gate = PartGate(SHAPE, worths())
    beside, alone = gate.choose(CAMERA | LIDAR, 1), gate.choose(CAMERA, 1)
    assert beside.parts.camera == 3
    assert beside.parts.lidar == 0
    assert beside.parts.trunk == 1  # narrowing it costs nothing
    assert alone.parts.camera == 0
    assert beside.words == "camera at half width of half an image: the lidar sees; worth nothing"
    assert beside.gmacs == count_macs(SHAPE, GEOMETRY, CAMERA | LIDAR, beside.parts).total / 1e9


def test_gate_runs_less_when_work_is_dearer() -> None:
    gate = PartGate(SHAPE, worths())
    costs = [gate.choose(CAMERA | LIDAR | IMU, level).gmacs for level in range(gate.levels)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]


def test_gate_leaves_a_sensor_out_when_it_is_poor_and_costs_more_than_it_gives() -> None:
    gate = PartGate(SHAPE, worths())
    poor = gate.choose(CAMERA | LIDAR | IMU, 0, gate.poor({Modality.CAMERA: 1.0, Modality.LIDAR: 0.3}))
    assert poor.used == CAMERA | IMU
    assert poor.words == "lidar off: its data is poor; gains 2.0 points"
    assert poor.points == pytest.approx(-2.0)
    good = gate.choose(CAMERA | LIDAR | IMU, 0, gate.poor({Modality.CAMERA: 1.0, Modality.LIDAR: 0.7}))
    assert good.used == CAMERA | LIDAR | IMU


def test_gate_leaves_out_a_good_sensor_only_when_its_work_is_dearer_than_its_worth() -> None:
    gate = PartGate(SHAPE, worths(prices=(0.0, 5000.0)))
    assert gate.choose(CAMERA | LIDAR, 0).used == CAMERA | LIDAR
    dear = gate.choose(CAMERA | LIDAR, 1)
    assert dear.used == LIDAR
    assert dear.words.startswith("camera off: others see enough; worth 3.0 points")


def test_gate_leaves_out_an_imu_when_it_is_poor() -> None:
    gate = PartGate(SHAPE, worths())
    choice = gate.choose(LIDAR | IMU, 0, IMU)
    assert choice.used == LIDAR
    assert choice.words.startswith("imu off: its data is poor")
    alone = gate.choose(IMU, 0, IMU)
    assert alone.used == ModalitySet()


@pytest.mark.parametrize("bits", range(16))
def test_gate_has_a_plan_for_every_set_of_sensors_though_few_were_measured(bits: int) -> None:
    gate, mask = PartGate(SHAPE, worths()), ModalitySet(bits)
    for level in range(gate.levels):
        choice = gate.choose(mask, level, mask)
        assert choice.used & mask == choice.used
        assert (choice.used - IMU).bits or not (mask - IMU).bits


def test_worths_return_the_same_when_written_and_read() -> None:
    written = worths().to_mapping()
    again = Worths.from_mapping(written)
    assert again.cells == worths().cells
    assert again.to_mapping() == written
    assert str(Cell.read("camera+lidar?")) == "camera+lidar?"


def test_worths_that_are_told_in_loss_are_read_as_points() -> None:
    row = {"camera": [0.0, 0.5], "trunk": [0.0, 0.1], "head": [0.0, 0.2], "off": {"camera": 0.25}}
    told = {"poor_trust": 0.6, "points_per_loss": 20.0, "prices": [0.0, 2.0], "cells": {"camera": row}}
    found = Worths.from_mapping(told)
    assert found.cells[Cell(CAMERA)] == {"camera": [0.0, 10.0], "trunk": [0.0, 2.0], "head": [0.0, 4.0]}
    assert found.off[Cell(CAMERA)] == {Modality.CAMERA: 5.0}
    assert found.prices == (0.0, 40.0)


@pytest.mark.parametrize(
    "change", [{"cells": {"camera+radar": {"off": {}}}}, {"cells": 3}, {"prices": ["dear"]}, {"prices": None}]
)
def test_worths_raise_when_the_manifest_holds_something_else(change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="gate cannot be read"):
        Worths.from_mapping({**worths().to_mapping(), **change})


def test_gate_raises_when_a_sensor_is_left_out_that_is_not_there() -> None:
    other = replace(worths(), off={Cell(CAMERA): {Modality.LIDAR: 1.0}})
    with pytest.raises(CheckpointError, match=r"worths of camera do not fit the network's lidar \(off\)"):
        PartGate(SHAPE, other)


def test_gate_raises_when_worths_are_of_another_network() -> None:
    with pytest.raises(CheckpointError, match="camera"):
        PartGate(TINY, worths())
