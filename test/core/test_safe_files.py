"""Files of strangers: YAML bombs and pipes are refused at once, wherever a file of settings is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sentryfuse_core.config import load_yaml
from sentryfuse_core.errors import SentryFuseError
from sentryfuse_core.faults.scenario import load_scenario
from sentryfuse_core.lab.bench.recipe import read_recipe
from sentryfuse_core.lab.datasets.digits import load_digits
from sentryfuse_core.lab.datasets.har import runs
from sentryfuse_core.replay.criteria import load_criteria
from sentryfuse_core.replay.truth import load_labels
from sentryfuse_core.safe_files import parse_yaml, text_lines

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10)]
)
READERS = (load_yaml, load_criteria, load_scenario, read_recipe)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "unfolds to more than"),
        ("&a [*a]", "holds itself"),
        ("[" * 5000, "nested more than 50 deep"),
        ("a: " + "9" * 10_000, "."),
        ("a: " + "9" * 400, "1329 bits"),
        ("a: 0x" + "f" * 5000, "20000 bits"),
        ("2001-99-99", "month"),
        ("? [a]\n: b\n? {c: d}\n: e", "."),
    ],
)
def test_yaml_is_refused_in_one_way_when_it_is_a_weapon(text: str, told: str) -> None:
    with pytest.raises(yaml.YAMLError, match=told):
        parse_yaml(text)


def test_yaml_is_read_as_before_when_it_has_aliases_and_merges() -> None:
    text = "base: &base {a: 1, b: [x, y]}\nother: {<<: *base, a: 2}\nlast: *base"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml("") is None
    assert parse_yaml("[0x7f, 010, 1:30, -1, 18446744073709551615]") == [127, 8, 90, -1, 2**64 - 1]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("content", [BOMB, "[" * 3000, "a: " + "x" * 2_000_000, "2001-99-99"])
def test_settings_are_refused_in_one_line_when_the_file_is_a_weapon(
    read: Callable[[Path], Any], content: str, tmp_path: Path
) -> None:
    (tmp_path / "bomb.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(SentryFuseError, match=r"bomb\.yaml") as error:
        read(tmp_path / "bomb.yaml")
    assert len(str(error.value)) < 600


def load_har(path: Path) -> Any:
    return next(runs(path))


def load_scans(path: Path) -> Any:
    path.rename(path.with_name("t10k-images-idx3-ubyte.gz"))
    return load_digits(path.parent)


@pytest.mark.parametrize("read", [*READERS, load_labels, load_har, load_scans])
def test_files_are_refused_when_reading_them_would_wait_for_ever(
    read: Callable[[Path], Any], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SentryFuseError, match="named pipe"):
        read(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\r\n\r\nb", ["a", "", "b"]),
        (b"a\rb\r", ["a", "b"]),
        ("a\u2028b\x0cc\n".encode(), ["a\u2028b\x0cc"]),
        (b"", []),
    ],
)
def test_lines_are_the_texts_own_when_another_system_wrote_it(data: bytes, lines: list[str]) -> None:
    assert text_lines(data) == lines


@pytest.mark.parametrize("read", [*READERS, load_labels])
def test_missing_file_is_told_in_words_when_settings_are_read(
    read: Callable[[Path], Any], tmp_path: Path
) -> None:
    with pytest.raises(SentryFuseError, match=r"nope\.yaml: there is no such file") as error:
        read(tmp_path / "nope.yaml")
    assert "Errno" not in str(error.value)
