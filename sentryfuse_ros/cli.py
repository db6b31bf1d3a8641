"""The `sentryfuse` command as installed: core's subcommands and those that need ROS."""

from __future__ import annotations

from collections.abc import Sequence

from sentryfuse_core import cli

__all__ = ["ROS_COMMANDS", "main"]

ROS_COMMANDS = (
    cli.Command("demo", "play a story of failing sensors over real DDS and watch it", "sentryfuse_ros"),
    cli.Command("check", "look at a running robot and say what would not work", "sentryfuse_ros"),
    cli.Command("top", "live numbers of a running fusion node", "sentryfuse_ros"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; what needs ROS is imported when it runs, so that --help does without."""
    return cli.main(argv, extra=ROS_COMMANDS)


if __name__ == "__main__":
    raise SystemExit(main())
