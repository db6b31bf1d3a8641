"""Open the driving sets and recordings that --data names, with the options that say how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sentryfuse_core.bags.topics import parse_overrides
from sentryfuse_core.commands.options import check_numbers, check_unheeded, config_from, options_given
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.commands.data_options import LIDAR_HEIGHTS_M
from sentryfuse_core.lab.datasets.driving import DrivingSet, Span
from sentryfuse_core.lab.datasets.layouts import detect_layout, merged, named, open_driving
from sentryfuse_core.lab.datasets.vocabulary import LABELS, NONE, Vocabulary, parse_map

if TYPE_CHECKING:
    import argparse

__all__ = ["classes_of", "open_data", "passing_bar", "span_of", "words_of"]

_OF_BAGS = ("labels", "params", "node", "set", "topic")


def open_data(
    args: argparse.Namespace,
    *,
    need_labels: bool = True,
    plain: bool = False,
    labels: tuple[str, ...] = LABELS,
    around: bool = False,
) -> DrivingSet:
    """All that --data names as one set of these classes; without `need_labels` recordings need none.

    `plain`: every frame and no labels, as far as the layouts do without; `around`: all sides of a moment.

    Raises ConfigError for an option that is not of a path's layout, or what `open_driving` does.
    """
    check_numbers(args, lidar_height=LIDAR_HEIGHTS_M)
    args.data = [named(path) for path in args.data]  # what is written tells their names
    vocabulary = Vocabulary(labels, parse_map(args.map, labels))
    options = {"need_labels": need_labels, "plain": plain, "around": around}
    return merged([_open(args, path, vocabulary, **options) for path in args.data])


def _open(args: argparse.Namespace, path: Path, vocabulary: Vocabulary, **options: bool) -> DrivingSet:
    layout = args.format or detect_layout(path)
    if layout != "bag":
        check_unheeded(args, _OF_BAGS, f"is of recordings, and {path} is {layout}; leave it out")
    topics, config = parse_overrides(args.topic, config_from(args))
    return open_driving(
        path,
        layout=layout,
        labels=args.labels,
        config=config,
        told=options_given(args),
        topics=topics,
        vocabulary=vocabulary,
        lidar_height_m=args.lidar_height,
        **options,
    )


def words_of(args: argparse.Namespace) -> list[str]:
    """What was typed of the options that say how the data is read, without this machine's folders."""
    words = [f"--format {args.format}"] if args.format else []
    words += [f"--labels {args.labels.name}"] if args.labels else []
    words += [f"--topic {text}" for text in args.topic]
    words += [f"--map {text}" for text in args.map]
    words += [] if args.lidar_height is None else [f"--lidar-height {args.lidar_height:g}"]
    words += [f"--params {Path(args.params).name}"] if args.params else []
    return words + [f"--set {text}" for text in args.set]


def classes_of(text: str) -> tuple[str, ...]:
    """The names of --classes; raises ConfigError for one that is empty or there twice."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names) or NONE in names:
        raise ConfigError(f"--classes {text!r:.60}: give names that differ, separated by commas")
    return names


def span_of(text: str | None) -> Span | None:
    """`28-39` as (28, 39); raises ConfigError for anything else."""
    if text is None:
        return None
    first, dash, last = text.partition("-")
    if not (dash and first.isdigit() and last.isdigit() and int(first) <= int(last)):
        raise ConfigError(
            f"--only-frames {text!r:.40}: give the first and the last, counted from 0, e.g. 28-39"
        )
    return int(first), int(last)


@contextmanager
def passing_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error that is gone at the end; what is given moves it on by one."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield partial(bar.advance, bar.add_task(what, total=total))
