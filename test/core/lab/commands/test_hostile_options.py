"""Every option of every command, by argparse's own table: what it cannot mean is one line and status 2."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentryfuse_core.cli import CORE_COMMANDS, main

NEEDED = {  # what a command wants beside the option; the option is refused before any of it is opened
    "replay": ["drive.mcap"],
    "view": ["results"],
    "world record": ["out"],
    "world picture": ["out.png"],
    "train": ["out.safetensors"],
    "adapt": ["drive.mcap", "--out", "out.safetensors"],
    "bench prune": ["--out", "out", "--data", "mine.npz"],
    "bench runtime": ["--out", "out"],
    "bench world": ["--out", "out"],
}


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command and action with its own parser."""
    for command in CORE_COMMANDS:
        parser = argparse.ArgumentParser()
        importlib.import_module(command.module).add_arguments(parser)
        inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        for action in inner:
            yield from ((f"{command.name} {name}", own) for name, own in action.choices.items())
        if not inner:
            yield command.name, parser


NUMBERS = [
    (words, option.option_strings[-1])
    for words, parser in parsers()
    for option in parser._actions
    if option.type in (int, float)
]


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    try:
        status = main(words)
    except SystemExit as error:
        status = error.code  # type: ignore[assignment]
    said = capsys.readouterr().err
    assert (status, said.count("\n")) == (2, 1), said
    assert said.startswith("sentryfuse: error: ")
    return said


def test_table_has_the_options_of_all_commands() -> None:
    assert {words.split()[0] for words, _ in NUMBERS} == {
        "replay",
        "world",
        "train",
        "adapt",
        "bench",
        "eval",
    }


@pytest.mark.parametrize(("words", "option"), NUMBERS)
def test_number_is_refused_with_its_option_when_it_can_mean_nothing(
    words: str,
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ("-1", "9" * 30, "nan", "inf", "", "x"):
        said = refusal(capsys, *words.split(), *NEEDED.get(words, []), f"{option}={value}")
        assert option.strip("-") in said
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "words",
    [
        ["train", ""],
        ["train", "out.safetensors", "--data", "n" * 300],
        ["train", "out.safetensors", "--recipe", "n" * 300],
        ["train", "folder.safetensors"],
        ["train", "/proc/self/out.safetensors"],
        ["eval", "--weights", "n" * 300],
        ["eval", "--out", "/proc/self/out"],
        ["world", "record", "/proc/self"],
        ["bench", "world", "--out", "/proc/self"],
        ["eval", "--device", "n" * 5000],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_place_is_refused_at_once_when_it_cannot_be(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.safetensors").mkdir()
    assert "; " in refusal(capsys, *words)[-600:]
