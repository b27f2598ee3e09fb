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

    def one_pass(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[Assignment, Statistics]:
        """Of centroids (a, k, d), as arrays with a in front: labels and distances (a, n), statistics."""

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
    stops: dict[int, tuple[int, Status]] = {}
    runs = np.arange(len(centroids))
    # Runs that have ended, but whose centroids have moved since, make one more pass for their labels.
    last = np.zeros(len(runs), bool)
    before = np.empty((len(runs), 0), np.int32)
    iteration = 0
    while runs.size:
        iteration += 1
        began = time.perf_counter()
        assignment, statistics = points.one_pass(runs, centroids)
        moved = _moved(points, runs, centroids, assignment, statistics)
        shifts = np.square(moved.astype(np.float64) - centroids).reshape(len(runs), -1).sum(axis=1)
        seconds = (time.perf_counter() - began) / len(runs)

        labels = assignment.labels
        same = (labels == before).all(axis=1) if iteration > 1 else last
        stop = ~last & (same | (shifts <= thresholds) | (iteration == max_iter))
        ended = last | (stop & (moved == centroids).all(axis=(1, 2)))
        if on_pass is not None:
            for i in np.flatnonzero(~last):
                inertia, shift = float(statistics.inertia[i]), float(shifts[i])
                on_pass(Pass(int(runs[i]), iteration, inertia, shift, seconds))
        for i in np.flatnonzero(stop):
            within = Status.WITHIN_TOL if shifts[i] <= thresholds[i] else Status.MAX_ITER
            stops[runs[i]] = iteration, Status.LABELS_UNCHANGED if same[i] else within
        for i in np.flatnonzero(ended):
            ends[runs[i]] = End(
                centroids[i],
                labels[i].copy() if len(runs) > 1 else labels[i],
                float(statistics.inertia[i]),
                *stops[runs[i]],
            )
        if ended.any():
            going = ~ended
            runs, thresholds, stop = runs[going], thresholds[going], stop[going]
            labels, moved = labels[going], moved[going]
        before, centroids, last = labels, moved, stop
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
    for i in np.flatnonzero((statistics.weights == 0).any(axis=1)):
        run, (labels, distances) = int(runs[i]), (part[i] for part in assignment)
        own, rows = (
            Statistics(*(part[i] for part in statistics)),
            functools.partial(points.rows, run),
        )
        means[i] = update.centroids(own, centroids[i], labels, distances, points.weights(run), rows)
    return points.placed(means, centroids).astype(centroids.dtype, copy=False)
