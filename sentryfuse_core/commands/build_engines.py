"""`sentryfuse build-engines`: ONNX files of every sub-network, and TensorRT engines where TensorRT is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sentryfuse_core.commands.options import add_config_arguments, config_from
from sentryfuse_core.errors import BackendError

if TYPE_CHECKING:
    import argparse

    from sentryfuse_core.config import ModelConfig
    from sentryfuse_core.runtime.bank import Bank
    from sentryfuse_core.runtime.store import Store

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Build what the backends onnx and tensorrt run: an ONNX file of each sub-network (15 sets of sensors "
        "at every level, and what the gate runs beside poor sensors), and of each a TensorRT engine for this "
        "machine's GPU where TensorRT is installed. "
        "Takes minutes, once: what is there already is kept. Weights, torch, the network's code, and for "
        "engines also GPU, TensorRT and precision are part of the files' names: no node runs a stale one. "
        "With the ONNX files built, model.backend = auto runs them on a CPU. "
        "Needs pip install 'sentryfuse-python[onnx]'."
    )
    parser.add_argument(
        "--for",
        choices=("auto", "onnx", "tensorrt"),
        default="auto",
        dest="target",
        help="auto (default): onnx, and tensorrt where it is installed and a CUDA device is there",
    )
    parser.add_argument("--anew", action="store_true", help="build also what is there already")
    add_config_arguments(parser)
    parser.epilog = (
        "Read from the parameters: model.checkpoint, model.device, model.precision (of the engines), "
        "model.max_level, model.engine_dir (where the files go; default ~/.cache/sentryfuse)."
    )


def run(args: argparse.Namespace) -> int:
    """Build, and say where."""
    import torch

    from sentryfuse_core.runtime.export import build_onnx
    from sentryfuse_core.runtime.load import load_bank, resolve_device, resolve_precision
    from sentryfuse_core.runtime.store import Store
    from sentryfuse_core.runtime.tensorrt import build_engines

    model = config_from(args).model
    bank = load_bank(model)
    store = Store.of(bank, model.engine_dir)
    why_not = _no_engines(model)
    if why_not and args.target == "tensorrt":
        raise BackendError(why_not)
    engines = args.target != "onnx" and not why_not
    precision = resolve_precision(model.precision)  # of engines, which are built from files that have it
    kinds = ["float32"] if args.target != "tensorrt" else []
    kinds += [precision] if engines and precision not in kinds else []
    for kind in kinds:
        steps = build_onnx(bank, store, precision=kind, anew=args.anew)
        _build(f"ONNX files, {kind}", steps, bank, store)
    if engines:
        device = resolve_device(model.device)
        with torch.cuda.device(device):
            steps = build_engines(bank, store, device=device, precision=precision, anew=args.anew)
            _build(f"TensorRT engines, {precision}", steps, bank, store)
    elif args.target == "auto":
        print(f"no TensorRT engines: {why_not}")
    return 0


def _no_engines(model: ModelConfig) -> str:
    """What keeps TensorRT engines from being built here; empty when nothing does."""
    import torch

    from sentryfuse_core.runtime.load import resolve_device
    from sentryfuse_core.runtime.tensorrt import load_tensorrt

    if torch.device(resolve_device(model.device)).type != "cuda" or not torch.cuda.is_available():
        return "TensorRT needs a CUDA device, and there is none here; build on the robot itself"
    try:
        load_tensorrt()
    except BackendError as error:
        return str(error)
    return ""


def _build(what: str, steps: Iterable[bool], bank: Bank, store: Store) -> None:
    """Take every step under a progress bar and print how many files are new."""
    from rich.console import Console
    from rich.progress import Progress

    began_s = time.perf_counter()
    total = len(bank.sub_networks)
    new = 0
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        for built in steps:
            new += built
            bar.advance(task)
    seconds = time.perf_counter() - began_s
    print(f"{what}: {new} built, {total - new} kept, in {seconds:.0f} s: {store.folder}")
