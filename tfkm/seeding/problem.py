"""The input of every seeding, and the common steps of the public seeding functions."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import NamedTuple

import numpy as np

from tfkm import checks
from tfkm.data import arrays
from tfkm.data.points import Points
from tfkm.ops import backends
from tfkm.ops.backend import Backend
from tfkm.ops.magnitudes import largest_magnitudes
from tfkm.seeding import draws
from tfkm.types import Seeds, Tell


class Unheld(Points):
    """Points that are not in memory, nor their weights.

    A seeding step that needs all of them is done by these methods.
    """

    def by_weight(self, rng: np.random.RandomState, size: int, replace: bool) -> np.ndarray:
        """Return indices drawn by weight, see `draws.by_weight`."""
        raise NotImplementedError

    def potential(self, problem: SeedingProblem):
        """Return a `Potential` with labels, with the methods that k-means‖ needs."""
        raise NotImplementedError

    def in_memory(self, problem: SeedingProblem) -> SeedingProblem:
        """Return the same problem with all points and weights in memory."""
        raise NotImplementedError

    def held(self, problem: SeedingProblem) -> SeedingProblem:
        """Return the problem with its weights in memory, for a seeding that keeps a number for each point.

        Raises:
            ValueError: There are too many points for that.
        """
        raise NotImplementedError


class SeedingProblem(NamedTuple):
    """A choice to make: `wanted` of the points, in addition to the centroids that are given."""

    points: Points
    weights: np.ndarray | None  # (n,) float64
    given: np.ndarray  # (m, d), m ≥ 0, in the dtype to compute in
    wanted: int
    rng: np.random.RandomState
    backend: Backend
    tell: Tell | None = None  # called with the progress

    def by_weight(self, size: int, replace: bool = True) -> np.ndarray:
        """Return indices (size,) drawn with probability proportional to weight."""
        if isinstance(self.points, Unheld):
            return self.points.by_weight(self.rng, size, replace)
        chunk = draws.chunk_rows(self.points.d, self.points.dtype.itemsize)
        return draws.by_weight(self.rng, self.points.n, self.weights, size, replace, chunk)

    def held(self) -> SeedingProblem:
        """Return the problem for a seeding that keeps a number for each point."""
        return self.points.held(self) if isinstance(self.points, Unheld) else self

    def with_given(self, chosen: np.ndarray) -> SeedingProblem:
        """Return the problem that is left after these points have been chosen."""
        given = np.concatenate([self.given, self.points[chosen]])
        return self._replace(given=given, wanted=self.wanted - len(chosen))


Choose = Callable[[SeedingProblem], np.ndarray]  # returns (wanted,) int64 indices


def seeds(
    choose: Choose, points, n_clusters: int, weights, random_state, given, backend: str | None
) -> Seeds:
    """Check the arguments of a public seeding function and run it."""
    # Imported here, since it takes 1 s and the command line asks for the names of seedings alone.
    from sklearn.utils import check_random_state

    checks.check_number("n_clusters", n_clusters, Integral, 1)
    module = backends.select(backend)
    data = Points(points)
    weights = checks.weights_array(weights, data.n)
    checks.check_clusters(n_clusters, data.n)
    given = given_centroids(given, data, n_clusters)
    rng = check_random_state(random_state)
    largest_magnitudes(data)  # raises if a point is not finite
    m = len(given)
    chosen = choose(SeedingProblem(data, weights, given, n_clusters - m, rng, module))
    centroids = np.concatenate([given, data[chosen]])
    indices = np.concatenate([np.full(m, -1), chosen]).astype(np.int64)
    return Seeds(arrays.like(points, centroids), arrays.like(points, indices))


def given_centroids(given, points: Points, n_clusters: int) -> np.ndarray:
    """Return the given centroids (m, d), m < n_clusters, in the dtype to compute in; no rows for None."""
    if given is None:
        return np.empty((0, points.d), points.compute)
    given = checks.real_numbers("given", arrays.taken("given", given)).astype(points.compute)
    m = given.shape[0] if given.ndim == 2 and given.shape[1] == points.d else 0
    if not 1 <= m < n_clusters:
        raise ValueError(
            f"given: shape {given.shape}; it needs shape (m, {points.d}) with 1 ≤ m < {n_clusters}"
        )
    return checks.finite_rows("given", given, points.compute)
