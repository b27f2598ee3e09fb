"""What computes: one pass over points, in arrays. All that a fit asks of a backend, and nothing more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from tfkm import exact
from tfkm.data.points import Points, Rows
from tfkm.types import Ahead, Assignment, ExactStatistics, Tell, Words

# TensorFlow has no types that a checker knows, and need not be there. What imports it writes tf.Tensor.
Tensor: TypeAlias = Any
# What a user gives as points, centroids or weights: an array of any library, a list, a tensor.
Given: TypeAlias = Any
# Points as a backend reads them: arrays, or what its `held` and `blocks` have made of them.
Held: TypeAlias = Any
# Tensors, their shapes or dtypes, in tuples of any depth.
Nest: TypeAlias = Any


class Problems(NamedTuple):
    """B problems on points (P, n, d), centroids (C, k, d) and, if any, weights (W, n).

    Nothing is copied once per problem: a table says which points, centroids and weights are each one's own.

    table: (B, 3) int64, which points, centroids and weights are each problem's.
    rows: (B,) int64, how many of its points count, from the first on; None for all n. The label of
      the others is −1, their distance 0.
    """

    table: np.ndarray | Tensor
    rows: np.ndarray | Tensor | None = None


ONE = Problems(np.zeros((1, 3), np.int64))


class Sweep(NamedTuple):
    """A pass over B problems as a fit makes it, in arrays: its results, and what helps the pass after it.

    centroids: (B, k, d) that it was made with. labels: (B, n) int32. sq_distances: (B, n), and None,
      with an inertia of NaN, where they were not wanted and the backend can do without.
    statistics: with B in front.
    changed: (B,) int64, how many labels are not those of the pass before; n for the first.
    bounds: what the backend may know of the points it need not look at again: margins (B, n), spent (B, k).
    passes: (B,) int64, how many of each were made, these the last of them; None for one.
    """

    centroids: np.ndarray
    labels: np.ndarray
    sq_distances: np.ndarray | None
    statistics: ExactStatistics
    changed: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    passes: np.ndarray | None = None

    def of(self, which: np.ndarray) -> Sweep:
        """Return copies for the problems at these places."""
        distances = None if self.sq_distances is None else self.sq_distances[which]
        high, low = (Words(*(part[which] for part in word)) for word in self.statistics[:2])
        statistics = ExactStatistics(high, low, self.statistics.inertia[which])
        bounds = None if self.bounds is None else (self.bounds[0][which], self.bounds[1][which])
        return Sweep(
            self.centroids[which], self.labels[which], distances, statistics,
            self.changed[which], bounds,
        )  # fmt: skip


class Backend(Protocol):
    """Arguments are taken as checked, but for values that are not finite; results are NumPy arrays.

    Points are arrays (n, d) of any dtype that is computed with, or blocks that the backend has made.
    Centroids are contiguous, in the dtype to compute in.
    """

    name: str

    def blocks(self, points: Points) -> Iterable[Rows]:
        """Return all points as this backend reads them best, to be gone over as often as wanted."""

    def held(self, points: np.ndarray) -> Held:
        """Return points (…, n, d) as this backend reads them, so that several calls share the making."""

    def assign(self, points: Held, centroids: np.ndarray) -> Assignment:
        """Return labels (n,) and squared distances (n,); NaN marks a row that is not finite."""

    def labels(self, points: Held, centroids: np.ndarray) -> np.ndarray:
        """Return labels (n,) alone; −1 marks a row that is not finite, or whose squared norm overflows."""

    def assign_batch(self, points: Held, centroids: np.ndarray, problems: Problems) -> Assignment:
        """Return labels and squared distances (B, n) of problems on (P, n, d) and (C, k, d)."""

    def sq_distances(self, points: Held, centroids: np.ndarray) -> np.ndarray:
        """Return (n, k) squared distances in the direct form."""

    def sweep(
        self,
        points: Held,
        centroids: np.ndarray,
        weights: np.ndarray | None,
        grid: exact.Grid,
        problems: Problems = ONE,
        before: Sweep | None = None,
        measured: bool = True,
        ahead: Ahead | None = None,
    ) -> Sweep:
        """Assign the points of B problems and add them up exactly, per cluster.

        Args:
            points: (P, n, d).
            centroids: (C, k, d).
            weights: (W, n) float64 or None for ones.
            grid: With B in front.
            problems: B problems on these.
            before: Another pass, which differs in the centroids only, and is used up: what it holds may be
                written over. It shows in nothing but the time.
            measured: Whether distances and inertia are wanted.
            ahead: Leave, which a backend need not take, to make the passes that follow if it is not
                measured. Each problem has centroids of its own then, those of its number.
        """

    def kmeans_plusplus(
        self,
        points: np.ndarray,
        counts: np.ndarray,
        weights: np.ndarray | None,
        firsts: np.ndarray,
        uniforms: np.ndarray,
        sq_distances: np.ndarray | None = None,
        tell: Tell | None = None,
    ) -> np.ndarray | None:
        """Choose (B, k) indices by greedy k-means++, or return None where the backend has only its parts.

        Args:
            points: (B, n, d), of which the first counts (B,) count.
            counts: (B,).
            weights: (B, n) or None for ones.
            firsts: (B,) the first index of each.
            uniforms: (B, k − 1, trials) in [0, 1), which choose the candidates of each round.
            sq_distances: If some centroids are there already, (B, n) to the nearest of these, in the dtype
                to compute in: then there is no first, and uniforms are (B, k, trials).
            tell: Hears how many are chosen.

        Returns:
            Indices, −1 from where on every point coincides with one that was chosen.
        """


class TensorBackend(Protocol):
    """A module that computes on tensors. `tfkm.ops.reference` says what each function returns.

    TAKES_BATCHES: whether it is a `BatchBackend`.
    """

    TAKES_BATCHES: bool

    def why_not_in_xla(self) -> str:
        """Return why it cannot be used in a program that XLA compiles; empty if it can."""

    def assign(self, points: Tensor, centroids: Tensor) -> Assignment: ...

    def accumulate(
        self, points: Tensor, centroids: Tensor, weights: Tensor | None, grid: exact.Grid
    ) -> tuple[Assignment, ExactStatistics]: ...

    def sq_distances(self, points: Tensor, centroids: Tensor) -> Tensor: ...


class BatchBackend(TensorBackend, Protocol):
    """One that also takes many problems in one call, outside of XLA; shapes as in `tfkm.ops.batched`."""

    def assign_batch(self, points: Tensor, centroids: Tensor, problems: Problems) -> Assignment: ...

    def accumulate_batch(
        self,
        points: Tensor,
        centroids: Tensor,
        weights: Tensor | None,
        grid: exact.Grid,
        problems: Problems,
    ) -> tuple[Assignment, ExactStatistics]: ...
