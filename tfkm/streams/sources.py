"""Sources of streams, which yield the same rows in the same order in each pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from tfkm import checks
from tfkm.data import arrays
from tfkm.data.batches import Batches
from tfkm.data.formats import npy
from tfkm.data.points import Points
from tfkm.options import FitOptions
from tfkm.streams import checked, files
from tfkm.streams.blocks import Part

if TYPE_CHECKING:
    import tensorflow as tf


@runtime_checkable
class Source(Protocol):
    """Points of your own for `fit`: what yields the same rows in the same order each time.

    What it yields is checked against its attributes, part by part, and in each pass against the
    first. An error names the source, the shard and the row.

    Attributes:
        name: What a message calls it.
        d: The number of features.
        dtype: Of the points: float32, float64, float16, bfloat16, int8 or uint8.
        weighted: Whether its parts have weights.
        rows: How many rows there are; None if only reading tells.

    Examples:
        >>> import numpy as np, tfkm
        >>> from tfkm.streams import Part
        >>> class Ramp:
        ...     name, d, dtype, weighted, rows = "ramp", 1, np.dtype(np.float32), False, 1000
        ...
        ...     def read(self, start):
        ...         for first in range(start, self.rows, 100):
        ...             rows = np.arange(first, min(first + 100, self.rows), dtype=np.float32)
        ...             yield Part(rows[:, None], None)
        >>> sorted(tfkm.KMeans(2, random_state=0).fit(Ramp()).cluster_centers_.ravel().tolist())
        [247.5, 747.5]
    """

    name: str
    d: int
    dtype: np.dtype
    weighted: bool

    @property
    def rows(self) -> int | None: ...

    def read(self, start: int) -> Iterator[Part]:
        """Yield parts of any size, in order, from a row on.

        An exception ends the fit.

        Args:
            start: The first row to yield, from 0.

        Yields:
            `tfkm.streams.Part` of points (rows, d).

        Examples:
            >>> import numpy as np
            >>> from tfkm.streams import source_of
            >>> x = np.arange(6, dtype=np.float32).reshape(3, 2)
            >>> source = source_of(x)  # an array as a source
            >>> [part.points.tolist() for part in source.read(1)]
            [[[2.0, 3.0], [4.0, 5.0]]]
        """


def is_stream(points: Any) -> bool:
    """Return whether it is a dataset, a path or a pattern, a list of paths, or a `Source`."""
    if isinstance(points, np.ndarray) or arrays.is_tensor(points):
        return False  # testing for a protocol takes longer than a small pass
    if isinstance(points, list | tuple) and len(points):
        return all(isinstance(path, str | os.PathLike) for path in points)
    return isinstance(points, str | os.PathLike | Source) or arrays.is_dataset(points)


def source_of(points: Any, weights: Any = None, name: str = "points") -> Source:
    """Return the source of a stream, or of an array with weights (n,) or None.

    Raises:
        ValueError, TypeError: The stream or array is not allowed; the message names the argument.
        FileNotFoundError: A file does not exist; the message names it.
    """
    if not is_stream(points):
        data = Points(points)
        if weights is None and (path := npy.mapped(data.array)):
            # The file is read, not its map, so that workers can read it too.
            return files.Files([path], name)
        return ArraySource(data, checks.weights_array(weights, data.n), name)
    if isinstance(points, Source):
        checked.declared(points)
        return points
    if arrays.is_dataset(points):
        return DatasetSource(points, name)
    return files.Files(files.found(points, name), name)


def check_options(points: Any, weights, options: FitOptions) -> None:
    """Check that these options can be used with a stream.

    Raises:
        ValueError: One cannot; the message names it.
    """
    if weights is not None and is_stream(points):
        raise ValueError("weights: a stream has its own, as pairs (points, weights)")
    if options.metric != "euclidean":
        raise ValueError(
            f"metric: {options.metric!r}; a stream, a checkpoint or an engine needs 'euclidean'. For a "
            "result close to 'cosine', scale the rows to length 1 first"
        )
    if options.size_min is not None or options.size_max is not None:
        name = "size_max" if options.size_min is None else "size_min"
        raise ValueError(f"{name}: limits need all points in memory, and no checkpoint or engine")


class DatasetSource:
    """A dataset whose elements are batches of points (rows, d), or pairs of these and weights (rows,)."""

    def __init__(self, dataset: tf.data.Dataset, name: str) -> None:
        self._batches = Batches(dataset, name)
        if self._batches.infinite:
            raise ValueError(
                f"{name}: a dataset without an end; a fit reads all of it in each pass"
            )
        self.name, self.d = name, self._batches.d
        spec = dataset.element_spec
        self.weighted = isinstance(spec, tuple)
        self.dtype = checks.point_dtype((spec[0] if self.weighted else spec).dtype)
        self.rows: int | None = None

    def read(self, start: int) -> Iterator[Part]:
        for points, weights in self._batches:
            skipped = min(start, len(points))
            start -= skipped
            if skipped < len(points):
                own = None if weights is None else weights[skipped:]
                yield Part(points[skipped:], own)


class ArraySource:
    """Points in memory or in a memory map."""

    weighted: bool

    def __init__(self, points: Points, weights: np.ndarray | None, name: str = "points") -> None:
        self._points, self._weights = points, weights
        self.name, self.d, self.rows = name, points.d, points.n
        self.weighted = weights is not None
        self.dtype = points.dtype

    def read(self, start: int) -> Iterator[Part]:
        weights, array = self._weights, self._points.array
        if array is not None:
            yield Part(array[start:], None if weights is None else weights[start:])
            return
        for first, points in self._points:  # blocks of a sparse matrix, made dense
            skipped = min(max(0, start - first), len(points))
            rows = slice(first + skipped, first + len(points))
            if skipped < len(points):
                own = None if weights is None else weights[rows]
                yield Part(np.asarray(points)[skipped:], own)
