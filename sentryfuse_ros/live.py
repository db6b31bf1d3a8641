"""Something that changes, in the terminal: a live picture, or a line now and then where there is none."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

__all__ = ["showing"]

_T = TypeVar("_T")


@contextmanager
def showing(
    console: Console,
    *,
    picture: Callable[[_T], RenderableType],
    line: Callable[[_T], str],
    every: int,
    screen: bool = False,
) -> Iterator[Callable[[_T], None]]:
    """What to call on every turn: `picture` on a terminal, else `line` on each `every`th one if new."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=screen) as live:
            yield lambda shown: live.update(picture(shown), refresh=True)
        return
    count, said = itertools.count(), ""

    def tell(shown: _T) -> None:
        nonlocal said
        if next(count) % every == 0 and (text := line(shown)) != said:
            said = text
            console.print(Text(text), soft_wrap=True)

    yield tell
