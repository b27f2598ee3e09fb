"""Draws with probability proportional to weight, in one pass over weights that are not held: reservoirs.

Rows are cut into shards, and shards into chunks of a fixed size; the last ones are ragged. Each
shard has its own generator and its own reservoir, and the reservoirs are then joined. The result
depends on the weights and the seed alone: not on where a row is stored, nor on which machine reads
its shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

MOST_ROWS = 2**17  # upper bound for a chunk; changing these sizes changes what is drawn
_CHUNK_BYTES = 2**24
_SHARD_CHUNKS = 16
_JOINING = 2**31  # takes the place of a shard's number in a seed

Seed = tuple[int, ...]


class Shard(NamedTuple):
    """Rows [start, stop) of the points, the shard with this number.

    Attributes:
        fingerprints: One for each chunk, once a stream has read the shard; see `streams.checked`.
    """

    number: int
    start: int
    stop: int
    fingerprints: tuple[int, ...] = ()


def chunk_rows(d: int, itemsize: int) -> int:
    """Return the rows of a chunk, a power of two: up to 16 MB of points.

    A stream can hold a chunk of that size while rows are taken from it.
    """
    return 1 << max(0, min(_CHUNK_BYTES // (d * itemsize), MOST_ROWS).bit_length() - 1)


def shards(n: int | None, chunk: int) -> Iterator[Shard]:
    """Yield the shards of n rows; if n is None, shards without end."""
    rows, number = shard_rows(chunk), 0
    while n is None or number * rows < n:
        stop = (number + 1) * rows
        yield Shard(number, number * rows, stop if n is None else min(stop, n))
        number += 1


def shard_rows(chunk: int) -> int:
    """Return the rows of a shard; only the last one may have fewer."""
    return _SHARD_CHUNKS * chunk


def seed_of(rng: np.random.RandomState) -> Seed:
    """Return a seed for all generators of one draw."""
    return tuple(int(word) for word in rng.randint(2**32, size=4, dtype=np.uint32))


class WithReplacement:
    """A reservoir of `size` independent draws with replacement.

    Suppose a chunk of weight t comes after chunks of total weight s. With probability t / (s + t) a
    draw replaces its row by one of the chunk (Chao 1982, for chunks). Sums within a chunk are
    exact.

    Attributes:
        indices: (size,) int64; −1 before the first positive weight.
        total: Sum of all weights so far, float64.
    """

    def __init__(self, seed: Seed, size: int, shard: int = _JOINING) -> None:
        """Start an empty reservoir.

        Args:
            seed: A result of `seed_of`.
            size: Number of draws.
            shard: Number of the shard to draw from; left out for the reservoir that joins those of
                all shards.
        """
        self._rng = np.random.default_rng([*seed, shard])
        self.indices = np.full(size, -1)
        self.total = 0.0

    def join(self, indices: np.ndarray, total: float) -> np.ndarray:
        """Add the reservoir of the next shard, and return which draws now come from it."""
        if total <= 0:
            return np.zeros(0, np.int64)
        self.total += total
        targets = self._rng.uniform(size=len(self.indices)) * self.total
        taking = np.flatnonzero((targets < total) | (self.indices < 0))
        self.indices[taking] = indices[taking]
        return taking

    def add(self, start: int, weights: np.ndarray) -> np.ndarray:
        """Add rows from `start` on with these weights (rows,) float64, and return which draws take one."""
        plain = weights.sum()
        if plain <= 0:
            return np.zeros(0, np.int64)
        # A power of two makes the division exact. The step leaves room for twice the plain sum.
        step = 2.0 ** max(np.ceil(np.log2(plain)) + 1 - 52, -1000)
        inside = np.cumsum(np.rint(weights / step) * step)
        here = inside[-1]
        self.total += here
        targets = self._rng.uniform(size=len(self.indices)) * self.total
        # The second condition fills every draw, even if uniform · total rounds up to the total.
        taking = np.flatnonzero((targets < here) | (self.indices < 0))
        last = np.searchsorted(inside, here)
        found = np.searchsorted(inside, targets[taking], side="right")
        self.indices[taking] = start + np.minimum(found, last)
        return taking


class Distinct:
    """A reservoir of `size` draws without replacement.

    Each row has the key exponential variate / weight. The rows of least key are drawn, in the order
    of their keys (Efraimidis & Spirakis 2006, whose keys are u^(1/w)).

    Attributes:
        indices: (≤ size,) int64, of rows of positive weight.
        keys: Their keys, ascending.
    """

    def __init__(self, seed: Seed, size: int, shard: int = _JOINING) -> None:
        """Start an empty reservoir; arguments as for `WithReplacement`."""
        self._rng, self._size = np.random.default_rng([*seed, shard]), size
        self.keys, self.indices = np.zeros(0), np.zeros(0, np.int64)

    def add(self, start: int, rows: int, weights: np.ndarray | None) -> np.ndarray:
        """Add rows from `start` on; weights (rows,) or None for ones.

        Returns:
            For each entry of `indices`, the position that it comes from: in the old `indices` if it
                is less than their number, else, minus that number, in the added rows.
        """
        keys = self._rng.standard_exponential(rows)
        if weights is not None:
            keys = np.divide(keys, weights, out=np.full(rows, np.inf), where=weights > 0)
        return self.join(start + np.arange(rows), keys)

    def join(self, indices: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Add rows with these indices and keys; returns the same as `add`."""
        most = self.keys[-1] if len(self.keys) == self._size else np.inf
        new = np.flatnonzero(keys < most)
        if len(new) > self._size:
            new = np.sort(new[np.argpartition(keys[new], self._size - 1)[: self._size]])
        joined = np.concatenate([self.keys, keys[new]])
        kept = np.argsort(joined, kind="stable")[: self._size]
        self.indices = np.concatenate([self.indices, indices[new]])[kept]
        held = len(self.keys)
        self.keys = joined[kept]
        fresh = kept >= held
        kept[fresh] = held + new[kept[fresh] - held]
        return kept


