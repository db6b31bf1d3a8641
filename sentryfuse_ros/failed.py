"""The account of a set that the pipeline failed on, or that could not be made: no sensor used, and why."""

from __future__ import annotations

from dataclasses import replace

from sentryfuse_core.account.diagnostics import NOTHING_RUNS
from sentryfuse_core.clock import NS_PER_MS
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.types import Absence, FusionResult, ModalitySet, StageTimes, SyncedSet

__all__ = ["failed_result", "idle_result"]

_NOTHING = "nothing usable: no sensor sends; check the sensors' states"


def failed_result(pipeline: Pipeline, synced: SyncedSet, error: Exception, *, now_ns: int) -> FusionResult:
    """What is published in place of the result that `error` kept from being made; `now_ns` is steady time."""
    nobody = ModalitySet()
    reports = pipeline.ingest.reports(now_ns)
    absent = dict.fromkeys(reports, Absence.INVALID) | pipeline.ingest.trust(synced)[1]
    nan = float("nan")
    return FusionResult(
        synced=synced,
        used=nobody,
        absent=absent,
        detections=(),
        plan=pipeline.bank.plan(nobody, pipeline.bank.loaded.start, "failed"),
        times=StageTimes(
            age=synced.age_ns / NS_PER_MS,
            wait=synced.wait_ns / NS_PER_MS,
            queue=(now_ns - synced.released_ns) / NS_PER_MS,
            pre=nan,
            infer=nan,
            post=nan,
        ),
        backend=pipeline.backend.name,
        device=pipeline.backend.device,
        backend_reason=pipeline.backend.reason,
        mask_recall_4m=nan,
        prior_recall_4m=nan,
        switch_us=nan,
        reports=reports,
        errors=(f"no detections: {_one_line(error)}; restart the node if that goes on",),
        notes=(),
    )


def idle_result(pipeline: Pipeline, last: SyncedSet, *, now_ns: int, ros_now_ns: int) -> FusionResult:
    """What is said while no sensor can be used and none sends: the `last` set again, empty, and its age."""
    absent = {name: last.absent.get(name, Absence.LATE) for name in (*last.samples, *last.absent)}
    empty = replace(
        last,
        anchor=None,
        samples={},
        absent=absent,
        anchor_arrival_ns=now_ns,
        anchor_received_ns=ros_now_ns,
        released_ns=now_ns,
    )
    result = failed_result(pipeline, empty, RuntimeError(_NOTHING), now_ns=now_ns)
    return replace(result, errors=(_NOTHING,), plan=result.plan.because(NOTHING_RUNS))


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
