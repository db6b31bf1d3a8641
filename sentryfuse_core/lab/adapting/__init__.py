"""A robot that teaches itself: what its sensors find together over time teaches what each finds alone."""
