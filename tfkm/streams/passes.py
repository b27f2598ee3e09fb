"""One pass over a stream: what each shard gives, and their sum.

`SumShard` is all that a worker has to do, wherever it runs: it depends on the shard and the centroids, may
be done again, and what it gives can be added in any order, since the sums are exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from tfkm import exact
from tfkm.lloyd.empty_clusters import in_order
from tfkm.ops import backends
from tfkm.ops.backend import Problems
from tfkm.seeding.draws import Shard
from tfkm.streams.blocks import Block, block_rows
from tfkm.streams.scan import Scan
from tfkm.streams.stream import Engine, Stream
from tfkm.types import Ahead, Assignment, ExactStatistics, Made, Statistics, Words

_DIGEST = 16  # bytes of a shard's labels


class Partial(NamedTuple):
    """What shards give for centroids (a, k, d), as arrays with a in front.

    statistics: exact. digests: (a, 4 · shards) int32 in parts, of the labels of each shard's points.
    """

    statistics: ExactStatistics
    digests: list[np.ndarray]

    @property
    def labels(self) -> np.ndarray:
        """The digests in one."""
        return np.concatenate(self.digests, axis=1)

    def owned(self) -> Partial:
        """In arrays that `and_next` may write to, as those from another process are not."""
        high, low, inertia = self.statistics
        high, low = (Words(*(np.require(a, requirements="W") for a in w)) for w in (high, low))
        inertia = np.require(inertia, requirements="W")
        return Partial(ExactStatistics(high, low, inertia), list(self.digests))

    def and_next(self, more: Partial) -> Partial:
        """Together, in the arrays of this one."""
        (*words, inertia), (*others, more_inertia) = self.statistics, more.statistics
        for word, other in zip(words, others, strict=True):
            for a, b in zip(word, other, strict=True):
                np.add(a, b, out=a)
        np.add(inertia, more_inertia, out=inertia)
        self.digests.extend(more.digests)
        return self


@dataclass(frozen=True)
class SumShard:
    """The task: centroids (a, k, d) and a grid with a in front, the same for all shards."""

    centroids: np.ndarray
    grid: exact.Grid
    weighted: bool
    backend: str
    rows: int

    phase: ClassVar[str] = "pass"

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]) -> Partial:
        total: Partial | None = None
        digests = [hashlib.sha256() for _ in self.centroids]
        for block in blocks:
            here = assigned(block, self.centroids, self.grid, self.weighted, self.backend)
            for digest, own in zip(digests, here.labels, strict=True):
                digest.update(own.data)
            part = Partial(here.statistics, [])
            total = part.owned() if total is None else total.and_next(part)
        assert total is not None
        words = [np.frombuffer(digest.digest()[:_DIGEST], np.int32) for digest in digests]
        return total._replace(digests=[np.stack(words)])


@dataclass(frozen=True)
class VarianceShard(SumShard):
    """The same for one centroid, before there are any to fit."""

    phase: ClassVar[str] = "scan"


@dataclass(frozen=True)
class FarthestShard:
    """The task: (labels, distances, weights, points) of at most so many rows, the farthest from centroids
    (1, k, d), in the order in which they come."""

    centroids: np.ndarray
    grid: exact.Grid
    most: int
    backend: str
    rows: int

    phase: ClassVar[str] = "farthest"

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]) -> list[np.ndarray]:
        found = _none(stream.d)
        for block in blocks:
            here = assigned(block, self.centroids, self.grid, True, self.backend)
            weights = np.ones(len(block.points)) if block.weights is None else block.weights
            distances = here.sq_distances[0].astype(np.float64)
            found = _farthest(found, [here.labels[0], distances, weights, block.points], self.most)
        return found


def assigned(block: Block, centroids: np.ndarray, grid: exact.Grid, weighted: bool, backend: str):
    """A `Sweep` of centroids (a, k, d) over a block."""
    table = Problems(np.array([[0, i, 0] for i in range(len(centroids))]))
    module = backends.select(backend)
    weights = block.weights if weighted else None
    if weights is not None:
        weights = np.ascontiguousarray(weights)[None]
    return module.sweep(module.held(block.points[None]), centroids, weights, grid, table)


def grids(scan: Scan, centroids: np.ndarray, weighted: bool) -> exact.Grid:
    """As `exact.grids`."""
    return exact.grids(len(centroids), scan.n, scan.largest, scan.heaviest if weighted else 1.0)


def sums(
    stream: Stream, scan: Scan, engine: Engine, centroids: np.ndarray, backend: str
) -> Statistics:
    """Unweighted, of centroids (1, k, d): one pass."""
    grid = grids(scan, centroids, weighted=False)
    rows = block_rows(stream.d, stream.dtype.itemsize, centroids.shape[1])
    total: Partial | None = None
    for _, part in engine.run(
        VarianceShard(centroids, grid, False, backend, rows), stream.shards()
    ):
        total = part.owned() if total is None else total.and_next(part)
    assert total is not None
    return total.statistics.rounded()


class Unfinished(NamedTuple):
    """A pass of which the first `shards` are done."""

    shards: int
    partial: Partial


class Passes:
    """What `iterate` wants of a stream, for runs that begin with centroids (r, k, d).

    before: (a, …) labels of the pass before, as in `Partial`, of runs (a,). unfinished: the next pass.
    """

    def __init__(
        self,
        stream: Stream,
        scan: Scan,
        engine: Engine,
        centroids: np.ndarray,
        backend: str,
    ) -> None:
        self._stream, self._engine, self._backend, self.n = stream, engine, backend, scan.n
        self._grids = grids(scan, centroids, stream.source.weighted)
        self._rows = block_rows(
            stream.d, stream.dtype.itemsize, len(centroids) * centroids.shape[1]
        )
        self.on_shard: Callable[[Unfinished], None] | None = None  # told after each but the last
        self.before: np.ndarray | None = None
        self.runs = np.arange(len(centroids))
        self.unfinished: Unfinished | None = None

    def one_pass(
        self, runs: np.ndarray, centroids: np.ndarray, measured: bool, ahead: Ahead | None
    ) -> Made:
        """As `iteration.Points.one_pass`; labels are not held, so `changed` is 0 or 1."""
        total = self._pass(runs, centroids)
        changed = np.ones(len(runs), np.int64)
        labels = total.labels
        if self.before is not None:
            same = self.before[np.isin(self.runs, runs)] == labels
            changed = (~same.all(axis=1)).astype(np.int64)
        self.before, self.runs = labels, runs
        return Made(None, total.statistics.rounded(), changed, centroids)

    def look(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[None, Statistics]:
        """As `iteration.Points.look`."""
        return None, self._pass(runs, centroids).statistics.rounded()

    def _pass(self, runs: np.ndarray, centroids: np.ndarray) -> Partial:
        done, self.unfinished = self.unfinished, None
        task = SumShard(centroids, self._grid_of(runs), True, self._backend, self._rows)
        shards = list(self._stream.shards())
        for shard, part in self._engine.run(task, shards[done.shards if done else 0 :]):
            total = part.owned() if done is None else done.partial.and_next(part)
            done = Unfinished(shard.number + 1, total)
            if self.on_shard is not None and done.shards < len(shards):
                self.on_shard(done)
        assert done is not None
        return done.partial

    def placed(self, means: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """The means themselves."""
        return means

    def candidates(self, run: int, centroids: np.ndarray, assignment: Assignment | None) -> tuple:
        """The 2k points that are farthest from their centroid, found by another pass."""
        most, grid = 2 * len(centroids), self._grid_of(np.array([run]))
        task = FarthestShard(centroids[None], grid, most, self._backend, self._rows)
        found = _none(self._stream.d)
        for _, here in self._engine.run(task, self._stream.shards()):
            found = _farthest(found, here, most)
        labels, distances, weights, rows = found
        return labels, distances, weights, rows.__getitem__

    def _grid_of(self, runs: np.ndarray) -> exact.Grid:
        return exact.Grid(*(np.ascontiguousarray(part[runs]) for part in self._grids))


def _none(d: int) -> list[np.ndarray]:
    return [np.empty(0, np.int32), np.empty(0), np.empty(0), np.empty((0, d))]


def _farthest(found: list, here: list, most: int) -> list[np.ndarray]:
    """Keep at most so many of the rows found so far and the new ones, in the order in which they came.

    Rows are (labels, distances, weights, points); those that empty clusters take first are kept.
    """
    _, distances, weights, _ = here
    new = np.sort(in_order(distances, weights, most))
    joined = [np.concatenate([old, part[new]]) for old, part in zip(found, here, strict=True)]
    kept = np.sort(in_order(joined[1], joined[2], most))
    return [part[kept] for part in joined]
