"""The account of a set that the pipeline failed on: no detections, no sensor used, and the error."""

from __future__ import annotations

from sentryfuse_core.clock import NS_PER_MS
from sentryfuse_core.pipeline import Pipeline
from sentryfuse_core.types import Absence, FusionResult, Modality, ModalitySet, StageTimes, SyncedSet

__all__ = ["failed_result"]


def failed_result(pipeline: Pipeline, synced: SyncedSet, error: Exception, *, now_ns: int) -> FusionResult:
    """What is published in place of the result that `error` kept from being made; `now_ns` is steady time."""
    nobody = ModalitySet()
    absent = dict.fromkeys(Modality, Absence.INVALID) | pipeline.ingest.trust(synced)[1]
    nan = float("nan")
    return FusionResult(
        synced=synced,
        used=nobody,
        absent=absent,
        detections=(),
        plan=pipeline.bank.plan(nobody, 0, "failed"),
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
        mask_recall_4m=nan,
        prior_recall_4m=nan,
        switch_us=nan,
        reports=pipeline.ingest.reports(now_ns),
        errors=(f"no detections: {_one_line(error)}; restart the node if that goes on",),
        notes=(),
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
