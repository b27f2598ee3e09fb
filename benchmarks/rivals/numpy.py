"""What one writes in NumPy at first: ‖c‖² − 2 c·x by a matrix product, and its argmin, in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.rivals import Outcome

BLOCK_BYTES = 2**24  # of distances; quickest of 2²⁰ … 2²⁸


class NumPy:
    name = "NumPy"
    version = np.__version__

    @staticmethod
    def assign(points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        return lambda: Outcome(nearest(points, centroids), centroids)

    predict = assign

    @staticmethod
    def accumulate(points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """Sums by a matrix product with the labels, one-hot and sparse, would be SciPy's: `add.at`."""

        def run() -> Outcome:
            labels = nearest(points, centroids)
            sums = np.zeros(centroids.shape)
            np.add.at(sums, labels, points)
            counts = np.bincount(labels, minlength=len(centroids))[:, None]
            return Outcome(labels, centroids, updated=sums / np.maximum(counts, 1))

        return run

    step = accumulate

    @staticmethod
    def why_not(op: str, n: int, k: int) -> str:
        return ""


def nearest(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(n,) labels, in the precision of the arguments."""
    rows = max(1, BLOCK_BYTES // (centroids.itemsize * len(centroids)))
    norms = np.square(centroids).sum(axis=1)
    labels = np.empty(len(points), np.int64)
    for start in range(0, len(points), rows):
        distances = points[start : start + rows] @ centroids.T
        distances *= -2
        distances += norms
        labels[start : start + rows] = distances.argmin(axis=1)
    return labels
