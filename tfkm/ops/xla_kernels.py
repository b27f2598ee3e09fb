"""The XLA-compiled kernels of `xla.py`, each over one block of fixed size.

points (block, d) in their own dtype, widened chunk by chunk; centroids (k, d) float32 or float64,
whose dtype is the one computed in; rows (): how many points of the block are real.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.ops import error_bound, graphs, validate
from tfkm.ops import sums as exact_sums
from tfkm.tensorflow_private import tf2xla, xla_data
from tfkm.types import ExactStatistics, Words


class Plan(NamedTuple):
    """What is static. block, chunk: rows, both powers of two; tile: centroids; rescue: rows; precision: of
    the screen's products, one of PARTS. at_once: blocks that may run side by side."""

    block: int
    chunk: int
    tile: int
    rescue: int
    precision: str = "ieee"
    at_once: int = 1


# Into how many numbers of TF32 (11 bits) the screen cuts a float32 factor; none leaves it whole.
PARTS = {"ieee": 0, "tf32x3": 2, "tf32": 1}

# TensorFlow lets GPUs round float32 factors to TF32; the highest precision does not. A plain tf.matmul
# takes this from a global switch, which a library should not turn. Factors that are TF32 already, and so
# have exact products, may go either way.
_WHOLE, _CUT = (
    xla_data.PrecisionConfig(operand_precision=[precision] * 2)
    for precision in (xla_data.PrecisionConfig.HIGHEST, xla_data.PrecisionConfig.DEFAULT)
)
_NAN, _ZERO = np.float64("nan"), np.float64(0)
_ROWS_BY_ROWS = xla_data.DotDimensionNumbers(
    lhs_contracting_dimensions=[1], rhs_contracting_dimensions=[1]
)


class Cut(NamedTuple):
    """Factors (…, d) as a sum of parts (…, d) and of what is left; None where they are whole."""

    parts: tuple[tf.Tensor, ...]
    rest: tf.Tensor | None

    @classmethod
    def of(cls, factors: tf.Tensor, precision: str) -> Cut:
        count = PARTS[precision] if factors.dtype == tf.float32 else 0
        if not count:
            return cls((factors,), None)
        parts = []
        for _ in range(count):  # what is left of a number after rounding it is one, too: exact
            parts.append(tf2xla.reduce_precision(factors, exponent_bits=8, mantissa_bits=10))
            factors -= parts[-1]
        return cls(tuple(parts), factors)

    def norms(self) -> Cut:
        """(…,) of the rows of each; none of what is whole."""
        if self.rest is None:
            return Cut((), None)
        return Cut(tuple(map(_norms, self.parts)), _norms(self.rest))

    def each(self, function: Callable[[tf.Tensor], tf.Tensor]) -> Cut:
        rest = None if self.rest is None else function(self.rest)
        return Cut(tuple(map(function, self.parts)), rest)


def _dot(a: Cut, b: Cut) -> tf.Tensor:
    """(p, d), (q, d) -> (p, q), a·bᵀ; of cut ones without the products of small parts and of the rest."""
    count, precision = len(a.parts), _WHOLE if a.rest is None else _CUT
    products = [
        tf2xla.dot_general(a.parts[i], b.parts[j], _ROWS_BY_ROWS, precision_config=precision)
        for i in range(count)
        for j in range(count - i)
    ]
    return functools.reduce(operator.add, reversed(products))


def _lost(a: Cut, b: Cut) -> tf.Tensor | None:
    """A bound of what `_dot` leaves out, of factors with these norms, which broadcast; None for nothing."""
    if a.rest is None or b.rest is None:
        return None
    count = len(a.parts)
    small = [a.parts[i] * b.parts[j] for i in range(count) for j in range(count - i, count)]
    left = a.rest * (sum(b.parts) + b.rest) + sum(a.parts) * b.rest
    return sum(small, left)


def _norms(rows: tf.Tensor) -> tf.Tensor:
    """(…, d) -> (…), with room for squares that underflow."""
    return tf.sqrt(tf.reduce_sum(tf.square(rows), axis=-1)) + np.float32(2.0**-50)


