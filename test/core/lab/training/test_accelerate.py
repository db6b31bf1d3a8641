"""Acceleration: bfloat16 and compiled training learn the same things, and two processes train one network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classifiers import BOTH, STREAMS, batch_of, classifier, costs_of
from torch import nn

from sentryfuse_core.cli import main
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.training.accelerate import Acceleration, Ranks, ranks
from sentryfuse_core.lab.training.batches import Batch
from sentryfuse_core.lab.training.fit import FitOptions, fit
from sentryfuse_core.lab.training.stages import Dropout, NestedStage
from sentryfuse_core.pruning.allocate import uniform_widths
from sentryfuse_core.pruning.nested_checkpoint import load_nested

ROOT = Path(__file__).resolve().parents[4]
RATIO = 0.5


def network_of() -> nn.Module:
    return classifier(classes=2, dim=8, heads=2, kv_heads=2, ffn_block=8)


COSTS = costs_of(network_of())
OPTIONS = FitOptions(budget=40 * 3 * 16 * COSTS[BOTH].total, batch=16)
STAGE = NestedStage(
    dropout=Dropout(modalities=tuple(STREAMS), first=0.3),
    table={(present, RATIO): uniform_widths(costs, RATIO) for present, costs in COSTS.items()},
    passes={0.0: 1.0, RATIO: 1.0},
    teacher=None,
)


def samples_of(device: str = "cpu") -> Batch:
    """Two classes that differ in the mean of both modalities."""
    batch = batch_of(48, classes=2, apart=1.0)
    inputs = {name: item.to(device) for name, item in batch.inputs.items()}
    return Batch(inputs, batch.label.to(device), batch.index.to(device))


def trained(speed: Acceleration, *, device: str = "cpu") -> tuple[nn.Module, list[float]]:
    losses: list[float] = []
    network, _ = fit(
        network_of().to(device),
        STAGE,
        samples_of(device),
        COSTS,
        replace(OPTIONS, speed=speed),
        classes=2,
        on_step=lambda step: losses.append(step.loss),
    )
    return network, losses


def furthest(one: nn.Module, other: nn.Module) -> float:
    """The largest difference between two networks' weights."""
    return max(
        float((value - other.state_dict()[name]).abs().max()) for name, value in one.state_dict().items()
    )


def test_bf16_training_learns_and_keeps_float32_weights() -> None:
    plain, _ = trained(Acceleration())
    halved, losses = trained(Acceleration(bf16=True))
    assert {value.dtype for value in halved.state_dict().values()} == {torch.float32}
    assert 0.0 < furthest(plain, halved) < 0.1
    assert sum(losses[-5:]) < sum(losses[:5])


def test_compiled_training_gives_the_same_network_when_widths_and_modalities_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _inputs: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compile_with = nn.Module.compile

    def compiled(network: nn.Module, **options: Any) -> None:
        compile_with(network, backend=backend, **options)  # inductor takes minutes and is not ours to test

    monkeypatch.setattr(nn.Module, "compile", compiled)
    torch.compiler.reset()
    plain, _ = trained(Acceleration())
    fast, _ = trained(Acceleration(compiled=True))
    assert furthest(plain, fast) < 1e-5
    assert len(graphs) == 2 * len(COSTS)  # whole and narrow for every set: none ran uncompiled, none twice
    assert fast(samples_of().inputs).shape == (48, 2)
    assert len(graphs) == 2 * len(COSTS)  # what fit returns is not compiled


def test_one_process_shares_nothing_when_torchrun_did_not_start_it() -> None:
    with ranks("cpu") as team:
        assert team == Ranks()
    network = network_of()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    team.align(network)
    team.average_gradients(list(network.parameters()))
    assert all(item.grad is None for item in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert team.combine(0.5, 1.0, 3.0, torch.device("cpu")) == (0.5, 3.0)


def test_ranks_name_what_is_missing_when_torchruns_environment_is_incomplete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigError, match=r"WORLD_SIZE.*torchrun --nproc-per-node"), ranks("cpu"):
        pass


