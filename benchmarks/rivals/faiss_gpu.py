"""Faiss on a GPU, after its documentation. Untried: no machine of ours has had a GPU."""

from __future__ import annotations

import faiss

from benchmarks.rivals.faiss import Faiss

if not hasattr(faiss, "StandardGpuResources"):
    raise ImportError("this Faiss was built without CUDA")


class FaissGPU(Faiss):
    name = "Faiss (GPU)"
    gpu = True

    @staticmethod
    def _index(d: int):
        return faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), d)
