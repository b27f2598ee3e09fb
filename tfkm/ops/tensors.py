"""`assign`, `accumulate` and `sq_distances` of tensors: eagerly, in a graph, in one that XLA compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.ops import batched, error_bound, gradients, sums, tensor_backends, validate
from tfkm.ops.backend import Given
from tfkm.traces import traced
from tfkm.types import Assignment, ExactStatistics, Statistics

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _as_it_is(function: _Function) -> _Function:
    # Called from a user's tf.function, AutoGraph would rewrite what has no Python loop to rewrite, and
    # warn of what it cannot read.
    left: _Function = tf.autograph.experimental.do_not_convert(function)
    return left


@_as_it_is
def assign(
    points: Given, centroids: Given, *, n_points: Given = None, backend: str | None = None
) -> Assignment:
    """As `tfkm.assign`, of tensors and to tensors."""
    points, centroids = validate.points_and_centroids(points, centroids, leading=True)
    n_points = validate.counts_of(points, n_points, centroids)
    module = tensor_backends.select(backend)
    listened = gradients.listened_to(points, centroids)
    x, c = gradients.hidden(listened, points, centroids)
    if n_points is not None or batched.any_leading(points, centroids):
        all_ = batched.leading(x, c, None, n_points)
        assignment = batched.assign(module, all_.points, all_.centroids, all_.problems)
        labels, distances = map(all_.shaped, assignment)
    else:
        labels, distances = module.assign(x, c)
    if listened:
        padded = n_points is not None
        distances = gradients.of_nearest(points, centroids, labels, distances, padded)
    return Assignment(labels, validate.distances(points, centroids, distances))


@_as_it_is
def accumulate(
    points: Given,
    centroids: Given,
    weights: Given = None,
    *,
    n_points: Given = None,
    backend: str | None = None,
) -> tuple[Assignment, Statistics]:
    """As `tfkm.accumulate`, of tensors and to tensors."""
    points, centroids = validate.points_and_centroids(points, centroids, leading=True)
    n_points = validate.counts_of(points, n_points, centroids)
    n = tf.shape(points, out_type=tf.int64)[-2]
    counted = None if n_points is None else tf.sequence_mask(n_points, n)
    if weights is not None:
        weights = validate.weights_of(points, weights, centroids, counted)
        weights = tf.stop_gradient(weights)
    listened = gradients.listened_to(points, centroids)
    x, c = gradients.hidden(listened, points, centroids)
    heaviest = 1.0 if weights is None else tf.reduce_max(weights, axis=-1)
    if n_points is not None:  # of none, steps would be 0, by which XLA divides zeros
        heaviest = tf.where(n_points > 0, heaviest, 1.0)
        n = tf.maximum(n_points, 1)
    largest = largest_magnitudes(x, counted)
    if isinstance(largest, np.ndarray):
        grid = exact.grid(np.asarray(n), largest, np.asarray(heaviest))
    else:
        grid = sums.grid(n, largest, heaviest)
    (labels, distances), statistics = partial(x, c, weights, grid, n_points, backend=backend)
    if listened:
        padded = n_points is not None
        distances = gradients.of_nearest(points, centroids, labels, distances, padded)
    return Assignment(labels, distances), sums.rounded(statistics)


@_as_it_is
@traced("tfkm: part of a pass")
def partial(
    points: tf.Tensor,
    centroids: tf.Tensor,
    weights: tf.Tensor | None,
    grid: exact.Grid,
    n_points: tf.Tensor | None = None,
    *,
    backend: str | None = None,
) -> tuple[Assignment, ExactStatistics]:
    """`accumulate` for a part of the points: parts made with one grid add up without rounding.

    Arguments are taken as checked: weights (…, n) float64 or None, centroids in the dtype to compute in,
    a grid for each problem or one for all.
    """
    module = tensor_backends.select(backend)
    grid = exact.Grid(*map(tf.convert_to_tensor, grid))
    if n_points is not None or batched.any_leading(points, centroids):
        all_ = batched.leading(points, centroids, weights, n_points)
        flat_grid = exact.Grid(*(all_.flat(part, 1) for part in grid))
        result = batched.accumulate(
            module, all_.points, all_.centroids, all_.weights, flat_grid, all_.problems
        )
        result = tf.nest.map_structure(all_.shaped, result)
    else:
        result = module.accumulate(points, centroids, weights, grid)
    (labels, distances), statistics = result
    distances = validate.distances(points, centroids, distances)
    return Assignment(labels, distances), validate.statistics(statistics, distances, weights)


@_as_it_is
def sq_distances(points: Given, centroids: Given, *, backend: str | None = None) -> tf.Tensor:
    """(n, k) squared distances in the direct form, float64 if either argument is, else float32.

    Differentiable with respect to points and centroids.
    """
    points, centroids = validate.points_and_centroids(points, centroids)
    listened = gradients.listened_to(points, centroids)
    x, c = gradients.hidden(listened, points, centroids)
    distances = tensor_backends.select(backend).sq_distances(x, c)
    if listened:
        distances = gradients.of_all(points, centroids, distances)
    # A bad point is at a bad distance from every centroid, so the first one tells.
    with tf.control_dependencies([validate.distances(points, centroids, distances[:, 0])]):
        return tf.identity(distances)


def unit_rows(rows: tf.Tensor, backend: str | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """As `spherical.unit_rows`, of tensors and to tensors."""
    compute = tf.float64 if rows.dtype == tf.float64 else tf.float32
    origin = tf.zeros([1, rows.shape[1]], tf.float64)
    sq_norms = assign(rows, origin, backend=backend).sq_distances
    is_zero = sq_norms == 0
    stays = error_bound.is_unit(sq_norms, np.dtype(compute.as_numpy_dtype)) | is_zero
    lengths = tf.where(stays, tf.ones_like(sq_norms), tf.sqrt(sq_norms))
    return tf.cast(tf.cast(rows, tf.float64) / lengths[:, None], compute), is_zero


FEW = 4096  # rows


def largest_magnitudes(
    points: tf.Tensor | np.ndarray, counted: tf.Tensor | None = None
) -> tf.Tensor | np.ndarray:
    """(…, d) float64, the largest |value| of each feature, 0 for n = 0; no copy of the points.

    counted: (…, n) which rows to look at; in a graph that takes a copy. Of few points an array: NumPy
    takes 22 ns a row, TensorFlow 100 µs and more for these ops.
    """
    if counted is not None:
        if tf.executing_eagerly() and "CPU" in points.device:
            where = np.asarray(counted)[..., None]
            values = np.asarray(points)
            leading = np.broadcast_shapes(values.shape[:-2], where.shape[:-2])
            values = np.broadcast_to(values, (*leading, *values.shape[-2:]))
            low, high = (f(axis=-2, initial=0, where=where) for f in (values.min, values.max))
            return np.maximum(-low.astype(np.float64), high)
        points = tf.where(counted[..., None], points, tf.zeros([], points.dtype))
    if isinstance(points, np.ndarray) or (
        tf.executing_eagerly()
        and validate.is_numpys(points)
        and points.shape[:-1].num_elements() <= FEW
    ):
        values = np.asarray(points)
        low, high = values.min(axis=-2, initial=0), values.max(axis=-2, initial=0)
        return np.maximum(-low.astype(np.float64), high)  # −(−128) is not an int8
    low, high = tf.reduce_min(points, axis=-2), tf.reduce_max(points, axis=-2)  # NaN stays NaN
    low, high = tf.cast(low, tf.float64), tf.cast(high, tf.float64)
    n = tf.shape(points, out_type=tf.int64)[-2]
    return tf.where(n > 0, tf.maximum(-low, high), tf.zeros_like(high))
