"""One problem as the iteration goes over it: its points, block by block, for all of its starts at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfkm import exact, ops, size_limits, spherical
from tfkm.iteration import mean_variances
from tfkm.ops.batched import Problems
from tfkm.points import Points
from tfkm.types import Assignment, ExactStatistics, Statistics


class Problem(NamedTuple):
    """What stays the same in all passes."""

    points: Points
    weights: np.ndarray | None  # (n,) float64; 0 for points without a direction
    largest: np.ndarray  # (d,) magnitudes
    backend: str
    directions: Directions | None = None  # for the cosine distance
    limits: size_limits.SizeLimits | None = None


class Directions(NamedTuple):
    """Where points and centroids are of length 1."""

    zeros: np.ndarray  # (m,) indices of points of zeros, which have none
    weight: float  # of those


def problem_of(data: Points, weights: np.ndarray | None, metric: str, backend: str) -> Problem:
    """Raises ValueError if a point is not finite."""
    largest = data.largest_magnitudes()
    if metric == "euclidean":
        return Problem(data, weights, largest, backend)
    unit = spherical.UnitPoints(data, backend)
    zeros = np.flatnonzero(unit.zeros)
    weight = float(len(zeros) if weights is None else weights[zeros].sum())
    if len(zeros):
        weights = np.where(unit.zeros, 0.0, 1.0 if weights is None else weights)
    return Problem(unit, weights, unit.largest_magnitudes(), backend, Directions(zeros, weight))


def pass_over(problem: Problem, centroids: np.ndarray) -> tuple[Assignment, Statistics]:
    """One pass over all points with centroids (k, d), as `Starts.one_pass` returns it for one start."""
    return Starts(problem, centroids[None]).one_pass(np.arange(1), centroids[None])


def mean_variance_of(problem: Problem) -> float:
    """The mean over the features of their variance (unweighted, as in scikit-learn), in one pass."""
    plain = problem._replace(weights=None, directions=None, limits=None)
    centroid = problem.points[np.array([0])].numpy()
    _, statistics = pass_over(plain, centroid)
    return float(mean_variances(statistics, centroid[None], problem.points.n)[0])


class Starts:
    """What `iterate` wants of a problem, for starts that begin with these centroids (r, k, d)."""

    def __init__(self, problem: Problem, centroids: np.ndarray) -> None:
        self._problem = problem
        # One grid for all passes of a start: means never leave the hull of points and centroids.
        largest = np.maximum(problem.largest, np.abs(centroids).max(axis=1).astype(np.float64))
        heaviest = 1.0 if problem.weights is None else problem.weights.max()
        sums, others = exact.grid(problem.points.n, problem.largest, largest, heaviest)
        self._grids = exact.Grid(np.broadcast_to(sums, largest.shape), others)
        self._runs = np.arange(0)

    def one_pass(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[Assignment, Statistics]:
        """Of centroids (a, k, d), with a in front; each block of points is read once for all."""
        if runs is not self._runs:  # at first, and when one has ended
            self._runs = runs
            self._table = Problems(tf.constant([[0, i, 0] for i in range(len(runs))], tf.int64))
            own = runs[0] if len(runs) == 1 else runs
            self._grid = exact.Grid(*(tf.constant(part[own]) for part in self._grids))
        points = self._problem.points
        for start, block in points:
            part, statistics = self._part(start, block, centroids)
            if len(block) == points.n:
                return self._measured(centroids, part, statistics.rounded())
            if start == 0:
                labels, distances = (np.empty((len(runs), points.n), a.dtype) for a in part)
                total = statistics
            else:
                total = total + statistics
            rows = slice(start, start + len(block))
            labels[:, rows], distances[:, rows] = part
        return self._measured(centroids, Assignment(labels, distances), total.rounded())

    def _part(
        self, start: int, block: tf.Tensor, centroids: np.ndarray
    ) -> tuple[Assignment, ExactStatistics]:
        weights, backend = self._problem.weights, self._problem.backend
        w = None if weights is None else tf.constant(weights[start : start + len(block)])
        one = len(centroids) == 1
        if one:  # the op for many takes a little longer, and some backends much
            result = ops.partial(block, tf.constant(centroids[0]), w, self._grid, backend=backend)
        else:
            x, w = (None if t is None else tf.expand_dims(t, 0) for t in (block, w))
            result = ops.partial(
                x, tf.constant(centroids), w, self._grid, problems=self._table, backend=backend
            )
        return _arrays(result, one)

    def _measured(
        self, centroids: np.ndarray, assignment: Assignment, statistics: Statistics
    ) -> tuple[Assignment, Statistics]:
        """As they are; within limits; with cosine distances, half the squared ones, in the inertia."""
        if self._problem.limits is not None:
            assignment, statistics = self._limited(centroids, assignment, statistics)
        directions = self._problem.directions
        if directions is None:
            return assignment, statistics
        labels = assignment.labels.copy()
        labels[:, directions.zeros] = 0
        inertia = statistics.inertia / 2 + directions.weight
        return assignment._replace(labels=labels), statistics._replace(inertia=inertia)

    def _limited(
        self, centroids: np.ndarray, assignment: Assignment, statistics: Statistics
    ) -> tuple[Assignment, Statistics]:
        problem = self._problem
        assert problem.limits is not None
        results = [
            size_limits.within(
                problem.limits,
                problem.points,
                centroids[i],
                problem.largest,
                (Assignment(*(a[i] for a in assignment)), Statistics(*(s[i] for s in statistics))),
                problem.backend,
            )
            for i in range(len(centroids))
        ]
        assignments, all_statistics = zip(*results, strict=True)
        return (
            Assignment(*map(np.stack, zip(*assignments, strict=True))),
            Statistics(*map(np.stack, zip(*all_statistics, strict=True))),
        )

    def placed(self, means: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """The next centroids (a, k, d), where the means are these."""
        if self._problem.directions is None:
            return means
        rows = tf.constant(means.reshape(-1, means.shape[2]))
        unit, zeros = spherical.unit_rows(rows, self._problem.backend)
        stays = zeros.reshape(means.shape[:2])[..., None]  # it has no direction
        return np.where(stays, previous, unit.numpy().reshape(means.shape))

    def weights(self, run: int) -> np.ndarray | None:
        """(n,), of all runs."""
        return self._problem.weights

    def rows(self, run: int, indices: np.ndarray) -> np.ndarray:
        """(m, d), some of the points."""
        return np.asarray(self._problem.points[indices])


def _arrays(result, one: bool) -> tuple[Assignment, ExactStatistics]:
    """Tensors as arrays, in place; one: with a dimension in front."""

    def array(tensor: tf.Tensor) -> np.ndarray:
        return np.asarray(tensor)[None] if one else np.asarray(tensor)

    (labels, distances), (high, low) = result
    words = (Statistics(*map(array, word)) for word in (high, low))
    return Assignment(array(labels), array(distances)), ExactStatistics(*words)
