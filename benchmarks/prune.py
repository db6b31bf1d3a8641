"""Write the figures of a finished pruning benchmark: python -m benchmarks.prune RECORDS [PICTURES].

RECORDS is the folder that `sentryfuse bench prune --out RECORDS` filled; commands stand in config/recipes/.
PICTURES, a folder, also gets the picture of the documentation.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks._ends import ended
from sentryfuse_core.lab.bench.accuracy_plot import accuracy_figure
from sentryfuse_core.lab.bench.plot_style import write_png
from sentryfuse_core.lab.bench.records import load_records
from sentryfuse_core.lab.bench.results import text_table, write
from sentryfuse_core.lab.bench.study import arrange
from sentryfuse_core.lab.bench.summary import raw_of, summarise


def main() -> int:
    """Judge, write, print."""
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    records = load_records(Path(sys.argv[1]))
    summary = summarise(arrange(records))
    configs = {record.data: dict(record.config) for record in records}
    write("prune", summary.figures, raw=raw_of(summary), config=configs)
    if len(sys.argv) == 3:
        write_png(accuracy_figure(summary.study.groups), Path(sys.argv[2]) / "accuracy_macs.png")
    print(text_table(summary.figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(ended(main))
