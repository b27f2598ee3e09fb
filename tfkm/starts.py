"""One problem as the iteration goes over it: its points, block by block, for all of its starts at once."""

from __future__ import annotations

import functools
from operator import add
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfkm import exact, ops, size_limits, spherical
from tfkm.iteration import mean_variances
from tfkm.ops.batched import Problems, Sweep
from tfkm.points import Block, Points
from tfkm.types import Assignment, Statistics


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
    """One pass over all points with centroids (k, d), as `Starts.look` returns it for one start."""
    return Starts(problem, centroids[None]).look(np.arange(1), centroids[None])


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
        self._runs = np.arange(len(centroids))
        self._given_runs = np.arange(0)
        self._before: dict[int, Sweep] = {}  # over each block, by where it starts
        # (r, n), if not those of the sweeps
        self._labels = np.full((len(centroids), 1), -1, np.int32)
        array = problem.points.array
        in_place = array is not None and ops.reads(array, backend=problem.backend)
        self._blocks = [Block(0, array)] if in_place else problem.points

    def one_pass(
        self, runs: np.ndarray, centroids: np.ndarray, measured: bool
    ) -> tuple[Assignment, Statistics, np.ndarray]:
        """As `iteration.Points.one_pass`; each block of points is read once for all runs."""
        if len(runs) < len(self._runs):
            self._before = self._before_of(runs)
            self._runs, self._labels = runs, self._labels[np.isin(self._runs, runs)]
        limited, directions = self._problem.limits is not None, self._problem.directions
        self._before = self._sweeps(runs, centroids, self._before, measured or limited)
        assignment, statistics = self._finished(centroids, list(self._before.values()))
        if limited or (directions is not None and directions.zeros.size):
            changed = np.count_nonzero(assignment.labels != self._labels, axis=1)
            self._labels = assignment.labels
        else:
            changed = np.sum([sweep.changed for sweep in self._before.values()], axis=0)
        return assignment, statistics, changed

    def look(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[Assignment, Statistics]:
        """As `iteration.Points.look`."""
        sweeps = self._sweeps(runs, centroids, self._before_of(runs), True)
        return self._finished(centroids, list(sweeps.values()))

    def _before_of(self, runs: np.ndarray) -> dict[int, Sweep]:
        """The last pass of some runs, ascending, in copies; none where it was not one of all of them."""
        if not self._before:
            return {}
        which = np.isin(self._runs, runs)
        if np.count_nonzero(which) < len(runs):
            return {}
        return {start: sweep.of(which) for start, sweep in self._before.items()}

    def _sweeps(
        self, runs: np.ndarray, centroids: np.ndarray, before: dict[int, Sweep], measured: bool
    ) -> dict[int, Sweep]:
        problem, sweeps = self._problem, {}
        table, grid = self._given(runs)
        for start, block in self._blocks:
            weights = problem.weights
            if weights is not None:
                weights = np.ascontiguousarray(weights[None, start : start + len(block)])
            one = block[None] if isinstance(block, np.ndarray) else tf.expand_dims(block, 0)
            sweeps[start] = ops.partial_arrays(
                one, centroids, weights, grid, table, before.get(start),
                measured=measured, backend=problem.backend,
            )  # fmt: skip
        return sweeps

    def _given(self, runs: np.ndarray) -> tuple[Problems, exact.Grid]:
        """The same in all passes until a run ends."""
        if not np.array_equal(runs, self._given_runs):
            table = Problems(np.array([[0, i, 0] for i in range(len(runs))]))
            grid = exact.Grid(*(np.ascontiguousarray(part[runs]) for part in self._grids))
            self._given_runs, self._given_of_runs = runs, (table, grid)
        return self._given_of_runs

    def _finished(
        self, centroids: np.ndarray, sweeps: list[Sweep]
    ) -> tuple[Assignment, Statistics]:
        """Together; within limits; with cosine distances, half the squared ones, in the inertia."""
        labels, distances = sweeps[0].labels, sweeps[0].sq_distances
        if len(sweeps) > 1:
            labels = np.concatenate([sweep.labels for sweep in sweeps], axis=1)
            known = [sweep.sq_distances for sweep in sweeps if sweep.sq_distances is not None]
            distances = np.concatenate(known, axis=1) if known else None
        assignment = Assignment(labels, distances)
        statistics = functools.reduce(add, (sweep.statistics for sweep in sweeps)).rounded()
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

    def candidates(self, run: int, centroids: np.ndarray, assignment: Assignment | None) -> tuple:
        """All points."""
        rows = lambda indices: np.asarray(self._problem.points[indices])  # noqa: E731
        if assignment is None:
            of_all, _ = self.look(np.array([run]), centroids[None])
            assignment = Assignment(*(part[0] for part in of_all))
        return *assignment, self._problem.weights, rows
