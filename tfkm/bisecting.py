"""Bisecting k-means (Steinbach, Karypis & Kumar 2000): one cluster is split in two, k − 1 times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfkm import exact, lloyd, ops
from tfkm.ops import sums
from tfkm.points import Points
from tfkm.types import Assignment

STRATEGIES = ("biggest_inertia", "largest_cluster")

_BLOCK_BYTES = 2**26  # of points that descend the tree together
# Scores of clusters: below those of all others (≥ 0), and of one that cannot be split.
_LAST, _NEVER = -1.0, -np.inf


class Tree(NamedTuple):
    """The k − 1 splits, the first one at the root. Clusters are numbered as leaves, from the left.

    pairs: (k − 1, 2, d), the two centroids of each split. children: (k − 1, 2) int64, what lies behind
    each: the index of a split, or −1 − j for cluster j. centroids: (k, d), of the clusters.
    """

    pairs: np.ndarray
    children: np.ndarray
    centroids: np.ndarray


class _Leaf(NamedTuple):
    """rows: indices of its points; None for all. behind: the split and the side that lead to it."""

    rows: np.ndarray | None
    centroid: np.ndarray
    behind: tuple[int, int]
    score: float


def grow(
    points,
    k: int,
    weights: np.ndarray | None,
    strategy: str,
    on_split: Callable[[np.ndarray], None] | None = None,
    **options: Any,
) -> tuple[Tree, np.ndarray]:
    """The tree and the labels (n,) int32.

    Args:
      points: (n, d) array or tensor. weights: (n,) float64 or None; at least k are positive.
      strategy: "biggest_inertia" splits the cluster of most inertia, "largest_cluster" that of most
        weight. One whose points all coincide is split only if there is no other.
      on_split: called after each split with its two centroids.
      options: of `lloyd.kmeans`, which is given a copy of the points of one cluster at a time.
    """
    n, d = points.shape
    if k == 1:
        result = lloyd.kmeans(points, 1, weights=weights, **options)
        centroids = result.centroids.numpy()
        return Tree(centroids[:0, None], np.empty((0, 2), np.int64), centroids), np.zeros(n, "i4")
    pairs: list[np.ndarray] = []
    children = np.empty((k - 1, 2), np.int64)
    leaves = [_Leaf(None, np.empty(d), (0, 0), np.inf)]
    while len(leaves) < k:
        at = int(np.argmax([leaf.score for leaf in leaves]))
        leaf, split = leaves[at], len(pairs)
        halves = _split(points, weights, leaf, split, strategy, options)
        if leaf.score != _LAST and any(half.score == _LAST for half in halves):
            leaves[at] = leaf._replace(score=_LAST)
            continue
        children[leaf.behind] = split  # the root's is written over below
        leaves[at : at + 1] = halves
        pairs.append(np.stack([half.centroid for half in halves]))
        if on_split is not None:
            on_split(pairs[-1])
    labels = np.empty(n, np.int32)
    for j, leaf in enumerate(leaves):
        labels[leaf.rows] = j
        children[leaf.behind] = -1 - j
    return Tree(np.stack(pairs), children, np.stack([leaf.centroid for leaf in leaves])), labels


def labels(points: tf.Tensor, tree: Tree, *, backend: str | None = None) -> tf.Tensor:
    """(n,) int32, the leaf that each point comes to, at each split by the nearer centroid."""
    if not tf.executing_eagerly():
        return _labels(points, tree, backend)
    blocks = Points(points).blocks(_rows_of_a_block(points))
    return tf.concat([_labels(block, tree, backend) for _, block in blocks], axis=0)


def inertia(
    points, tree: Tree, weights: np.ndarray | None = None, *, backend: str | None = None
) -> float:
    """The weighted sum of squared distances of points (n, d) to the centroids of their leaves."""
    data = Points(points)
    largest = data.largest_magnitudes()
    wide = np.result_type(data.compute.as_numpy_dtype, tree.centroids)
    centroids = tf.constant(tree.centroids.astype(wide))
    grid = exact.grid(data.n, largest, 1.0 if weights is None else weights.max())
    total = sums.zeros(1, data.d)
    for start, block in data.blocks(_rows_of_a_block(points)):
        for cluster, rows in _descend(block, tree, backend):
            share = None if weights is None else tf.constant(weights[start + rows.numpy()])
            centroid = centroids[cluster : cluster + 1]
            total += ops.partial(tf.gather(block, rows), centroid, share, grid, backend=backend)[1]
    return float(total.rounded().inertia)


def assign(points: tf.Tensor, tree: Tree, *, backend: str | None = None) -> Assignment:
    """`labels`, and the squared distances (n,) to the centroids of the leaves; in a graph."""
    parts = list(_descend(points, tree, backend))
    distances = [
        ops.assign(
            tf.gather(points, rows), tree.centroids[cluster : cluster + 1], backend=backend
        ).sq_distances
        for cluster, rows in parts
    ]
    return Assignment(_joined(points, parts, _clusters(parts)), _joined(points, parts, distances))


def _labels(points: tf.Tensor, tree: Tree, backend: str | None) -> tf.Tensor:
    parts = list(_descend(points, tree, backend))
    return _joined(points, parts, _clusters(parts)) if parts else tf.zeros([0], tf.int32)


_Parts = list[tuple[int, tf.Tensor]]


def _clusters(parts: _Parts) -> list[tf.Tensor]:
    return [tf.fill([tf.size(rows)], np.int32(cluster)) for cluster, rows in parts]


def _joined(points: tf.Tensor, parts: _Parts, values: list[tf.Tensor]) -> tf.Tensor:
    """(n,) from the values of each part, in the order of the points."""
    rows = tf.concat([rows for _, rows in parts], axis=0)
    n = tf.shape(points, out_type=tf.int64)[0]
    return tf.scatter_nd(rows[:, None], tf.concat(values, axis=0), n[None])


def _descend(points: tf.Tensor, tree: Tree, backend: str | None) -> Iterator[tuple[int, tf.Tensor]]:
    """Each cluster with the indices (m,) int64 of its points; eagerly without those that get none."""
    waiting = [(0 if len(tree.children) else -1, tf.range(tf.shape(points, out_type=tf.int64)[0]))]
    while waiting:
        split, rows = waiting.pop()
        if split < 0:
            yield -1 - split, rows
            continue
        # At the root there is nothing to pick.
        here = points if split == 0 else tf.gather(points, rows)
        sides = ops.assign(here, tree.pairs[split], backend=backend).labels
        for side in (0, 1):
            part = tf.boolean_mask(rows, sides == side)
            if not tf.executing_eagerly() or len(part):
                waiting.append((int(tree.children[split, side]), part))


def _rows_of_a_block(points) -> int:
    return max(1, _BLOCK_BYTES // (points.shape[1] * tf.as_dtype(points.dtype).size))


def _split(
    points,
    weights: np.ndarray | None,
    leaf: _Leaf,
    split: int,
    strategy: str,
    options: dict[str, Any],
) -> list[_Leaf]:
    """Its two halves. If its points all coincide, one half gets all of them and the score _LAST."""
    if leaf.rows is not None:
        points = tf.gather(points, leaf.rows) if tf.is_tensor(points) else points[leaf.rows]
        weights = None if weights is None else weights[leaf.rows]
    result = lloyd.kmeans(points, 2, weights=weights, **options)
    positive = points.shape[0] if weights is None else np.count_nonzero(weights)
    halves = []
    for side, centroid in enumerate(result.centroids.numpy()):
        inside = np.asarray(result.labels) == side
        share = inside.astype(np.float64) if weights is None else weights * inside
        of_use = np.count_nonzero(share)
        if of_use < 2:
            score = _NEVER
        elif of_use == positive:
            score = _LAST
        elif strategy == "largest_cluster":
            score = float(share.sum())
        else:
            score = lloyd.inertia(points, result.centroids, share, backend=options.get("backend"))
        rows = np.flatnonzero(inside) if leaf.rows is None else leaf.rows[inside]
        halves.append(_Leaf(rows, centroid, (split, side), score))
    return halves
