"""Sub-networks: what runs for a set of sensors at a pruning level, and what it costs."""
