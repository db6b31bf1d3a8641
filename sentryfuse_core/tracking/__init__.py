"""Tracks: which boxes of one set are those of the sets before, how they move, and whether they are still there."""
