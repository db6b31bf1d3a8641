"""Running the network on a robot: the bank of sub-networks, backends, and latency measurement."""
