"""Bisecting k-means (Steinbach, Karypis & Kumar 2000): split one cluster in two, k − 1 times."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import add
from typing import NamedTuple

import numpy as np

from tfkm import checks, exact
from tfkm.data.points import Points
from tfkm.fits import kmeans
from tfkm.lloyd import one_pass
from tfkm.ops.backend import Backend
from tfkm.ops.magnitudes import largest_magnitudes
from tfkm.options import FitOptions

STRATEGIES = ("biggest_inertia", "largest_cluster")

_BLOCK_BYTES = 2**26  # bytes of points that descend the tree together
# Two scores below all others, which are ≥ 0: for a cluster that is split only if no other can be,
# because its points all coincide, and for one that cannot be split.
_LAST, _NEVER = -1.0, -np.inf


class Tree(NamedTuple):
    """A binary tree of k − 1 splits, the first at the root. Clusters are its leaves, from left to right.

    Attributes:
        pairs: (k − 1, 2, d), the two centroids of each split.
        children: (k − 1, 2) int64, the two children of each split: the index of a split, or −1 − j
            for cluster j.
        centroids: (k, d), the centroids of the clusters.
    """

    pairs: np.ndarray
    children: np.ndarray
    centroids: np.ndarray


class _Leaf(NamedTuple):
    """A cluster that may be split further.

    Attributes:
        rows: Indices of its points, or None for all.
        centroid: (d,).
        behind: The split and the side (0 or 1) that lead to it.
        score: The cluster with the highest score is split next.
    """

    rows: np.ndarray | None
    centroid: np.ndarray
    behind: tuple[int, int]
    score: float


def grow(
    points,
    weights: np.ndarray | None,
    options: FitOptions,
    strategy: str,
    on_split: Callable[[np.ndarray], None] | None = None,
) -> tuple[Tree, np.ndarray]:
    """Return the tree and the labels (n,) int32.

    Args:
        points: (n, d) array.
        weights: (n,) float64 or None; at least n_clusters are positive.
        options: Options of the whole fit. Each split is a fit of two clusters, on a copy of one
            cluster's points.
        strategy: "biggest_inertia" splits the cluster of most inertia, "largest_cluster" the one of
            most weight. A cluster whose points all coincide is split only if there is no other.
        on_split: Called after each split with its two centroids (2, d).
    """
    n, d = points.shape
    k = options.n_clusters
    if k == 1:
        centroids = kmeans.fit(points, weights, options).centroids
        return Tree(centroids[:0, None], np.empty((0, 2), np.int64), centroids), np.zeros(n, "i4")
    in_two = replace(options, n_clusters=2)
    pairs: list[np.ndarray] = []
    children = np.empty((k - 1, 2), np.int64)
    leaves = [_Leaf(None, np.empty(d), (0, 0), np.inf)]
    while len(leaves) < k:
        at = int(np.argmax([leaf.score for leaf in leaves]))
        leaf, split = leaves[at], len(pairs)
        halves = _split(points, weights, leaf, split, strategy, in_two)
        if leaf.score != _LAST and any(half.score == _LAST for half in halves):
            leaves[at] = leaf._replace(score=_LAST)
            continue
        children[leaf.behind] = split  # the root has no parent; its entry is overwritten below
        leaves[at : at + 1] = halves
        pairs.append(np.stack([half.centroid for half in halves]))
        if on_split is not None:
            on_split(pairs[-1])
    labels = np.empty(n, np.int32)
    for j, leaf in enumerate(leaves):
        labels[leaf.rows] = j
        children[leaf.behind] = -1 - j
    return Tree(np.stack(pairs), children, np.stack([leaf.centroid for leaf in leaves])), labels


def labels(points: np.ndarray, tree: Tree, backend: Backend) -> np.ndarray:
    """Return for each point the leaf (n,) int32 that it comes to, at each split by the nearer centroid.

    Its label is −1 if it is not finite.
    """
    if not len(tree.children):  # one cluster, so that nothing would look at the rows
        compute = checks.compute_dtype(points.dtype, tree.centroids.dtype)
        return backend.labels(points, tree.centroids.astype(compute))
    found = np.full(len(points), -1, np.int32)
    for cluster, rows in _descend(points, tree, backend):
        found[rows] = cluster
    return found


def inertia(points, tree: Tree, weights: np.ndarray | None, backend: Backend) -> float:
    """Return the weighted sum of squared distances of points (n, d) to the centroids of their leaves."""
    data = Points(points)
    largest = largest_magnitudes(data)
    centroids = tree.centroids.astype(checks.compute_dtype(data.compute, tree.centroids.dtype))
    grid = exact.grids(1, data.n, largest, 1.0 if weights is None else weights.max())
    parts = []
    for start, block in data.blocks(rows_of_a_block(data)):
        for cluster, rows in _descend(block, tree, backend):
            share = None if weights is None else weights[None, start + rows]
            centroid = centroids[None, cluster : cluster + 1]
            parts.append(backend.sweep(block[rows][None], centroid, share, grid).statistics)
    return float(functools.reduce(add, parts).rounded().inertia[0])


def _descend(points: np.ndarray, tree: Tree, backend: Backend) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each cluster that gets points, with their indices (m,) int64."""
    pairs = tree.pairs.astype(checks.compute_dtype(points.dtype, tree.pairs.dtype))
    waiting = [(0 if len(tree.children) else -1, np.arange(len(points)))]
    while waiting:
        split, rows = waiting.pop()
        if split < 0:
            yield -1 - split, rows
            continue
        # All points are at the root; indexing would copy them.
        here = points if split == 0 else points[rows]
        sides = backend.labels(here, pairs[split])
        for side in (0, 1):
            part = rows[sides == side]
            if len(part):
                waiting.append((int(tree.children[split, side]), part))


def rows_of_a_block(points: Points) -> int:
    """Return how many rows descend the tree together."""
    return max(1, _BLOCK_BYTES // (points.d * points.dtype.itemsize))


def _split(
    points,
    weights: np.ndarray | None,
    leaf: _Leaf,
    split: int,
    strategy: str,
    options: FitOptions,
) -> list[_Leaf]:
    """Return the two halves of a leaf.

    If its points all coincide, one half gets all of them, and the score that is split last.
    """
    if leaf.rows is not None:
        points = points[leaf.rows]
        weights = None if weights is None else weights[leaf.rows]
    end = kmeans.fit(points, weights, options)
    assert end.labels is not None
    positive = points.shape[0] if weights is None else np.count_nonzero(weights)
    halves = []
    for side, centroid in enumerate(end.centroids):
        inside = end.labels == side
        share = inside.astype(np.float64) if weights is None else weights * inside
        of_use = np.count_nonzero(share)
        if of_use < 2:
            score = _NEVER
        elif of_use == positive:
            score = _LAST
        elif strategy == "largest_cluster":
            score = float(share.sum())
        else:
            score = one_pass.inertia(points, end.centroids, share, options.selected)
        rows = np.flatnonzero(inside) if leaf.rows is None else leaf.rows[inside]
        halves.append(_Leaf(rows, centroid, (split, side), score))
    return halves
