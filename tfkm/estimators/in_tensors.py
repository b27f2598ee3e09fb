"""Computations of fitted estimators on tensors: eagerly, in a graph and in an exported model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfkm.fits.bisecting import Tree
from tfkm.ops import tensors
from tfkm.types import Assignment


def assign_unit(points: tf.Tensor, centers: tf.Tensor, backend: str | None) -> Assignment:
    """Return `tensors.assign` of points scaled to length 1, for which ½‖x − c‖² is the cosine distance."""
    unit, zeros = tensors.unit_rows(points, backend)
    labels, sq_distances = tensors.assign(unit, centers, backend=backend)
    two = tf.cast(2, sq_distances.dtype)  # points of zeros are at cosine distance 1 from everything
    return Assignment(tf.where(zeros, 0, labels), tf.where(zeros, two, sq_distances))


def cosine_distances(points: tf.Tensor, centers: tf.Tensor, backend: str | None) -> tf.Tensor:
    """Return (n, k), the cosine distance of each point to each center."""
    unit, zeros = tensors.unit_rows(points, backend)
    distances = tensors.sq_distances(unit, centers, backend=backend) / 2
    return tf.where(zeros[:, None], tf.ones_like(distances), distances)


def assign_leaves(points: tf.Tensor, tree: Tree, backend: str | None) -> Assignment:
    """Return what `bisecting.assign` returns, for tensors and as tensors."""
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
    """Return, for each part, the number of its cluster, repeated for its rows."""
    return [tf.fill([tf.size(rows)], np.int32(cluster)) for cluster, rows in parts]


def _joined(points: tf.Tensor, parts: _Parts, values: list[tf.Tensor]) -> tf.Tensor:
    """Return (n,) in the order of the points, from the values of each part."""
    rows = tf.concat([rows for _, rows in parts], axis=0)
    n = tf.shape(points, out_type=tf.int64)[0]
    return tf.scatter_nd(rows[:, None], tf.concat(values, axis=0), n[None])


def _descend(points: tf.Tensor, tree: Tree, backend: str | None) -> Iterator[tuple[int, tf.Tensor]]:
    """Yield each cluster with the indices (m,) int64 of its points.

    In a graph it also yields clusters without points, since sizes are not known there.
    """
    waiting = [(0 if len(tree.children) else -1, tf.range(tf.shape(points, out_type=tf.int64)[0]))]
    while waiting:
        split, rows = waiting.pop()
        if split < 0:
            yield -1 - split, rows
            continue
        # All points are at the root; gathering would copy them.
        here = points if split == 0 else tf.gather(points, rows)
        sides = tensors.assign(here, tree.pairs[split], backend=backend).labels
        for side in (0, 1):
            part = tf.boolean_mask(rows, sides == side)
            if not tf.executing_eagerly() or len(part):
                waiting.append((int(tree.children[split, side]), part))
