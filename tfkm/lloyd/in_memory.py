"""One problem as the iteration goes over it: its points, block by block, for all of its starts at once."""

from __future__ import annotations

import functools
from operator import add
from typing import NamedTuple

import numpy as np

from tfkm import exact
from tfkm.data.points import Points
from tfkm.lloyd import size_limits, spherical
from tfkm.lloyd.stopping import mean_variances
from tfkm.ops.backend import ONE, Backend, Problems, Sweep
from tfkm.ops.magnitudes import largest_magnitudes
from tfkm.types import Ahead, Assignment, Made, Statistics


class Problem(NamedTuple):
    """What stays the same in all passes."""

    points: Points
    weights: np.ndarray | None  # (n,) float64; 0 for points without a direction
    largest: np.ndarray  # (d,) magnitudes
    backend: Backend
    directions: Directions | None = None  # for the cosine distance
    limits: size_limits.SizeLimits | None = None

    def limited(self, limits: size_limits.SizeLimits) -> Problem:
        """Return it within these limits; raises ValueError if a point has no direction and needs one."""
        if self.directions is not None and self.directions.zeros.size:
            raise ValueError(
                f"points: row {self.directions.zeros[0]} is all zeros; with metric='cosine' and limits "
                "it needs a direction"
            )
        return self._replace(limits=limits)


class Directions(NamedTuple):
    """Where points and centroids are of length 1."""

    zeros: np.ndarray  # (m,) indices of points of zeros, which have none
    weight: float  # of those


def problem_of(data: Points, weights: np.ndarray | None, metric: str, backend: Backend) -> Problem:
    """Raises ValueError if a point is not finite."""
    largest = largest_magnitudes(data)
    if metric == "euclidean":
        return Problem(data, weights, largest, backend)
    unit = spherical.UnitPoints(data, backend)
    zeros = np.flatnonzero(unit.zeros)
    weight = float(len(zeros) if weights is None else weights[zeros].sum())
    if len(zeros):
        weights = np.where(unit.zeros, 0.0, 1.0 if weights is None else weights)
    return Problem(unit, weights, largest_magnitudes(unit), backend, Directions(zeros, weight))


def pass_over(problem: Problem, centroids: np.ndarray) -> tuple[Assignment, Statistics]:
    """One pass over all points with centroids (k, d), as `Starts.look` returns it for one start."""
    return Starts(problem, centroids[None]).look(np.arange(1), centroids[None])


def mean_variance_of(problem: Problem) -> float:
    """The mean over the features of their variance (unweighted, as in scikit-learn), in one pass."""
    # Not by a `Starts`, whose making takes longer than a fit of few points.
    centroids, largest = problem.points[np.array([0])][None], problem.largest[None]
    grid = exact.grid(problem.points.n, largest)
    backend = problem.backend
    sweeps = [
        backend.sweep(block[None], centroids, None, grid, ONE)
        for _, block in backend.blocks(problem.points)
    ]
    statistics = functools.reduce(add, (sweep.statistics for sweep in sweeps)).rounded()
    return float(mean_variances(statistics, centroids, problem.points.n)[0])


def places_of(runs: np.ndarray, others: np.ndarray) -> np.ndarray | None:
    """Where runs, ascending, are among others, ascending; None if not all are. `np.isin` takes 30 µs."""
    places = np.searchsorted(others, runs)
    if len(runs) and (places[-1] == len(others) or not np.array_equal(others[places], runs)):
        return None
    return places


class Starts:
    """What `iterate` wants of a problem, for starts that begin with these centroids (r, k, d)."""

    def __init__(self, problem: Problem, centroids: np.ndarray) -> None:
        self._problem, self.n = problem, problem.points.n
        heaviest = 1.0 if problem.weights is None else problem.weights.max()
        self._grids = exact.grids(len(centroids), problem.points.n, problem.largest, heaviest)
        self._runs = np.arange(len(centroids))
        self._given_runs = np.arange(0)
        self._before: dict[int, Sweep] = {}  # over each block, by where it starts
        # (r, n), if not those of the sweeps
        self._labels = np.full((len(centroids), 1), -1, np.int32)
        self._blocks = problem.backend.blocks(problem.points)

    def one_pass(
        self, runs: np.ndarray, centroids: np.ndarray, measured: bool, ahead: Ahead | None
    ) -> Made:
        """As `iteration.Points.one_pass`; each block of points is read once for all runs."""
        if len(runs) < len(self._runs):
            self._before = self._before_of(runs)
            self._runs, self._labels = runs, self._labels[np.isin(self._runs, runs)]
        limited, directions = self._problem.limits is not None, self._problem.directions
        if limited or directions is not None or not isinstance(self._blocks, list):
            ahead = None  # the next centroids are not the means of one block
        measured = measured or limited
        self._before = self._sweeps(runs, centroids, self._before, measured, ahead)
        if ahead is not None:
            (sweep,) = self._before.values()
            assignment, statistics = self._finished(sweep.centroids, [sweep])
            return Made(assignment, statistics, sweep.changed, sweep.centroids, sweep.passes)
        assignment, statistics = self._finished(centroids, list(self._before.values()))
        if limited or (directions is not None and directions.zeros.size):
            changed = np.count_nonzero(assignment.labels != self._labels, axis=1)
            self._labels = assignment.labels
        else:
            changed = np.sum([sweep.changed for sweep in self._before.values()], axis=0)
        return Made(assignment, statistics, changed, centroids)

    def look(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[Assignment, Statistics]:
        """As `iteration.Points.look`."""
        sweeps = self._sweeps(runs, centroids, self._before_of(runs), True)
        return self._finished(centroids, list(sweeps.values()))

    def _before_of(self, runs: np.ndarray) -> dict[int, Sweep]:
        """The last pass of some runs, ascending, in copies; none where it was not one of all of them."""
        if not self._before:
            return {}
        places = places_of(runs, self._runs)
        if places is None:
            return {}
        return {start: sweep.of(places) for start, sweep in self._before.items()}

    def _sweeps(
        self,
        runs: np.ndarray,
        centroids: np.ndarray,
        before: dict[int, Sweep],
        measured: bool,
        ahead: Ahead | None = None,
    ) -> dict[int, Sweep]:
        problem, sweeps = self._problem, {}
        table, grid = self._given(runs)
        for start, block in self._blocks:
            weights = problem.weights
            if weights is not None:
                weights = np.ascontiguousarray(weights[None, start : start + len(block)])
            sweeps[start] = problem.backend.sweep(
                block[None], centroids, weights, grid, table, before.get(start), measured, ahead
            )
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
        rows = means.reshape(-1, means.shape[2])
        unit, zeros = spherical.unit_rows(rows, self._problem.backend)
        stays = zeros.reshape(means.shape[:2])[..., None]  # it has no direction
        return np.where(stays, previous, unit.reshape(means.shape))

    def candidates(self, run: int, centroids: np.ndarray, assignment: Assignment | None) -> tuple:
        """All points."""
        if assignment is None:
            of_all, _ = self.look(np.array([run]), centroids[None])
            assignment = Assignment(*(part[0] for part in of_all))
        return *assignment, self._problem.weights, self._problem.points.__getitem__
