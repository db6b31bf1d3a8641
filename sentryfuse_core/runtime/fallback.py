"""FallbackBackend: when an accelerator or an optional runtime fails, another backend takes over meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

from sentryfuse_core.clock import NS_PER_S, Clock
from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.types import Plan

__all__ = ["FallbackBackend"]

_FIRST_RETRY_S = 5.0
_LONGEST_RETRY_S = 80.0


class FallbackBackend:
    """Runs `first`; on its failure runs `second`, says so, and retries `first` after 5, 10, ... 80 s."""

    def __init__(self, first: Backend, second: Backend, *, clock: Clock) -> None:
        self.first = first
        self._second = second
        self._clock = clock
        self._retry_s = _FIRST_RETRY_S
        self._retry_at_ns: int | None = None  # None: `first` works
        self._reason = ""

    @property
    def name(self) -> str:
        """Name of the backend in use."""
        return self._active.name

    @property
    def device(self) -> str:
        """Device in use."""
        return self._active.device

    @property
    def batches(self) -> bool:
        """Whether both take several sets at once: either may have to."""
        return self.first.batches and self._second.batches

    @property
    def opening(self) -> bool:
        """Whether the backend in use still opens what it needs."""
        return self._active.opening

    @property
    def reason(self) -> str:
        """Why the backend in use runs."""
        if self._retry_at_ns is None:
            return self.first.reason
        return f"{self._second.name}: {self.first.name} failed and is tried again"

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the second backend runs, while it does."""
        if self._retry_at_ns is None:
            return self.first.faults
        text = (
            f"running {self._second.name} on {self._second.device} since: {self._reason}; "
            f"{self.first.name} is tried again"
        )
        return (*self._second.faults, text)

    @property
    def _active(self) -> Backend:
        return self.first if self._retry_at_ns is None else self._second

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU; raises BackendError only when both fail."""
        if self._retry_at_ns is None or self._clock.now_ns() >= self._retry_at_ns:
            try:
                output = _finite(self.first, self.first.run(inputs, plan))
            except BackendError as error:
                self._failed(error)
            else:
                self._retry_at_ns, self._retry_s = None, _FIRST_RETRY_S
                return output
        return self._second.run(inputs, plan)

    def open_beside(self) -> bool:
        """Whether sets may run at once, in either."""
        return self._second.open_beside() and self.first.open_beside()

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Warm up both; the times are those of the one that will run."""
        second_ms = self._second.warm_up()
        try:
            return self.first.warm_up()
        except BackendError as error:
            self._failed(error)
            return second_ms

    def _failed(self, error: BackendError) -> None:
        self._reason = str(error)
        self._retry_at_ns = self._clock.now_ns() + round(self._retry_s * NS_PER_S)
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)


def _finite(backend: Backend, output: HeadOutput) -> HeadOutput:
    """The output; raises BackendError where a score or box is no number: nothing would be decoded of it."""
    if not (output.heatmap.isfinite().all() and output.boxes.isfinite().all()):
        raise BackendError(
            f"{backend.name} on {backend.device} gave what is no number; set model.precision = float32, or "
            f"model.backend = eager"
        )
    return output
