"""Where a recorded topic goes when the node that publishes it was put into a namespace."""

from __future__ import annotations

__all__ = ["in_namespace"]

_GLOBAL = frozenset({"/tf", "/tf_static", "/clock", "/diagnostics", "/rosout", "/parameter_events"})


def in_namespace(topic: str, namespace: str) -> str:
    """A topic's name in a namespace: below it, unless it is there already or belongs to all robots."""
    inside = f"{namespace.rstrip('/')}/"
    if topic in _GLOBAL or topic.startswith(inside):
        return topic
    return f"{inside}{topic.removeprefix('/')}"
