"""Whose messages are mixed on one topic: only of those that send in turn, now."""

from __future__ import annotations

from collections.abc import Hashable

from sentryfuse_core.clock import NS_PER_S

__all__ = ["Senders"]

_LATELY_NS = 3 * NS_PER_S
_MOST = 64  # senders before those that are gone are forgotten


class Senders:
    """When each sender of a topic began and was last heard.

    One that ended before the other began was replaced by it, as a driver is that crashed and was started
    anew, however long the middleware goes on to list it.
    """

    def __init__(self) -> None:
        self._heard: dict[Hashable, tuple[int, int]] = {}  # first and last time, a silence begins anew

    def heard(self, sender: Hashable, now_ns: int) -> None:
        """Take in that a message of `sender` came."""
        first_ns, last_ns = self._heard.get(sender, (now_ns, now_ns))
        self._heard[sender] = (now_ns if now_ns - last_ns > _LATELY_NS else first_ns), now_ns
        if len(self._heard) > _MOST:
            self._heard = self._lately(now_ns)

    def mixed(self, now_ns: int) -> list[Hashable]:
        """The senders that have sent lately, and since another of them began; none, or at least two."""
        if len(self._heard) < 2:
            return []
        lately = self._lately(now_ns)
        return [
            sender
            for sender, (first_ns, last_ns) in lately.items()
            if any(
                other != sender and first_ns < ended_ns and began_ns < last_ns
                for other, (began_ns, ended_ns) in lately.items()
            )
        ]

    def _lately(self, now_ns: int) -> dict[Hashable, tuple[int, int]]:
        return {sender: span for sender, span in self._heard.items() if now_ns - span[1] <= _LATELY_NS}
