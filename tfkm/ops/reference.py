"""The specification: what every backend must return. Float64, whole k×n, no tiling.

Read this to know what the package computes; do not use it for large n·k.
"""

from __future__ import annotations

import tensorflow as tf

from tfkm import exact
from tfkm.ops import graphs, sums, validate
from tfkm.types import Assignment, ExactStatistics, Words

TAKES_BATCHES = False


def why_not_in_xla() -> str:
    """Return nothing: it can be used there."""
    return ""


def sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """(n, k) squared distances ‖x − c‖², in the direct form, in the centroids' dtype."""
    return tf.cast(tf.transpose(_all_sq_distances(points, centroids)), centroids.dtype)


def assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    """The nearest centroid of each point, the lowest index among exact ties.

    A row that is not finite, or whose squared norm overflows the centroids' dtype, has distance NaN.
    """
    labels, nearest = _assign(points, centroids)
    return Assignment(labels, tf.cast(nearest, centroids.dtype))


def accumulate(
    points: tf.Tensor, centroids: tf.Tensor, weights: tf.Tensor | None, grid: exact.Grid
) -> tuple[Assignment, ExactStatistics]:
    """The assignment, and each cluster's weighted sum and weight, and the inertia.

    weights: (n,) float64, None for ones. grid: shared by all parts of one sum.
    """
    labels, nearest = _assign(points, centroids)
    total = statistics(points, labels, nearest, weights, grid, centroids.shape[0])
    return Assignment(labels, tf.cast(nearest, centroids.dtype)), total


def statistics(
    points: tf.Tensor,
    labels: tf.Tensor,
    sq_distances: tf.Tensor,
    weights: tf.Tensor | None,
    grid: exact.Grid,
    k: int,
) -> ExactStatistics:
    """Those of an assignment, whose distances are float64."""
    if weights is None:
        weights = tf.ones_like(sq_distances)

    def per_cluster(terms: tf.Tensor) -> tf.Tensor:
        return tf.math.unsorted_segment_sum(terms, labels, k)

    values = sums.split(weights[:, None] * tf.cast(points, tf.float64), grid.sums, grid.count)
    sizes = sums.split(weights, grid.weights, grid.count)
    high, low = (Words(*map(per_cluster, word)) for word in zip(values, sizes, strict=True))
    return ExactStatistics(high, low, sums.digits(weights * sq_distances))


@graphs.for_any_rows
def _all_sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """(k, n) float64, one centroid after the other: never an (n, k, d) tensor."""
    x = tf.cast(points, tf.float64)
    c = tf.cast(centroids, tf.float64)
    return tf.map_fn(lambda centroid: tf.reduce_sum(tf.square(x - centroid), axis=1), c)


def _assign(points: tf.Tensor, centroids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(n,) int32 labels and (n,) float64 squared distances."""
    distances = _all_sq_distances(points, centroids)
    labels = tf.argmin(distances, axis=0, output_type=tf.int32)  # the first of equals
    sq_norms = tf.reduce_sum(tf.square(tf.cast(points, tf.float64)), axis=1)
    valid = sq_norms <= validate.largest_sq_norm(centroids.dtype)
    return labels, tf.where(
        valid, tf.reduce_min(distances, axis=0), tf.constant(float("nan"), tf.float64)
    )
