"""A stream as a fit goes over it: its shards, and their blocks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, ClassVar, Protocol

import numpy as np

from tfkm.callbacks import Callbacks, ShardDone, Step
from tfkm.ops.magnitudes import checked_magnitudes
from tfkm.seeding.draws import Shard, chunk_rows, shard_rows, shards
from tfkm.streams import checked
from tfkm.streams.blocks import Block, ahead, aligned
from tfkm.streams.sources import Source


class Stream:
    """n points of d features, which are read from the source again in each pass.

    d, dtype: as stored. compute: float64 if dtype is, else float32. chunk: rows of a chunk.
    n: known from the scan on, or before it from the source.
    """

    def __init__(self, source: Source, chunk: int | None = None) -> None:
        """chunk: if it was set elsewhere. Raises: TypeError or ValueError, as `checked.declared`."""
        self.dtype = checked.declared(source)
        self.source, self.d = source, int(source.d)
        self.compute = np.dtype(np.float64 if self.dtype == np.float64 else np.float32)
        self.chunk = chunk or chunk_rows(self.d, self.dtype.itemsize)
        self.n = source.rows
        self._fingerprints: dict[
            int, int
        ] = {}  # of chunks that were read before, by their first row

    def shards(self) -> Iterator[Shard]:
        """All of them, in order; they depend on n, d and the dtype alone, never on who reads."""
        known = self._fingerprints
        for shard in shards(self.n, self.chunk):
            starts = range(shard.start, shard.stop, self.chunk)
            prints = tuple(known[row] for row in starts if row in known)
            yield shard._replace(fingerprints=prints)

    def know(self, shard: Shard) -> None:
        """Takes the fingerprints that the shard brings along for those of its chunks."""
        rows = range(shard.start, shard.stop, self.chunk)
        self._fingerprints.update(zip(rows, shard.fingerprints, strict=False))

    def blocks(
        self, start: int = 0, stop: int | None = None, rows: int | None = None
    ) -> Generator[Block, None, None]:
        """Of so many rows, by default a chunk, from row `start` on, a multiple of that, up to `stop`.

        Raises: ValueError if there are not as many rows as there should be, or others than before.
        """
        at, n = start, self.n
        parts = checked.parts(self.source, self.dtype, start, shard_rows(self.chunk))
        with closing(ahead(aligned(parts, start, rows or self.chunk))) as blocks:
            for block in blocks:
                if stop is not None and at >= stop:
                    return
                at = block.stop
                if n is not None and at > n:
                    break
                block = checked.weighed(self.source.name, block)
                self._compare(block)
                yield block
                del block  # not two while the next one is read
        if n is not None and (at != n if stop is None else at < min(n, stop)):
            more = "more" if at > n else f"only {at:,}"
            raise ValueError(
                f"{self.source.name}: {more} points, where there were {n:,}; "
                "each pass needs the same ones in the same order"
            )

    def _compare(self, block: Block) -> None:
        """With what was read there before; where rows are missing, how many there are says more."""
        known = self._fingerprints
        cut_short = block.stop != self.n and len(block.points) % self.chunk
        if block.start not in known or cut_short:
            return
        starts = range(block.start, block.stop, self.chunk)
        for row, found in zip(starts, checked.fingerprints(block, self.chunk), strict=True):
            if known.get(row, found) != found:
                shard, stop = row // shard_rows(self.chunk), min(row + self.chunk, block.stop)
                raise ValueError(
                    f"{self.source.name}: the data changed between passes: other points or weights in "
                    f"rows {row:,} to {stop - 1:,} (shard {shard}); each pass needs the same ones in the "
                    "same order"
                )

    def done(self, task: Task, shard: Shard) -> Any:
        """What the shard gives, read by itself."""
        self.know(shard)
        with closing(self.blocks(shard.start, shard.stop, task.rows)) as blocks:
            return task(self, shard, blocks)

    def check_shareable(self) -> None:
        """Raises: ValueError if several cannot share it, since each begins in its middle."""
        if self.n is None:
            raise ValueError(
                f"{self.source.name}: its length is not known before it is read, so workers cannot share "
                "it; give .npy or Parquet files"
            )


class Task(Protocol):
    """Work on one shard. It is pickled, depends on nothing else and may be done again.

    phase: as in `callbacks.ShardDone`. rows: of the blocks that it wants, a multiple of a chunk; None for a
    chunk.
    """

    phase: ClassVar[str]

    @property
    def rows(self) -> int | None: ...

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]) -> Any:
        """What the shard gives, in arrays, small beside the shard."""


class Engine(Protocol):
    """Who does the work.

    leads: whether this process writes what one of several has to write. local: whether the points are read
    by this process, so that it may hold a number for each.
    """

    leads: bool
    local: bool

    def run(self, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[Shard, Any]]:
        """What each of these shards gives, in their order."""

    def gathered(self, do: Callable[[], Any]) -> list[Any]:
        """What `do` gives in each process that makes this call, that which leads first.

        Raises: in all of them what it raises in one.
        """

    def close(self) -> None:
        """Lets those go who did the work."""


class Opener(Protocol):
    """What makes an engine for a stream. Raises: ValueError or ImportError, if it cannot."""

    def __call__(self, stream: Stream) -> Engine: ...


class OneProcess:
    """Of an engine that one process calls."""

    leads = local = True

    def gathered(self, do: Callable[[], Any]) -> list[Any]:
        """As `Engine.gathered`."""
        return [do()]

    def close(self) -> None:
        """Nobody has to go."""


class Watched:
    """An engine of which each shard is told to callbacks, and each block where this process reads it."""

    def __init__(self, engine: Engine, stream: Stream, callbacks: Callbacks) -> None:
        self._engine, self._stream, self._callbacks = engine, stream, callbacks
        self.leads, self.local = engine.leads, engine.local
        self.gathered, self.close = engine.gathered, engine.close
        if isinstance(engine, Here):
            engine.on_block = self._block_done
        self._before = 0  # points of this pass, when it went on
        self._read: int | None = None  # points of this pass

    def _block_done(self, task: Task, block: Block) -> None:
        self._read = block.stop
        done = Step(task.phase, block.stop, self._stream.n, "points", before=self._before)
        self._callbacks.on_step(done)

    def run(self, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[Shard, Any]]:
        """As `Engine.run`."""
        began, points = time.perf_counter(), self._stream.n
        count = None if points is None else sum(1 for _ in self._stream.shards())
        shards = iter(shards)
        first = list(itertools.islice(shards, 1))
        before = self._before = first[0].start if first else 0  # of a pass that goes on
        shards = itertools.chain(first, shards)
        with closing(self._engine.run(task, shards)) as results:  # type: ignore[type-var]
            for shard, result in results:
                seconds = time.perf_counter() - began
                stop = shard.stop if self._read is None else self._read
                done = ShardDone(task.phase, shard.number, count, stop, points, seconds, before)
                self._callbacks.on_shard(done)
                yield shard, result


class Here(OneProcess):
    """One reader, and this process."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.on_block: Callable[[Task, Block], None] | None = None  # told of each that is done

    def run(self, task: Task, shards: Iterable[Shard]) -> Generator[tuple[Shard, Any], None, None]:
        """As `Engine.run`; of shards of a stream whose length is not known, those that are there."""
        stream, blocks, at = self._stream, None, None
        try:
            for shard in shards:
                if blocks is None or shard.start != at:
                    if blocks is not None:
                        blocks.close()
                    blocks = stream.blocks(shard.start, rows=task.rows)
                own = _Until(blocks, shard.stop)
                if stream.n is None and not own.any():
                    return
                yield shard, task(stream, shard, self._watched(own, task))
                at = shard.stop
            if blocks is not None and at == stream.n:
                next(blocks, None)  # which raises if there are more
        finally:
            if blocks is not None:
                blocks.close()

    def _watched(self, blocks: Iterable[Block], task: Task) -> Iterator[Block]:
        for block in blocks:
            yield block
            if self.on_block is not None:
                self.on_block(task, block)


class _Until:
    """The blocks up to a row."""

    def __init__(self, blocks: Iterator[Block], stop: int) -> None:
        self._blocks, self._stop = blocks, stop
        self._first: Block | None = None

    def any(self) -> bool:
        """Whether there is one."""
        self._first = next(self._blocks, None)
        return self._first is not None

    def __iter__(self) -> Iterator[Block]:
        block = self._first or next(self._blocks, None)
        self._first = None
        while block is not None:
            yield block
            if block.stop >= self._stop:
                return
            block = next(self._blocks, None)


def labels_of(source: Source, label: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    """What `label` gives of all points, block by block. Raises: ValueError naming the row that is bad."""
    stream = Stream(source)
    with closing(stream.blocks()) as blocks:
        for start, points, _ in blocks:
            try:
                labels = label(points)
            except ValueError:
                # Which counts rows from the first.
                checked_magnitudes(points, stream.compute, start, source.name)
                raise
            yield labels
