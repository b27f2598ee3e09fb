"""The k-means potential of the centroids chosen so far, summed exactly, and draws proportional to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfkm.ops.backend import Backend
from tfkm.seeding.draws import chunk_rows, shards, with_replacement
from tfkm.seeding.problem import SeedingProblem

_BLOCK = 2**17  # rows whose costs are held at once
_DISTANCES = 2**20  # distances held at once


class Potential:
    """The costs weight · D² of all points and their sum, where D is the distance to the nearest centroid.

    Costs are summed as integer multiples of a small step. So 1e8 points lose no tail, and draws do
    not depend on the blocks.

    Attributes:
        nearest: (n,) D², in the dtype to compute in.
        total: The sum.
        labels: (n,) int32, the nearest centroid of each point, the first added among equals; None
            unless asked for.
    """

    def __init__(self, problem: SeedingProblem, *, labelled: bool = False) -> None:
        """Start from the given centroids of the problem, if there are any."""
        self._points, self._weights = problem.points, problem.weights
        self._backend = problem.backend
        self._blocks = self._backend.blocks(self._points)
        self._chunk = chunk_rows(self._points.d, self._points.dtype.itemsize)
        n = self._points.n
        self.nearest = np.full(n, np.inf, self._points.compute)
        self.labels = np.zeros(n, np.int32) if labelled else None
        self._count = 0
        self._step = 0.0
        self._totals = np.zeros(0)  # the sums of blocks, exact multiples of the step
        self.total = np.inf
        if len(problem.given):
            self.add(problem.given)

    def add(self, centroids: np.ndarray) -> None:
        """Add centroids (m, d), in the dtype to compute in, and update the costs."""
        for start, block in self._blocks:
            rows = slice(start, start + len(block))
            labels = None if self.labels is None else self.labels[rows]
            take_nearer(block, centroids, self.nearest[rows], labels, self._count, self._backend)
        self._count += len(centroids)
        # A power of two makes the division exact. The step leaves room for twice the plain sum.
        plain = sum(costs.sum() for costs in self._costs(_BLOCK))
        self._step = 2.0 ** max(np.ceil(np.log2(plain)) + 1 - 52, -1000) if plain > 0 else 1.0
        self._totals = np.array([self._rounded(costs).sum() for costs in self._costs(_BLOCK)])
        self.total = float(self._totals.sum())

    def draw(self, shares: np.ndarray) -> np.ndarray:
        """Return, for each share in [0, 1), the index at which the running sum passes share · total."""
        ends = np.cumsum(self._totals)
        targets = shares * self.total
        blocks = np.minimum(np.searchsorted(ends, targets, side="right"), len(ends) - 1)
        chosen = np.empty(len(shares), np.int64)
        order = np.argsort(blocks, kind="stable")
        touched, firsts = np.unique(blocks[order], return_index=True)
        for block, here in zip(touched, np.split(order, firsts[1:]), strict=False):
            costs = self._rounded(self._cost(block * _BLOCK, _BLOCK))
            inside = np.cumsum(costs) + (ends[block] - self._totals[block])
            # The limit for the case that uniform · total rounds up to the total.
            last = np.flatnonzero(costs)[-1]
            found = np.searchsorted(inside, targets[here], side="right")
            chosen[here] = block * _BLOCK + np.minimum(found, last)
        return chosen

    def with_each(self, candidates: np.ndarray) -> np.ndarray:
        """Return (m,) the totals that each of these m candidates would give if it alone were added."""
        totals = np.zeros(len(candidates))
        centroids = self._points[candidates]
        step = max(1, _DISTANCES // len(candidates))
        for first, block in self._blocks:
            for start in range(first, first + len(block), step):
                here = block[start - first : start - first + step]
                rows = slice(start, start + len(here))
                distances = self._backend.sq_distances(here, centroids)
                costs = np.minimum(distances, self.nearest[rows, None]).astype(np.float64)
                if self._weights is not None:
                    costs *= self._weights[rows, None]
                totals += self._rounded(costs).sum(axis=0)
        return totals

    def sample(self, rng: np.random.RandomState, size: int) -> np.ndarray:
        """Return indices (size,) drawn with replacement, or none if the potential is 0."""
        return with_replacement(
            rng,
            self._points.n,
            self._chunk,
            size,
            lambda start, stop: self._cost(start, stop - start),
        )

    def sizes(self) -> np.ndarray:
        """Return (m,) float64, the weight of the points nearest to each centroid that was added."""
        assert self.labels is not None
        sizes = np.zeros(self._count)
        # In the order in which a stream adds, for the same bits.
        for _, first, stop, _ in shards(self._points.n, self._chunk):
            own = np.zeros(self._count)
            for start in range(first, stop, self._chunk):
                rows = slice(start, min(start + self._chunk, stop))
                weights = None if self._weights is None else self._weights[rows]
                own += np.bincount(self.labels[rows], weights, self._count)
            sizes += own
        return sizes

    def _costs(self, rows: int) -> Iterator[np.ndarray]:
        """Yield the costs, float64, of this many rows at a time."""
        return (self._cost(start, rows) for start in range(0, self._points.n, rows))

    def _cost(self, start: int, rows: int) -> np.ndarray:
        """Return the costs (rows,) float64 from row `start` on."""
        near = self.nearest[start : start + rows].astype(np.float64)
        return near if self._weights is None else near * self._weights[start : start + rows]

    def _rounded(self, costs: np.ndarray) -> np.ndarray:
        return np.rint(costs / self._step) * self._step


def take_nearer(
    block: Any,
    centroids: np.ndarray,
    nearest: np.ndarray,
    labels: np.ndarray | None,
    first: int,
    backend: Backend,
) -> None:
    """Update D² (rows,) and labels (rows,) of a block in place where one of these centroids is nearer.

    Args:
        block: Points (rows, d), as the backend holds them.
        centroids: (m, d), in the dtype to compute in.
        nearest: (rows,) D² to change.
        labels: (rows,) int32 to change, or None.
        first: The label of the first centroid.
        backend: The backend that computes.
    """
    if len(centroids) == 1:  # with `xla` this takes two thirds of the time of an assignment
        distances = backend.sq_distances(block, centroids)[:, 0]
        own = np.zeros(1, np.int32)
    else:
        own, distances = backend.assign(block, centroids)
    nearer = distances < nearest
    np.copyto(nearest, distances, where=nearer)
    if labels is not None:
        np.copyto(labels, first + own, where=nearer)
