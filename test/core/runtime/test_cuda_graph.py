"""CUDA graphs: equal to eager on a device; on any machine, nothing in a capture that CUDA forbids there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from gated import SHAPE, measured_input
from networks import make_bank, model_input, network
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sentryfuse_core.config import ModelConfig
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.cuda_graph import CudaGraphBackend
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.lean.form import LeanForm
from sentryfuse_core.runtime.load import make_backend
from sentryfuse_core.runtime.subnetwork import SubNetwork, input_tensors
from sentryfuse_core.types import ModalitySet

# They copy from the host's ordinary memory or wait for the device.
FORBIDDEN = {"aten.lift_fresh", "aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.item"}
TOLERANCES = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.4}  # of logits and metres

gpu = pytest.mark.gpu


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return make_bank(tmp_path)


class Operations(TorchDispatchMode):
    """Notes the names of what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.from_host: set[str] = set()  # those of them that read a tensor of the host

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        name = str(func.overloadpacket)
        self.names.add(name)
        given = [item for item in tree_leaves((args, kwargs)) if isinstance(item, torch.Tensor)]
        self.from_host |= {name for item in given if item.device.type == "cpu"}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("mask", ModalitySet.subsets(), ids=str)
def test_a_capture_computes_nothing_that_cuda_forbids_when_any_sensors_are_there(mask: ModalitySet) -> None:
    tensors = input_tensors(measured_input().only(mask), trusting=True)
    function = SubNetwork(LeanForm(network(shape=SHAPE)), tuple(tensors), SHAPE.uniform(1))
    with torch.no_grad():
        expected = function(*tensors.values())
        with Operations() as operations:
            found = function(*tensors.values())
    assert "aten.convolution" in operations.names
    assert not operations.names & FORBIDDEN
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("mask", ModalitySet.subsets(), ids=str)
def test_a_capture_reads_nothing_of_the_host_when_any_sensors_are_there(mask: ModalitySet) -> None:
    tensors = input_tensors(measured_input().only(mask), trusting=True)
    form = LeanForm(network(shape=SHAPE).to("meta"))  # which stands for another device
    given = [item.to("meta") for item in tensors.values()]
    with torch.no_grad():
        SubNetwork(form, tuple(tensors), SHAPE.uniform(1))(*given)  # as before every capture
        with Operations() as operations:
            SubNetwork(form, tuple(tensors), SHAPE.uniform(1))(*given)
    assert "aten.convolution" in operations.names
    assert not operations.from_host


@gpu
@pytest.mark.parametrize("precision", list(TOLERANCES), ids=str)
def test_graphs_equal_eager_in_any_order_when_replayed(bank: Bank, precision: torch.dtype) -> None:
    eager = EagerBackend(bank, device="cuda")
    graphs = CudaGraphBackend(bank, eager.network, precision=precision)
    graphs.warm_up()
    keys = [(mask, level) for mask in ModalitySet.subsets() for level in bank.loaded]
    for seed, (mask, level) in enumerate([*keys, *reversed(keys)]):
        inputs, plan = model_input(seed, batch=1).only(mask), bank.plan(mask, level, "")
        expected, found = eager.run(inputs, plan), graphs.run(inputs, plan)
        most = TOLERANCES[precision]
        torch.testing.assert_close(found.heatmap, expected.heatmap, atol=most, rtol=most)
        torch.testing.assert_close(found.boxes, expected.boxes, atol=most, rtol=most)
        assert list(found.evidence) == list(expected.evidence)


@gpu
def test_a_graph_gives_the_same_bits_when_others_ran_in_between(bank: Bank) -> None:
    graphs = CudaGraphBackend(bank, EagerBackend(bank, device="cuda").network)
    inputs, plan = model_input(batch=1), bank.plan(ModalitySet.all(), 0, "")
    first = graphs.run(inputs, plan)
    graphs.warm_up()
    again = graphs.run(inputs, plan)
    assert torch.equal(first.heatmap, again.heatmap)
    assert torch.equal(first.boxes, again.boxes)


@gpu
def test_auto_runs_graphs_when_there_is_a_cuda_device(bank: Bank) -> None:
    backend = make_backend(bank, ModelConfig())
    assert backend.name == "cuda_graph"
    assert backend.reason.startswith("cuda_graph: ")
    assert len(backend.warm_up()) == 30
    assert backend.faults == ()
