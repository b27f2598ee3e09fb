"""Who reads and computes, where that is not this process."""

from tfkm.engines.mirrored import Mirrored as Mirrored
from tfkm.engines.multi_worker import MultiWorker as MultiWorker
from tfkm.engines.ray import Ray as Ray
