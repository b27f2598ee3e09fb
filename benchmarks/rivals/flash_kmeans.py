"""flash-kmeans on a GPU, after its documentation. Untried: no machine of ours has had a GPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from flash_kmeans import batch_kmeans_Euclid

from benchmarks.rivals import Outcome


class FlashKMeans:
    name = "flash-kmeans"
    version = version("flash-kmeans")
    dtypes = ("float32",)

    @staticmethod
    def fit(points: np.ndarray, centroids: np.ndarray, max_iter: int) -> Callable[[], Outcome]:
        """Its labels are those of the centroids before the last: one more pass finds the others'."""
        k = len(centroids)

        def run() -> Outcome:
            x, start = (torch.from_numpy(a).cuda()[None] for a in (points, centroids))
            _, found, n_iter = batch_kmeans_Euclid(
                x, k, max_iters=max_iter, tol=0.0, init_centroids=start
            )
            labels, _, _ = batch_kmeans_Euclid(x, k, max_iters=1, init_centroids=found.clone())
            return Outcome(labels[0].cpu().numpy(), found[0].cpu().numpy(), n_iter=n_iter)

        return run

    @staticmethod
    def why_not(op: str, n: int, k: int) -> str:
        return ""
