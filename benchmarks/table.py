"""Print every committed result side by side: python -m benchmarks.table [NAME ...]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sentryfuse_core.lab.bench.results import FOLDER, read, text_table


def tables(folder: Path, names: list[str]) -> str:
    """Text of all tables in `folder`, or of those in `names`; LookupError for a name without results."""
    found = {path.stem: path for path in sorted(folder.glob("*.json"))}
    missing = [name for name in names if name not in found]
    if missing:
        raise LookupError(
            f"no results named {', '.join(missing)} in {folder}; there are {', '.join(found) or 'none'}"
        )
    parts = []
    for name in names or found:
        content, figures = read(found[name])
        machine = content["machine"]
        head = f"{name}: {content['date']}, commit {content['commit']}, {machine['cpu']} x {machine['cores']}"
        judged = [figure.met for figure in figures if figure.met is not None]
        parts.append(f"{head}\n{text_table(figures)}\n{sum(judged)} of {len(judged)} targets met")
    return "\n\n".join(parts)


def main() -> int:
    """Print them; exit status 2 for an unknown name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of these alone")
    try:
        print(tables(FOLDER, parser.parse_args().names))
    except LookupError as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
