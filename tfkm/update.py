"""Statistics -> centroids. What becomes of an empty cluster is decided here and only here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
    """(k, d) float64, the weighted mean of each cluster, the empty ones filled by `refilled`; where that
    finds no point, the previous centroid (k, d)."""
    return means(refilled(statistics, labels, sq_distances, weights, rows), previous)


def refilled(
    statistics: Statistics,
    labels: np.ndarray,
    sq_distances: np.ndarray,
    weights: np.ndarray | None,
    rows: Callable[[np.ndarray], np.ndarray],
) -> Statistics:
    """The statistics, float64, with something in each cluster.

    An empty cluster takes one of the points that are farthest from their centroid, and their own
    clusters give them up, as in scikit-learn. Points at distance 0, of weight 0, or the last of their
    cluster are not taken; where none is left the cluster stays empty.

    Args:
      statistics: of this pass, float64.
      labels, sq_distances, weights: (n,) of this pass; weights None for ones.
      rows: indices (m,) -> those points, (m, d). Called only if a cluster is empty.
    """
    sums, sizes = np.array(statistics.sums), np.array(statistics.weights)
    empty = np.flatnonzero(sizes == 0)
    if empty.size:
        chosen = _farthest(empty.size, labels, sq_distances, weights, sizes)
        points = np.asarray(rows(chosen), np.float64)
        for cluster, index, point in zip(empty, chosen, points, strict=False):
            weight = 1.0 if weights is None else weights[index]
            sums[labels[index]] -= weight * point
            sizes[labels[index]] -= weight
            sums[cluster], sizes[cluster] = weight * point, weight
    return Statistics(sums, sizes, statistics.inertia)


def means(statistics: Statistics, previous: np.ndarray) -> np.ndarray:
    """(…, k, d) float64, the weighted mean of each cluster, and of an empty one the previous centroid."""
    sizes = statistics.weights[..., None]
    result = np.array(previous, np.float64)
    np.divide(statistics.sums, sizes, out=result, where=sizes > 0)
    return result


def _farthest(
    count: int,
    labels: np.ndarray,
    sq_distances: np.ndarray,
    weights: np.ndarray | None,
    sizes: np.ndarray,
) -> np.ndarray:
    """Indices of up to `count` points to move, the farthest first, the lowest index among equals."""
    eligible = sq_distances > 0
    if weights is not None:
        eligible &= weights > 0
    candidates = np.flatnonzero(eligible)
    # Every cluster may refuse its last point, so count + k of them are always enough.
    enough = min(candidates.size, count + sizes.size)
    if enough < candidates.size:
        threshold = -np.partition(-sq_distances[candidates], enough - 1)[enough - 1]
        candidates = candidates[sq_distances[candidates] >= threshold]
    order = candidates[np.argsort(-sq_distances[candidates], kind="stable")]

    left = sizes.copy()
    chosen = []
    for index in order:
        weight = 1.0 if weights is None else weights[index]
        if left[labels[index]] > weight:
            left[labels[index]] -= weight
            chosen.append(index)
            if len(chosen) == count:
                break
    return np.array(chosen, np.int64)
