"""Clusters without points: each takes one of the points that are farthest from their centroid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfkm.types import Statistics


def refilled(
    statistics: Statistics,
    labels: np.ndarray,
    sq_distances: np.ndarray,
    weights: np.ndarray | None,
    rows: Callable[[np.ndarray], np.ndarray],
) -> Statistics:
    """Return float64 statistics in which empty clusters have been given points.

    An empty cluster takes one of the points that are farthest from their centroid. That point
    leaves its old cluster, as in scikit-learn. The last point of a cluster is never taken. If no
    point can be taken, the cluster stays empty.

    Args:
        statistics: The statistics of this pass, float64.
        labels: (n,) labels of this pass.
        sq_distances: (n,) squared distances of this pass.
        weights: (n,), or None for ones.
        rows: A function that maps indices (m,) to those points (m, d). It is called only if a
            cluster is empty.
    """
    sums, sizes = np.array(statistics.sums), np.array(statistics.weights)
    empty = np.flatnonzero(sizes == 0)
    if empty.size:
        # Every cluster may keep its last point, so this many are always enough.
        order = in_order(sq_distances, weights, empty.size + sizes.size)
        chosen = _given_up(order, empty.size, labels, weights, sizes)
        points = np.asarray(rows(chosen), np.float64)
        for cluster, index, point in zip(empty, chosen, points, strict=False):
            weight = 1.0 if weights is None else weights[index]
            sums[labels[index]] -= weight * point
            sizes[labels[index]] -= weight
            sums[cluster], sizes[cluster] = weight * point, weight
    return Statistics(sums, sizes, statistics.inertia)


def in_order(sq_distances: np.ndarray, weights: np.ndarray | None, most: int) -> np.ndarray:
    """Return the indices of up to `most` points in the order in which empty clusters take them.

    The farthest point comes first, the lowest index among equals. Points at distance 0 or of weight
    0 are left out.
    """
    eligible = sq_distances > 0
    if weights is not None:
        eligible &= weights > 0
    candidates = np.flatnonzero(eligible)
    if most < candidates.size:
        threshold = -np.partition(-sq_distances[candidates], most - 1)[most - 1]
        candidates = candidates[sq_distances[candidates] >= threshold]
    return candidates[np.argsort(-sq_distances[candidates], kind="stable")][:most]


def _given_up(
    order: np.ndarray, count: int, labels: np.ndarray, weights: np.ndarray | None, sizes: np.ndarray
) -> np.ndarray:
    """Return the first of these indices that their clusters can give up, at most `count`."""
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
