"""What fitted estimators compute of tensors: in a graph, in an exported model, and eagerly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfkm.fits.bisecting import Tree
from tfkm.ops import tensors
from tfkm.types import Assignment


def assign_unit(points: tf.Tensor, centers: tf.Tensor, backend: str | None) -> Assignment:
    """As `tensors.assign` of points scaled to length 1: ½‖x − c‖² is the cosine distance then."""
    unit, zeros = tensors.unit_rows(points, backend)
    labels, sq_distances = tensors.assign(unit, centers, backend=backend)
    two = tf.cast(2, sq_distances.dtype)  # zeros are at cosine distance 1 from everything
    return Assignment(tf.where(zeros, 0, labels), tf.where(zeros, two, sq_distances))


def cosine_distances(points: tf.Tensor, centers: tf.Tensor, backend: str | None) -> tf.Tensor:
    """(n, k)."""
    unit, zeros = tensors.unit_rows(points, backend)
    distances = tensors.sq_distances(unit, centers, backend=backend) / 2
    return tf.where(zeros[:, None], tf.ones_like(distances), distances)


def assign_leaves(points: tf.Tensor, tree: Tree, backend: str | None) -> Assignment:
    """As `bisecting.assign`, of tensors and to tensors."""
    parts = list(_descend(points, tree, backend))
    distances = [
        tensors.assign(
            tf.gather(points, rows), tree.centroids[cluster : cluster + 1], backend=backend
        ).sq_distances
        for cluster, rows in parts
    ]
    return Assignment(_joined(points, parts, _clusters(parts)), _joined(points, parts, distances))


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
        sides = tensors.assign(here, tree.pairs[split], backend=backend).labels
        for side in (0, 1):
            part = tf.boolean_mask(rows, sides == side)
            if not tf.executing_eagerly() or len(part):
                waiting.append((int(tree.children[split, side]), part))
