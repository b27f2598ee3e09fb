"""One problem as the loop sees it: its points are read block by block, for all restarts at once."""

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
    """The inputs that stay the same in all passes of a fit."""

    points: Points
    weights: np.ndarray | None  # (n,) float64; 0 for points of zeros under the cosine distance
    largest: np.ndarray  # (d,) the greatest magnitude of each feature
    backend: Backend
    directions: Directions | None = None  # only for the cosine distance
    limits: size_limits.SizeLimits | None = None

    def limited(self, limits: size_limits.SizeLimits) -> Problem:
        """Return the problem with limits on the sizes of clusters.

        Raises:
            ValueError: The distance is cosine and a point is all zeros.
        """
        if self.directions is not None and self.directions.zeros.size:
            raise ValueError(
                f"points: row {self.directions.zeros[0]} is all zeros; with metric='cosine' and limits "
                "it needs a direction"
            )
        return self._replace(limits=limits)


class Directions(NamedTuple):
    """The points that the cosine distance treats apart, because they are all zeros."""

    zeros: np.ndarray  # (m,) their indices
    weight: float  # their weight in all


def problem_of(data: Points, weights: np.ndarray | None, metric: str, backend: Backend) -> Problem:
    """Return the problem of these points and weights (n,), scaled to length 1 if the metric is "cosine".

    Raises:
        ValueError: A point is not finite.
    """
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
    """Make one pass over all points with centroids (k, d), and return what `Restarts.look` returns."""
    return Restarts(problem, centroids[None]).look(np.arange(1), centroids[None])


def mean_variance_of(problem: Problem) -> float:
    """Return the mean over the features of their unweighted variance, as scikit-learn does, in one pass."""
    # A `Restarts` is not used here: making one takes longer than a fit of few points.
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
    """Return the positions of `runs` in `others`, both ascending, or None if one is missing.

    `np.isin` takes 30 µs for this.
    """
    places = np.searchsorted(others, runs)
    if len(runs) and (places[-1] == len(others) or not np.array_equal(others[places], runs)):
        return None
    return places


class Restarts:
    """The points of one problem as `iterate` needs them, for restarts from centroids (r, k, d).

    This implements `iteration.Points`.
    """

    def __init__(self, problem: Problem, centroids: np.ndarray) -> None:
        self._problem, self.n = problem, problem.points.n
        heaviest = 1.0 if problem.weights is None else problem.weights.max()
        self._grids = exact.grids(len(centroids), problem.points.n, problem.largest, heaviest)
        self._runs = np.arange(len(centroids))
        self._given_runs = np.arange(0)
        self._before: dict[int, Sweep] = {}  # last sweep over each block, by its first row
        # (r, n) labels of the last pass, kept only where the sweeps' own labels are not the final
        # ones.
        self._labels = np.full((len(centroids), 1), -1, np.int32)
        self._blocks = problem.backend.blocks(problem.points)

    def one_pass(
        self, runs: np.ndarray, centroids: np.ndarray, measured: bool, ahead: Ahead | None
    ) -> Made:
        """Make the next pass of each run, see `iteration.Points.one_pass`.

        Each block of points is read once for all runs.
        """
        if len(runs) < len(self._runs):
            self._before = self._before_of(runs)
            self._runs, self._labels = runs, self._labels[np.isin(self._runs, runs)]
        limited, directions = self._problem.limits is not None, self._problem.directions
        if limited or directions is not None or not isinstance(self._blocks, list):
            ahead = None  # several passes in one call need next centroids that are the means of one block
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
        """Make a measured pass that leaves the state alone, see `iteration.Points.look`."""
        sweeps = self._sweeps(runs, centroids, self._before_of(runs), True)
        return self._finished(centroids, list(sweeps.values()))

    def _before_of(self, runs: np.ndarray) -> dict[int, Sweep]:
        """Return copies of the last sweeps of these runs, ascending; {} if a run was not part of them."""
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
        """Sweep over each block, and return the sweeps by the block's first row."""
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
        """Return the table of problems and the grid for these runs, kept until a run ends."""
        if not np.array_equal(runs, self._given_runs):
            table = Problems(np.array([[0, i, 0] for i in range(len(runs))]))
            grid = exact.Grid(*(np.ascontiguousarray(part[runs]) for part in self._grids))
            self._given_runs, self._given_of_runs = runs, (table, grid)
        return self._given_of_runs

    def _finished(
        self, centroids: np.ndarray, sweeps: list[Sweep]
    ) -> tuple[Assignment, Statistics]:
        """Join the sweeps of all blocks, apply the size limits, and give the inertia in the metric.

        The squared distances of the assignment stay Euclidean.
        """
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
        """Replace the assignment and the statistics of each run by those within the size limits."""
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
        """Return the next centroids (a, k, d): these means, scaled to length 1 with cosine distances."""
        if self._problem.directions is None:
            return means
        rows = means.reshape(-1, means.shape[2])
        unit, zeros = spherical.unit_rows(rows, self._problem.backend)
        stays = zeros.reshape(means.shape[:2])[..., None]  # a mean of zeros has no direction
        return np.where(stays, previous, unit.reshape(means.shape))

    def candidates(self, run: int, centroids: np.ndarray, assignment: Assignment | None) -> tuple:
        """Return the arguments of `update.centroids` for all points."""
        if assignment is None:
            of_all, _ = self.look(np.array([run]), centroids[None])
            assignment = Assignment(*(part[0] for part in of_all))
        return *assignment, self._problem.weights, self._problem.points.__getitem__
