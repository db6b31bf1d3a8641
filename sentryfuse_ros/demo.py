"""`sentryfuse demo`: a scripted story of failing sensors over real DDS, watched live, judged at the end."""

from __future__ import annotations

import itertools
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sentryfuse_core.commands.terminal import Terminal
from sentryfuse_core.config import Config, load_yaml
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.faults.scenario import Scenario, load_scenario
from sentryfuse_core.faults.scenario_files import find_scenario
from sentryfuse_core.replay.outputs import fresh_folder
from sentryfuse_core.replay.truth import load_labels
from sentryfuse_core.shipped import or_shipped
from sentryfuse_core.types import Modality
from sentryfuse_core.whole_files import make_folder
from sentryfuse_ros import demo_view
from sentryfuse_ros.demo_world import World, cached_world
from sentryfuse_ros.live import showing
from sentryfuse_ros.processes import isolated
from sentryfuse_ros.spin import Stop, run_node
from sentryfuse_ros.without_ros import needs_ros

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from sentryfuse_ros.demo_view import Scene

__all__ = ["add_arguments", "run"]

_SEED = 8  # a world where something of every class is in view nearly all the time
_LIGHT = 0.9  # of noon's: by night the camera alone finds little, and that is another story
_TAIL_S = 1.0  # the recording goes on this long after the story's end
_INCOMPLETE, _INTERRUPTED = 1, 130
_LINE_EVERY = 5  # shows of the view for one plain line

_FIRST = "demo"
_SECOND, _RIG = "config/rigs/four_cameras_story.yaml", "config/rigs/four_cameras.yaml"

_DESCRIPTION = """\
Play a recording of the synthetic world through player_node -> fault_injector_node -> fusion_node, three
processes over real DDS, while sensors die and come back as the scenario says. The world is recorded
once and kept. What the fusion node publishes is recorded, judged against the scenario and summed up.
A second act looks all around with four cameras and two lidars, of which one each dies.
"""
_EPILOG = """\
exit status: 0 every part of the story gave sets with the expected sensors, 1 one did not (the summary
says which), 2 error, 130 interrupted (what was recorded by then is readable)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.add_argument(
        "--scenario", metavar="FILE|NAME", help="another story than the shipped one of two acts"
    )
    parser.add_argument(
        "--rig", type=Path, metavar="FILE", help="sensors of that story: a parameter file as the node takes"
    )
    parser.add_argument("--seed", type=int, default=_SEED, metavar="N", help=f"which world (default {_SEED})")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="new or empty folder for the results (default: out/demo_001, ...)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("out/worlds"),
        metavar="DIR",
        help="recorded worlds (default out/worlds)",
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (default: the shipped ones)")
    parser.add_argument("--no-view", action="store_true", help="one line a second instead of the live view")
    parser.add_argument(
        "--screenshot", type=Path, metavar="FILE", help="save the view at --screenshot-at as SVG"
    )
    parser.add_argument(
        "--screenshot-at", type=float, default=6.5, metavar="S", help="time in the story in s (default 6.5)"
    )


@needs_ros("sentryfuse demo")
def run(args: argparse.Namespace) -> int:
    """Tell the story; returns the exit status."""
    acts = _acts(args)
    worlds = [
        cached_world(
            args.cache, seed=args.seed, seconds=act.scenario.seconds + _TAIL_S, light=_LIGHT, rig=act.config
        )
        for act in acts
    ]
    out = fresh_folder(args.out or _next_folder(), worlds[0].bag)
    statuses = []
    for number, (act, world) in enumerate(zip(acts, worlds, strict=True), 1):
        statuses.append(_play(args, act, world, out if number == 1 else out / f"act_{number}"))
        if statuses[-1] not in (0, _INCOMPLETE):
            break
    return max(statuses)


def _play(args: argparse.Namespace, act: _Act, world: World, out: Path) -> int:
    """Play, judge and sum up one act; returns the exit status."""
    from sentryfuse_ros.demo_node import DemoNode, DemoPlan, RunTimes
    from sentryfuse_ros.demo_summary import judge_run, print_summary, write_report

    make_folder(out, remedy="choose another --out")
    plan = DemoPlan(
        scenario=act.scenario,
        scenario_file=act.scenario_file,
        bag=world.bag,
        truth=load_labels(world.labels),
        out=out,
        fusion=_fusion_parameters(args.checkpoint, act.config),
        config=act.config,
        rig=act.rig,
    )
    times, asked = RunTimes(), Stop()
    with isolated(), _view(args, act) as show:
        status = run_node(lambda stop: DemoNode(plan, stop, times, show), args=[], stop=asked)
    if status:
        return status
    if asked.signalled or not times.finished:
        Terminal().print(
            f"interrupted; what was recorded by then is in {out / 'results.mcap'}", soft_wrap=True
        )
        return _INTERRUPTED
    outcome = judge_run(plan, times, checkpoint=args.checkpoint)
    write_report(plan, times, outcome, command=sys.argv)
    print_summary(plan, outcome)
    return _INCOMPLETE if outcome.missed else 0


@dataclass(frozen=True)
class _Act:
    """A story, and the sensors that it is told of."""

    scenario_file: Path
    scenario: Scenario
    config: Config
    rig: Path | None
    shown: bool = True  # in the picture of --screenshot


def _acts(args: argparse.Namespace) -> list[_Act]:
    """The story that was asked for; the shipped one has two acts."""
    if args.scenario is not None:
        return [_act(find_scenario(args.scenario), args.rig)]
    if args.rig is not None:
        raise ConfigError("--rig is for a story of your own about these sensors; give --scenario, too")
    second = _act(or_shipped(_SECOND), or_shipped(_RIG))
    return [_act(find_scenario(_FIRST), None), replace(second, shown=False)]


def _act(scenario: Path, rig: Path | None) -> _Act:
    config = Config() if rig is None else load_yaml(rig)
    return _Act(scenario, load_scenario(scenario, kinds=config.kinds), config, rig)


def _next_folder() -> Path:
    return next(path for n in itertools.count(1) if not (path := Path("out") / f"demo_{n:03d}").exists())


def _fusion_parameters(checkpoint: Path | None, config: Config) -> dict[str, object]:
    """The defaults but for what a desktop needs: other programs may hold up all three nodes for a while.

    They also draw power and heat it: the story's 8 W mean the proportion.
    """
    parameters: dict[str, object] = {
        f"{name}.transport": "compressed" for name in config.of_kind(Modality.CAMERA)
    }
    parameters |= {f"health.timeout_floor_{kind.value}_s": 0.5 for kind in Modality}
    parameters |= {
        "budget.measure_power": "false",
        "budget.thermal": "false",
    }
    if checkpoint is not None:
        parameters["model.checkpoint"] = checkpoint
    return parameters


@contextmanager
def _view(args: argparse.Namespace, act: _Act) -> Iterator[Callable[[Scene], None]]:
    """What to call with each new scene; it is saved, once, when the time of --screenshot-at has come."""
    console = Terminal(force_terminal=False if args.no_view else None)
    shots = iter([args.screenshot] if args.screenshot and act.shown else [])
    with showing(console, picture=demo_view.render, line=demo_view.line, every=_LINE_EVERY) as show:

        def show_and_shoot(scene: Scene) -> None:
            show(scene)
            if scene.at_s >= min(args.screenshot_at, act.scenario.seconds) and (path := next(shots, None)):
                demo_view.save_svg(scene, path)

        yield show_and_shoot
