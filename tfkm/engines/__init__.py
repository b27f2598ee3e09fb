"""Engines: several devices, processes or machines that read and compute for one fit."""

from tfkm.engines.mirrored import Mirrored as Mirrored
from tfkm.engines.multi_worker import MultiWorker as MultiWorker
from tfkm.engines.ray import Ray as Ray
