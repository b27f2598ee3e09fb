"""One pass over a stream: the results of its shards, and their sum.

`SumShard` is the task of a worker, wherever it runs. Its result depends on the shard and the
centroids alone, and it may be run again. The sums are exact, so results can be added in any order.
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

_DIGEST = 16  # bytes kept of the hash of a shard's labels


class Partial(NamedTuple):
    """The sums of some shards for centroids (a, k, d); all arrays have a leading axis of length a.

    Attributes:
        statistics: Exact sums.
        digests: Arrays (a, 4 · shards) int32, hashes of the labels of each shard's points.
    """

    statistics: ExactStatistics
    digests: list[np.ndarray]

    @property
    def labels(self) -> np.ndarray:
        """Return the digests in one array."""
        return np.concatenate(self.digests, axis=1)

    def owned(self) -> Partial:
        """Return self in arrays that `and_next` may write to.

        Arrays from another process are read-only, and are copied.
        """
        high, low, inertia = self.statistics
        high, low = (Words(*(np.require(a, requirements="W") for a in w)) for w in (high, low))
        inertia = np.require(inertia, requirements="W")
        return Partial(ExactStatistics(high, low, inertia), list(self.digests))

    def and_next(self, more: Partial) -> Partial:
        """Add the next shards in place, and return self."""
        (*words, inertia), (*others, more_inertia) = self.statistics, more.statistics
        for word, other in zip(words, others, strict=True):
            for a, b in zip(word, other, strict=True):
                np.add(a, b, out=a)
        np.add(inertia, more_inertia, out=inertia)
        self.digests.extend(more.digests)
        return self


@dataclass(frozen=True)
class SumShard:
    """The task of a pass: assign the points of a shard, and add them up by cluster.

    Attributes:
        centroids: (a, k, d).
        grid: The grid of the sums, with a leading axis of length a; the same for all shards.
        weighted: Whether points count with their weights.
        backend: Name of the backend.
        rows: Rows of a block.
    """

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
    """The same task for the mean variance, which one centroid gives; it belongs to the scan."""

    phase: ClassVar[str] = "scan"


@dataclass(frozen=True)
class FarthestShard:
    """The task of finding the rows of a shard that are farthest from their centroids.

    The result holds labels, distances, weights and points of at most `most` rows, in the order of
    the stream. The centroids are (1, k, d).
    """

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
    """Return the `Sweep` of centroids (a, k, d) over a block."""
    table = Problems(np.array([[0, i, 0] for i in range(len(centroids))]))
    module = backends.select(backend)
    weights = block.weights if weighted else None
    if weights is not None:
        weights = np.ascontiguousarray(weights)[None]
    return module.sweep(module.held(block.points[None]), centroids, weights, grid, table)


def grids(scan: Scan, centroids: np.ndarray, weighted: bool) -> exact.Grid:
    """Return the grids for these centroids, see `exact.grids`."""
    return exact.grids(len(centroids), scan.n, scan.largest, scan.heaviest if weighted else 1.0)


def sums(
    stream: Stream, scan: Scan, engine: Engine, centroids: np.ndarray, backend: str
) -> Statistics:
    """Return the unweighted statistics for centroids (1, k, d), in one pass."""
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
    """A pass whose first `shards` shards are done."""

    shards: int
    partial: Partial


class StreamPasses:
    """The points of a stream as `iterate` needs them, for runs from centroids (r, k, d).

    This implements `iteration.Points`.

    Attributes:
        before: (a, …) `Partial.labels` of the last pass.
        runs: (a,) the runs that made the last pass.
        unfinished: The part of the next pass that a checkpoint holds.
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
        # Called after each shard but the last.
        self.on_shard: Callable[[Unfinished], None] | None = None
        self.before: np.ndarray | None = None
        self.runs = np.arange(len(centroids))
        self.unfinished: Unfinished | None = None

    def one_pass(
        self, runs: np.ndarray, centroids: np.ndarray, measured: bool, ahead: Ahead | None
    ) -> Made:
        """Make the next pass of each run, see `iteration.Points.one_pass`.

        Labels are not held, so `changed` is only 0 or 1.
        """
        total = self._pass(runs, centroids)
        changed = np.ones(len(runs), np.int64)
        labels = total.labels
        if self.before is not None:
            same = self.before[np.isin(self.runs, runs)] == labels
            changed = (~same.all(axis=1)).astype(np.int64)
        self.before, self.runs = labels, runs
        return Made(None, total.statistics.rounded(), changed, centroids)

    def look(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[None, Statistics]:
        """Make a measured pass that does not count as a pass of the runs, see `iteration.Points.look`."""
        return None, self._pass(runs, centroids).statistics.rounded()

    def _pass(self, runs: np.ndarray, centroids: np.ndarray) -> Partial:
        """Make a pass, or the rest of an unfinished one, and return its sums."""
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
        """Return the means unchanged; see `iteration.Points.placed`."""
        return means

    def candidates(self, run: int, centroids: np.ndarray, assignment: Assignment | None) -> tuple:
        """Return the arguments of `update.centroids` for the 2k farthest points, found by one more pass."""
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
    """Return (labels, distances, weights, points) of no rows."""
    return [np.empty(0, np.int32), np.empty(0), np.empty(0), np.empty((0, d))]


def _farthest(found: list, here: list, most: int) -> list[np.ndarray]:
    """Merge the rows found so far with new ones; keep at most `most`, in the order of the stream.

    Rows are (labels, distances, weights, points). The rows that empty clusters take first are kept.
    """
    _, distances, weights, _ = here
    new = np.sort(in_order(distances, weights, most))
    joined = [np.concatenate([old, part[new]]) for old, part in zip(found, here, strict=True)]
    kept = np.sort(in_order(joined[1], joined[2], most))
    return [part[kept] for part in joined]
