"""Sub-networks: which part of every layer runs for a set of sensors and a pruning level, and what it costs."""
