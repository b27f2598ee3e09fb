"""Right before fast: whether an outcome is right, judged in float64 by a route of its own."""

from __future__ import annotations

import functools

import numpy as np

from benchmarks.rivals import Outcome
from benchmarks.rivals.numpy import nearest
from tfkm.types import Statistics

INERTIA = 1e-4  # the greatest relative difference of one inertia to another
LABELS = 0.999  # the least share of equal labels: float32 rivals decide near ties differently
LOCAL = 0.1  # the greatest lead of the yardstick's inertia where both draw their own seeds


class Wrong(AssertionError):
    """An answer that is not the right one; the time that it took is of no interest."""


class Judge:
    """Of outcomes on points (n, d) with centroids (k, d) to begin with.

    yardstick: the outcome that others are held against where there is no single right one: of a fit.
    """

    def __init__(self, points: np.ndarray, centroids: np.ndarray) -> None:
        self.points, self.centroids = points, centroids
        self.yardstick: Outcome | None = None

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """(n,) the nearest centroid of each point."""
        return _nearest(self.points, self.centroids)

    def check(self, op: str, outcome: Outcome) -> None:
        """Raises Wrong, saying what it should be."""
        getattr(self, f"_check_{op.replace(' ', '_')}")(outcome)

    def inertia(self, labels: np.ndarray, centroids: np.ndarray) -> float:
        """Σ‖x − c‖² over the points and the centroids of their labels."""
        total = 0.0
        for start in range(0, len(self.points), 8192):
            rows = slice(start, start + 8192)
            chosen = np.asarray(centroids, np.float64)[labels[rows]]
            total += float(np.square(self.points[rows].astype(np.float64) - chosen).sum())
        return total

    def _check_assign(self, outcome: Outcome) -> None:
        labels = np.asarray(outcome.labels)
        found = self.inertia(labels, self.centroids)
        _same_inertia(found, self._least)
        if outcome.inertia is not None:
            _same_inertia(float(outcome.inertia), found)
        if (equal := float(np.mean(labels == self.labels))) < LABELS:
            raise Wrong(f"only {equal:.4%} of the labels are those of the nearest centroids")

    _check_predict = _check_assign

    @functools.cached_property
    def _least(self) -> float:
        return self.inertia(self.labels, self.centroids)

    def _check_step(self, outcome: Outcome) -> None:
        """The labels, and the means of its own labels."""
        self._check_assign(outcome)
        updated, labels = outcome.updated, np.asarray(outcome.labels)
        weights = np.bincount(labels, minlength=len(self.centroids))
        if isinstance(updated, Statistics):
            if not np.array_equal(updated.weights, weights):
                raise Wrong("the weights are not how many points have each label")
            updated = np.asarray(updated.sums) / np.maximum(weights, 1)[:, None]
        order = np.argsort(labels, kind="stable")
        filled = np.flatnonzero(weights)
        firsts = np.concatenate([[0], np.cumsum(weights[filled])[:-1]])
        sums = np.add.reduceat(self.points[order].astype(np.float64), firsts, axis=0)
        worst = np.abs(np.asarray(updated)[filled] - sums / weights[filled, None]).max()
        if not worst <= INERTIA * np.abs(self.points).max():
            raise Wrong(f"a new centroid is {worst:.3g} off the mean of its cluster")

    _check_accumulate = _check_step

    def _check_fit(self, outcome: Outcome) -> None:
        """As many passes as the yardstick made, and the same inertia."""
        found = self._own_inertia(outcome)
        if self.yardstick is None:
            return
        if outcome.n_iter is not None and outcome.n_iter != self.yardstick.n_iter:
            raise Wrong(f"{outcome.n_iter} passes, scikit-learn's {self.yardstick.n_iter}")
        _same_inertia(found, self._own_inertia(self.yardstick))

    def _check_default_fit(self, outcome: Outcome) -> None:
        self._not_far_above(self._own_inertia(outcome))

    def _check_seed(self, outcome: Outcome) -> None:
        """Distinct points among the points, with a potential as good."""
        seeds = np.asarray(outcome.centroids)
        at = _nearest(seeds, self.points)
        if not np.array_equal(self.points[at], seeds) or len(np.unique(seeds, axis=0)) < len(seeds):
            raise Wrong("the seeds are not distinct points of the data")
        self._not_far_above(self.inertia(_nearest(self.points, seeds), seeds))

    def _check_stream(self, outcome: Outcome) -> None:
        """After the same batches the same centroids, and so the same inertia of all points."""
        found = self.inertia(_nearest(self.points, outcome.centroids), outcome.centroids)
        if self.yardstick is not None:
            theirs = self.yardstick.centroids
            _same_inertia(found, self.inertia(_nearest(self.points, theirs), theirs))

    def _own_inertia(self, outcome: Outcome) -> float:
        """Of its labels and centroids, which has to be what it says of itself."""
        found = self.inertia(np.asarray(outcome.labels), outcome.centroids)
        if outcome.inertia is not None:
            _same_inertia(float(outcome.inertia), found)
        return found

    def _not_far_above(self, found: float) -> None:
        if self.yardstick is None:
            self._bar = found
        elif found > (1 + LOCAL) * self._bar:
            raise Wrong(f"inertia {found:.9g} is far above scikit-learn's {self._bar:.9g}")


def _nearest(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(n,) in float64, around the centroids' mean."""
    middle = np.asarray(centroids, np.float64).mean(axis=0)
    return nearest(points - middle, centroids - middle)


def _same_inertia(found: float, expected: float) -> None:
    if not abs(found - expected) <= INERTIA * expected:
        raise Wrong(f"inertia {found:.9g} should be {expected:.9g}")
