"""Recordings: reading, writing and choosing topics."""
