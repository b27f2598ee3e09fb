"""The next centroids, computed from the statistics of a pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfkm.lloyd.empty_clusters import refilled
from tfkm.traces import traced
from tfkm.types import Statistics


@traced("tfkm: empty clusters")
def centroids(
    statistics: Statistics,
    previous: np.ndarray,
    labels: np.ndarray,
    sq_distances: np.ndarray,
    weights: np.ndarray | None,
    rows: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return (k, d) float64, the weighted mean of each cluster after empty ones are refilled.

    The arguments are those of `empty_clusters.refilled`. A cluster that stays empty keeps its
    previous centroid (k, d).
    """
    return means(refilled(statistics, labels, sq_distances, weights, rows), previous)


def means(statistics: Statistics, previous: np.ndarray) -> np.ndarray:
    """Return (…, k, d) float64, the weighted means; an empty cluster keeps its previous centroid."""
    sizes = statistics.weights[..., None]
    result = np.array(previous, np.float64)
    np.divide(statistics.sums, sizes, out=result, where=sizes > 0)
    return result
