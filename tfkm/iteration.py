"""Lloyd's iteration (Lloyd 1982): assign, add up, move, until nothing changes.

Several runs go side by side, a run being one start of one problem. All make the same pass at the same
time, in one call, and each ends on its own. Nothing that a run gives depends on the others.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from tfkm import update
from tfkm.types import Assignment, Pass, Statistics, Status


class Points(Protocol):
    """What runs go over; `runs` (a,) are the numbers of those that are still going."""

    def one_pass(
        self, runs: np.ndarray, centroids: np.ndarray, measured: bool
    ) -> tuple[Assignment, Statistics, np.ndarray]:
        """The next pass, of centroids (a, k, d), as arrays with a in front: labels and distances (a, n),
        statistics, and how many labels are not those of the pass before (a,).

        measured: whether distances and inertia are wanted. If not they may be missing: None and NaN.
        """

    def look(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[Assignment, Statistics]:
        """A measured pass on the side."""

    def placed(self, means: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """The next centroids (a, k, d), where the means of the clusters are these."""

    def weights(self, run: int) -> np.ndarray | None:
        """(n,) of the points of a run, None for ones."""

    def rows(self, run: int, indices: np.ndarray) -> np.ndarray:
        """(m, d), some points of a run."""


class End(NamedTuple):
    """A run that has ended; as `types.Result`, in arrays."""

    centroids: np.ndarray
    labels: np.ndarray
    inertia: float
    n_iter: int
    status: Status


def iterate(
    points: Points,
    centroids: np.ndarray,
    thresholds: np.ndarray,
    max_iter: int,
    on_pass: Callable[[Pass], None] | None = None,
) -> list[End]:
    """The end of each run.

    Args:
      centroids: (r, k, d) to begin with, in the dtype to compute in.
      thresholds: (r,) a run also ends when Σ‖shift‖² is not above it.
      on_pass: called for each run after each pass, with the number of the run as `start`.
    """
    ends: list[End | None] = [None] * len(centroids)
    runs = np.arange(len(centroids))
    iteration = 0
    while runs.size:
        iteration += 1
        began = time.perf_counter()
        assignment, statistics, changed = points.one_pass(runs, centroids, on_pass is not None)
        moved = _moved(points, runs, centroids, assignment, statistics)
        shifts = np.square(moved.astype(np.float64) - centroids).reshape(len(runs), -1).sum(axis=1)
        seconds = (time.perf_counter() - began) / len(runs)

        if on_pass is not None:
            for run, inertia, shift in zip(runs, statistics.inertia, shifts, strict=True):
                on_pass(Pass(int(run), iteration, float(inertia), float(shift), seconds))
        stop = (changed == 0) | (shifts <= thresholds) | (iteration == max_iter)
        if stop.any():
            # What belongs to the centroids that these runs have come to.
            if assignment.sq_distances is None or (moved[stop] != centroids[stop]).any():
                assignment, statistics = points.look(runs[stop], moved[stop])
            else:
                assignment = Assignment(*(part[stop] for part in assignment))
                statistics = Statistics(*(part[stop] for part in statistics))
            for at, i in enumerate(np.flatnonzero(stop)):
                labels, inertia = assignment.labels[at], float(statistics.inertia[at])
                within = Status.WITHIN_TOL if shifts[i] <= thresholds[i] else Status.MAX_ITER
                status = Status.LABELS_UNCHANGED if changed[i] == 0 else within
                ends[runs[i]] = End(moved[i], labels, inertia, iteration, status)
            runs, thresholds, moved = runs[~stop], thresholds[~stop], moved[~stop]
        centroids = moved
    return ends  # type: ignore[return-value]


def mean_variances(
    statistics: Statistics, centroids: np.ndarray, counts: int | np.ndarray
) -> np.ndarray:
    """(a,) the mean over the features of their variance, of one unweighted pass with one centroid each.

    centroids (a, 1, d), any; counts: () or (a,) points. Σ‖x − c‖² = n·Σvariance + n·‖mean − c‖².
    """
    counts = np.broadcast_to(np.float64(counts), len(centroids))
    means_from_centroids = statistics.sums[:, 0] / counts[:, None] - centroids[:, 0].astype(
        np.float64
    )
    variances = statistics.inertia / counts - np.square(means_from_centroids).sum(axis=1)
    return np.maximum(variances, 0.0) / centroids.shape[2]


def _moved(
    points: Points,
    runs: np.ndarray,
    centroids: np.ndarray,
    assignment: Assignment,
    statistics: Statistics,
) -> np.ndarray:
    """The next centroids (a, k, d), in the dtype of the old."""
    means = update.means(statistics, centroids)
    empty = np.flatnonzero((statistics.weights == 0).any(axis=1))
    if empty.size and assignment.sq_distances is None:
        assignment, statistics = points.look(runs, centroids)
    for i in empty:
        run, (labels, distances) = int(runs[i]), (part[i] for part in assignment)
        own = Statistics(*(part[i] for part in statistics))
        rows = functools.partial(points.rows, run)
        means[i] = update.centroids(own, centroids[i], labels, distances, points.weights(run), rows)
    return points.placed(means, centroids).astype(centroids.dtype, copy=False)
