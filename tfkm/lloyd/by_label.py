"""Sums and distances of points with given labels, which need not be the nearest.

The points are read in blocks, with n·d work and no n×k array. For (1000000, 32) in 256 clusters
this takes 0.3 s on 2 cores, the same as scikit-learn's loop over masks.
"""

from __future__ import annotations

import numpy as np

from tfkm import exact
from tfkm.data.points import Points

_BLOCK = 2**18  # values in a block; 2¹³ rows of 32 took 0.20 s, 2¹⁷ rows 0.30


def sums(points: Points, labels: np.ndarray, k: int, largest: np.ndarray) -> np.ndarray:
    """Return (k, d) float64, the exact sum of each label's points, which does not depend on their order.

    Args:
        points: n points of d features.
        labels: (n,) int, each in [0, k).
        k: number of clusters.
        largest: (d,) float64, the greatest magnitude of each feature.
    """
    count = exact.power_of_two_above(points.n)
    bound = count * exact.power_of_two_above(largest)
    words = np.zeros((2, k, points.d))
    for start, block in points.blocks(_rows(points)):
        here = labels[start : start + len(block)]
        for word, part in zip(
            words, exact.split(block.astype(np.float64), bound, count), strict=True
        ):
            for j in range(points.d):
                word[:, j] += np.bincount(here, part[:, j], k)
    return words[0] + words[1]


def sq_distances(points: Points, labels: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return (n,) float64, the squared distance of each point to the centroid of its label."""
    distances = np.empty(points.n)
    for start, block in points.blocks(_rows(points)):
        rows = slice(start, start + len(block))
        apart = block.astype(np.float64) - centroids[labels[rows]]
        distances[rows] = np.square(apart).sum(axis=1)
    return distances


def _rows(points: Points) -> int:
    return max(1, _BLOCK // points.d)
