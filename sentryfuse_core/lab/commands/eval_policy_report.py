"""What `sentryfuse eval --policies` says: tables on the terminal, gate.json and the policies as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from sentryfuse_core.faults.severities import SEVERITY_NAMES
from sentryfuse_core.lab.bench.plot_style import write_png
from sentryfuse_core.lab.bench.results import Figure, text_table, write
from sentryfuse_core.lab.commands.eval_policy_figures import (
    FaultStudy,
    PolicyStudy,
    fault_figures,
    policy_figures,
)
from sentryfuse_core.lab.commands.eval_policy_plot import policies_figure
from sentryfuse_core.lab.commands.eval_report import rounded, table, wide_terminal
from sentryfuse_core.lab.scoring.resample import Interval
from sentryfuse_core.lab.training.foretold import Narrowing, rank_agreement
from sentryfuse_core.lab.training.policies import ORACLE

__all__ = [
    "faults_table",
    "plain_faults",
    "plain_policies",
    "policies_table",
    "print_policies",
    "write_policies",
]


def print_policies(studies: Sequence[PolicyStudy], faults: FaultStudy, parts: Sequence[Narrowing]) -> None:
    """A table of policies for each kind of frames, one of faults, one of parts, and what was aimed at."""
    console = wide_terminal()
    for study in studies:
        console.print(policies_table(study))
    console.print(faults_table(faults))
    console.print(_parts_table(parts))
    print(text_table(_figures(studies, faults, parts)))


def _figures(studies: Sequence[PolicyStudy], faults: FaultStudy, parts: Sequence[Narrowing]) -> list[Figure]:
    return [
        *(figure for study in studies for figure in policy_figures(study)),
        *fault_figures(faults),
        Figure(
            what="rank correlation of first-order saliency with the measured points of mAP",
            measured=rank_agreement(parts),
            unit="",
        ),
    ]


def policies_table(study: PolicyStudy) -> Table:
    """Every policy at every level: work and mAP, with all sensors and over the sets of sensors."""
    everything = study.sensors
    sets = len(study.rows(study.keys[0]))
    return table(
        f"policies, frames {study.kind}",
        ("policy", "level", "GMACs, all sensors", "mAP", "95 %", f"GMACs, {sets} sets", "mAP ", "95 % "),
        [
            (
                key[0],
                "-" if key[0] == ORACLE else str(key[1]),
                f"{study.gmacs(key, everything):.3f}",
                *_cells(study.map(key, everything)),
                f"{study.gmacs(key):.3f}",
                *_cells(study.map(key)),
            )
            for key in study.keys
        ],
        caption="mAP in per cent; on the right the mean over the sets with camera or lidar",
    )


def _cells(found: Interval) -> tuple[str, str]:
    return f"{found.value:.1f}", f"{found.low:.1f} to {found.high:.1f}"


def faults_table(study: FaultStudy) -> Table:
    """Every fault at every severity: mAP, what it gains over the sensor's absence, and the trust."""
    cells: dict[tuple[str, str], list[str]] = {}
    for row, (bad, without, _) in zip(study.rows, study.points, strict=True):
        name = f"{row.sensor.value} {row.fault}"
        own = cells.setdefault((name, f"{without:.1f}"), [""] * 3 * len(SEVERITY_NAMES))
        trust = "-" if math.isnan(row.trust) else f"{row.trust:.2f}"
        own[3 * row.severity - 3 : 3 * row.severity] = [f"{bad:.1f}", f"{bad - without:+.1f}", trust]
    severities = (name for severity in SEVERITY_NAMES for name in (severity, "gain", "trust"))
    return table(
        "one sensor bad, all others good, full width",
        ("fault", "without it", *severities),
        [(name, without, *own) for (name, without), own in cells.items()],
        caption="mAP in per cent with the bad sensor, gain over the same frames without it, trust in it; "
        f"all sensors good: {study.points[0, 2]:.1f}. What knows no degrees stands under severe.",
    )


def _parts_table(parts: Sequence[Narrowing]) -> Table:
    return table(
        "one part narrowed, all sensors good",
        ("part", "level", "points of mAP lost", "first-order saliency"),
        [
            (
                one.part,
                str(one.level),
                f"{one.points:.2f}",
                "-" if math.isnan(one.saliency) else f"{one.saliency:.2e}",
            )
            for one in parts
        ],
        caption="the gate plans with what was measured; saliency knows nothing of half an image (-)",
    )


def write_policies(
    folder: Path,
    studies: Sequence[PolicyStudy],
    faults: FaultStudy,
    parts: Sequence[Narrowing],
    *,
    command: str,
    config: Mapping[str, Any],
) -> list[Path]:
    """Write gate.json and policies.png into `folder`; raises OutputError where that cannot be done."""
    raw = {
        "policies": {study.kind: plain_policies(study) for study in studies},
        "faults": plain_faults(faults),
        "parts": [asdict(one) for one in parts],
    }
    figures = _figures(studies, faults, parts)
    data = write("gate", figures, raw=rounded(raw), config=config, folder=folder, command=command)
    picture = folder / "policies.png"
    write_png(policies_figure(studies), picture)
    return [data, picture]


def plain_policies(study: PolicyStudy) -> list[dict[str, Any]]:
    """Plain values for JSON."""
    return [
        {
            "policy": one.policy,
            "level": None if one.policy == ORACLE else one.level,
            "sensors": str(one.present),
            "gmacs": one.gmacs,
            "map": float(points) / 100.0,
        }
        for one, points in zip(study.outcomes, study.points, strict=True)
    ]


def plain_faults(faults: FaultStudy) -> list[dict[str, Any]]:
    """Plain values for JSON."""
    return [
        {
            "sensor": row.sensor.value,
            "fault": row.fault,
            "severity": SEVERITY_NAMES[row.severity - 1],
            **dict(zip(("map", "without", "clean"), (points / 100.0).tolist(), strict=True)),
            "trust": row.trust,
        }
        for row, points in zip(faults.rows, faults.points, strict=True)
    ]
