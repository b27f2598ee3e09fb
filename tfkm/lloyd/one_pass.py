"""One pass over points in memory: their labels, their statistics, the inertia, the mean variance."""

from __future__ import annotations

from tfkm import checks
from tfkm.data import arrays
from tfkm.data.points import Points
from tfkm.lloyd.in_memory import Problem, mean_variance_of, pass_over, problem_of
from tfkm.ops.backend import Backend
from tfkm.types import Assignment, Statistics


def one_pass(
    points, centroids, weights, backend: Backend, metric: str = "euclidean"
) -> tuple[Assignment, Statistics]:
    """Return labels (n,) and squared distances (n,) as arrays, and the statistics.

    Args:
        points: (n, d), any kind that `tfkm.kmeans` takes in memory.
        centroids: (k, d).
        weights: (n,), or None for ones.
        backend: The backend that computes.
        metric: "euclidean" or "cosine".

    Raises:
        ValueError, TypeError: An argument has a value or type that is not allowed; the message
            names it.
    """
    problem = _checked(points, weights, backend, metric)
    centroids = arrays.taken("centroids", centroids)
    centroids = checks.matrix("centroids", centroids, checks.CENTROID_DTYPES)
    compute = checks.compute_dtype(problem.points.compute, centroids.dtype)
    assignment, statistics = pass_over(problem, checks.packed(centroids, compute))
    return Assignment(*(a[0] for a in assignment)), Statistics(*(s[0] for s in statistics))


def inertia(points, centroids, weights, backend: Backend, metric: str = "euclidean") -> float:
    """Return the weighted sum of squared distances to the nearest centroid; arguments as for `one_pass`.

    For the points, weights and centroids of a fit this is `Result.inertia`, bit for bit.
    """
    return float(one_pass(points, centroids, weights, backend, metric)[1].inertia)


def mean_variance(points, backend: Backend) -> float:
    """Return the unit of `tol`: the mean over the features of their unweighted variance."""
    return mean_variance_of(_checked(points, None, backend, "euclidean"))


def _checked(points, weights, backend: Backend, metric: str) -> Problem:
    data = Points(points)
    return problem_of(data, checks.weights_array(weights, data.n), metric, backend)
