"""Samples to tensors: what training and the running robot feed the network, by the same functions."""
