"""The first centroids: random, greedy k-means++, an array, or what a callable returns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfkm import ops
from tfkm.ops import validate
from tfkm.points import Points

Init = str | np.ndarray | Callable
NAMES = ("k-means++", "random")

_BLOCK = 2**17  # rows whose distances to all candidates are held at once


def seed(
    points: Points,
    k: int,
    init: Init,
    rng: np.random.RandomState,
    *,
    weights: np.ndarray | None = None,
    original=None,
    backend: str | None = None,
) -> tf.Tensor:
    """(k, d) centroids in the dtype to compute in.

    Args:
      points: n ≥ k of them, of which at least k have a positive weight.
      init: "k-means++", "random", an array (k, d), or a callable (X, k, random_state=rng) -> (k, d).
      weights: (n,) float64 or None. Points of weight zero are never chosen.
      original: what a callable is given as X.

    Raises: ValueError or TypeError naming `init`.
    """
    if isinstance(init, str):
        chosen = _CHOOSE[init](points, k, rng, weights, backend)
        return points[chosen]
    source = "init"
    if callable(init):
        init, source = init(original, k, random_state=rng), "init(…)"
    return array(init, points, k, source)


def array(init, points: Points, k: int, name: str = "init") -> tf.Tensor:
    """Given centroids (k, d), checked."""
    centroids = tf.cast(validate.real_numbers(name, init), points.compute)
    if centroids.shape != (k, points.d):
        raise ValueError(f"{name}: shape {centroids.shape}; it needs shape ({k}, {points.d})")
    return validate.finite_rows(name, centroids, points.compute)


def _random(points: Points, k: int, rng, weights, backend) -> np.ndarray:
    """k distinct indices, drawn in proportion to weight."""
    del backend
    return rng.choice(points.n, size=k, replace=False, p=_shares(weights))


def _kmeans_plusplus(points: Points, k: int, rng, weights, backend) -> np.ndarray:
    """k indices by greedy k-means++ (Arthur & Vassilvitskii 2007, §5; trials as in scikit-learn).

    Each round draws 2 + ⌊ln k⌋ candidates with probability weight · D², D the distance to the nearest
    centroid so far, and keeps the one that lowers the sum of those (the potential) most.

    The potential is summed in integers of a small step, so no tail is lost in 1e8 points and the
    choice does not depend on the blocks.
    """
    first = rng.choice(points.n, p=_shares(weights))
    uniforms = rng.uniform(size=(k - 1, 2 + int(np.log(k))))
    chosen = ops.kmeans_plusplus(points.array, weights, first, uniforms, backend=backend)
    if chosen is None:
        chosen = _in_blocks(points, weights, first, uniforms, backend)
    # From there on every point coincides with a chosen one.
    rest = np.flatnonzero(chosen < 0)
    chosen[rest] = rng.choice(points.n, size=len(rest), p=_shares(weights))
    return chosen


def _in_blocks(points: Points, weights, first: int, uniforms: np.ndarray, backend) -> np.ndarray:
    """As `ops.kmeans_plusplus`, by the backend's `sq_distances`."""
    chosen = np.full(len(uniforms) + 1, -1, np.int64)
    chosen[0] = first
    potential = _Potential(points, weights, backend)
    potential.add(first)
    for i, shares in enumerate(uniforms, 1):
        if potential.total == 0:
            break
        candidates = potential.draw(shares)
        chosen[i] = candidates[np.argmin(potential.with_each(candidates))]
        potential.add(chosen[i])
    return chosen


class _Potential:
    """weight · squared distance to the nearest chosen point, and its sum."""

    def __init__(self, points: Points, weights: np.ndarray | None, backend: str | None) -> None:
        self._points, self._weights, self._backend = points, weights, backend
        self._nearest = np.full(points.n, np.inf, points.compute.as_numpy_dtype)
        self._step = 0.0
        self._totals = np.zeros(0)  # of each block, exact multiples of the step
        self.total = np.inf

    def add(self, index: int) -> None:
        """Makes this point one of the chosen."""
        for start, block in self._points.blocks(_BLOCK):
            near = self._nearest[start : start + len(block)]
            distances = self._sq_distances(block, np.array([index]))[:, 0]
            np.minimum(near, distances.numpy(), out=near)
        # A power of two, so that dividing is exact, and room for twice the plain sum.
        plain = sum(costs.sum() for costs in self._costs())
        self._step = 2.0 ** (np.ceil(np.log2(plain)) + 1 - 52) if plain > 0 else 1.0
        self._totals = np.array([self._rounded(costs).sum() for costs in self._costs()])
        self.total = float(self._totals.sum())

    def draw(self, shares: np.ndarray) -> np.ndarray:
        """For each share in [0, 1) the index at which the running sum passes share · total."""
        ends = np.cumsum(self._totals)
        targets = shares * self.total
        blocks = np.minimum(np.searchsorted(ends, targets, side="right"), len(ends) - 1)
        chosen = np.empty(len(shares), np.int64)
        for block in np.unique(blocks):
            here, start = blocks == block, block * _BLOCK
            costs = self._rounded(self._cost(start))
            inside = np.cumsum(costs) + (ends[block] - self._totals[block])
            last = np.flatnonzero(costs)[-1]  # should uniform · total round up to the end
            found = np.searchsorted(inside, targets[here], side="right")
            chosen[here] = start + np.minimum(found, last)
        return chosen

    def with_each(self, candidates: np.ndarray) -> np.ndarray:
        """(len(candidates),) the total if that candidate were added."""
        totals = np.zeros(len(candidates))
        for start, block in self._points.blocks(_BLOCK):
            rows = slice(start, start + len(block))
            near = tf.constant(self._nearest[rows])
            weights = None if self._weights is None else self._weights[rows]
            distances = self._sq_distances(block, candidates)
            totals += _candidate_totals(distances, near, weights, self._step).numpy()
        return totals

    def _sq_distances(self, block: tf.Tensor, indices: np.ndarray) -> tf.Tensor:
        return ops.sq_distances(block, self._points[indices], backend=self._backend)

    def _costs(self):
        return (self._cost(start) for start in range(0, self._points.n, _BLOCK))

    def _cost(self, start: int) -> np.ndarray:
        near = self._nearest[start : start + _BLOCK].astype(np.float64)
        return near if self._weights is None else near * self._weights[start : start + _BLOCK]

    def _rounded(self, costs: np.ndarray) -> np.ndarray:
        return np.rint(costs / self._step) * self._step


@tf.function(reduce_retracing=True, autograph=False)
def _candidate_totals(distances, nearest, weights, step):
    """(m,) exact float64 sums over a block of the costs rounded to multiples of step."""
    costs = tf.cast(tf.minimum(distances, nearest[:, None]), tf.float64)
    if weights is not None:
        costs *= weights[:, None]
    step = tf.cast(step, tf.float64)
    return tf.reduce_sum(tf.round(costs / step) * step, axis=0)


def _shares(weights: np.ndarray | None) -> np.ndarray | None:
    return None if weights is None else weights / weights.sum()


_CHOOSE = {"random": _random, "k-means++": _kmeans_plusplus}
