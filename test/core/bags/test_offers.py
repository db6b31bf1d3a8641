"""How a topic was offered when it was recorded, by every place and spelling in which recordings say so."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import bags
import mcaps
import pytest
import yaml
from bags import TOPICS
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_typestore

from sentryfuse_core.bags.offers import Offer, RecordedQos, agreed, read_offers
from sentryfuse_core.bags.readers import BagReader, bag_files
from sentryfuse_core.types import Modality

IMU = TOPICS[Modality.IMU]
MESSAGES = bags.drive([Modality.IMU], seconds=0.1)
OLD = "- history: 3\n  depth: 0\n  reliability: {}\n  durability: {}\n  deadline: {{sec: 1}}"
LATCHED = OLD.format(1, 1)


@pytest.mark.parametrize(
    ("profiles", "offers"),
    [
        (LATCHED, [(True, True)]),
        (OLD.format(2, 2), [(False, False)]),
        (OLD.format("reliable", "transient_local"), [(True, True)]),
        (OLD.format("best_effort", "volatile"), [(False, False)]),
        (OLD.format("RELIABLE", "Volatile"), [(False, True)]),
        (OLD.format(0, 4), [(None, None)]),  # the system's default, the best available
        (OLD.format("unknown", "[1]"), [(None, None)]),
        (OLD.format(1, 1) + "\n" + OLD.format(2, 2), [(True, True), (False, False)]),
        ([{"reliability": "reliable", "durability": "transient_local"}], [(True, True)]),
        (["text", None, {}], [(None, None)]),
        ("", []),
        ("a: [", []),
        ("[" * 1000, []),
        ("text", []),
        ("x" * 1_000_000, []),
        (None, []),
        (7, []),
        ({"durability": 1}, []),
    ],
)
def test_offers_are_read_when_they_are_spelt_as_any_version_does(profiles: Any, offers: list[Any]) -> None:
    assert read_offers(profiles) == tuple(Offer(*offer) for offer in offers)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], (False, True, 0)),
        ([()], (False, True, 0)),
        ([(Offer(None, None),)], (False, True, 1)),
        ([(Offer(False, False),)], (False, False, 1)),
        ([(Offer(True, False), Offer(False, None))], (True, False, 2)),
        # Who heard one of the two by what it asked for hears the replay, too.
        ([(Offer(True, True), Offer(False, False))], (True, True, 2)),
        ([(Offer(True, True),), (Offer(False, False),)], (True, True, 1)),  # of two files, or two channels
    ],
)
def test_agreed_reaches_everyone_when_publishers_offered_different_things(
    parts: list[tuple[Offer, ...]], expected: tuple[bool, bool, int]
) -> None:
    assert agreed(parts) == RecordedQos(*expected)


def recorded(path: Path) -> RecordedQos:
    with BagReader(path) as reader:
        (topic,) = reader.topics()
    return topic.qos


def test_reader_tells_how_topics_were_offered_when_a_channel_of_mcap_says_so(tmp_path: Path) -> None:
    path = mcaps.write(tmp_path / "a.mcap", MESSAGES, metadata={"a": "b", "offered_qos_profiles": LATCHED})
    assert recorded(path) == (True, True, 1)


def test_reader_tells_how_topics_were_offered_when_a_table_of_sqlite_says_so(tmp_path: Path) -> None:
    path = bags.write_as("db3", tmp_path, MESSAGES)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE topics SET offered_qos_profiles = ?", (OLD.format(2, 2),))
    assert recorded(path) == (False, False, 1)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE topics DROP COLUMN offered_qos_profiles")  # as in the oldest
    assert recorded(path) == (False, True, 0)


@pytest.mark.parametrize("as_text", [True, False])
def test_reader_asks_metadata_how_topics_were_offered_when_the_files_do_not_say(
    as_text: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    shutil.copy(mcaps.write(tmp_path / "a.mcap", MESSAGES), folder / "a_0.mcap")
    profiles: Any = LATCHED if as_text else yaml.safe_load(LATCHED)
    topic = {"name": IMU, "offered_qos_profiles": profiles}
    topics = [None, {"topic_metadata": None}, {"topic_metadata": topic, "message_count": 1}]
    content = {"relative_file_paths": ["a_0.mcap"], "topics_with_message_count": topics}
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": content}))
    assert recorded(folder) == (True, True, 1)
    own = mcaps.write(folder / "a_0.mcap", MESSAGES, metadata={"offered_qos_profiles": OLD.format(2, 2)})
    assert bag_files(folder) == (own,)
    assert recorded(folder) == (False, False, 1)  # what the file itself says holds


@pytest.mark.parametrize("latching", [None, 0, 1])
def test_reader_tells_of_latching_when_it_was_recorded_in_ros_1(latching: int | None, tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    text = store.types["std_msgs/msg/String"](data="map")
    with Writer(tmp_path / "a.bag") as writer:
        connection = writer.add_connection("/map", "std_msgs/msg/String", typestore=store, latching=latching)
        writer.write(connection, 1, store.serialize_ros1(text, "std_msgs/msg/String"))
    assert recorded(tmp_path / "a.bag") == (latching == 1, True, 1)
