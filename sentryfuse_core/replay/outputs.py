"""The files of one run: a folder of its own, results.mcap and sets.jsonl written as the run goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentryfuse_core.account import messages
from sentryfuse_core.account.diagnostics import DIAGNOSTICS_TYPE
from sentryfuse_core.account.markers import marker_array
from sentryfuse_core.account.messages import Fields, PublishContext
from sentryfuse_core.bags.readers import recording_name
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.clock import NS_PER_MS
from sentryfuse_core.config import OutputConfig
from sentryfuse_core.errors import OutputError
from sentryfuse_core.replay.records import SetRecord, from_messages, json_line
from sentryfuse_core.text import printable
from sentryfuse_core.types import FusionResult
from sentryfuse_core.whole_files import written_whole

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RunOutputs", "fresh_folder", "write_json", "write_text"]

DETECTIONS, STATUS, MARKERS = "/sentryfuse/detections", "/sentryfuse/status", "/sentryfuse/markers"
TRACKS, COVERAGE = "/sentryfuse/tracks", "/sentryfuse/coverage"
DIAGNOSTICS = "/diagnostics"


def fresh_folder(out: Path | None, bag: Path) -> Path:
    """Create the folder of a run: `out` where given (new or empty), else the first free replay_BAG_NNN.

    Raises OutputError where it cannot be made or already holds something: results never replace others.
    """
    stem = printable(recording_name(bag))
    numbered = (Path(f"replay_{stem}_{count:03d}") for count in range(1, 1000))
    folders = numbered if out is None else (out,)
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=out is not None)
            occupied = any(folder.iterdir())
        except FileExistsError:
            if out is None:
                continue
            raise OutputError(f"{folder} is a file; give a new folder to --out") from None
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {folder}: {error.strerror}; choose another --out"
            ) from error
        if occupied:
            raise OutputError(f"{folder} is not empty; give a new folder to --out, or empty this one")
        return folder
    raise OutputError(f"replay_{stem}_001 to _999 are taken; remove some or give --out")


class RunOutputs:
    """results.mcap and sets.jsonl of one run, closed and readable however the run ends.

    Nothing is made before the context is entered; see `fresh_folder` for where.
    """

    def __init__(self, out: Path | None, *, bag: Path) -> None:
        self._out = out
        self._source = bag
        self._files = ExitStack()
        self.folder = out or Path()

    def __enter__(self) -> Self:
        self.folder = fresh_folder(self._out, self._source)
        with ExitStack() as files:
            self._bag = files.enter_context(BagWriter(self.folder / "results.mcap"))
            path = self.folder / "sets.jsonl"
            try:
                self._lines = files.enter_context(path.open("x", encoding="utf-8"))
            except OSError as error:
                raise OutputError(f"cannot write {path}: {error.strerror}") from error
            self._files = files.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._files.close()

    def add(self, result: FusionResult, context: PublishContext, *, config: OutputConfig) -> SetRecord:
        """Write one set's messages and its line; returns its record."""
        at_ns = context.published_ns
        status = messages.fusion_status(result, context)
        detections = messages.detection_array(result, context)
        tracks = None if result.tracks is None else messages.track_array(result, context)
        at_base = tracks
        if tracks is not None and result.placed_in is not None:
            at_base = messages.track_array(replace(result, placed_in=None), context)
        coverage = messages.coverage(result, context)
        # The messages do not tell how far off a sample was that came and was not used.
        skew_ms = result.synced.skew_ns / NS_PER_MS
        record = from_messages(status, detections, at_base, coverage, released_ns=at_ns)
        record = replace(record, skew_ms=skew_ms)
        self._bag.write(DETECTIONS, messages.DETECTIONS_TYPE, at_ns, detections)
        if tracks is not None:
            self._bag.write(TRACKS, messages.TRACKS_TYPE, at_ns, tracks)
        if config.coverage:
            self._bag.write(COVERAGE, messages.COVERAGE_TYPE, at_ns, coverage)
        if config.markers:
            self._bag.write(MARKERS, messages.MARKERS_TYPE, at_ns, marker_array(result, context))
        self._bag.write(STATUS, messages.STATUS_TYPE, at_ns, status)
        self._lines.write(json_line(record) + "\n")
        return record

    def add_diagnostics(self, at_ns: int, fields: Fields) -> None:
        """Write one DiagnosticArray."""
        self._bag.write(DIAGNOSTICS, DIAGNOSTICS_TYPE, at_ns, fields)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file that has no NaN in it; raises OutputError where it cannot be."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; raises OutputError where it cannot be."""
    with written_whole(path, remedy="free some space") as partial:
        partial.write_text(text, encoding="utf-8")
