"""Which samples belong to one moment: the synchroniser, of use also without the rest.

sync = Synchronizer(SyncConfig(), {"lidar": StreamSpec(anchor_rank=0), "camera": StreamSpec(anchor_rank=1)})
for matched in sync.add("camera", sample):  # anything with stamp_ns, received_ns and arrival_ns
...
"""

from sentryfuse_core.sync.sensors import streams, synced_set
from sentryfuse_core.sync.spec import MatchedSet, StreamSpec, Timed
from sentryfuse_core.sync.synchronizer import Synchronizer

__all__ = ["MatchedSet", "StreamSpec", "Synchronizer", "Timed", "streams", "synced_set"]
