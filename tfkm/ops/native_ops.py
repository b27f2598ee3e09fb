"""The compiled kernels as TensorFlow ops. kernels/core has what they do, `native` calls them on arrays."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfkm import exact, threads
from tfkm.ops import native_library, validate, xla_call
from tfkm.ops.backend import Problems
from tfkm.types import Assignment, ExactStatistics, Words

TAKES_BATCHES = True


def assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    """As `reference.assign`."""
    if validate.inside_xla():
        results = xla_call.per_point(points, centroids)
        labels, distances = xla_call.call("tfkm_assign", [points, centroids], results)
    else:
        with tf.device("CPU"):
            labels, distances = native_library.ops().tfkm_assign(
                points, centroids, threads=threads.count()
            )
    return Assignment(labels, distances)


def accumulate(
    points: tf.Tensor, centroids: tf.Tensor, weights: tf.Tensor | None, grid: exact.Grid
) -> tuple[Assignment, ExactStatistics]:
    """As `reference.accumulate`."""
    if weights is None:
        weights = _none(tf.float64, 1)
    arguments = [points, centroids, weights, *grid]
    if validate.inside_xla():
        k, d = centroids.shape
        word = [xla_call.Value(tf.float64, shape) for shape in ([k, d], [k])]
        digits = xla_call.Value(tf.float64, [exact.DIGITS])
        results = [*xla_call.per_point(points, centroids), *word, *word, digits]
        return _accumulated(*xla_call.call("tfkm_accumulate", arguments, results))
    with tf.device("CPU"):
        return _accumulated(
            *native_library.ops().tfkm_accumulate(*arguments, threads=threads.count())
        )


def assign_batch(points: tf.Tensor, centroids: tf.Tensor, problems: Problems) -> Assignment:
    """Problems in one call, see `batched.assign`; kernels/core/batch.cc shares them out to the threads."""
    with tf.device("CPU"):
        labels, distances = native_library.ops().tfkm_assign_batch(
            points, centroids, *_table(problems), threads=threads.count()
        )
    return Assignment(labels, distances)


def accumulate_batch(
    points: tf.Tensor,
    centroids: tf.Tensor,
    weights: tf.Tensor | None,
    grid: exact.Grid,
    problems: Problems,
) -> tuple[Assignment, ExactStatistics]:
    """As `assign_batch`, for `batched.accumulate`."""
    if weights is None:
        weights = _none(tf.float64, 2)
    arguments = [points, centroids, *_table(problems), weights, *grid]
    with tf.device("CPU"):
        return _accumulated(
            *native_library.ops().tfkm_accumulate_batch(*arguments, threads=threads.count())
        )


def _accumulated(
    labels: tf.Tensor, distances: tf.Tensor, *parts: tf.Tensor
) -> tuple[Assignment, ExactStatistics]:
    """The outputs of an op that accumulates."""
    sums, weights, low_sums, low_weights, inertia = parts
    statistics = ExactStatistics(Words(sums, weights), Words(low_sums, low_weights), inertia)
    return Assignment(labels, distances), statistics


def _none(dtype: tf.DType, rank: int) -> tf.Tensor:
    """What an op takes for an argument that is not given. By tf.zeros it would take 40 µs."""
    return tf.constant(np.empty([0] * rank, dtype.as_numpy_dtype))


def _table(problems: Problems) -> tuple[tf.Tensor, tf.Tensor]:
    rows = _none(tf.int64, 1) if problems.rows is None else problems.rows
    return problems.table, rows


def sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """As `reference.sq_distances`."""
    if validate.inside_xla():
        result = xla_call.Value(centroids.dtype, [points.shape[0], centroids.shape[0]])
        return xla_call.call("tfkm_distances", [points, centroids], [result])[0]
    with tf.device("CPU"):
        return native_library.ops().tfkm_distances(points, centroids, threads=threads.count())


# --- the library -----------------------------------------------------------------------------------


def why_not_in_xla() -> str:
    """Why the kernels cannot be called in a program that XLA compiles; empty if they can."""
    return xla_call.why_not(native_library.library())
