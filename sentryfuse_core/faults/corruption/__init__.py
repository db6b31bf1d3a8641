"""Spoils the content of one message: a function per fault, which returns a copy.

Those of one sensor are functions of its values alone (pixels, points, readings, samples); `on_pixels`,
`on_points`, `on_readings` and `on_samples` make them functions of a message and its `Hit`. A message of
another sensor, or one too short to hold what it announces, keeps its content.
"""
