"""Stock TensorFlow ops only, in bounded memory: for graphs that are to run where nothing else is.

A chunk of rows at a time, in float64: the expanded form ‖c‖² − 2c·x around the centroids' mean, and where
that cannot tell the least from the second least, the direct form of `reference`. In float64 that is little
but exact ties.

float64 throughout: a float32 product takes half the time, but GPUs round its factors to TF32 unless a
global switch says otherwise, and a graph cannot ask for more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.ops import error_bound, graphs, reference, sums, validate
from tfkm.ops.backend import Nest
from tfkm.types import Assignment, ExactStatistics

# Of float64 distances, or of points if they are wider: 4 MB of them at a time.
_CHUNK = 2**19

# What a chunk of points gives: values for each row, and what adds up over the chunks.
_Parts: TypeAlias = tuple[tuple[tf.Tensor, ...], Nest]


TAKES_BATCHES = False


def assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    """As `reference.assign`."""
    return _assign(points, centroids, *centroids.shape)


def accumulate(
    points: tf.Tensor, centroids: tf.Tensor, weights: tf.Tensor | None, grid: exact.Grid
) -> tuple[Assignment, ExactStatistics]:
    """As `reference.accumulate`."""
    return _accumulate(points, centroids, weights, grid, *centroids.shape)


def sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """As `reference.sq_distances`."""
    return _sq_distances(points, centroids, *centroids.shape)


def why_not_in_xla() -> str:
    return "XLA fixes the sizes of arrays, and some of these depend on the points"


# Their graphs are for any number of points, and so forget other sizes: k and d are arguments.


@graphs.for_any_rows
def _assign(points: tf.Tensor, centroids: tf.Tensor, k: int, d: int) -> Assignment:
    centroids = tf.ensure_shape(centroids, [k, d])
    frame = _frame(centroids)

    def chunk(x: tf.Tensor, _: slice) -> _Parts:
        return _nearest(x, centroids, frame), ()

    return Assignment(*_over_chunks(points, centroids, chunk, _per_point(centroids), ())[0])


@graphs.for_any_rows
def _accumulate(
    points: tf.Tensor,
    centroids: tf.Tensor,
    weights: tf.Tensor | None,
    grid: exact.Grid,
    k: int,
    d: int,
) -> tuple[Assignment, ExactStatistics]:
    centroids = tf.ensure_shape(centroids, [k, d])
    frame = _frame(centroids)

    def chunk(x: tf.Tensor, rows: slice) -> _Parts:
        labels, distances = _nearest(x, centroids, frame)
        w = None if weights is None else weights[rows]
        return (labels, distances), reference.statistics(x, labels, distances, w, grid, k)

    zeros = sums.zeros(k, d)
    outputs, total = _over_chunks(points, centroids, chunk, _per_point(centroids), zeros)
    return Assignment(*outputs), total


@graphs.for_any_rows
def _sq_distances(points: tf.Tensor, centroids: tf.Tensor, k: int, d: int) -> tf.Tensor:
    centroids = tf.ensure_shape(centroids, [k, d])

    def chunk(x: tf.Tensor, _: slice) -> _Parts:
        return (reference.sq_distances(x, centroids),), ()

    row = tf.TensorSpec([None, k], centroids.dtype)
    return _over_chunks(points, centroids, chunk, (row,), ())[0][0]


def _per_point(centroids: tf.Tensor) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    """Labels and distances."""
    return tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], centroids.dtype)


def _over_chunks(
    points: tf.Tensor,
    centroids: tf.Tensor,
    chunk: Callable[[tf.Tensor, slice], _Parts],
    specs: tuple[tf.TensorSpec, ...],
    total: Nest,
) -> _Parts:
    """chunk(rows of points, which) -> (values for each row, what adds up): joined, and added to `total`.

    specs: of the values, which are rounded to these dtypes.
    """
    k, d = centroids.shape
    points = tf.ensure_shape(points, [None, d])
    n, step = tf.shape(points, out_type=tf.int64)[0], max(1, _CHUNK // max(k, d))
    count = tf.cast(-(-n // step), tf.int32)

    def one(
        i: tf.Tensor, parts: tuple[tf.TensorArray, ...], total: Nest
    ) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...], Nest]:
        start = tf.cast(i, tf.int64) * step
        rows = slice(start, start + step)
        values, more = chunk(points[rows], rows)
        parts = tuple(
            part.write(i, tf.cast(value, spec.dtype))
            for part, value, spec in zip(parts, values, specs, strict=True)
        )
        return i + 1, parts, tf.nest.map_structure(tf.add, total, more)

    parts = tuple(
        tf.TensorArray(spec.dtype, count, infer_shape=False, element_shape=spec.shape)
        for spec in specs
    )
    _, parts, total = tf.while_loop(
        lambda i, *_: i < count, one, (0, parts, total), parallel_iterations=1
    )
    outputs = tuple(
        tf.ensure_shape(tf.reshape(part.concat(), [n, *spec.shape[1:]]), spec.shape)
        for part, spec in zip(parts, specs, strict=True)
    )
    return outputs, total


class _Frame(NamedTuple):
    """Centroids around their mean, float64."""

    offset: tf.Tensor  # (d,)
    factors: tf.Tensor  # (k, d): −2c
    sq_norms: tf.Tensor  # (k,)
    largest_norm: tf.Tensor  # ()


def _frame(centroids: tf.Tensor) -> _Frame:
    c = tf.cast(centroids, tf.float64)
    offset = tf.reduce_mean(c, axis=0)
    c -= offset
    sq_norms = tf.reduce_sum(tf.square(c), axis=1)
    return _Frame(offset, -2 * c, sq_norms, tf.sqrt(tf.reduce_max(sq_norms)))


def _nearest(points: tf.Tensor, centroids: tf.Tensor, frame: _Frame) -> tuple[tf.Tensor, tf.Tensor]:
    """labels (r,) int32, squared distances (r,) float64, NaN for a bad row; holds (r, k)."""
    exactly = tf.cast(points, tf.float64)
    sq_norms = tf.reduce_sum(tf.square(exactly), axis=1)
    valid = sq_norms <= validate.largest_sq_norm(centroids.dtype)
    x = exactly - frame.offset
    values = frame.sq_norms + tf.matmul(x, frame.factors, transpose_b=True)
    labels = tf.argmin(values, axis=1, output_type=tf.int32)
    near = values <= (tf.reduce_min(values, axis=1) + _margin(x, frame))[:, None]
    rows = tf.where(valid & (tf.math.count_nonzero(near, axis=1) > 1))

    def decided() -> tf.Tensor:
        unclear = tf.gather(points, rows[:, 0])
        return tf.tensor_scatter_nd_update(
            labels, rows, reference.assign(unclear, centroids).labels
        )

    # The direct form goes through k centroids, also for no points.
    labels = tf.cond(tf.size(rows) > 0, decided, lambda: labels)
    own = tf.gather(tf.cast(centroids, tf.float64), labels)
    distances = tf.reduce_sum(tf.square(exactly - own), axis=1)
    return labels, tf.where(valid, distances, tf.constant(np.nan, tf.float64))


def _margin(x: tf.Tensor, frame: _Frame) -> tf.Tensor:
    """(r,) a gap above this is no rounding, of this form or of the direct one; docs/design/exactness.md."""
    norms = tf.sqrt(tf.reduce_sum(tf.square(x), axis=1))
    room = error_bound.wide_margin(norms, frame.largest_norm, x.shape[1], direct=True)
    return room + np.finfo(np.float64).tiny
