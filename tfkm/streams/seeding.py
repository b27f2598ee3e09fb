"""Seeding from a stream: the same bits as in memory, without a number for each point.

Seeding in memory keeps each point's distance to the centroids chosen so far. Here each pass
computes it again. A pass that draws rows also returns those rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfkm import seeding
from tfkm.data.points import Points, Rows
from tfkm.ops import backends
from tfkm.saving import fields
from tfkm.seeding.draws import Distinct, Seed, Shard, WithReplacement, seed_of
from tfkm.seeding.potential import take_nearer
from tfkm.seeding.problem import SeedingProblem, Unheld
from tfkm.streams.blocks import Block
from tfkm.streams.journal import Arrays, Journal
from tfkm.streams.scan import Scan
from tfkm.streams.stream import Engine, Stream

_HELD_BYTES = 2**28  # bytes of numbers for each point, for seedings that need them


def checked(init: seeding.Init, stream: Stream, k: int) -> seeding.Init:
    """Return `seeding.checked` of `init` for a stream.

    Raises:
        ValueError: `init` is a user's callable, which needs an array, or a setting is not allowed.
    """
    if callable(init) and not seeding.is_own(init):
        raise ValueError(
            "init: a callable needs the points in an array; allowed for a stream are the names, "
            "the functions of this package, and an array (k, d)"
        )
    init = seeding.checked(init, _Shape(stream), k)
    if needs_all(init) and stream.n is not None:
        _check_held(stream.n)
    return init


def needs_all(init: seeding.Init) -> bool:
    """Return whether this seeding holds a number for each point."""
    name = None if seeding.is_array(init) else seeding.name_of(init)
    return name is not None and seeding.SEEDINGS[name].per_point


def _others() -> str:
    """Return the names of seedings that hold no number for each point."""
    names = (repr(name) for name, own in seeding.SEEDINGS.items() if not own.per_point)
    return " or ".join(names)


def check_engine(init: seeding.Init, engine: Engine) -> None:
    """Check that this process reads the points, if this seeding needs them here.

    Raises:
        ValueError: Only other processes read them.
    """
    if needs_all(init) and not engine.local:
        raise ValueError(
            f"init: {seeding.name_of(init)!r} needs all points in this process, but this engine reads "
            f"them elsewhere; take {_others()}"
        )


def _check_held(n: int) -> None:
    if 16 * n > _HELD_BYTES:
        raise ValueError(
            f"init: it keeps numbers for each point, for at most {_HELD_BYTES // 16:,} points; "
            f"a stream of {n:,} needs {_others()}"
        )


@dataclass(frozen=True)
class DrawShard:
    """The task of drawing `size` rows of a shard with probability proportional to weight.

    If there are groups of centroids (m, d), it is proportional to weight · D², where D is the
    distance to the nearest of them. The result is the reservoir, a `WithReplacement` or a
    `Distinct`, and the rows drawn.
    """

    kind: Callable
    seed: Seed
    size: int
    equal: bool  # whether all weights are equal, and so ignored
    groups: tuple[np.ndarray, ...] = ()
    backend: str | None = None
    rows: None = None

    phase: ClassVar[str] = "seed"

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]):
        draws = self.kind(self.seed, self.size, shard.number)
        drawn = np.empty((0, stream.d), stream.dtype)
        for block in blocks:
            weights = None if self.equal else block.weights
            if self.groups:
                weights, _ = _costs(block, self.groups, self.backend)
            if isinstance(draws, Distinct):
                source = draws.add(block.start, len(block.points), weights)
                drawn = _gathered(drawn, block.points, source)
            else:
                assert weights is not None
                taking = draws.add(block.start, weights)
                if len(drawn) < self.size:
                    drawn = np.zeros((self.size, stream.d), stream.dtype)
                drawn[taking] = block.points[draws.indices[taking] - block.start]
        return draws, drawn


@dataclass(frozen=True)
class SizesShard:
    """The task of finding (m,) float64, the weight of a shard's points nearest to each centroid.

    The m centroids are those of all groups.
    """

    groups: tuple[np.ndarray, ...]
    backend: str | None
    rows: None = None

    phase: ClassVar[str] = "seed"

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]) -> np.ndarray:
        count = sum(map(len, self.groups))
        sizes = np.zeros(count)
        for block in blocks:
            _, labels = _costs(block, self.groups, self.backend)
            sizes += np.bincount(labels, block.weights, count)
        return sizes


@dataclass(frozen=True)
class RowsShard:
    """The task of reading the points of a shard that have these indices (m,), ascending."""

    indices: np.ndarray
    rows: None = None

    phase: ClassVar[str] = "seed"

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]) -> np.ndarray:
        taken = [np.empty((0, stream.d), stream.dtype)]
        for block in blocks:
            inside = (self.indices >= block.start) & (self.indices < block.stop)
            taken.append(block.points[self.indices[inside] - block.start])
        return np.concatenate(taken)


@dataclass(frozen=True)
class WeightsShard:
    """The task of reading the weights (rows,) float64 of a shard."""

    rows: None = None

    phase: ClassVar[str] = "seed"

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]) -> np.ndarray:
        return np.concatenate([block.weights for block in blocks])


@dataclass(frozen=True)
class AllShard:
    """The task of reading all points (rows, d) of a shard, and their weights (rows,) float64 or None."""

    rows: None = None

    phase: ClassVar[str] = "seed"

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]):
        points, weights = zip(*((block.points, block.weights) for block in blocks), strict=True)
        joined = None if weights[0] is None else np.concatenate(weights)
        return np.concatenate(points), joined


class _Shape(Unheld):
    """The shape and dtype of a stream, which are known before it is read."""

    def __init__(self, stream: Stream) -> None:
        self.n, self.d, self.is_sparse = stream.n or 0, stream.d, False
        self.dtype, self.compute = stream.dtype, stream.compute

    @property
    def array(self) -> None:
        return None


class StreamPoints(_Shape):
    """A stream as the points of a seeding problem."""

    def __init__(
        self, stream: Stream, scan: Scan, engine: Engine, backend: str, journal: Journal
    ) -> None:
        super().__init__(stream)
        self._stream, self._scan, self.engine = stream, scan, engine
        self.backend, self.journal = backend, journal
        self._known: dict[int, np.ndarray] = {}  # rows read so far, by index

    def blocks(self, rows: int) -> Iterator[Rows]:
        for start, points, _ in self._stream.blocks():
            for at in range(0, len(points), rows):
                yield Rows(start + at, points[at : at + rows])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        missing = np.unique([row for row in rows if row not in self._known]).astype(np.int64)
        if missing.size:
            shards = [
                s
                for s in self._stream.shards()
                if ((s.start <= missing) & (missing < s.stop)).any()
            ]
            found = [part for _, part in self.engine.run(RowsShard(missing), shards)]
            self.keep(missing, np.concatenate(found))
        found = [self._known[row] for row in rows]
        return np.array(found, self._stream.compute).reshape(len(rows), self.d)

    def by_weight(self, rng: np.random.RandomState, size: int, replace: bool) -> np.ndarray:
        equal = self._scan.lightest == self._scan.heaviest
        if replace and equal:
            return rng.randint(self.n, size=size)
        return self.drawn(rng, WithReplacement if replace else Distinct, size, equal)

    def drawn(self, rng: np.random.RandomState, kind: Callable, size: int, equal: bool, groups=()):
        """Return the indices that a `DrawShard` with these settings draws, and keep their rows."""

        def step() -> Arrays:
            task = DrawShard(kind, seed_of(rng), size, equal, groups, self.backend)
            draws, rows = kind(task.seed, size), np.zeros((size, self.d), self._stream.dtype)
            for _, (own, own_rows) in self.engine.run(task, self._stream.shards()):
                if isinstance(draws, Distinct):
                    rows = _gathered(
                        rows[: len(draws.indices)], own_rows, draws.join(own.indices, own.keys)
                    )
                else:
                    taking = draws.join(own.indices, own.total)
                    rows[taking] = own_rows[taking]
            if isinstance(draws, WithReplacement) and not draws.total:
                draws.indices = draws.indices[:0]
            drawn = rows[: len(draws.indices)].astype(self._stream.compute)
            return {"indices": draws.indices, "rows": drawn}

        def check(result: Arrays) -> None:
            fields.names(result, "indices", "rows")
            drawn = fields.array("indices", result["indices"], "int64", None)
            fields.check(len(drawn) <= size, "indices", f"at most {size}")
            fields.within("indices", drawn, 0, self.n - 1, f"numbers from 0 to {self.n - 1}")
            dtype = self._stream.compute.name
            fields.rows("rows", result["rows"], dtype, len(drawn), self.d)

        result = self.journal.step(step, check, rng)
        self.keep(result["indices"], result["rows"])
        return result["indices"]

    def potential(self, problem: SeedingProblem) -> _Potential:
        return _Potential(self, problem)

    def held(self, problem: SeedingProblem) -> SeedingProblem:
        _check_held(self.n)
        if problem.weights is None and self._stream.source.weighted:
            parts = [part for _, part in self.engine.run(WeightsShard(), self._stream.shards())]
            problem = problem._replace(weights=np.concatenate(parts))
        return problem

    def in_memory(self, problem: SeedingProblem) -> SeedingProblem:
        found = (part for _, part in self.engine.run(AllShard(), self._stream.shards()))
        points, weights = zip(*found, strict=True)
        joined = None if weights[0] is None else np.concatenate(weights)
        held = Points(np.concatenate(points))
        return problem._replace(points=held, weights=joined)

    def keep(self, indices: np.ndarray, rows: np.ndarray) -> None:
        """Keep rows, so that indexing need not read them again."""
        rows = rows.astype(self._stream.compute)
        self._known.update(zip(indices.tolist(), rows, strict=True))

    def sizes(self, groups: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return the sum of `SizesShard` over all shards."""
        task = SizesShard(groups, self.backend)
        return sum(part for _, part in self.engine.run(task, self._stream.shards()))


