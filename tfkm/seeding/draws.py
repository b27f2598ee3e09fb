"""Draws in proportion to weight, in one pass over weights that are not held: reservoirs.

Weights come in chunks of `CHUNK` rows, in order, the last one ragged. What is drawn depends on them and on
the generator alone, so points in memory and points of a stream are drawn alike.
"""

from __future__ import annotations

import numpy as np

CHUNK = 2**17  # rows; a part of what is drawn


class WithReplacement:
    """`size` independent draws.

    Of a chunk of weight t behind others of weight s in all, each draw takes a row instead of the one it
    has with probability t / (s + t) (Chao 1982, for chunks). Sums within a chunk are exact.

    indices: (size,) int64; −1 before the first positive weight. total: of all weights, float64.
    """

    def __init__(self, rng: np.random.RandomState, size: int) -> None:
        self._rng = rng
        self.indices = np.full(size, -1)
        self.total = 0.0

    def add(self, start: int, weights: np.ndarray) -> np.ndarray:
        """Of the rows from `start` on, (rows,) float64; which draws now are one of these."""
        plain = weights.sum()
        if plain <= 0:
            return np.zeros(0, np.int64)
        # A power of two, so that dividing is exact, and room for twice the plain sum.
        step = 2.0 ** max(np.ceil(np.log2(plain)) + 1 - 52, -1000)
        inside = np.cumsum(np.rint(weights / step) * step)
        here = inside[-1]
        self.total += here
        targets = self._rng.uniform(size=len(self.indices)) * self.total
        # No draw stays empty, should uniform · total round up to the end.
        taking = np.flatnonzero((targets < here) | (self.indices < 0))
        last = np.searchsorted(inside, here)
        found = np.searchsorted(inside, targets[taking], side="right")
        self.indices[taking] = start + np.minimum(found, last)
        return taking


class Distinct:
    """`size` draws without replacement: the rows of the least exponential variates / weight, in that order
    (Efraimidis & Spirakis 2006, with exponential variates for their u^(1/w)).

    indices: (≤ size,) int64, of rows of positive weight.
    """

    def __init__(self, rng: np.random.RandomState, size: int) -> None:
        self._rng, self._size = rng, size
        self._keys, self.indices = np.zeros(0), np.zeros(0, np.int64)

    def add(self, start: int, rows: int, weights: np.ndarray | None) -> np.ndarray:
        """Of the rows from `start` on; weights (rows,) or None for ones.

        Returns: where each of `indices` comes from: among what they were before, and behind that among
        the rows of this part.
        """
        keys = self._rng.standard_exponential(rows)
        if weights is not None:
            keys = np.divide(keys, weights, out=np.full(rows, np.inf), where=weights > 0)
        most = self._keys[-1] if len(self._keys) == self._size else np.inf
        new = np.flatnonzero(keys < most)
        if len(new) > self._size:
            new = np.sort(new[np.argpartition(keys[new], self._size - 1)[: self._size]])
        keys = np.concatenate([self._keys, keys[new]])
        kept = np.argsort(keys, kind="stable")[: self._size]
        self.indices = np.concatenate([self.indices, start + new])[kept]
        held = len(self._keys)
        self._keys = keys[kept]
        fresh = kept >= held
        kept[fresh] = held + new[kept[fresh] - held]
        return kept


def by_weight(
    rng: np.random.RandomState, n: int, weights: np.ndarray | None, size: int, replace: bool = True
) -> np.ndarray:
    """Indices (size,) of n points, drawn in proportion to weight."""
    # Equal weights draw what none do, so that scaling weights changes nothing.
    if weights is not None and (weights == weights[0]).all():
        weights = None
    if replace and weights is None:
        return rng.randint(n, size=size)
    if weights is not None and replace:
        draws = WithReplacement(rng, size)
        for start in range(0, n, CHUNK):
            draws.add(start, weights[start : start + CHUNK])
        return draws.indices
    distinct = Distinct(rng, size)
    for start in range(0, n, CHUNK):
        some = None if weights is None else weights[start : start + CHUNK]
        distinct.add(start, min(CHUNK, n - start), some)
    return distinct.indices
