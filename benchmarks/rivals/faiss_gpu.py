"""Faiss on a GPU, after its documentation. Untried: no machine of ours has had a GPU."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np

from benchmarks.rivals import Outcome
from benchmarks.rivals.faiss import Faiss

if not hasattr(faiss, "StandardGpuResources"):
    raise ImportError("this Faiss was built without CUDA")


class FaissGPU(Faiss):
    name = "Faiss (GPU)"
    gpu = True

    @staticmethod
    def _index(d: int):
        return faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), d)

    @classmethod
    def assign_with_copies(cls, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """What `assign` is, too: points come from the host in each call."""
        return cls.assign(points, centroids)
