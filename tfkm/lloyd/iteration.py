"""Lloyd's iteration (Lloyd 1982): assign points, update centroids, and repeat until nothing changes.

Several runs advance together; a run is one restart of one problem. One call makes a pass for all of
them, or several passes, and each run ends by itself. The results of a run do not depend on the
other runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from tfkm.lloyd import stopping, update
from tfkm.types import Ahead, Assignment, Made, Pass, Statistics, Status


class LloydSteps(Protocol):
    """The points that the loop passes over.

    `runs` (a,) are the numbers of the runs that are still going.

    Attributes:
        n: Number of points that one pass of one run reads.
    """

    n: int

    def one_pass(
        self, runs: np.ndarray, centroids: np.ndarray, measured: bool, ahead: Ahead | None
    ) -> Made:
        """Make the next pass of each run from centroids (a, k, d).

        If `ahead` is given, several passes may be made; the last one is returned. If `measured` is
        False, the distances may be None and the inertia NaN.
        """

    def look(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[Assignment | None, Statistics]:
        """Make a measured pass from centroids (a, k, d) that does not count as a pass of the runs."""

    def placed(self, means: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """Return the next centroids (a, k, d) for these means of the clusters."""

    def candidates(self, run: int, centroids: np.ndarray, assignment: Assignment | None) -> tuple:
        """Return the last four arguments of `update.centroids`, to fill empty clusters of one run.

        They describe all points, or the points that an empty cluster may take.

        Args:
            run: The number of the run.
            centroids: (k, d) centroids of this pass.
            assignment: The assignment of this pass; None if it is not known.
        """


class End(NamedTuple):
    """The result of a run that has ended, like `types.Result` but in arrays.

    Attributes:
        labels: (n,) int32, or None if they are not held.
        inertia: NaN until it is known.
    """

    centroids: np.ndarray
    labels: np.ndarray | None
    inertia: float
    n_iter: int
    status: Status


class State(NamedTuple):
    """The state of the loop between two passes, for the `a` runs that are still going.

    Attributes:
        passes: (a,) int64, the passes that each has made.
        runs: (a,) int64, their numbers.
        centroids: (a, k, d), their centroids.
        ends: The results of the runs that have ended, by number.
    """

    passes: np.ndarray
    runs: np.ndarray
    centroids: np.ndarray
    ends: dict[int, End]

    @classmethod
    def first(cls, centroids: np.ndarray) -> State:
        """Return the state before the first pass, for centroids (r, k, d) in the dtype to compute in."""
        count = len(centroids)
        return cls(np.zeros(count, np.int64), np.arange(count), centroids, {})


def iterate(
    points: LloydSteps,
    state: State,
    thresholds: np.ndarray,
    max_iter: int,
    on_pass: Callable[[Pass], bool | None] | None = None,
    on_state: Callable[[State], None] | None = None,
    first: int = 0,
) -> list[End]:
    """Run the loop until all runs have ended, and return their results.

    Args:
        points: The points to pass over.
        state: The state to start from.
        thresholds: (r,) A run also ends when its Σ‖shift‖² is at or below this.
        max_iter: The most passes of a run.
        on_pass: Called for each run after each pass. `Pass.start` is the number of the run plus
            `first`. If it returns True, the run ends.
        on_state: Called after each pass. A later call from that state ends with the same bits.
        first: The number of the first run.
    """
    while state.runs.size:
        ahead = None
        if on_pass is None and on_state is None:  # otherwise each pass has to be reported
            ahead = Ahead(thresholds[state.runs], max_iter - state.passes)
        state = _next(points, state, thresholds, max_iter, on_pass, first, ahead)
        if on_state is not None:
            on_state(state)
    # A run whose last pass moved its centroids needs one more pass for labels and inertia. All such
    # runs share that pass.
    ends = dict(state.ends)
    moved = sorted(run for run, end in ends.items() if np.isnan(end.inertia))
    if moved:
        centroids = np.stack([ends[run].centroids for run in moved])
        assignment, statistics = points.look(np.array(moved), centroids)
        for i, run in enumerate(moved):
            # A copy, so that the array of all runs can be freed.
            labels = None if assignment is None else assignment.labels[i].copy()
            ends[run] = ends[run]._replace(labels=labels, inertia=float(statistics.inertia[i]))
    return [ends[run] for run in sorted(ends)]


def _next(
    points: LloydSteps,
    state: State,
    thresholds: np.ndarray,
    max_iter: int,
    on_pass: Callable[[Pass], bool | None] | None,
    first: int,
    ahead: Ahead | None,
) -> State:
    """Return the state after one more pass of each run, or after several if `ahead` allows them."""
    done, runs, centroids, ends = state
    began = time.perf_counter()
    made = points.one_pass(runs, centroids, on_pass is not None, ahead)
    assignment, statistics, changed, centroids, passes = made
    done = done + (1 if passes is None else passes)
    moved = _moved(points, runs, centroids, assignment, statistics)
    shifts = np.square(moved.astype(np.float64) - centroids).reshape(len(runs), -1).sum(axis=1)
    seconds = (time.perf_counter() - began) / len(runs)

    why = [
        stopping.status(int(changed[i]), shifts[i], thresholds[run], int(done[i]), max_iter)
        for i, run in enumerate(runs)
    ]
    if on_pass is not None:
        for i, run in enumerate(runs):
            news = Pass(
                first + int(run),
                int(done[i]),
                float(statistics.inertia[i]),
                float(shifts[i]),
                seconds,
                int(np.count_nonzero(statistics.weights[i] == 0)),
                points.n,
                float(thresholds[run]),
                why[i],
            )
            if on_pass(news):
                why[i] = stopping.told(why[i])
    goes_on = np.array([reason is None for reason in why])
    if not goes_on.all():
        ends = dict(ends)
        for i, reason in enumerate(why):
            if reason is None:
                continue
            labels, inertia = None, np.nan
            if (moved[i] == centroids[i]).all():
                inertia = float(statistics.inertia[i])
                labels = None if assignment is None else assignment.labels[i].copy()
            ends[int(runs[i])] = End(moved[i], labels, inertia, int(done[i]), reason)
        done, runs, moved = done[goes_on], runs[goes_on], moved[goes_on]
    return State(done, runs, moved, ends)


def _moved(
    points: LloydSteps,
    runs: np.ndarray,
    centroids: np.ndarray,
    assignment: Assignment | None,
    statistics: Statistics,
) -> np.ndarray:
    """Return the next centroids (a, k, d), in the dtype of the old ones."""
    means = update.means(statistics, centroids)
    for i in np.flatnonzero((statistics.weights == 0).any(axis=1)):
        own = Statistics(*(part[i] for part in statistics))
        of_run = None
        if assignment is not None and assignment.sq_distances is not None:
            of_run = Assignment(*(part[i] for part in assignment))
        candidates = points.candidates(int(runs[i]), centroids[i], of_run)
        means[i] = update.centroids(own, centroids[i], *candidates)
    return points.placed(means, centroids).astype(centroids.dtype, copy=False)
