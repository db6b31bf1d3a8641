"""Readers of public data sets that benchmarks and training use; nothing in the running robot needs them."""
