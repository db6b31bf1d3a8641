"""`sentryfuse bench runtime`: latency, memory, switching, replay and start of the network on this machine."""

from __future__ import annotations

import importlib.util
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.errors import BackendError, ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["add_arguments", "add_parser", "measure_and_write", "run"]

_NEEDS = {"eager": (), "openvino": ("openvino",), "onnx": ("onnx", "onnxruntime", "onnxscript")}

_DESCRIPTION = """\
Measure the runtime on this machine, on a recording of the synthetic world that is made first:

  latency    every backend, set of sensors and level against the same network with dense attention at full
             width, in one run: each round runs all of them once, in random order; engines are built first
  memory     weights and activations of every level that is loaded alone, and the peak of whole processes
  switching  the look-up, the first inference after it, its output, and sets in a row with a switch each
  step       from a set to boxes at the sensors' pace, alone and beside busy processes
  replay     against real time, at full width and at the narrowest level, and two at once
  start      of the node over DDS until its first detections, where ROS is installed
  energy     of one set, where a counter of it can be read; else its CPU time

Everything runs on --threads processors that this process, and those it starts, are kept on. Leave the
machine alone meanwhile: 14 minutes on two cores, 25 on slow ones.
"""


def add_parser(actions: Any) -> None:
    """Declare the command and its options."""
    import argparse

    parser = actions.add_parser(
        "runtime",
        help="latency, memory and switching of the network on this machine",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="OUT", help="folder for figures and picture"
    )
    add_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is to be measured."""
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (default: the shipped ones)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default) or cuda")
    parser.add_argument(
        "--threads", type=int, default=2, metavar="N", help="processors, and threads (default 2)"
    )
    parser.add_argument(
        "--backends",
        metavar="A,B",
        help="any of eager, compiled, onnx, openvino, openvino-bfloat16, cuda_graph, tensorrt (default: "
        "eager and what is installed of onnx and openvino, the latter also in bfloat16 where the processor "
        "has it; on cuda eager and cuda_graph)",
    )
    parser.add_argument("--quick", action="store_true", help="everything once or twice: a trial, no figures")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write figures and picture into the folder."""
    measure_and_write(args, args.out, args.out)
    return 0


def measure_and_write(args: argparse.Namespace, out: Path | None, pictures: Path) -> None:
    """Measure, print, and write if there is an `out`; results of a GPU lie beside those of the CPU."""
    backends = _backends(args)
    with _pinned(args.threads) as processors:  # before torch is there
        raw, accuracy = _measured(args, backends)

    from sentryfuse_core.lab.bench.plot_style import write_png
    from sentryfuse_core.lab.bench.results import text_table, write
    from sentryfuse_core.lab.bench.runtime.figures import figures
    from sentryfuse_core.lab.bench.runtime.plans import cost_model, plan_table
    from sentryfuse_core.lab.bench.runtime.plot import front_figure

    found = figures(raw, accuracy)
    print(text_table(found))
    for name, reason in raw["latency"]["absent"].items():
        print(f"{name} was left out: {reason}")
    print("\nthe plans on this machine, in brackets against dense attention with all sensors in eager:")
    print("\n".join(plan_table(raw["latency"], accuracy)))
    for backend in dict.fromkeys(row["name"] for row in raw["latency"]["arms"] if row.get("parts")):
        model_ms, error = cost_model(raw["latency"], backend)
        told = ", ".join(f"{part} {ms:.2f}" for part, ms in model_ms.items())
        print(f"\n{backend}, ms of each part that runs, within {error:.1f} % of half of the plans: {told}")
    if out is None:
        return
    name = "runtime" if args.device == "cpu" else "runtime_gpu"
    path = write(name, found, raw={"processors": list(processors), **raw}, folder=out)
    picture = pictures / f"{name}_front.png"
    write_png(front_figure(raw, accuracy), picture)
    print(f"wrote {path} and {picture}")


@contextmanager
def _pinned(count: int) -> Iterator[tuple[int, ...]]:
    """Keep this thread, and all that it starts, on the first `count` processors it may use; yields them.

    To be entered before torch makes its threads: those that exist stay where they are.

    Raises ConfigError when there are not so many.
    """
    before = os.sched_getaffinity(0)
    if not 1 <= count <= len(before):
        raise ConfigError(f"--threads {count}: this process may use {len(before)} processors; give 1 to that")
    chosen = tuple(sorted(before)[:count])
    os.sched_setaffinity(0, chosen)
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, before)


def _measured(
    args: argparse.Namespace, backends: tuple[str, ...]
) -> tuple[dict[str, Any], dict[tuple[int, int], float]]:
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from sentryfuse_core.commands.options import check_device
    from sentryfuse_core.lab.bench.runtime.context import QUICK, Setting
    from sentryfuse_core.lab.bench.runtime.measure import measure
    from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint

    check_device(args.device)
    checkpoint = args.checkpoint or SHIPPED
    rows = load_checkpoint(checkpoint).manifest.get("evaluation", {}).get("rows", [])
    accuracy = {(row["mask"], row["level"]): row["map"] for row in rows if "map" in row}
    setting = Setting(
        checkpoint=checkpoint.resolve(),
        device=args.device,
        threads=args.threads,
        backends=backends,
        **(QUICK if args.quick else {}),
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(args.threads)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bars: dict[str, Any] = {}
    try:
        with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:

            def report(part: str, done: int, total: int) -> None:
                if part not in bars:
                    bars[part] = progress.add_task(part, total=total)
                progress.update(bars[part], completed=done)

            return measure(setting, report=report), accuracy
    finally:
        torch.set_num_threads(threads)


def _backends(args: argparse.Namespace) -> tuple[str, ...]:
    from sentryfuse_core.lab.bench.runtime.context import BFLOAT16
    from sentryfuse_core.runtime.load import BACKENDS

    known = ("eager", *BACKENDS, BFLOAT16)
    text = args.backends or ",".join(_there() if args.device == "cpu" else ["eager", "cuda_graph"])
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in known:
            raise ConfigError(f"--backends {name}: there is no such backend; give any of {', '.join(known)}")
    return ("eager", *(name for name in names if name != "eager"))  # what all others are seen beside


def _there() -> list[str]:
    """Backends of the CPU that are installed, each precision by itself."""
    from sentryfuse_core.lab.bench.runtime.context import BFLOAT16
    from sentryfuse_core.runtime.openvino import openvino_precisions

    found = [name for name, needs in _NEEDS.items() if all(map(importlib.util.find_spec, needs))]
    with suppress(BackendError):  # the run says that it cannot be imported
        found += [BFLOAT16] * ("openvino" in found and "bfloat16" in openvino_precisions("auto"))
    return found
