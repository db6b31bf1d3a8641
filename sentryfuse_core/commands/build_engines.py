"""`sentryfuse build-engines`: what OpenVINO, ONNX Runtime and TensorRT run, built and measured once."""

from __future__ import annotations

import importlib.util
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
        "Build what the backends openvino, onnx and tensorrt run: each part of the network (the encoders, "
        "and trunk with head) at each of its widths, about 20 that serve all sets of sensors. Then measure "
        "on this machine what is installed; with model.backend = auto a node runs the fastest from its next "
        "start on. Takes a minute, once: what is there already is kept. Weights, torch, the network's code, "
        "and for engines also their library, GPU and precision are part of the files' names: no node runs a "
        "stale one. Needs pip install 'sentryfuse-python[openvino]' or 'sentryfuse-python[onnx]'."
    )
    parser.add_argument(
        "--for",
        choices=("auto", "onnx", "openvino", "tensorrt"),
        default="auto",
        dest="target",
        help="auto (default): whatever is installed, tensorrt where a CUDA device is there",
    )
    parser.add_argument("--anew", action="store_true", help="build also what is there already")
    parser.add_argument(
        "--remove-others",
        action="store_true",
        help="at the end delete what was built for other weights, another torch or another version of this "
        "package; a node that still runs such goes on in eager",
    )
    add_config_arguments(parser)
    parser.epilog = (
        "Read from the parameters: model.checkpoint, model.device, model.precision (of the engines), "
        "model.max_level, model.engine_dir (where the files go; default ~/.cache/sentryfuse)."
    )


def run(args: argparse.Namespace) -> int:
    """Build, measure, and say where and how fast."""
    import torch

    from sentryfuse_core.runtime.export import build_onnx
    from sentryfuse_core.runtime.load import load_bank, resolve_device, resolve_precision
    from sentryfuse_core.runtime.openvino import build_openvino, openvino_precisions
    from sentryfuse_core.runtime.store import Store
    from sentryfuse_core.runtime.tensorrt import build_engines

    model = config_from(args).model
    bank = load_bank(model)
    store = Store.of(bank, model.engine_dir)
    why_not = _no_engines(model)
    if why_not and args.target == "tensorrt":
        raise BackendError(why_not)
    engines = args.target in ("auto", "tensorrt") and not why_not
    precision = resolve_precision(model.precision)  # of engines, which are built from files that have it
    if _wanted(args.target, "openvino", ["openvino"]):
        for kind in openvino_precisions(model.precision):
            steps = build_openvino(bank, store, precision=kind, threads=model.threads, anew=args.anew)
            _build(f"OpenVINO, {kind}", steps, bank, store)
            if kind == "bfloat16":
                _compare(model, bank, store)
    kinds = ["float32"] if _wanted(args.target, "onnx", ["onnx", "onnxscript"]) else []
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
    _measure(model, bank, store)
    _tell_others(store, removing=args.remove_others)
    return 0


def _wanted(target: str, name: str, packages: list[str]) -> bool:
    """Whether to build for a backend: it is asked for, or everything is and it is installed."""
    return target == name or (target == "auto" and all(importlib.util.find_spec(item) for item in packages))


def _compare(model: ModelConfig, bank: Bank, store: Store) -> None:
    """See how far bfloat16 is from eager, and keep it for `auto`."""
    from sentryfuse_core.runtime.eager import EagerBackend
    from sentryfuse_core.runtime.measured import keep
    from sentryfuse_core.runtime.openvino import PARITY, OpenVinoBackend, bfloat16_here
    from sentryfuse_core.runtime.parity import compare, too_far

    reduced = OpenVinoBackend(bank, store, threads=model.threads, precision="bfloat16")
    found = compare(bank, reduced, EagerBackend(bank, threads=model.threads))
    keep(store, PARITY, bfloat16_here(), found)
    far = too_far(found)
    verdict = f"too far for auto, which stays in float32 ({far})" if far else "near enough for auto"
    print(f"bfloat16 moves scores by at most {found['score']:.2g}, boxes by {found['box']:.2g}: {verdict}")


def _measure(model: ModelConfig, bank: Bank, store: Store) -> None:
    """Time what runs on the CPU here, and keep it for `auto`."""
    from sentryfuse_core.runtime.load import Parts, compare_cpu

    found = compare_cpu(
        Parts(
            bank=bank,
            store=store,
            network=bank.network,
            device="cpu",
            precision=model.precision,
            threads=model.threads,
        ),
        anew=True,
    )
    for name, lack in found.lacks.items():
        if lack:
            print(f"{name} was not measured: {lack}")
    for name, time_ms in found.times_ms.items():
        print(f"{name:<8} {time_ms:6.1f} ms a set with all sensors, mean over the levels")


def _tell_others(store: Store, *, removing: bool) -> None:
    """Say what lies beside the store's folder and is not read with these weights; delete it where asked.

    Not unasked: a robot may take turns with several weights, and each start would find its files gone.
    """
    from sentryfuse_core.runtime.leftovers import leftovers, remove

    others = leftovers(store)
    if not others:
        return
    size_mb = sum(other.size_bytes for other in others) / 1e6
    what = f"{len(others)} {'folder' if len(others) == 1 else 'folders'} ({size_mb:.1f} MB)"
    print(f"{'removing' if removing else 'there too:'} {what} of other weights, torch or code:")
    for other in others:
        print(f"  {other.folder}: {other.size_bytes / 1e6:.1f} MB")
        if removing:
            remove(other)
    if not removing:
        print("remove them with --remove-others, unless other nodes run them")


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
    from rich.progress import Progress

    from sentryfuse_core.commands.terminal import Terminal
    from sentryfuse_core.runtime.store import all_parts

    began_s = time.perf_counter()
    total = len(all_parts(bank))
    new = 0
    with Progress(console=Terminal(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        for built in steps:
            new += built
            bar.advance(task)
    seconds = time.perf_counter() - began_s
    print(f"{what}: {new} built, {total - new} kept, in {seconds:.0f} s: {store.folder}")
