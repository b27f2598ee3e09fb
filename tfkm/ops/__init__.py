"""The narrow waist: stateless functions on tensors. Validate, select a backend, call it.

Nothing above this layer knows how a distance is computed; nothing below it knows what a fit is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.ops import backends, batched, gradients, sums, validate
from tfkm.traces import traced
from tfkm.types import Ahead, Assignment, ExactStatistics, Statistics

_Function = TypeVar("_Function", bound=Callable)


def _as_it_is(function: _Function) -> _Function:
    # Called from a user's tf.function, AutoGraph would rewrite what has no Python loop to rewrite, and
    # warn of what it cannot read.
    return tf.autograph.experimental.do_not_convert(function)


@_as_it_is
def assign(points, centroids, *, n_points=None, backend: str | None = None) -> Assignment:
    """The nearest centroid of each point.

    A label is the argmin of the true squared Euclidean distance, the lowest index among exact ties;
    it depends neither on the other points nor on chunk sizes or threads.

    Args:
      points: (…, n, d) float32, float64, float16, bfloat16, int8 or uint8; n may be unknown or 0. Other
        integers and truth values are copied to float64.
      centroids: (…, k, d), k ≥ 1, of the same dtypes. If either is float64 all is computed in float64,
        otherwise in float32 (with near ties decided in float64).
      n_points: (…) integers from 0 to n, how many rows of each problem are points, from the first on; None
        for all. The others are padding, of any value, with label −1 and distance 0.
      backend: a name from `tfkm.backends()`; None takes the fastest usable one.

    Leading dimensions are problems of their own, with the results that each has alone. They broadcast:
    one set of points with many sets of centroids is read in place by all.

    Returns:
      `Assignment`: labels (…, n) int32, sq_distances (…, n) float32 or float64. Distances are
      differentiable with respect to points and centroids: as ‖x − cⱼ‖² with the label j held fixed, which
      at a tie is a subgradient. Labels are not: they are steps, and `tf.GradientTape` gives None for them.

    Raises:
      ValueError, TypeError: an argument is not as above, has a value that is not finite, or a
        squared norm that overflows. In a graph, values are judged when it runs:
        `tf.errors.InvalidArgumentError`. In one that XLA compiles nothing can raise: there a bad
        point's distance is NaN; all are, if centroids are bad; and so are then all statistics.
      RuntimeError: the named backend cannot be used here.

    >>> import tfkm
    >>> tfkm.assign([[0.0, 0.0], [9.0, 9.0]], [[1.0, 0.0], [9.0, 8.0]]).labels.numpy()
    array([0, 1], dtype=int32)
    >>> tfkm.assign([[[0.0], [9.0]], [[4.0], [0.0]]], [[1.0], [5.0]], n_points=[2, 1]).labels.numpy()
    array([[ 0,  1],
           [ 1, -1]], dtype=int32)
    """
    points, centroids = validate.points_and_centroids(points, centroids, leading=True)
    n_points = validate.counts_of(points, n_points, centroids)
    module = backends.select(backend)
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


def labels_in_place(
    points, centroids: np.ndarray, *, backend: str | None = None
) -> np.ndarray | None:
    """`assign(…).labels` of an array (n, d), without a tensor: of one point in half the time.

    None where the backend has no such way, and of bad values, of which `assign` says which.
    """
    module = backends.select(backend)
    function = getattr(module, "assign_arrays", None)
    if function is None or not isinstance(points, np.ndarray) or not module.reads(points):
        return None
    wide = np.float64 in (points.dtype.type, centroids.dtype.type)
    compute = tf.float64 if wide else tf.float32
    centroids = np.ascontiguousarray(centroids, compute.as_numpy_dtype)
    if not validate.surely_fine(centroids, compute):
        return None
    labels, sq_distances = function(points, centroids)
    return labels if np.max(sq_distances, initial=0.0) < np.inf else None


@_as_it_is
def accumulate(
    points, centroids, weights=None, *, n_points=None, backend: str | None = None
) -> tuple[Assignment, Statistics]:
    """The assignment, and per cluster the weighted sum of its points and their weight.

    Args:
      points, centroids, n_points, backend: as for `assign`. Padding counts for nothing; of no points at all
        the statistics are zero.
      weights: (…, n) real, finite, none negative and not all zero; None for ones. Any behind n_points.

    Returns:
      `Assignment` as `assign` gives it, and `Statistics`: sums (…, k, d), weights (…, k), inertia (…),
      all float64 and correct to their last bits, whatever the order of the points. Derivatives are those of
      `assign`; statistics have none.

    Raises: as `assign`.

    >>> import tfkm
    >>> _, statistics = tfkm.accumulate([[0.0], [1.0], [9.0]], [[0.0], [8.0]])
    >>> statistics.sums.numpy().ravel(), statistics.weights.numpy(), float(statistics.inertia)
    (array([1., 9.]), array([2., 1.]), 2.0)
    """
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
    return Assignment(labels, distances), statistics.rounded()


@_as_it_is
@traced("tfkm: part of a pass")
def partial(
    points, centroids, weights, grid: exact.Grid, n_points=None, *, backend: str | None = None
) -> tuple[Assignment, ExactStatistics]:
    """`accumulate` for a part of the points: parts made with one grid add up without rounding.

    Arguments are taken as checked: weights (…, n) float64 or None, centroids in the dtype to compute in,
    a grid for each problem or one for all.
    """
    module = backends.select(backend)
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


@traced("tfkm: pass")
def partial_arrays(
    points,
    centroids,
    weights,
    grid: exact.Grid,
    problems: batched.Problems,
    before: batched.Sweep | None = None,
    *,
    measured: bool = True,
    ahead: Ahead | None = None,
    backend: str | None = None,
) -> batched.Sweep:
    """`partial` for a fit, which makes many passes: of NumPy arrays and to NumPy arrays.

    Args, all contiguous and taken as checked, bad values included: points (P, n, d), a tensor or an array
      that the backend `reads`; centroids (C, k, d); weights (W, n) float64 or None; grid with B in front;
      the B problems on these; before: another pass that differs in the centroids only, which is used
      up: what it holds may be written over. It shows in nothing but the time: a backend may look at no
      more than what may have changed; measured: whether distances and inertia are wanted; ahead: leave,
      which a backend need not take, to make the passes that follow if it is not measured. Each
      problem has centroids of its own then, those of its number.
    """
    module = backends.select(backend)
    return batched.accumulate_arrays(
        module, points, centroids, weights, grid, problems, before, measured, ahead
    )


def reads(points: np.ndarray, *, backend: str | None = None) -> bool:
    """Whether the backend reads these points (…, n, d) where they lie, however TensorFlow would."""
    function = getattr(backends.select(backend), "reads", None)
    return function is not None and function(points)


@_as_it_is
def sq_distances(points, centroids, *, backend: str | None = None) -> tf.Tensor:
    """(n, k) squared distances in the direct form, float64 if either argument is, else float32.

    Differentiable with respect to points and centroids.
    """
    points, centroids = validate.points_and_centroids(points, centroids)
    listened = gradients.listened_to(points, centroids)
    x, c = gradients.hidden(listened, points, centroids)
    distances = backends.select(backend).sq_distances(x, c)
    if listened:
        distances = gradients.of_all(points, centroids, distances)
    # A bad point is at a bad distance from every centroid, so the first one tells.
    with tf.control_dependencies([validate.distances(points, centroids, distances[:, 0])]):
        return tf.identity(distances)


def kmeans_plusplus(
    points,
    weights,
    first: int | None,
    uniforms,
    sq_distances: np.ndarray | None = None,
    *,
    backend: str | None = None,
) -> np.ndarray | None:
    """Greedy k-means++ as a whole, or None where the backend has only its parts.

    Args, taken as checked: points (n, d) NumPy array, or None where they are not in one;
      weights (n,) or None; first: the first index; uniforms (k − 1, trials) in [0, 1), which choose the
      candidates of each round; sq_distances: if some centroids are there already, (n,) to the nearest of
      these, in the dtype to compute in: then there is no first, and uniforms are (k, trials).

    Returns: (k,) int64 indices; −1 from where on every point coincides with a chosen one.
    """
    function = getattr(backends.select(backend), "kmeans_plusplus", None)
    if function is None or points is None:
        return None
    return function(points, weights, first, uniforms, sq_distances)


def kmeans_plusplus_batch(
    points, counts, weights, firsts, uniforms, *, backend: str | None = None
) -> np.ndarray | None:
    """As `kmeans_plusplus` for B problems: (B, n, d) of which counts (B,) rows are points, and so on."""
    function = getattr(backends.select(backend), "kmeans_plusplus_batch", None)
    return None if function is None else function(points, counts, weights, firsts, uniforms)


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
