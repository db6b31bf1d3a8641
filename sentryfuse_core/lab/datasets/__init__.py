"""Readers of public data sets that benchmarks and training use; nothing in the running robot needs them."""

__all__ = ["LAYOUTS"]

LAYOUTS = ("kitti-object", "kitti-raw", "nuscenes", "bag")  # of driving sets, as --format names them
