"""A stream as a fit reads it: shards of chunks, the tasks on them, and the engines that run these."""

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
    """n points of d features that are read from the source again in each pass.

    Attributes:
        source: The source.
        d: Number of features.
        dtype: The dtype of the stored points.
        compute: The dtype to compute in: float64 if `dtype` is, else float32.
        chunk: Rows of a chunk.
        n: Number of points; None if the source does not know it and the scan has not ended.
    """

    def __init__(self, source: Source, chunk: int | None = None) -> None:
        """Check what the source declares.

        Args:
            source: The source.
            chunk: Rows of a chunk, if another process has chosen them.

        Raises:
            TypeError, ValueError: An attribute of the source is not allowed, see
                `checked.declared`.
        """
        self.dtype = checked.declared(source)
        self.source, self.d = source, int(source.d)
        self.compute = np.dtype(np.float64 if self.dtype == np.float64 else np.float32)
        self.chunk = chunk or chunk_rows(self.d, self.dtype.itemsize)
        self.n = source.rows
        self._fingerprints: dict[int, int] = {}  # by the first row of a chunk that was read

    def shards(self) -> Iterator[Shard]:
        """Yield all shards in order, with the fingerprints known so far.

        They depend on n, d and the dtype alone, never on who reads them.
        """
        known = self._fingerprints
        for shard in shards(self.n, self.chunk):
            starts = range(shard.start, shard.stop, self.chunk)
            prints = tuple(known[row] for row in starts if row in known)
            yield shard._replace(fingerprints=prints)

    def know(self, shard: Shard) -> None:
        """Remember the fingerprints of a shard's chunks."""
        rows = range(shard.start, shard.stop, self.chunk)
        self._fingerprints.update(zip(rows, shard.fingerprints, strict=False))

    def blocks(
        self, start: int = 0, stop: int | None = None, rows: int | None = None
    ) -> Generator[Block, None, None]:
        """Yield blocks of rows from `start`, a multiple of `rows`, up to `stop`.

        Args:
            start: The first row.
            stop: The row after the last; None for the end of the stream.
            rows: Rows of a block; None for a chunk.

        Raises:
            ValueError: There are more or fewer rows than before, or other rows.
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
                del block  # do not hold two blocks while the next is read
        if n is not None and (at != n if stop is None else at < min(n, stop)):
            more = "more" if at > n else f"only {at:,}"
            raise ValueError(
                f"{self.source.name}: {more} points, where there were {n:,}; "
                "each pass needs the same ones in the same order"
            )

    def _compare(self, block: Block) -> None:
        """Compare the fingerprints of a block with those of the first pass.

        A block that was cut short is skipped: the error about missing rows says more.
        """
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
        """Read a shard by itself, and return the result of the task on it."""
        self.know(shard)
        with closing(self.blocks(shard.start, shard.stop, task.rows)) as blocks:
            return task(self, shard, blocks)

    def check_shareable(self) -> None:
        """Check that workers can share the stream, each starting in the middle.

        Raises:
            ValueError: Its length is not known.
        """
        if self.n is None:
            raise ValueError(
                f"{self.source.name}: its length is known only after reading it, so workers cannot share "
                "it; give .npy or Parquet files"
            )


class Task(Protocol):
    """Work on one shard. A task can be pickled, depends on nothing else, and may be run again.

    Attributes:
        phase: The phase, as in `callbacks.ShardDone`.
        rows: Rows of the blocks that it wants, a multiple of a chunk; None for a chunk.
    """

    phase: ClassVar[str]

    @property
    def rows(self) -> int | None: ...

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]) -> Any:
        """Return the result for the shard, in arrays that are small beside the shard."""


class Engine(Protocol):
    """The interface of an engine, which runs tasks on shards.

    Attributes:
        leads: Whether this process, among several, is the one that writes files.
        local: Whether this process reads the points, so that it may hold a number for each.
    """

    leads: bool
    local: bool

    def run(self, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[Shard, Any]]:
        """Yield each of these shards with the result of the task on it, in their order."""

    def gathered(self, do: Callable[[], Any]) -> list[Any]:
        """Return the results of `do` in all processes that make this call, the leading process first.

        Raises:
            Exception: In all processes, the error that `do` raised in one.
        """

    def close(self) -> None:
        """Free the workers."""


class Opener(Protocol):
    """A function that makes an engine for a stream.

    Raises:
        ValueError, ImportError: The engine cannot be used.
    """

    def __call__(self, stream: Stream) -> Engine: ...


class OneProcess:
    """The part of an engine that is the same for all engines called by a single process."""

    leads = local = True

    def gathered(self, do: Callable[[], Any]) -> list[Any]:
        """Return the result of this process, see `Engine.gathered`."""
        return [do()]

    def close(self) -> None:
        """Do nothing: there are no workers to free."""


class Watched:
    """An engine that reports to callbacks.

    It reports each shard, and also each block if this process reads it.
    """

    def __init__(self, engine: Engine, stream: Stream, callbacks: Callbacks) -> None:
        self._engine, self._stream, self._callbacks = engine, stream, callbacks
        self.leads, self.local = engine.leads, engine.local
        self.gathered, self.close = engine.gathered, engine.close
        if isinstance(engine, Here):
            engine.on_block = self._block_done
        self._before = 0  # points of this pass that were done before it continued
        self._read: int | None = None  # points of this pass that were read

    def _block_done(self, task: Task, block: Block) -> None:
        self._read = block.stop
        done = Step(task.phase, block.stop, self._stream.n, "points", before=self._before)
        self._callbacks.on_step(done)

    def run(self, task: Task, shards: Iterable[Shard]) -> Iterator[tuple[Shard, Any]]:
        """Run the task and report each shard, see `Engine.run`."""
        began, points = time.perf_counter(), self._stream.n
        count = None if points is None else sum(1 for _ in self._stream.shards())
        shards = iter(shards)
        first = list(itertools.islice(shards, 1))
        # Greater than 0 if the pass continues from a checkpoint.
        before = self._before = first[0].start if first else 0
        shards = itertools.chain(first, shards)
        with closing(self._engine.run(task, shards)) as results:  # type: ignore[type-var]
            for shard, result in results:
                seconds = time.perf_counter() - began
                stop = shard.stop if self._read is None else self._read
                done = ShardDone(task.phase, shard.number, count, stop, points, seconds, before)
                self._callbacks.on_shard(done)
                yield shard, result


class Here(OneProcess):
    """An engine that reads and computes in this process."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.on_block: Callable[[Task, Block], None] | None = None  # called after each block

    def run(self, task: Task, shards: Iterable[Shard]) -> Generator[tuple[Shard, Any], None, None]:
        """Run the task on one shard after the other, see `Engine.run`.

        If the length of the stream is not known, it ends with the last shard that has points.
        """
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
                next(blocks, None)  # raises if there are more points
        finally:
            if blocks is not None:
                blocks.close()

    def _watched(self, blocks: Iterable[Block], task: Task) -> Iterator[Block]:
        """Yield the blocks, and call `on_block` after each."""
        for block in blocks:
            yield block
            if self.on_block is not None:
                self.on_block(task, block)


class _Until:
    """The blocks up to a row, from an iterator that is used further."""

    def __init__(self, blocks: Iterator[Block], stop: int) -> None:
        self._blocks, self._stop = blocks, stop
        self._first: Block | None = None

    def any(self) -> bool:
        """Return whether there is a block."""
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
    """Yield the result of `label` for all points, block by block.

    Raises:
        ValueError: A row is not finite or too large; the message has its number.
    """
    stream = Stream(source)
    with closing(stream.blocks()) as blocks:
        for start, points, _ in blocks:
            try:
                labels = label(points)
            except ValueError:
                # This error counts rows from the first row of the stream.
                checked_magnitudes(points, stream.compute, start, source.name)
                raise
            yield labels