class _Potential:
    """A `Potential` with labels that is computed again for each block of a pass."""

    def __init__(self, points: StreamPoints, problem: SeedingProblem) -> None:
        self._points = points
        self._groups: tuple[np.ndarray, ...] = ()
        if len(problem.given):
            self.add(problem.given)

    def add(self, centroids: np.ndarray) -> None:
        """Add centroids (m, d), in the dtype to compute in."""
        self._groups += (np.asarray(centroids),)

    def sample(self, rng: np.random.RandomState, size: int) -> np.ndarray:
        """Return indices (size,) drawn with replacement, or none if the potential is 0."""
        return self._points.drawn(rng, WithReplacement, size, False, self._groups)

    def sizes(self) -> np.ndarray:
        """Return (m,) float64, the weight of the points nearest to each centroid that was added."""
        points, count = self._points, sum(map(len, self._groups))

        def check(result: Arrays) -> None:
            fields.names(result, "sizes")
            sizes = fields.array("sizes", result["sizes"], "float64", count)
            fields.within("sizes", sizes, 0, np.inf, "weights ≥ 0")

        return points.journal.step(lambda: {"sizes": points.sizes(self._groups)}, check)["sizes"]


def _costs(
    block: Block, groups: tuple[np.ndarray, ...], backend: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return weight · D² (rows,) float64 and the nearest centroid (rows,) int32."""
    module = backends.select(backend)
    points = module.held(block.points)
    compute = np.float64 if block.points.dtype == np.float64 else np.float32
    nearest = np.full(len(block.points), np.inf, compute)
    labels, first = np.zeros(len(nearest), np.int32), 0
    for centroids in groups:
        take_nearer(points, centroids, nearest, labels, first, module)
        first += len(centroids)
    costs = nearest.astype(np.float64)
    return (costs if block.weights is None else costs * block.weights), labels


def _gathered(old: np.ndarray, new: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return the rows at these positions of `old` and `new` joined."""
    taken = np.empty((len(source), old.shape[1]), old.dtype)
    kept = source < len(old)
    taken[kept] = old[source[kept]]
    taken[~kept] = new[source[~kept] - len(old)]
    return taken
