"""What an interrupted training was started with, so that only the same one goes on from its state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sentryfuse_core.errors import CheckpointError, OutputError
from sentryfuse_core.whole_files import written_whole

__all__ = ["check_identity", "start_anew"]

_NOTE = "run.json"
_UNTOLD = object()  # what a note does not have


def start_anew(folder: Path, identity: Mapping[str, Any], *, old: tuple[str, ...]) -> None:
    """Forget an earlier run in `folder`, whose files are `old`, and note what this one is.

    The note goes first and comes last: a run that is killed in between leaves nothing to resume from. Raises
    OutputError when that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (_NOTE, *old):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; choose another --state") from error
    with written_whole(folder / _NOTE, remedy="choose another --state") as partial:
        partial.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")


def check_identity(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Raises CheckpointError, naming what differs, unless the run in `folder` was started with `wanted`."""
    note = folder / _NOTE
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"cannot resume: no state in {folder} ({error.strerror}); train without --resume, or give --state"
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"cannot resume: {note} is damaged ({error}); train without --resume"
        ) from error
    for name, asked, kept in _differences(json.loads(json.dumps(wanted)), found):
        if kept is _UNTOLD:
            raise CheckpointError(
                f"cannot resume: an earlier version made the state in {folder}, and did not note its {name}; "
                "train without --resume"
            )
        raise CheckpointError(
            f"cannot resume: the state in {folder} is of {name} {kept}, this run of {asked}; "
            f"give what it was started with, or train without --resume"
        )


def _differences(wanted: Any, found: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name, wanted, found) of every plain value that differs, mappings within mappings as `outer.inner`."""
    if not isinstance(wanted, dict):
        if wanted != found:
            yield name, wanted, found
        return
    for key, value in wanted.items():
        untold = None if value is None else _UNTOLD
        other = found.get(key, untold) if isinstance(found, dict) else untold
        yield from _differences(value, other, f"{name}.{key}" if name else key)
