"""All parts of the benchmark in turn; what they find is plain values, ready for JSON."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentryfuse_core.lab.bench.runtime.context import Context, Report, Setting
from sentryfuse_core.lab.bench.runtime.dense import KINDS, dense_network
from sentryfuse_core.lab.bench.runtime.latency import fastest, latency_part
from sentryfuse_core.lab.bench.runtime.memory import live_bytes, memory_part
from sentryfuse_core.lab.bench.runtime.pace import pace_part
from sentryfuse_core.lab.bench.runtime.processes import energy_part, replay_part, start_part
from sentryfuse_core.lab.bench.runtime.recording import hear, record
from sentryfuse_core.lab.bench.runtime.switch import switch_part
from sentryfuse_core.lab.bench.runtime.whole_step import step_part
from sentryfuse_core.model.checkpoint import load_checkpoint, save_checkpoint
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.load import load_bank, make_backend

__all__ = ["measure"]

_SEED = 8  # a world where something of every class is in view nearly all the time
_CLEAR = ("--weather", "clear", "--light", "noon")


def measure(setting: Setting, *, report: Report = lambda _part, _done, _total: None) -> dict[str, Any]:
    """Record a drive, then measure every part on it; takes minutes."""
    with tempfile.TemporaryDirectory() as folder:
        setting = replace(setting, engines=str(Path(folder) / "engines"))
        report("recording", 0, 1)
        bag = record(Path(folder) / "world", seconds=setting.seconds, seed=_SEED, options=_CLEAR)
        heard = hear(bag)
        one_model, bank, backend, held = _loaded(setting, heard.prepared[0].inputs)
        dense = {kind: dense_network(bank.network, kind).to(setting.device) for kind in KINDS}
        dense_file = Path(folder) / "dense.safetensors"
        save_checkpoint(dense_file, dense[KINDS[0]], {"labels": list(bank.labels)})
        context = Context(
            setting=setting,
            report=report,
            bag=bag,
            heard=heard,
            bank=bank,
            backend=backend,
            dense=dense,
            dense_file=dense_file,
            folder=Path(folder),
            inputs=tuple(prepared.inputs for prepared in heard.prepared),
        )
        latency = latency_part(context)
        ran = [name for name in setting.backends if name not in latency["absent"]]
        best = fastest(latency, ran)
        found = {
            "checkpoint": bank.identity,
            "device": backend.device,
            "threads": setting.threads,
            "widths": list(bank.levels),
            "rounds": setting.rounds,
            "bank": {
                "one_model_bytes": one_model,
                "held_bytes": held,
                "sub_networks": len(bank.sub_networks),
            },
            "latency": latency,
            "memory": memory_part(context, ran),
            "switch": switch_part(context),
            "pace": pace_part(context),
        }
        if setting.device == "cpu":
            found |= {
                "step": step_part(context, best),
                "replay": replay_part(context, best),
                "start": start_part(context),
                "energy": energy_part(context),
            }
        return found


def _loaded(setting: Setting, inputs: ModelInput) -> tuple[int, Bank, Backend, int]:
    """Bytes of one plain model; bank and backend, warm; bytes of all tensors that came with those."""
    before = live_bytes(setting.device)
    network = load_checkpoint(setting.checkpoint).network().to(setting.device)
    one_model = live_bytes(setting.device) - before
    del network
    before = live_bytes(setting.device)
    bank = load_bank(setting.model())
    backend = make_backend(bank, setting.model())
    backend.warm_up()
    for plan in bank.sub_networks:
        backend.run(inputs.only(plan.mask), plan)
    return one_model, bank, backend, live_bytes(setting.device) - before
