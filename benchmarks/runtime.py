"""Measure the runtime and write its figures and picture: python -m benchmarks.runtime [--quick].

The options are those of `sentryfuse bench runtime`. With --quick nothing is written.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks._results import ROOT, Row, render, write
from sentryfuse_core.lab.bench.runtime.figures import figures
from sentryfuse_core.lab.bench.runtime.plot import write_front
from sentryfuse_core.lab.commands.bench_runtime import add_arguments, file_name, measured


def main() -> int:
    """Measure, print, write benchmarks/results/runtime.json and docs/images/runtime_front.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_arguments(parser)
    args = parser.parse_args()
    raw, accuracy = measured(args)
    found = figures(raw)
    rows = [Row.of(figure) for figure in found]
    print(render(rows))
    if not args.quick:
        name = file_name(args)
        whole = {"figures": [figure.to_mapping() for figure in found], **raw}  # with notes and intervals
        print(write(name, rows, raw=whole))
        write_front(ROOT / "docs" / "images" / f"{name}_front.png", raw, accuracy)
    return 0


if __name__ == "__main__":
    sys.exit(main())
