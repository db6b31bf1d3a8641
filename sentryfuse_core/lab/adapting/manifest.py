"""What the manifest of adapted weights says: from which recordings, how, what was gained, and scores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sentryfuse_core.lab.adapting.course import Course
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.evaluate import evaluate
from sentryfuse_core.lab.training.grade import grade
from sentryfuse_core.lab.training.provenance import evaluation_table
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.pruning.part_gate import make_gate
from sentryfuse_core.types import ModalitySet

__all__ = ["evaluation", "provenance"]

_METRIC = (
    "; rows of {sensors} and their parts are of the kept-back frames, the teacher's sure boxes being the "
    "truth; the others are those of the weights before"
)


def provenance(course: Course) -> list[dict[str, Any]]:
    """Every recording: name, frames, and a hash of its files' names and sizes."""
    facts = []
    for drive in course.lessons.drives:
        files = "\n".join(f"{path.name} {path.stat().st_size}" for path in drive.files)
        digest = hashlib.sha256(files.encode()).hexdigest()
        facts.append({"name": drive.name, "frames": drive.length, "files_sha256": digest})
    return facts


def evaluation(
    net: SentryFuseNet,
    start: Checkpoint,
    sensors: ModalitySet,
    *,
    judged: Callable[[], Iterable[LabelledBatch]],
    fitted: Iterable[LabelledBatch],
) -> dict[str, Any]:
    """The manifest's evaluation: the recorded `sensors` and their parts anew, all others as they were.

    Scores are calibrated on the frames `fitted`; the gate is that of the weights before.
    """
    manifest: Mapping[str, Any] = start.manifest
    gate = make_gate(net.shape, manifest)
    masks = [mask for mask in ModalitySet.subsets() if mask & sensors == mask]
    grades = grade(net, judged=judged(), fitted=fitted, labels=manifest["labels"], masks=masks, gate=gate)
    table = evaluation_table(evaluate(net, judged(), masks=masks, gate=gate), grades)
    own = {(row["mask"], row["level"]): row for row in table["rows"]}
    before = manifest.get("evaluation", {}).get("rows", [])
    others = [row for row in before if (row["mask"], row["level"]) not in own]
    return {
        **table,
        "metric": table["metric"] + _METRIC.format(sensors=sensors),
        "rows": [*others, *own.values()],
    }
