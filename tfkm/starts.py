"""One problem as the iteration goes over it: its points, block by block, for all of its starts at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfkm import exact, ops, size_limits, spherical
from tfkm.iteration import mean_variances
from tfkm.ops.batched import Problems
from tfkm.points import Block, Points
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
        array = problem.points.array
        in_place = array is not None and ops.reads(array, backend=problem.backend)
        self._blocks = [Block(0, array)] if in_place else problem.points

    def one_pass(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[Assignment, Statistics]:
        """Of centroids (a, k, d), with a in front; each block of points is read once for all."""
        if runs is not self._runs:  # at first, and when one has ended
            self._runs = runs
            self._table = Problems(np.array([[0, i, 0] for i in range(len(runs))]))
            self._grid = exact.Grid(*(np.ascontiguousarray(part[runs]) for part in self._grids))
            self._before = None
        n = self._problem.points.n
        for start, block in self._blocks:
            part, statistics = self._part(start, block, centroids)
            if len(block) == n:
                self._before = part.labels, statistics
                return self._measured(centroids, part, statistics.rounded())
            if start == 0:
                labels, distances = (np.empty((len(runs), n), a.dtype) for a in part)
                total = statistics
            else:
                total = total + statistics
            rows = slice(start, start + len(block))
            labels[:, rows], distances[:, rows] = part
        return self._measured(centroids, Assignment(labels, distances), total.rounded())

    def _part(
        self, start: int, block: tf.Tensor | np.ndarray, centroids: np.ndarray
    ) -> tuple[Assignment, ExactStatistics]:
        weights, backend = self._problem.weights, self._problem.backend
        if weights is not None:
            weights = np.ascontiguousarray(weights[None, start : start + len(block)])
        one = block[None] if isinstance(block, np.ndarray) else tf.expand_dims(block, 0)
        return ops.partial_arrays(
            one, centroids, weights, self._grid, self._table, self._before, backend=backend
        )

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
