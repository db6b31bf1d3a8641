"""Subcommands of the workshop."""
