"""The runtime's benchmark: latency, memory, switching, replay and start, against a dense network."""
