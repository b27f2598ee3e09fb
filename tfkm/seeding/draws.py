"""Draws in proportion to weight, in one pass over weights that are not held: reservoirs.

Rows are cut into shards of chunks of a fixed size, the last ones ragged. A shard is drawn from by
itself, with a generator of its own, and reservoirs of shards are joined. What is drawn depends on the
weights and the seed
alone: not on where a row is held, nor on which machine looks at its shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

MOST_ROWS = 2**17  # of a chunk; like all of this a part of what is drawn
_CHUNK_BYTES = 2**24
_SHARD_CHUNKS = 16
_JOINING = 2**31  # in the place of a shard's number

Seed = tuple[int, ...]


class Shard(NamedTuple):
    """Rows [start, stop), the `number`-th such part.

    fingerprints: of the chunks that a stream found there, once it was read.
    """

    number: int
    start: int
    stop: int
    fingerprints: tuple[int, ...] = ()


def chunk_rows(d: int, itemsize: int) -> int:
    """Of points, a power of two: up to 16 MB, so that a stream can hold a chunk to take rows from."""
    return 1 << max(0, min(_CHUNK_BYTES // (d * itemsize), MOST_ROWS).bit_length() - 1)


def shards(n: int | None, chunk: int) -> Iterator[Shard]:
    """Of n rows; without an end if it is not known how many there are."""
    rows, number = shard_rows(chunk), 0
    while n is None or number * rows < n:
        stop = (number + 1) * rows
        yield Shard(number, number * rows, stop if n is None else min(stop, n))
        number += 1


def shard_rows(chunk: int) -> int:
    """Of all shards but the last."""
    return _SHARD_CHUNKS * chunk


def seed_of(rng: np.random.RandomState) -> Seed:
    """Of all generators of one draw."""
    return tuple(int(word) for word in rng.randint(2**32, size=4, dtype=np.uint32))


class WithReplacement:
    """`size` independent draws.

    Of a chunk of weight t behind others of weight s in all, each draw takes a row instead of the one it
    has with probability t / (s + t) (Chao 1982, for chunks). Sums within a chunk are exact.

    indices: (size,) int64; −1 before the first positive weight. total: of all weights, float64.
    """

    def __init__(self, seed: Seed, size: int, shard: int = _JOINING) -> None:
        """Of the shard of this number, or to `join` those of shards."""
        self._rng = np.random.default_rng([*seed, shard])
        self.indices = np.full(size, -1)
        self.total = 0.0

    def join(self, indices: np.ndarray, total: float) -> np.ndarray:
        """What was drawn from the next shard; which draws now are of it."""
        if total <= 0:
            return np.zeros(0, np.int64)
        self.total += total
        targets = self._rng.uniform(size=len(self.indices)) * self.total
        taking = np.flatnonzero((targets < total) | (self.indices < 0))
        self.indices[taking] = indices[taking]
        return taking

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

    def __init__(self, seed: Seed, size: int, shard: int = _JOINING) -> None:
        """Of the shard of this number, or to `join` those of shards."""
        self._rng, self._size = np.random.default_rng([*seed, shard]), size
        self.keys, self.indices = np.zeros(0), np.zeros(0, np.int64)

    def add(self, start: int, rows: int, weights: np.ndarray | None) -> np.ndarray:
        """Of the rows from `start` on; weights (rows,) or None for ones.

        Returns: where each of `indices` now comes from: among what they were before, and behind that
        among the rows of this part.
        """
        keys = self._rng.standard_exponential(rows)
        if weights is not None:
            keys = np.divide(keys, weights, out=np.full(rows, np.inf), where=weights > 0)
        return self.join(start + np.arange(rows), keys)

    def join(self, indices: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Rows with these keys; returns as `add`."""
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
    """Indices (size,) of n rows that are held, or none if all weigh nothing.

    weights: of a start and a stop, (rows,) float64.
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
    """Indices (≤ size,) of n rows that are held; weights (n,) float64 or None for ones."""
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
    """Indices (size,) of n points, drawn in proportion to weight."""
    # Equal weights draw what none do, so that scaling weights changes nothing.
    if weights is not None and (weights == weights[0]).all():
        weights = None
    if not replace:
        return distinct(rng, n, chunk, size, weights)
    if weights is None:
        return rng.randint(n, size=size)
    return with_replacement(rng, n, chunk, size, lambda start, stop: weights[start:stop])
