"""Blocks of one size, cut from a stream whatever its parts, and read ahead by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from tfkm.data.memory import Memory
from tfkm.reprs import brief
from tfkm.seeding.draws import MOST_ROWS, chunk_rows

_LARGEST_BLOCK_BYTES = 2**28
_AHEAD = 2  # blocks in the queue, besides the one being used and the one being filled
_PATIENCE = 1.0  # seconds to wait for a reader that was told to end

T = TypeVar("T")


@brief(points="rows d", weights="rows")
class Part(NamedTuple):
    """Some rows of a stream, as `Source.read` yields them.

    Attributes:
        points: (rows, d) of the dtype of the source.
        weights: (rows,) real numbers, finite and not negative; None if the source has no weights.

    Examples:
        >>> import numpy as np
        >>> from tfkm.streams import Part
        >>> Part(np.zeros((3, 2), np.float32), None).points.shape
        (3, 2)
    """

    points: np.ndarray
    weights: np.ndarray | None


class Block(NamedTuple):
    """Rows [start, start + len(points)) of the stream."""

    start: int
    points: np.ndarray
    weights: np.ndarray | None

    @property
    def stop(self) -> int:
        return self.start + len(self.points)


def block_rows(d: int, itemsize: int, clusters: int = 1) -> int:
    """Return the rows of a block, a power of two and at least a chunk.

    Adding the sums of a block takes as long as assigning some of its rows. So a block is larger
    where the sums of all clusters are larger.

    Args:
        d: Number of features.
        itemsize: Bytes of a value.
        clusters: Number of clusters of all runs together.
    """
    room = min(4 * clusters * d, _LARGEST_BLOCK_BYTES)
    larger = 1 << max(0, min(room // (d * itemsize), MOST_ROWS).bit_length() - 1)
    return max(chunk_rows(d, itemsize), larger)


def aligned(parts: Iterable[Part], start: int, rows: int) -> Iterator[Block]:
    """Yield blocks of this many rows, the last one ragged; the first begins with row `start`.

    A block that lies within one part is not copied.
    """
    points: np.ndarray | None = None
    weights: np.ndarray | None = None
    filled, memory = 0, Memory()
    for part in parts:
        at, size = 0, len(part.points)
        while at < size:
            some = slice(at, min(at + rows - filled, size))
            at = some.stop
            if some.stop - some.start == rows:
                own = None if part.weights is None else part.weights[some]
                yield Block(start, part.points[some], own)
                start += rows
                continue
            if points is None:
                points = memory.array((rows, part.points.shape[1]), part.points.dtype)
                weights = None if part.weights is None else np.empty(rows)
            into = slice(filled, filled + some.stop - some.start)
            points[into] = part.points[some]
            if weights is not None and part.weights is not None:
                weights[into] = part.weights[some]
            filled = into.stop
            if filled == rows:
                yield Block(start, points, weights)
                points, start, filled = None, start + rows, 0
    if points is not None:
        yield Block(start, points[:filled], None if weights is None else weights[:filled])


def ahead(items: Iterable[T], depth: int = _AHEAD) -> Generator[T, None, None]:
    """Yield the same items, while a thread makes the next ones.

    An exception in the thread is raised here.
    """
    waiting: queue.Queue = queue.Queue(depth)
    ended = threading.Event()
    end = object()

    def put(item) -> bool:
        while not ended.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                pass
        return False

    def read() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((end, None))
        except BaseException as error:  # raised by the consumer
            put((end, error))

    reader = threading.Thread(target=read, name="tfkm reader", daemon=True)
    reader.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
            del item  # do not hold two blocks while waiting for the next
    finally:
        ended.set()
        reader.join(_PATIENCE)  # a reader that hangs must not keep Ctrl-C from ending the fit
