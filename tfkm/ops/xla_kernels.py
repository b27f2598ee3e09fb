"""The XLA-compiled kernels of `xla.py`, each over one block of fixed size.

points (block, d) in their own dtype, widened chunk by chunk; centroids (k, d) float32 or float64,
whose dtype is the one computed in; rows (): how many points of the block are real.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla as tf2xla
from tensorflow.compiler.xla import xla_data_pb2

from tfkm import exact
from tfkm.ops import validate
from tfkm.types import ExactStatistics, Statistics


class Plan(NamedTuple):
    """Static sizes. block, chunk: rows, both powers of two; tile: centroids; rescue: rows."""

    block: int
    chunk: int
    tile: int
    rescue: int


# TensorFlow lets GPUs round float32 factors to TF32 (10 bits); the highest precision does not.
# A plain tf.matmul takes this from a global switch, which a library should not turn.
_FULL_PRECISION = xla_data_pb2.PrecisionConfig(
    operand_precision=[xla_data_pb2.PrecisionConfig.HIGHEST] * 2
)
_NAN, _ZERO = np.float64("nan"), np.float64(0)
_ROWS_BY_ROWS = xla_data_pb2.DotDimensionNumbers(
    lhs_contracting_dimensions=[1], rhs_contracting_dimensions=[1]
)


def _dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """(p, d), (q, d) -> (p, q), a·bᵀ in full precision."""
    return tf2xla.dot_general(a, b, _ROWS_BY_ROWS, precision_config=_FULL_PRECISION)


class Frame(NamedTuple):
    """Centroids around their mean, in tiles: what the expanded form ‖c‖² − 2c·x needs of them.

    Moving the origin into the data is what keeps float32 apart from cancellation far from 0.
    """

    offset: tf.Tensor  # (d,)
    factors: tf.Tensor  # (tiles, tile, d): −2c
    sq_norms: tf.Tensor  # (tiles, tile): ‖c‖², infinite where there is no centroid
    largest_norm: tf.Tensor  # ()


@tf.function(jit_compile=True, autograph=False)
def frame(centroids: tf.Tensor, plan: Plan) -> Frame:
    """The frame of centroids (k, d), in their dtype. Made once per call, not per block."""
    k, d = centroids.shape
    exactly = tf.cast(centroids, tf.float64)
    offset = tf.cast(tf.reduce_mean(exactly, axis=0), centroids.dtype)
    c = centroids - offset
    sq_norms = tf.reduce_sum(tf.square(tf.cast(c, tf.float64)), axis=1)
    padding = -k % plan.tile
    infinite = tf.fill([padding], tf.constant(np.inf, c.dtype))
    return Frame(
        offset,
        tf.reshape(tf.pad(-2 * c, [[0, padding], [0, 0]]), [-1, plan.tile, d]),
        tf.reshape(tf.concat([tf.cast(sq_norms, c.dtype), infinite], 0), [-1, plan.tile]),
        tf.cast(tf.sqrt(tf.reduce_max(sq_norms)), c.dtype),
    )


@tf.function(jit_compile=True, autograph=False)
def screen(
    points: tf.Tensor, centroids: tf.Tensor, frame: Frame, rows: tf.Tensor, plan: Plan
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """labels (block,) int32, their squared distances (block,) float64, unclear (block,) bool.

    centroids (k, d) float64; frame in the dtype to compute in. Where unclear, another centroid is
    within the rounding of this form. A row that is not finite or overflows has distance NaN.
    """

    def chunk(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        raw = tf.slice(points, [start, 0], [plan.chunk, points.shape[1]])
        x = tf.cast(raw, frame.offset.dtype) - frame.offset
        label, gap = _nearest_and_gap(x, frame)
        sq_norm = tf.reduce_sum(tf.square(x), axis=1)
        valid = sq_norm <= 4 * validate.largest_sq_norm(sq_norm.dtype)
        label = tf.where(valid, label, 0)
        unclear = valid & (gap <= _margin(sq_norm, frame))
        distance = _own_sq_distance(tf.cast(raw, tf.float64), centroids, label)
        return label, tf.where(valid, distance, _NAN), unclear

    return _over_chunks(chunk, (tf.int32, tf.float64, tf.bool), rows, plan)


@tf.function(jit_compile=True, autograph=False)
def rescue(points: tf.Tensor, centroids: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
    """labels (rescue,) int32 and squared distances (rescue,) float64; all in float64.

    The expanded form first; rows that it leaves unclear, exact ties above all, by the direct form.
    """
    x = tf.cast(points, tf.float64)
    shifted = x - frame.offset
    label, gap = _nearest_and_gap(shifted, frame)
    unclear = gap <= _margin(tf.reduce_sum(tf.square(shifted), axis=1), frame)

    def directly(row: tf.Tensor) -> tf.Tensor:
        distances = tf.reduce_sum(tf.square(centroids - row), axis=1)
        return _first(distances <= tf.reduce_min(distances), axis=0)

    def decide(args: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        row, label, unclear = args
        return tf.cond(unclear, lambda: directly(row), lambda: label)

    label = tf.map_fn(decide, (x, label, unclear), fn_output_signature=tf.int32)
    return label, _own_sq_distance(x, centroids, label)


@tf.function(jit_compile=True, autograph=False)
def sums(
    points: tf.Tensor,
    labels: tf.Tensor,
    distances: tf.Tensor,
    weights: tf.Tensor,
    rows: tf.Tensor,
    grid: exact.Grid,
    k: int,
    plan: Plan,
) -> ExactStatistics:
    """The exact statistics of one block; weights (block,) float64. Padding has weight zero."""
    d = points.shape[1]

    def words(start: tf.Tensor) -> tuple[list[tuple[tf.Tensor, tf.Tensor]], tf.Tensor]:
        """(high, low) of the sums (chunk, d), weights (chunk,), inertia () of a chunk; labels."""
        some = [start], [plan.chunk]
        real = start + tf.range(plan.chunk) < rows
        w = tf.where(real, tf.slice(weights, *some), _ZERO)
        cost = w * tf.where(real, tf.slice(distances, *some), _ZERO)
        x = tf.cast(tf.slice(points, [start, 0], [plan.chunk, d]), tf.float64)
        terms = Statistics(w[:, None] * x, w, cost)
        parts = [
            exact.split(term, bound, grid.count)
            for term, bound in zip(terms, (grid.sums, grid.weights, grid.inertia), strict=True)
        ]
        return parts, tf.slice(labels, *some)[:, None]

    # The words are scattered one by one: side by side in one wide scatter took twice as long.
    def step(i: tf.Tensor, total: ExactStatistics):
        parts, label = words(i * plan.chunk)
        high, low = (
            Statistics(
                tf.tensor_scatter_nd_add(so_far.sums, label, x),
                tf.tensor_scatter_nd_add(so_far.weights, label, w),
                so_far.inertia + tf.reduce_sum(cost),
            )
            for so_far, x, w, cost in zip(total, *parts, strict=True)
        )
        return i + 1, ExactStatistics(high, low)

    # Counted by ones: where it knows rows, XLA of TensorFlow 2.21 leaves out a loop from 0 while
    # below 1 by steps of 64.
    zeros = ExactStatistics.zeros(k, d)
    return tf.while_loop(lambda i, _: i * plan.chunk < rows, step, (0, zeros))[1]


@tf.function(jit_compile=True, autograph=False)
def sq_distances(points: tf.Tensor, centroids: tf.Tensor, rows: tf.Tensor, plan: Plan) -> tf.Tensor:
    """(block, k) squared distances in the direct form."""

    def chunk(start: tf.Tensor) -> tuple[tf.Tensor]:
        raw = tf.slice(points, [start, 0], [plan.chunk, points.shape[1]])
        x = tf.cast(raw, centroids.dtype)
        return (tf.reduce_sum(tf.square(x[:, None] - centroids), axis=2),)

    return _over_chunks(chunk, (centroids.dtype,), rows, plan)[0]


def _over_chunks(chunk, dtypes, rows: tf.Tensor, plan: Plan) -> tuple[tf.Tensor, ...]:
    """chunk(start) -> tensors (chunk, …) for each chunk that has real rows; joined to (block, …)."""
    parts = tuple(tf.TensorArray(dtype, plan.block // plan.chunk) for dtype in dtypes)

    def step(i: tf.Tensor, parts: tuple[tf.TensorArray, ...]):
        values = chunk(i * plan.chunk)
        return i + 1, tuple(p.write(i, v) for p, v in zip(parts, values, strict=True))

    _, parts = tf.while_loop(lambda i, _: i * plan.chunk < rows, step, (0, parts))
    return tuple(p.concat() for p in parts)


def _nearest_and_gap(x: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
    """x (r, d) around the offset -> labels (r,) int32 and by how much the second least is above."""
    tiles, tile, _ = frame.factors.shape
    infinity = tf.constant(np.inf, x.dtype)

    def of_tile(t: tf.Tensor | int):
        distances = frame.sq_norms[t][:, None] + _dot(frame.factors[t], x)  # (tile, r)
        least = tf.reduce_min(distances, axis=0)
        label = _first(distances <= least, axis=0)
        others = tf.where(tf.range(tile)[:, None] == label, infinity, distances)
        return least, label, tf.reduce_min(others, axis=0)

    least, label, second = of_tile(0)
    if tiles > 1:

        def merge(t, least, label, second):
            new_least, new_label, new_second = of_tile(t)
            second = tf.minimum(tf.maximum(least, new_least), tf.minimum(second, new_second))
            label = tf.where(new_least < least, t * tile + new_label, label)
            return t + 1, tf.minimum(least, new_least), label, second

        _, least, label, second = tf.while_loop(
            lambda t, *_: t < tiles, merge, (1, least, label, second)
        )
    return label, second - least


def _first(mask: tf.Tensor, axis: int) -> tf.Tensor:
    """int32 index of the first true value along `axis` 0."""
    size = mask.shape[axis]
    shape = [size] + [1] * (mask.shape.rank - 1)
    return tf.reduce_min(tf.where(mask, tf.reshape(tf.range(size), shape), size), axis=axis)


def _margin(sq_norm: tf.Tensor, frame: Frame) -> tf.Tensor:
    """(r,) a gap above this cannot be rounding: twice the error of one value, with slack.

    With u the unit roundoff, ‖x‖ and C the norms around the offset: centring x and c moves
    ‖c‖² − 2c·x by at most 4u‖x‖C + 2uC², a product summed in any order errs by d·u·2‖x‖C, the
    norm and the last addition by u(2‖x‖C + 2C²) (Higham 2002, §3.1). All of it is below
    (d + 8)·u·(2‖x‖C + C²). The second term keeps the direct form's own error out of the way,
    so that it would have decided alike; the third is for products lost to underflow.
    """
    d = frame.factors.shape[2]
    growth, tiny = _growth(d, sq_norm.dtype), np.finfo(sq_norm.dtype.as_numpy_dtype).tiny
    norm, largest = tf.sqrt(sq_norm), frame.largest_norm
    expanded = 2 * growth * largest * (2 * norm + largest)
    direct = 4 * _growth(d, tf.float64) * tf.square(norm + largest)
    slack = 1.05 + 4 * growth  # for the rounding of this very bound
    return slack * (expanded + direct) + 8 * (d + 8) * tiny


def _growth(d: int, dtype: tf.DType) -> float:
    """γ of Higham's book for d + 8 roundings: n·u / (1 − n·u)."""
    roundings = (d + 8) * float(np.finfo(dtype.as_numpy_dtype).eps) / 2
    return roundings / (1 - roundings)


def _own_sq_distance(x: tf.Tensor, centroids: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """(r,) squared distance of each point to the centroid of its label, in the direct form."""
    return tf.reduce_sum(tf.square(x - tf.gather(centroids, labels)), axis=1)
