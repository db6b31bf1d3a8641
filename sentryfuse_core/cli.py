"""The `sentryfuse` command: picks the subcommand's module, turns errors into one line and an exit status."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sentryfuse_core import __version__
from sentryfuse_core.commands.signals import INTERRUPTED, end_at_once, interrupt, noted_signals
from sentryfuse_core.errors import NotInstalledError, SentryFuseError
from sentryfuse_core.home import out_of_home
from sentryfuse_core.openmp import wait_asleep
from sentryfuse_core.standard_streams import open_standard_streams
from sentryfuse_core.text import one_line

__all__ = ["CORE_COMMANDS", "USAGE_ERROR", "Command", "main", "system_error"]

USAGE_ERROR = 2
_ENDS = "exit status: 0 done, 2 error (one line says which), 130 or 143 ended by SIGINT or SIGTERM"
_WANT_LAB = ("train", "adapt", "eval", "bench")  # the extra `lab`, with scipy; `world` does without


@dataclass(frozen=True)
class Command:
    """A subcommand; its module has `add_arguments(parser)` and `run(args) -> int` and is imported on use."""

    name: str
    summary: str
    package: str = "sentryfuse_core.commands"  # that its module lies in, under the command's name

    @property
    def module(self) -> str:
        """Full name of its module."""
        return f"{self.package}.{self.name.replace('-', '_')}"


_LAB = "sentryfuse_core.lab.commands"
CORE_COMMANDS = (
    Command("replay", "run the pipeline over a recording and write a report"),
    Command("view", "open a replay's results in rerun"),
    Command("world", "record the synthetic world as a bag with ground truth", _LAB),
    Command("train", "train the detector in the synthetic world, or a classifier on your data", _LAB),
    Command("adapt", "let a robot's own recordings teach its detector, without labels", _LAB),
    Command("bench", "compare pruning methods on recordings or your own data, or measure the runtime", _LAB),
    Command("eval", "score a detector on worlds it has not seen, sensors missing", _LAB),
    Command("build-engines", "build what OpenVINO, ONNX Runtime and TensorRT run"),
    Command("params", "list every parameter, its default and range"),
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and in every help how the command ends."""

    def format_help(self) -> str:
        """The help, with the exit status where the command has no words of its own about it."""
        text = super().format_help()
        of_command = " " in self.prog
        return f"{text}\n{_ENDS}\n" if of_command and "exit status:" not in text else text

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"sentryfuse: error: {message}; see `{self.prog} --help`\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what is left over here, where `--help` lists what there is, and not in the parser above."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, []


def main(argv: Sequence[str] | None = None, *, extra: Sequence[Command] = ()) -> int:
    """Run one subcommand; `extra` are those of other packages. Returns the exit status."""
    open_standard_streams()
    wait_asleep()  # most commands bring torch
    words = list(sys.argv[1:] if argv is None else argv)
    commands = {command.name: command for command in (*CORE_COMMANDS, *extra)}
    status = 0
    try:
        with noted_signals(interrupt):
            args = _parse(words, commands)
            _check_installed(args.command)
            status = args.run(args)
            sys.stdout.flush()
    except SentryFuseError as error:
        print(f"sentryfuse: error: {one_line(str(error))}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt as error:
        end_at_once()
        print("sentryfuse: interrupted", file=sys.stderr)
        number: int = error.args[0] if error.args else signal.SIGINT
        return INTERRUPTED + number
    except BrokenPipeError:
        # The reader (head, less) has seen enough; what Python still holds for it has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a name that no file system takes, a disk that failed or is full
        print(f"sentryfuse: error: {one_line(system_error(error))}", file=sys.stderr)
        if error.errno == errno.ENOSPC:  # what Python still holds would be tried once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USAGE_ERROR
    return status


def system_error(error: OSError) -> str:
    """What the system refused to a part that has no words for it itself, with the remedy."""
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror or error}; check the path, its rights and free space"


def _parse(words: list[str], commands: dict[str, Command]) -> argparse.Namespace:
    parser = _Parser(
        prog="sentryfuse",
        description="Keeps a robot's perception alive when sensors die and power runs short.",
    )
    parser.add_argument("--version", action="version", version=f"sentryfuse {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    chosen = next((word for word in words if not word.startswith("-")), None)
    for command in commands.values():
        subparser = subparsers.add_parser(command.name, help=command.summary, description=command.summary)
        if command.name == chosen:  # only this one's module is imported: some take seconds
            module = importlib.import_module(command.module)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser.parse_args([_with_home(word) for word in words])


def _with_home(word: str) -> str:
    """--out=~/runs with the ~ written out, which bash leaves there: it would be a folder called ~."""
    option, _, value = word.partition("=")
    of_home = option.startswith("--") and (value == "~" or value.startswith("~/"))
    return f"{option}={out_of_home(value)}" if of_home else word


def _check_installed(command: str) -> None:
    """Raise NotInstalledError at once, and not when hours of training have passed."""
    try:
        if command in _WANT_LAB:
            importlib.import_module("scipy")
    except ImportError as error:
        raise NotInstalledError(
            f"`sentryfuse {command}` needs what the robot does without ({error}): "
            f"pip install 'sentryfuse-python[lab]'"
        ) from error


if __name__ == "__main__":
    raise SystemExit(main())
