"""Tracks: which boxes belong to one object, how it moves, and whether it is still there."""
