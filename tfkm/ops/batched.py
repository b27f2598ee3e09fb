"""Many problems in one call: by backends that take them so, and one by one for those that do not.

Nothing is copied once per problem: a table says which points, centroids and weights are each one's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeGuard

import tensorflow as tf

from tfkm import exact
from tfkm.ops import validate
from tfkm.ops.backend import BatchBackend, Nest, Problems, TensorBackend
from tfkm.types import Assignment, ExactStatistics, Words


def assign(
    backend: TensorBackend, points: tf.Tensor, centroids: tf.Tensor, problems: Problems
) -> Assignment:
    """(B, n): each problem as `backend.assign` has it alone."""
    if _takes_batches(backend):
        return backend.assign_batch(points, centroids, problems)

    def one(own: tf.Tensor, rows: tf.Tensor | None) -> Assignment:
        x, _ = _counted(_own(points, own[0]), None, rows)
        return _padded(backend.assign(x, _own(centroids, own[1])), points, rows)

    all_: Assignment = _one_by_one(one, problems, _per_point(points, centroids))
    return all_


def accumulate(
    backend: TensorBackend,
    points: tf.Tensor,
    centroids: tf.Tensor,
    weights: tf.Tensor | None,
    grid: exact.Grid,
    problems: Problems,
) -> tuple[Assignment, ExactStatistics]:
    """(B, n), and statistics with B in front; so has the grid: sums (B, d), the others (B,)."""
    if _takes_batches(backend):
        return backend.accumulate_batch(points, centroids, weights, grid, problems)
    k, d = centroids.shape[1:]

    def one(
        own: tf.Tensor, rows: tf.Tensor | None, grid: exact.Grid
    ) -> tuple[Assignment, ExactStatistics]:
        w = None if weights is None else _own(weights, own[2])
        x, w = _counted(_own(points, own[0]), w, rows)
        assignment, statistics = backend.accumulate(x, _own(centroids, own[1]), w, grid)
        return _padded(assignment, points, rows), statistics

    word = Words(tf.TensorSpec([k, d], tf.float64), tf.TensorSpec([k], tf.float64))
    digits = tf.TensorSpec([exact.DIGITS], tf.float64)
    signature = (_per_point(points, centroids), ExactStatistics(word, word, digits))
    all_: tuple[Assignment, ExactStatistics] = _one_by_one(one, problems, signature, grid)
    return all_


def _takes_batches(backend: TensorBackend) -> TypeGuard[BatchBackend]:
    return backend.TAKES_BATCHES and not validate.inside_xla()


def _one_by_one(
    function: Callable[..., Nest], problems: Problems, signature: Nest, *more: Nest
) -> Nest:
    """function(own (3,), rows () or None, *more[i]) of each problem, stacked."""
    if problems.rows is None:
        return tf.map_fn(
            lambda a: function(a[0], None, *a[1:]),
            (problems.table, *more),
            fn_output_signature=signature,
        )
    return tf.map_fn(lambda a: function(*a), (*problems, *more), fn_output_signature=signature)


def _own(tensor: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    if tensor.shape[0] == 1:
        return tf.squeeze(tensor, 0)  # which is no copy
    return tf.ensure_shape(tensor[index], tensor.shape[1:])


def _counted(
    points: tf.Tensor, weights: tf.Tensor | None, rows: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """The rows (n, d) that count, and their weights; where XLA compiles, and no size may vary, zeros in
    the place of the others."""
    if rows is None:
        return points, weights
    if not validate.inside_xla():
        return points[:rows], None if weights is None else weights[:rows]
    counts = tf.range(tf.shape(points, out_type=tf.int64)[0]) < rows
    points = tf.where(counts[:, None], points, tf.zeros_like(points))
    ones = tf.cast(counts, tf.float64)
    return points, ones if weights is None else tf.where(counts, weights, ones)


def _padded(assignment: Assignment, points: tf.Tensor, rows: tf.Tensor | None) -> Assignment:
    """Labels −1 and distances 0 behind the rows that count of points (P, n, d)."""
    if rows is None:
        return assignment
    labels, distances = assignment
    n = tf.shape(points, out_type=tf.int64)[1]
    if validate.inside_xla():
        counts = tf.range(n) < rows
        zeros = tf.zeros_like(distances)
        return Assignment(tf.where(counts, labels, -1), tf.where(counts, distances, zeros))
    missing = [[0, n - tf.shape(labels, out_type=tf.int64)[0]]]
    return Assignment(tf.pad(labels, missing, constant_values=-1), tf.pad(distances, missing))


def _per_point(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    n = points.shape[1]
    return Assignment(tf.TensorSpec([n], tf.int32), tf.TensorSpec([n], centroids.dtype))


# --- leading dimensions --------------------------------------------------------------------------


_Shape: TypeAlias = "tuple[int, ...] | tf.Tensor"


class Leading(NamedTuple):
    """Tensors with leading dimensions that broadcast, flat, and how their results are to be shaped."""

    rank: int  # how many leading dimensions all of them have together
    shape: _Shape  # and what they are: integers, or (rank,) int32 if some are unknown
    points: tf.Tensor  # these as `Problems` says
    centroids: tf.Tensor
    weights: tf.Tensor | None
    problems: Problems

    def flat(self, tensor: tf.Tensor, own: int) -> tf.Tensor:
        """(…, *own) -> (B, *own), for a tensor with `own` dimensions behind those that broadcast."""
        sizes = tf.shape(tensor)[tensor.shape.rank - own :]
        return _flat(tf.broadcast_to(tensor, tf.concat([_sizes(self.shape), sizes], 0)), own)

    def shaped(self, tensor: tf.Tensor) -> tf.Tensor:
        """(B, *own) -> (…, *own)."""
        if self.rank == 1:
            return tensor
        if self.rank == 0:
            return tf.squeeze(tensor, 0)
        return tf.reshape(tensor, tf.concat([_sizes(self.shape), tf.shape(tensor)[1:]], 0))


def any_leading(points: tf.Tensor, centroids: tf.Tensor) -> bool:
    return bool(points.shape.rank > 2 or centroids.shape.rank > 2)


def leading(
    points: tf.Tensor,
    centroids: tf.Tensor,
    weights: tf.Tensor | None,
    n_points: tf.Tensor | None = None,
) -> Leading:
    """points (…, n, d), centroids (…, k, d), weights (…, n) or None, n_points (…) int64 or None."""
    given = [(t, own) for t, own in ((points, 2), (centroids, 2), (weights, 1)) if t is not None]
    shapes = [t.shape[:-own] for t, own in given]
    shape: _Shape
    if all(shape.is_fully_defined() for shape in shapes):
        shape = tuple(functools.reduce(tf.broadcast_static_shape, shapes))
        make = _eager_table if tf.executing_eagerly() else _table
        table = make(shape, *map(tuple, shapes))
    else:
        unknown = [tf.shape(t)[:-own] for t, own in given]
        shape = functools.reduce(tf.broadcast_dynamic_shape, unknown)
        table = _table(shape, *unknown)
    if weights is not None:
        weights = _flat(weights, 1)
    rank = max(shape.rank for shape in shapes)
    all_ = Leading(rank, shape, _flat(points, 2), _flat(centroids, 2), weights, Problems(table))
    if n_points is None:
        return all_
    return all_._replace(problems=Problems(table, all_.flat(n_points, 0)))


def _sizes(shape: _Shape) -> tf.Tensor:
    return tf.convert_to_tensor(shape, tf.int32)  # also of no dimensions


def _table(together: _Shape, *shapes: _Shape) -> tf.Tensor:
    """Which element of each shape goes into each of the elements of the one to which they broadcast."""

    def elements(shape: _Shape) -> tf.Tensor:
        shape = _sizes(shape)
        numbers = tf.range(tf.reduce_prod(tf.cast(shape, tf.int64)))
        return tf.reshape(tf.broadcast_to(tf.reshape(numbers, shape), _sizes(together)), [-1])

    columns = [elements(shape) for shape in shapes]
    return tf.stack((columns + columns[:1])[:3], axis=1)


# Once for the same shapes: these small ops take longer than a small batch.
_eager_table = functools.lru_cache(maxsize=64)(_table)


def _flat(tensor: tf.Tensor, own: int) -> tf.Tensor:
    """(…, *own) -> (product of …, *own)."""
    if tensor.shape.rank == own + 1:
        return tensor
    sizes = tensor.shape[tensor.shape.rank - own :]
    if not sizes.is_fully_defined():
        known = tf.shape(tensor)
        flat = tf.reshape(tensor, tf.concat([[tf.reduce_prod(known[:-own])], known[-own:]], 0))
        return tf.ensure_shape(flat, [None, *sizes])
    count = tensor.shape[: tensor.shape.rank - own].num_elements()
    return tf.reshape(tensor, [-1 if count is None else count, *sizes])