TWO = """
import contextlib, json, sys
from pathlib import Path
import torch
from torch import nn
from sentryfuse_core.cli import main
from sentryfuse_core.lab.commands import train_classifier
from sentryfuse_core.lab.training.accelerate import ranks

cpu = torch.device("cpu")

@contextlib.contextmanager
def tried(device):
    with ranks(device) as team:
        byte = torch.tensor([team.rank], dtype=torch.uint8)
        mine, both, none = (nn.Parameter(torch.zeros(2)) for _ in range(3))
        both.grad = torch.full((2,), 1.0 + team.rank)
        if team.rank == 1:
            mine.grad = torch.full((2,), 4.0)
        team.average_gradients([mine, both, none])
        layer = nn.Linear(2, 2)
        nn.init.constant_(layer.weight, float(team.rank + 1))
        team.align(layer)
        found = {
            "mine": mine.grad.tolist(),
            "both": both.grad.tolist(),
            "none": none.grad is None,
            "weight": layer.weight.unique().tolist(),
            "combined": team.combine(1.0 + team.rank, 10.0, 11.0 + team.rank, cpu),
            "gathered": [part.tolist() for part in team.gather(byte, cpu)],
        }
        Path(f"rank{team.rank}.json").write_text(json.dumps(found))
        yield team

train_classifier.ranks = tried
raise SystemExit(main(["train", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_two_processes_train_one_network_when_torchrun_starts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    label = np.arange(60) % 3
    split = np.repeat(["train", "val", "test"], (36, 12, 12))
    values = np.random.default_rng(0).normal(size=(60, 4, 2))
    np.savez(tmp_path / "mine.npz", a=values + label[:, None, None], b=values[:, 0], label=label, split=split)
    (tmp_path / "tiny.yaml").write_text(
        "{dim: 8, heads: 2, kv_heads: 2, ffn: 16, layers: {trunk: 1}, steps: 12, batch: 8, calibration: 16, "
        "ratios: [0.5]}"
    )
    (tmp_path / "two.py").write_text(TWO, encoding="utf-8")
    words = ["--data", "mine.npz", "--recipe", "tiny.yaml", "--save-every", "1e-9"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for _ in range(3):
        done = subprocess.run(
            [*torchrun, "two.py", "two.safetensors", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        # torch's own threads sometimes end a process that has done its work: no word of it is about training.
        if "terminate called without an active exception" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        assert json.loads((tmp_path / f"rank{rank}.json").read_text()) == {
            "mine": [2.0, 2.0],  # rank 0 had none: it counts as zeros
            "both": [1.5, 1.5],
            "none": True,
            "weight": [1.0],
            "combined": [1.5, 13.0],
            "gathered": [[0], [1]],
        }
    loaded = load_nested(tmp_path / "two.safetensors")
    assert loaded.manifest["processes"] == 2
    assert loaded.manifest["command"].startswith(
        "torchrun --standalone --nproc-per-node 2 --no-python sentry"
    )
    assert done.stdout.count("wrote two.safetensors") == 1
    dense = (tmp_path / "two" / "curve.csv").read_text().count(",dense,")
    assert 1 <= dense <= 3  # 0.3 of 12 steps, two at a time
    monkeypatch.chdir(tmp_path)
    assert main(["train", "two.safetensors", *words, "--resume"]) == 2
    assert "processes 2, this run of 1" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.parametrize("bf16", [False, True])
def test_training_on_a_gpu_ends_near_that_on_the_cpu(bf16: bool) -> None:
    plain, _ = trained(Acceleration())
    fast, losses = trained(Acceleration(bf16=bf16), device="cuda")
    assert furthest(plain, fast.cpu()) < (0.1 if bf16 else 0.01)
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.gpu
@pytest.mark.slow
def test_compiled_training_on_a_gpu_ends_near_the_plain_one() -> None:
    plain, _ = trained(Acceleration(), device="cuda")
    fast, _ = trained(Acceleration(compiled=True), device="cuda")
    assert furthest(plain, fast) < 0.01
