"""Lloyd's iteration (Lloyd 1982): assign, add up, move, until nothing changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.utils import check_random_state

from tfkm import exact, ops, seeding, spherical, update
from tfkm.ops import backends, validate
from tfkm.points import Points
from tfkm.types import Assignment, ExactStatistics, Pass, Result, Statistics, Status


class _Problem(NamedTuple):
    """What stays the same in all passes."""

    points: Points
    weights: np.ndarray | None  # (n,) float64; 0 for points without a direction
    largest: tf.Tensor  # (d,) magnitudes
    backend: str
    directions: _Directions | None = None  # for the cosine distance


class _Directions(NamedTuple):
    """Where points and centroids are of length 1."""

    zeros: np.ndarray  # (m,) indices of points of zeros, which have none
    weight: float  # of those


def _problem(data: Points, weights: np.ndarray | None, metric: str, backend: str) -> _Problem:
    """Raises ValueError if a point is not finite."""
    largest = data.largest_magnitudes()
    if metric == "euclidean":
        return _Problem(data, weights, largest, backend)
    unit = spherical.UnitPoints(data, backend)
    zeros = np.flatnonzero(unit.zeros)
    weight = float(len(zeros) if weights is None else weights[zeros].sum())
    if len(zeros):
        weights = np.where(unit.zeros, 0.0, 1.0 if weights is None else weights)
    return _Problem(unit, weights, unit.largest_magnitudes(), backend, _Directions(zeros, weight))


def kmeans(
    points,
    n_clusters: int,
    *,
    weights=None,
    init: seeding.Init = "k-means++",
    n_init: int | str = "auto",
    max_iter: int = 300,
    tol: float = 1e-4,
    random_state=None,
    metric: str = "euclidean",
    backend: str | None = None,
    copy: bool = True,
    on_pass: Callable[[Pass], None] | None = None,
) -> Result:
    """Exact k-means of points in memory or in a memory map.

    Args:
      points: (n, d) NumPy array or tf.Tensor, float32, float64, float16, bfloat16, int8 or uint8;
        finite. Computed in float64 if float64, else in float32.
      n_clusters: k, 1 ≤ k ≤ the number of points of positive weight.
      weights: (n,) real, finite, not negative; None for ones.
      init: "k-means++" (greedy), "k-means||", "afk-mc2" or "random", which are the functions
        `kmeans_plusplus`, `kmeans_parallel`, `afk_mc2` and `random_points`; a `functools.partial` of
        one, with settings such as n_local_trials or given; an array (k, d); or any other callable
        (points, k, random_state=…) -> (k, d).
      n_init: restarts, of which the one with the least inertia is kept; "auto" is 10 for "random" and
        any other callable, else 1. An array is tried once.
      max_iter: most passes of a start.
      tol: the end is also reached when Σ‖shift‖² ≤ tol · mean variance of the features.
      random_state: None, an int or a `numpy.random.RandomState`.
      metric: "euclidean", or "cosine" for spherical k-means (`tfkm.spherical`): a point belongs to the
        centroid at the least cosine distance, centroids are of length 1, and the inertia is the weighted
        sum of cosine distances. A point of zeros is at distance 1 from everything, has label 0, and no
        part in centroids. Points are scaled to length 1, once if that copy is below 256 MB.
      backend: a name from `tfkm.backends()`, None for the fastest usable one.
      copy: whether points that cannot be read in place may be copied once if below 256 MB.
      on_pass: called after each pass with a `Pass`; an exception in it ends the fit.

    Returns:
      `Result`; the same input, seed and backend give the same bits.

    Raises:
      ValueError, TypeError: an argument is not as above; before any work.
      RuntimeError: the named backend cannot be used here.

    >>> import numpy as np, tfkm
    >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> result = tfkm.kmeans(x, 2, random_state=0)
    >>> sorted(result.centroids.numpy().ravel().tolist()), result.inertia
    ([0.5, 10.5], 1.0)
    """
    _check_parameters(n_clusters, init, n_init, max_iter, tol, metric)
    backend = backends.select(backend).__name__.rpartition(".")[2]
    data = Points(points, copy=copy)
    weights = validate.weights_array(weights, data.n)
    validate.check_clusters(n_clusters, data.n, weights)
    init = seeding.checked(init, data, n_clusters)
    rng = check_random_state(random_state)

    problem = _problem(data, weights, metric, backend)
    data, weights = problem.points, problem.weights
    usable = data.n if weights is None else int(np.count_nonzero(weights))
    if n_clusters > usable:
        raise ValueError(
            f"n_clusters: {n_clusters} is more than the {usable} points of positive weight that are "
            "not all zeros, which metric='cosine' needs"
        )
    threshold = tol * _mean_variance(problem) if tol > 0 else 0.0

    def one(start: int) -> Result:
        centroids = seeding.seed(
            data, n_clusters, init, rng, weights=weights, original=points, backend=backend
        )
        if problem.directions is not None:
            centroids = unit_centroids(centroids, backend)
        return _one_start(problem, centroids, max_iter, threshold, start, on_pass)

    return min(map(one, range(_starts(n_init, init))), key=lambda result: result.inertia)


def unit_centroids(centroids: tf.Tensor, backend: str | None = None) -> tf.Tensor:
    """(k, d) scaled to length 1; raises ValueError if one is all zeros."""
    scaled, zeros = spherical.unit_rows(centroids, backend)
    if zeros.any():
        row = np.flatnonzero(zeros)[0]
        raise ValueError(f"init: row {row} is all zeros; with metric='cosine' it needs a direction")
    return scaled


def inertia(
    points, centroids, weights=None, *, metric: str = "euclidean", backend: str | None = None
) -> float:
    """The weighted sum of squared distances to the nearest centroid; arguments as for `kmeans`.

    Of the points and weights of a fit and its centroids it is `Result.inertia`, bit for bit.
    """
    problem = _checked_problem(points, weights, metric, backend)
    return _inertia(problem, _one_pass(problem, centroids)[1])


def one_pass(
    points, centroids, weights=None, *, backend: str | None = None
) -> tuple[Assignment, Statistics]:
    """Labels (n,) and squared distances (n,) as arrays, and the statistics; arguments as for `kmeans`."""
    return _one_pass(_checked_problem(points, weights, "euclidean", backend), centroids)


def _one_pass(problem: _Problem, centroids) -> tuple[Assignment, Statistics]:
    centroids = tf.convert_to_tensor(centroids)
    if problem.points.compute == tf.float64:
        centroids = tf.cast(centroids, tf.float64)
    return _pass(problem, centroids, _grid(problem, centroids))


def mean_variance(points, *, backend: str | None = None) -> float:
    """The unit of `tol`: the mean over the features of their variance, unweighted."""
    return _mean_variance(_checked_problem(points, None, "euclidean", backend))


def _checked_problem(points, weights, metric: str, backend: str | None) -> _Problem:
    data = Points(points)
    name = backends.select(backend).__name__.rpartition(".")[2]
    return _problem(data, validate.weights_array(weights, data.n), metric, name)


def _one_start(
    problem: _Problem,
    centroids: tf.Tensor,
    max_iter: int,
    threshold: float,
    start: int,
    on_pass: Callable[[Pass], None] | None,
) -> Result:
    grid = _grid(problem, centroids)
    status, labels_before = Status.MAX_ITER, np.empty(0, np.int32)
    for iteration in range(1, max_iter + 1):
        began = time.perf_counter()
        assignment, statistics = _pass(problem, centroids, grid)
        moved, shift = _move(problem, centroids, assignment, statistics)
        if on_pass is not None:
            seconds = time.perf_counter() - began
            on_pass(Pass(start, iteration, _inertia(problem, statistics), shift, seconds))
        labels, inertia = assignment.labels, _inertia(problem, statistics)
        before, centroids = centroids, moved
        if np.array_equal(labels, labels_before):
            status = Status.LABELS_UNCHANGED
            break
        if shift <= threshold:
            status = Status.WITHIN_TOL
            break
        labels_before = labels
    # Labels and inertia are those of the centroids before the last move.
    if not np.array_equal(before, centroids):
        (labels, _), statistics = _pass(problem, centroids, grid)
        inertia = _inertia(problem, statistics)
    return Result(centroids, tf.constant(labels), inertia, iteration, status)


def _pass(
    problem: _Problem, centroids: tf.Tensor, grid: exact.Grid
) -> tuple[Assignment, Statistics]:
    """One pass over all points: labels (n,) and distances (n,) as arrays, and their statistics."""
    n = problem.points.n
    labels = np.empty(n, np.int32)
    distances = np.empty(n, problem.points.compute.as_numpy_dtype)
    total = ExactStatistics.zeros(*centroids.shape)
    for start, block in problem.points:
        rows = slice(start, start + len(block))
        weights = None if problem.weights is None else tf.constant(problem.weights[rows])
        assignment, part = ops.partial(block, centroids, weights, grid, backend=problem.backend)
        labels[rows], distances[rows] = assignment.labels, assignment.sq_distances
        total = total + part
    if problem.directions is not None:
        labels[problem.directions.zeros] = 0
    return Assignment(labels, distances), total.rounded()


def _inertia(problem: _Problem, statistics: Statistics) -> float:
    """Of squared distances, or of cosine distances: those of length 1 are at half their squared one."""
    inertia = float(statistics.inertia)
    return inertia if problem.directions is None else inertia / 2 + problem.directions.weight


def _move(
    problem: _Problem, centroids: tf.Tensor, assignment: Assignment, statistics: Statistics
) -> tuple[tf.Tensor, float]:
    """The new centroids, in the dtype of the old, and Σ‖shift‖²."""
    means = update.centroids(
        statistics, centroids.numpy(), *assignment, problem.weights, lambda i: problem.points[i]
    )
    if problem.directions is not None:
        unit, zeros = spherical.unit_rows(tf.constant(means), problem.backend)
        means = np.where(zeros[:, None], centroids.numpy(), unit.numpy())  # no direction: it stays
    moved = means.astype(centroids.dtype.as_numpy_dtype)
    shift = np.square(moved.astype(np.float64) - centroids.numpy()).sum()
    return tf.constant(moved), float(shift)


def _mean_variance(problem: _Problem) -> float:
    """The mean over the features of their variance (unweighted, as in scikit-learn), in one pass.

    As k-means with one centroid, a point: Σ‖x − c‖² = n·Σvariance + n·‖mean − c‖².
    """
    unweighted = problem._replace(weights=None)
    centroid = problem.points[np.array([0])]
    _, (sums, _, inertia) = _pass(unweighted, centroid, _grid(unweighted, centroid))
    mean_from_centroid = sums[0] / problem.points.n - tf.cast(centroid[0], tf.float64)
    spread = inertia / problem.points.n - tf.reduce_sum(tf.square(mean_from_centroid))
    return max(float(spread), 0.0) / problem.points.d


def _grid(problem: _Problem, centroids: tf.Tensor) -> exact.Grid:
    """One grid for all passes of a start: means never leave the hull of points and centroids."""
    return exact.grid(
        problem.points.n,
        problem.largest,
        tf.maximum(problem.largest, ops.largest_magnitudes(centroids)),
        1.0 if problem.weights is None else problem.weights.max(),
    )


def _starts(n_init: int | str, init: seeding.Init) -> int:
    if not isinstance(init, str) and not callable(init):
        return 1
    return seeding.default_starts(init) if n_init == "auto" else int(n_init)


def _check_parameters(n_clusters, init, n_init, max_iter, tol, metric) -> None:
    validate.check_number("n_clusters", n_clusters, Integral, 1)
    validate.check_number("max_iter", max_iter, Integral, 1)
    validate.check_number("tol", tol, Real, 0)
    if n_init != "auto":
        validate.check_number("n_init", n_init, Integral, 1, " or 'auto'")
    if metric not in spherical.METRICS:
        raise ValueError(f"metric: {metric!r}; allowed are 'euclidean' and 'cosine'")
    if isinstance(init, str) and init not in seeding.NAMES:
        names = ", ".join(map(repr, seeding.NAMES))
        raise ValueError(f"init: {init!r}; allowed are {names}, an array (k, d), or a callable")