class Frame(NamedTuple):
    """Centroids around their mean, in tiles: what the expanded form ‖c‖² − 2c·x needs of them.

    Moving the origin into the data is what keeps float32 apart from cancellation far from 0.
    """

    offset: tf.Tensor  # (d,)
    factors: Cut  # (tiles, tile, d): −2c
    largest_norms: Cut  # (): of those
    sq_norms: tf.Tensor  # (tiles, tile): ‖c‖², infinite where there is no centroid
    largest_norm: tf.Tensor  # ()


@graphs.compiled
def frame(centroids: tf.Tensor, plan: Plan) -> Frame:
    """The frame of centroids (k, d), in their dtype. Made once per call, not per block."""
    k, d = centroids.shape
    exactly = tf.cast(centroids, tf.float64)
    offset = tf.cast(tf.reduce_mean(exactly, axis=0), centroids.dtype)
    c = centroids - offset
    sq_norms = tf.reduce_sum(tf.square(tf.cast(c, tf.float64)), axis=1)
    padding = -k % plan.tile
    infinite = tf.fill([padding], tf.constant(np.inf, c.dtype))
    factors = Cut.of(tf.pad(-2 * c, [[0, padding], [0, 0]]), plan.precision)
    return Frame(
        offset,
        factors.each(lambda part: tf.reshape(part, [-1, plan.tile, d])),
        factors.norms().each(tf.reduce_max),
        tf.reshape(tf.concat([tf.cast(sq_norms, c.dtype), infinite], 0), [-1, plan.tile]),
        tf.cast(tf.sqrt(tf.reduce_max(sq_norms)), c.dtype),
    )


@graphs.compiled
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
        cut = Cut.of(x, plan.precision)
        label, gap = _nearest_and_gap(cut, frame)
        sq_norm = tf.reduce_sum(tf.square(x), axis=1)
        valid = sq_norm <= 4 * validate.largest_sq_norm(sq_norm.dtype)
        label = tf.where(valid, label, 0)
        lost = _lost(cut.norms(), frame.largest_norms)
        unclear = valid & (gap <= _margin(sq_norm, frame, lost))
        distance = _own_sq_distance(tf.cast(raw, tf.float64), centroids, label)
        return label, tf.where(valid, distance, _NAN), unclear

    return _over_chunks(chunk, (tf.int32, tf.float64, tf.bool), rows, plan)