def with_replacement(
    rng: np.random.RandomState, n: int, chunk: int, size: int, weights: Callable
) -> np.ndarray:
    """Return indices (size,) drawn with replacement from n rows in memory; none if all weights are 0.

    Args:
        rng: Source of the seed.
        n: Number of rows.
        chunk: Rows of a chunk.
        size: Number of draws.
        weights: A function (start, stop) that returns the weights (rows,) float64.
    """
    seed = seed_of(rng)
    draws = WithReplacement(seed, size)
    for number, start, stop, _ in shards(n, chunk):
        own = WithReplacement(seed, size, number)
        for first in range(start, stop, chunk):
            own.add(first, weights(first, min(first + chunk, stop)))
        draws.join(own.indices, own.total)
    return draws.indices if draws.total else draws.indices[:0]


def distinct(
    rng: np.random.RandomState, n: int, chunk: int, size: int, weights: np.ndarray | None
) -> np.ndarray:
    """Return indices (≤ size,) drawn without replacement from n rows in memory.

    The weights are (n,) float64, or None for ones.
    """
    seed = seed_of(rng)
    draws = Distinct(seed, size)
    for number, start, stop, _ in shards(n, chunk):
        own = Distinct(seed, size, number)
        for first in range(start, stop, chunk):
            rows = slice(first, min(first + chunk, stop))
            own.add(first, rows.stop - first, None if weights is None else weights[rows])
        draws.join(own.indices, own.keys)
    return draws.indices


def by_weight(
    rng: np.random.RandomState,
    n: int,
    weights: np.ndarray | None,
    size: int,
    replace: bool = True,
    chunk: int = MOST_ROWS,
) -> np.ndarray:
    """Return indices (size,) of n points, drawn with probability proportional to weight.

    Without replacement there are fewer if too few points have a positive weight.
    """
    # Equal weights draw the same as no weights, so scaling all weights changes nothing.
    if weights is not None and (weights == weights[0]).all():
        weights = None
    if not replace:
        return distinct(rng, n, chunk, size, weights)
    if weights is None:
        return rng.randint(n, size=size)
    return with_replacement(rng, n, chunk, size, lambda start, stop: weights[start:stop])
