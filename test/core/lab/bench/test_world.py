"""The detector's benchmark: nothing is lost in packing, units are the network's, records are read."""

from __future__ import annotations

from pathlib import Path

import networks
import pytest
import torch
from networks import TINY, labelled, network

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.bench.records import load_records
from sentryfuse_core.lab.bench.study import arrange
from sentryfuse_core.lab.bench.world import WorldContest, WorldRecipe
from sentryfuse_core.lab.bench.world_frames import Frames, encode_frames, pack, unpack
from sentryfuse_core.lab.bench.world_jobs import chosen_methods, run_seed
from sentryfuse_core.lab.bench.world_net import TrunkAndHead, maps_of
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.model.network import FULL_WIDTH
from sentryfuse_core.pruning.units import find_units
from sentryfuse_core.types import Modality

RECIPE = WorldRecipe(
    seeds=(0,), frames=8, val=4, test=4, steps=2, batch=4, calibration=4, ffn_block=8, ratios=(0.5, 0.9)
)
ALL = frozenset(modality.value for modality in Modality)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return networks.checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def frames() -> dict[str, Frames]:
    sizes = {"train": 8, "val": 4, "test": 4}
    return {
        name: encode_frames(network(), [labelled(seed, batch=size)])
        for seed, (name, size) in enumerate(sizes.items())
    }


@pytest.fixture(scope="module")
def contest(checkpoint: Checkpoint, frames: dict[str, Frames]) -> WorldContest:
    return WorldContest(checkpoint, RECIPE, frames, seed=0)


def test_unpack_gives_back_what_was_packed_when_a_sensor_has_a_place_and_when_not() -> None:
    features = network().encode(labelled(batch=2).inputs)
    for modality, one in features.items():
        fine = None if one.fine is None else (TINY.fine_channels, 32, 32)
        again = unpack(pack(one), cells=256, stride=one.stride, fine=fine)
        assert one.fine is None or torch.equal(again.fine, one.fine)
        assert torch.equal(again.tokens, one.tokens)
        assert (again.canvas is None) == (one.canvas is None) == (modality is Modality.IMU)
        assert one.canvas is None or torch.equal(again.canvas, one.canvas)


@pytest.mark.parametrize("names", [ALL, {"camera"}, {"imu"}, {"lidar", "audio"}])
def test_trunk_and_head_equal_the_whole_network_when_units_are_finer(names: frozenset[str]) -> None:
    net = network()
    with torch.no_grad():
        features = {m: one for m, one in net.encode(labelled(batch=2).inputs).items() if m.value in names}
        whole = net.fuse(features, parts=FULL_WIDTH, batch=2)
        small = TrunkAndHead(net, ffn_block=8)
        maps = maps_of(small({m.value: pack(one) for m, one in features.items()}), TINY.classes)
    assert torch.allclose(maps.heatmap, whole.heatmap, atol=1e-5)
    assert torch.allclose(maps.boxes, whole.boxes, atol=1e-5)
    assert [layer.units for layer in find_units(small).values()] == [2, 8, 2, 8]


def test_encode_frames_fills_up_when_batches_have_unlike_numbers_of_boxes() -> None:
    few, many = labelled(0, batch=2), labelled(1, batch=2)
    many = type(many)(many.inputs, many.boxes.repeat(1, 2, 1), many.classes.repeat(1, 2))
    frames = encode_frames(network(), [few, many])
    assert frames.boxes.shape == (4, 4, 7)
    assert frames.classes[:2, 2:].eq(-1).all()
    assert len(frames) == 4


def test_contest_spends_the_budget_on_trunk_and_head_only_when_training(contest: WorldContest) -> None:
    before, trained = contest.fresh(), contest.dense
    after = trained.network
    assert isinstance(after, TrunkAndHead)
    assert contest.budget <= trained.macs < 2 * contest.budget
    assert torch.equal(after.canvas.learned, before.canvas.learned)
    assert not torch.equal(after.head.maps.weight, before.head.maps.weight)


def test_divergence_is_zero_only_when_student_and_teacher_agree(contest: WorldContest) -> None:
    maps, index = torch.randn(2, 11, 32, 32), torch.arange(2)
    assert contest.task.divergence(maps, maps[:, :3], index).item() == pytest.approx(0.0, abs=1e-4)
    assert contest.task.divergence(maps, maps[:, :3] + 1.0, index).item() > 1.0


def test_saliency_covers_every_set_of_sensors_when_measured(contest: WorldContest) -> None:
    saliency = contest.saliency(contest.fresh())
    assert set(saliency) == set(contest.sets)
    assert all((values >= 0).all() for found in saliency.values() for values in found.values())
    assert sum(float(values.sum()) for values in saliency[ALL].values()) > 0.0


def test_run_seed_writes_records_that_the_study_reads_when_all_methods_run(
    checkpoint: Checkpoint, frames: dict[str, Frames], tmp_path: Path
) -> None:
    names = ["dense", "ours", "matformer", "lsq_taylor_per_mask", "magnitude", "shipped"]
    written = list(run_seed(checkpoint, RECIPE, frames, seed=0, folder=tmp_path, methods=names))
    assert [path.stem for path in written] == names
    (group,) = arrange(load_records(tmp_path)).groups
    assert (group.data, group.backbone, set(group.kinds)) == ("world", "trunk", set(names))
    for record in (record for runs in group.records.values() for record in runs.values()):
        assert len(record.items) == int((frames["test"].classes >= 0).sum())
        dense = group.records["dense"][record.run].index
        for row in record.rows:
            whole = dense[row.present, 0.0, row.split].unit_macs
            assert row.unit_macs <= (1.0 - row.ratio) * whole + 1e-3
            assert row.split == "val" or row.hits
    assert not list(run_seed(checkpoint, RECIPE, frames, seed=0, folder=tmp_path, methods=names))


def test_bad_sizes_and_methods_are_named_when_asked_for() -> None:
    with pytest.raises(ConfigError, match="frames 8 is below one batch of 16"):
        WorldRecipe(frames=8).check()
    with pytest.raises(ConfigError, match="unknown method 'best'; there are dense, ours"):
        chosen_methods(["best"])
