"""rosbag2's SQLite files, of every version of their tables, with the parts that lie beside them.

rosbags opens them as they lie, without the write-ahead log of a recording that was not closed, and
refuses a file over one odd field of a topic that nobody asked for; hence these few queries.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from sentryfuse_core.bags.offers import read_offers
from sentryfuse_core.bags.storage.common import CDR, Definition, Item, Storage, Stream
from sentryfuse_core.convert.type_names import full_type_name
from sentryfuse_core.errors import BagError

__all__ = ["SqliteFile", "beside"]

_BESIDE = ("-wal", "-journal")  # what the writer had not yet put into the file itself


def beside(path: Path) -> tuple[Path, ...]:
    """The files that hold a part of the recording until it is closed."""
    found = (path.with_name(path.name + ending) for ending in _BESIDE)
    return tuple(item for item in found if item.is_file() and item.stat().st_size)


class SqliteFile(Storage):
    """One .db3 file."""

    remedy = "recover it with `sqlite3 FILE .recover`, or record it again"

    def __init__(self, path: Path, scratch: Callable[[], Path]) -> None:
        super().__init__(path, scratch)
        self._database = sqlite3.connect(_readable(path, scratch), uri=True, check_same_thread=False)
        try:
            self._database.text_factory = lambda data: data.decode("utf-8", "replace")
            self.streams = self._topics(self._definitions())
            times = self._database.execute("SELECT MIN(timestamp), MAX(timestamp) FROM messages").fetchone()
        except BaseException:
            self._database.close()
            raise
        self.start_ns, self.end_ns = (int(time or 0) for time in times)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _items(self, streams: Mapping[int, Stream]) -> Iterator[Item]:
        marks = ",".join("?" * len(streams))
        query = (
            f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp"  # noqa: S608 - marks alone
        )
        for topic, log_time_ns, data in self._database.execute(query, tuple(streams)):
            yield Item(int(log_time_ns), streams[topic], data if isinstance(data, bytes) else b"")

    def _definitions(self) -> dict[str, Definition]:
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master")}
        if not {"messages", "topics"} <= tables:
            raise BagError(
                f"{self.path} is an SQLite database without rosbag2's tables topics and messages; give a "
                "recording"
            )
        if "message_definitions" not in tables:
            return {}
        query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        return {
            full_type_name(str(name)): Definition(str(form), str(text or ""))
            for name, form, text in self._database.execute(query)
        }

    def _topics(self, definitions: dict[str, Definition]) -> dict[int, Stream]:
        count = "SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id"
        counts = dict(self._database.execute(count).fetchall())
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(topics)")}
        profiles = "offered_qos_profiles" if "offered_qos_profiles" in columns else "''"  # not in the oldest
        query = f"SELECT id, name, type, serialization_format, {profiles} FROM topics ORDER BY id"  # noqa: S608 - one of two
        found = {}
        for key, topic, type_name, encoding, offered in self._database.execute(query):
            name = full_type_name(str(type_name))
            known = definitions.get(name, Definition("", ""))
            count, offers = counts.get(key, 0), read_offers(offered)
            found[key] = Stream(str(topic), name, encoding or CDR, known, count, offers)
        return found


def _readable(path: Path, scratch: Callable[[], Path]) -> str:
    """The database's address: of the file itself, or of a copy with what lay beside put into it.

    The recording's own folder is never written to, as SQLite would do in order to finish it.
    """
    parts = beside(path)
    if not parts:
        return f"file:{quote(str(path.resolve()))}?immutable=1"
    folder = scratch()
    copy = folder / path.name
    for part in (path, *parts):
        shutil.copyfile(part, folder / part.name)
    return f"file:{quote(str(copy))}"
