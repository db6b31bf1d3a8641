"""Measure the runtime and write its figures and picture: python -m benchmarks.runtime [--quick].

The options are those of `sentryfuse bench runtime`. With --quick nothing is written.
"""

from __future__ import annotations

import argparse

from benchmarks._ends import ended
from sentryfuse_core.lab.bench.results import FOLDER, ROOT
from sentryfuse_core.lab.commands.bench_runtime import add_arguments, measure_and_write


def main() -> int:
    """Measure, print, write benchmarks/results/runtime.json and docs/images/runtime_front.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_arguments(parser)
    args = parser.parse_args()
    measure_and_write(args, None if args.quick else FOLDER, ROOT / "docs" / "images")
    return 0


if __name__ == "__main__":
    raise SystemExit(ended(main))
