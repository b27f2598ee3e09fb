"""Right before fast: whether an outcome is right, judged in float64 and apart from all contenders."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from benchmarks.rivals import Outcome
from tfkm.types import Statistics

INERTIA = 1e-4  # the greatest relative difference of one inertia to another
LABELS = 0.999  # the least share of labels of the nearest: float32 decides near ties differently
LUCK = 0.1  # by how much an inertia may be above scikit-learn's where each draws its own seeds
BLOCK_BYTES = 2**24


class Wrong(AssertionError):
    """An answer that is not right; the time that it took is of no interest."""


class Yardstick(NamedTuple):
    """What others are held against where there is no single right answer, as of a fit: scikit-learn's."""

    inertia: float
    n_iter: int | None


class Judge:
    """Of what an op found on points (n, d) with centroids (k, d) to begin with."""

    def __init__(self, points: np.ndarray, centroids: np.ndarray) -> None:
        self.points, self.centroids = points, centroids

    def check(self, op: str, outcome: Outcome, yardstick: Yardstick | None = None) -> Yardstick:
        """What it has found, as a yardstick for others. Raises Wrong, saying what it should be."""
        inertia = getattr(self, f"_{op.replace(' ', '_')}")(outcome, yardstick)
        return Yardstick(inertia, outcome.n_iter)

    def _assign(self, outcome: Outcome, yardstick: Yardstick | None) -> float:
        """The nearest centroids, but for near ties."""
        labels = np.asarray(outcome.labels)
        found = self._claimed(outcome, self.centroids)
        _same(found, self._least)
        if (equal := float(np.mean(labels == self._labels))) < LABELS:
            raise Wrong(f"only {equal:.4%} of the labels are those of the nearest centroids")
        return found

    _predict = _assign_with_copies = _assign

    def _step(self, outcome: Outcome, yardstick: Yardstick | None) -> float:
        """The nearest centroids, and the means of the clusters, or the sums and weights that give them."""
        found = self._assign(outcome, yardstick)
        updated, labels = outcome.updated, np.asarray(outcome.labels)
        weights = np.bincount(labels, minlength=len(self.centroids))
        if isinstance(updated, Statistics):
            if not np.array_equal(updated.weights, weights):
                raise Wrong("the weights are not how many points have each label")
            updated = np.asarray(updated.sums) / np.maximum(weights, 1)[:, None]
        filled = np.flatnonzero(weights)
        sums = [
            np.bincount(labels, self.points[:, j].astype(np.float64), len(self.centroids))
            for j in range(self.points.shape[1])
        ]
        means = (np.stack(sums, axis=1) / np.maximum(weights, 1)[:, None])[filled]
        worst = np.abs(np.asarray(updated)[filled] - means).max()
        if not worst <= INERTIA * np.abs(self.points).max():
            raise Wrong(f"a new centroid is {worst:.3g} off the mean of its cluster")
        return found

    _accumulate = _step

    def _fit(self, outcome: Outcome, yardstick: Yardstick | None) -> float:
        """As many passes as the yardstick made, and the same inertia."""
        found = self._claimed(outcome, outcome.centroids)
        if yardstick is not None:
            both = yardstick.n_iter, outcome.n_iter
            if None not in both and both[0] != both[1]:
                raise Wrong(f"{outcome.n_iter} passes, scikit-learn's {yardstick.n_iter}")
            _same(found, yardstick.inertia)
        return found

    def _default_fit(self, outcome: Outcome, yardstick: Yardstick | None) -> float:
        return _lucky(self._claimed(outcome, outcome.centroids), yardstick)

    def _seed(self, outcome: Outcome, yardstick: Yardstick | None) -> float:
        """Distinct points of the data, with a potential as good as the yardstick's."""
        seeds = np.asarray(outcome.centroids)
        rows = np.unique(_rows(seeds))
        if len(rows) < len(seeds) or not np.isin(rows, _rows(self.points)).all():
            raise Wrong("the seeds are not distinct points of the data")
        return _lucky(self.inertia(self._nearest(seeds), seeds), yardstick)

    def _stream(self, outcome: Outcome, yardstick: Yardstick | None) -> float:
        """After the same batches the same centroids, and so the same inertia of all points."""
        found = self.inertia(self._nearest(outcome.centroids), outcome.centroids)
        if yardstick is not None:
            _same(found, yardstick.inertia)
        return found

    def _claimed(self, outcome: Outcome, centroids: np.ndarray) -> float:
        """The inertia of its labels, which has to be the one that it says."""
        found = self.inertia(np.asarray(outcome.labels), centroids)
        if outcome.inertia is not None:
            _same(float(outcome.inertia), found)
        return found

    @functools.cached_property
    def _labels(self) -> np.ndarray:
        return self._nearest(self.centroids)

    @functools.cached_property
    def _least(self) -> float:
        return self.inertia(self._labels, self.centroids)

    def inertia(self, labels: np.ndarray, centroids: np.ndarray) -> float:
        """Σ‖x − c‖² over the points and the centroids of their labels."""
        centroids = np.asarray(centroids, np.float64)
        return sum(
            float(np.square(block - centroids[labels[rows]]).sum())
            for rows, block in self._blocks(1)
        )

    def _nearest(self, centroids: np.ndarray) -> np.ndarray:
        """(n,) labels, by ‖c‖² − 2c·x around the centroids' mean."""
        centroids = np.asarray(centroids, np.float64)
        middle = centroids.mean(axis=0)
        around = centroids - middle
        norms, labels = np.square(around).sum(axis=1), np.empty(len(self.points), np.int64)
        for rows, block in self._blocks(len(centroids)):
            distances = (block - middle) @ (-2 * around.T)
            distances += norms
            labels[rows] = distances.argmin(axis=1)
        return labels

    def _blocks(self, width: int):
        """Slices of rows and these points in float64; a block is `width` or d numbers wide."""
        rows = max(1, BLOCK_BYTES // (8 * max(width, self.points.shape[1])))
        for start in range(0, len(self.points), rows):
            part = slice(start, start + rows)
            yield part, self.points[part].astype(np.float64)


def _rows(points: np.ndarray) -> np.ndarray:
    """(n,) opaque values, equal where the rows are."""
    points = np.ascontiguousarray(points)
    return points.view(f"V{points.itemsize * points.shape[1]}").ravel()


def _same(found: float, expected: float) -> None:
    if not abs(found - expected) <= INERTIA * expected:
        raise Wrong(f"inertia {found:.9g} should be {expected:.9g}")


def _lucky(found: float, yardstick: Yardstick | None) -> float:
    if yardstick is not None and found > (1 + LUCK) * yardstick.inertia:
        raise Wrong(f"inertia {found:.9g} is far above scikit-learn's {yardstick.inertia:.9g}")
    return found