@graphs.compiled
def rescue(points: tf.Tensor, centroids: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
    """labels (rescue,) int32 and squared distances (rescue,) float64; all in float64.

    The expanded form first; rows that it leaves unclear, exact ties above all, by the direct form.
    """
    x = tf.cast(points, tf.float64)
    shifted = x - frame.offset
    label, gap = _nearest_and_gap(Cut((shifted,), None), frame)
    unclear = gap <= _margin(tf.reduce_sum(tf.square(shifted), axis=1), frame)

    def directly(row: tf.Tensor) -> tf.Tensor:
        distances = tf.reduce_sum(tf.square(centroids - row), axis=1)
        return _first(distances <= tf.reduce_min(distances), axis=0)

    def decide(args: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        row, label, unclear = args
        return tf.cond(unclear, lambda: directly(row), lambda: label)

    label = tf.map_fn(decide, (x, label, unclear), fn_output_signature=tf.int32)
    return label, _own_sq_distance(x, centroids, label)


@graphs.compiled
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

    def terms(start: tf.Tensor) -> tuple[list[tuple[tf.Tensor, tf.Tensor]], tf.Tensor, tf.Tensor]:
        """(high, low) of the sums (chunk, d) and weights (chunk,) of a chunk; its labels; its inertia."""
        some = [start], [plan.chunk]
        real = start + tf.range(plan.chunk) < rows
        w = tf.where(real, tf.slice(weights, *some), _ZERO)
        cost = w * tf.where(real, tf.slice(distances, *some), _ZERO)
        x = tf.cast(tf.slice(points, [start, 0], [plan.chunk, d]), tf.float64)
        parts = [
            exact_sums.split(term, bound, grid.count)
            for term, bound in ((w[:, None] * x, grid.sums), (w, grid.weights))
        ]
        return parts, tf.slice(labels, *some)[:, None], exact_sums.digits(cost)

    # The words are scattered one by one: side by side in one wide scatter took twice as long.
    def step(i: tf.Tensor, total: ExactStatistics) -> tuple[tf.Tensor, ExactStatistics]:
        parts, label, inertia = terms(i * plan.chunk)
        high, low = (
            Words(
                tf.tensor_scatter_nd_add(so_far.sums, label, x),
                tf.tensor_scatter_nd_add(so_far.weights, label, w),
            )
            for so_far, x, w in zip(total[:2], *parts, strict=True)
        )
        return i + 1, ExactStatistics(high, low, total.inertia + inertia)

    # Counted by ones: where it knows rows, XLA of TensorFlow 2.21 leaves out a loop from 0 while
    # below 1 by steps of 64.
    zeros = exact_sums.zeros(k, d)
    total: ExactStatistics = tf.while_loop(lambda i, _: i * plan.chunk < rows, step, (0, zeros))[1]
    return total


@graphs.compiled
def sq_distances(points: tf.Tensor, centroids: tf.Tensor, rows: tf.Tensor, plan: Plan) -> tf.Tensor:
    """(block, k) squared distances in the direct form."""

    def chunk(start: tf.Tensor) -> tuple[tf.Tensor]:
        raw = tf.slice(points, [start, 0], [plan.chunk, points.shape[1]])
        x = tf.cast(raw, centroids.dtype)
        return (tf.reduce_sum(tf.square(x[:, None] - centroids), axis=2),)

    return _over_chunks(chunk, (centroids.dtype,), rows, plan)[0]


def _over_chunks(
    chunk: Callable[[tf.Tensor], tuple[tf.Tensor, ...]],
    dtypes: tuple[tf.DType, ...],
    rows: tf.Tensor,
    plan: Plan,
) -> tuple[tf.Tensor, ...]:
    """chunk(start) -> tensors (chunk, …) for each chunk that has real rows; joined to (block, …)."""
    parts = tuple(tf.TensorArray(dtype, plan.block // plan.chunk) for dtype in dtypes)

    def step(
        i: tf.Tensor, parts: tuple[tf.TensorArray, ...]
    ) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...]]:
        values = chunk(i * plan.chunk)
        return i + 1, tuple(p.write(i, v) for p, v in zip(parts, values, strict=True))

    _, parts = tf.while_loop(lambda i, _: i * plan.chunk < rows, step, (0, parts))
    return tuple(p.concat() for p in parts)


def _nearest_and_gap(x: Cut, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
    """x (r, d) around the offset -> labels (r,) int32 and by how much the second least is above."""
    tiles, tile = frame.sq_norms.shape
    infinity = tf.constant(np.inf, frame.sq_norms.dtype)

    def of_tile(t: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        factors = frame.factors.each(lambda part: part[t])
        distances = frame.sq_norms[t][:, None] + _dot(factors, x)  # (tile, r)
        least = tf.reduce_min(distances, axis=0)
        label = _first(distances <= least, axis=0)
        others = tf.where(tf.range(tile)[:, None] == label, infinity, distances)
        return least, label, tf.reduce_min(others, axis=0)

    least, label, second = of_tile(0)
    if tiles > 1:

        def merge(
            t: tf.Tensor, least: tf.Tensor, label: tf.Tensor, second: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
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


def _margin(sq_norm: tf.Tensor, frame: Frame, lost: tf.Tensor | None = None) -> tf.Tensor:
    """(r,) a gap above this is no rounding, as `error_bound.margin` has it."""
    d = frame.factors.parts[0].shape[2]
    dtype = np.dtype(sq_norm.dtype.as_numpy_dtype)
    return error_bound.margin(tf.sqrt(sq_norm), frame.largest_norm, d, dtype, lost)


def _own_sq_distance(x: tf.Tensor, centroids: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """(r,) squared distance of each point to the centroid of its label, in the direct form."""
    return tf.reduce_sum(tf.square(x - tf.gather(centroids, labels)), axis=1)
