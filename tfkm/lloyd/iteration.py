"""Lloyd's iteration (Lloyd 1982): assign, add up, move, until nothing changes.

Several runs go side by side, a run being one start of one problem. All make a pass in one call, or
several each, and each ends on its own. Nothing that a run gives depends on the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from tfkm.lloyd import stopping, update
from tfkm.types import Ahead, Assignment, Made, Pass, Statistics, Status


class Points(Protocol):
    """What runs go over; `runs` (a,) are the numbers of those that are still going.

    n: points that a pass of one run reads.
    """

    n: int

    def one_pass(
        self, runs: np.ndarray, centroids: np.ndarray, measured: bool, ahead: Ahead | None
    ) -> Made:
        """The next pass of each, of centroids (a, k, d); or with the leave to go ahead the last of several.

        measured: whether distances and inertia are wanted. If not they may be missing: None and NaN.
        """

    def look(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[Assignment | None, Statistics]:
        """A measured pass on the side."""

    def placed(self, means: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """The next centroids (a, k, d), where the means of the clusters are these."""

    def candidates(self, run: int, centroids: np.ndarray, assignment: Assignment | None) -> tuple:
        """For the empty ones among these clusters (k, d), assigned so: the last four arguments of
        `update.centroids`, of all points or of those that it may choose."""


class End(NamedTuple):
    """A run that has ended; as `types.Result`, in arrays.

    labels: (n,), None if they are not held. inertia: NaN as long as it is not known.
    """

    centroids: np.ndarray
    labels: np.ndarray | None
    inertia: float
    n_iter: int
    status: Status


class State(NamedTuple):
    """All that the loop knows between two passes, of a runs that are still going.

    passes: (a,) done by each. runs: (a,) their numbers. centroids: (a, k, d). ends: of the other runs.
    """

    passes: np.ndarray
    runs: np.ndarray
    centroids: np.ndarray
    ends: dict[int, End]

    @classmethod
    def first(cls, centroids: np.ndarray) -> State:
        """Before the first pass of runs that begin with these (r, k, d), in the dtype to compute in."""
        count = len(centroids)
        return cls(np.zeros(count, np.int64), np.arange(count), centroids, {})


def iterate(
    points: Points,
    state: State,
    thresholds: np.ndarray,
    max_iter: int,
    on_pass: Callable[[Pass], bool | None] | None = None,
    on_state: Callable[[State], None] | None = None,
    first: int = 0,
) -> list[End]:
    """The end of each run.

    Args:
      thresholds: (r,) a run also ends when Σ‖shift‖² is not above it.
      on_pass: called for each run after each pass, with the number of the run, counted from `first`, as
        `start`; if it returns True, the run ends.
      on_state: called after each pass; to go on from there is to do what would have been done.
    """
    while state.runs.size:
        ahead = None
        if on_pass is None and on_state is None:  # nobody has to be told of each pass
            ahead = Ahead(thresholds[state.runs], max_iter - state.passes)
        state = _next(points, state, thresholds, max_iter, on_pass, first, ahead)
        if on_state is not None:
            on_state(state)
    # What belongs to the centroids that runs have come to in their last pass, of all of them at once.
    ends = dict(state.ends)
    moved = sorted(run for run, end in ends.items() if np.isnan(end.inertia))
    if moved:
        centroids = np.stack([ends[run].centroids for run in moved])
        assignment, statistics = points.look(np.array(moved), centroids)
        for i, run in enumerate(moved):
            labels = None if assignment is None else assignment.labels[i].copy()  # alone
            ends[run] = ends[run]._replace(labels=labels, inertia=float(statistics.inertia[i]))
    return [ends[run] for run in sorted(ends)]


def _next(
    points: Points,
    state: State,
    thresholds: np.ndarray,
    max_iter: int,
    on_pass: Callable[[Pass], bool | None] | None,
    first: int,
    ahead: Ahead | None,
) -> State:
    """The state one pass of each later, or several with the leave to go ahead."""
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
    points: Points,
    runs: np.ndarray,
    centroids: np.ndarray,
    assignment: Assignment | None,
    statistics: Statistics,
) -> np.ndarray:
    """The next centroids (a, k, d), in the dtype of the old."""
    means = update.means(statistics, centroids)
    for i in np.flatnonzero((statistics.weights == 0).any(axis=1)):
        own = Statistics(*(part[i] for part in statistics))
        of_run = None
        if assignment is not None and assignment.sq_distances is not None:
            of_run = Assignment(*(part[i] for part in assignment))
        candidates = points.candidates(int(runs[i]), centroids[i], of_run)
        means[i] = update.centroids(own, centroids[i], *candidates)
    return points.placed(means, centroids).astype(centroids.dtype, copy=False)
