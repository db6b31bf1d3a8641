"""The files that recordings consist of: found, told apart by their first bytes, and merged by log time."""
