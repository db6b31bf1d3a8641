"""Several recordings on a Ray cluster; recordings and results lie where every machine of it finds them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from sentryfuse_core.errors import BackendError
from sentryfuse_core.replay.many import Outcome, attempt, failed
from sentryfuse_core.replay.session import Job

__all__ = ["LOCAL", "run_on_cluster"]

LOCAL = "local"  # an address: a cluster of this machine alone, for as long as the run lasts
_LOOK_S = 0.5  # how often a stop is looked for


def run_on_cluster(
    jobs: Sequence[Job], *, address: str, workers: int | None, stop: Callable[[], bool] = lambda: False
) -> Iterator[Outcome]:
    """Outcomes as they come; once `stop` says so, what has not ended is left.

    Args:
        jobs: what to run, one core each.
        address: of the cluster, as Ray has it, or LOCAL.
        workers: cores of a local cluster; None: all there are.
        stop: asked a few times a second.
    """
    try:
        import ray
    except ImportError as error:
        raise BackendError("--cluster needs ray; pip install 'sentryfuse-python[cluster]'") from error
    own = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, OSError, RuntimeError) as error:
        raise BackendError(
            f"no Ray cluster at {address}: {error}; start one with `ray start --head`"
        ) from error
    try:
        task = ray.remote(num_cpus=1, max_retries=0)(attempt)  # results never replace others: no second try
        waiting = {task.remote(job): job for job in jobs}
        while waiting and not stop():
            done, _ = ray.wait(list(waiting), timeout=_LOOK_S)
            for reference in done:
                job = waiting.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayError as error:
                    yield failed(job, f"its worker died: {str(error).splitlines()[0]}")
        for reference, job in waiting.items():
            ray.cancel(reference)
            yield failed(job, "interrupted")
    finally:
        ray.shutdown()
