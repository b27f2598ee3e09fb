"""Points as a fit goes over them: one array where it can be read so, else block by block.

Blocks are arrays. What has another byte order or dtype than can be computed with is changed once if it is
small, else block by block in each pass; of a sparse matrix only the block at hand is made dense.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from tfkm import checks
from tfkm.data import arrays

# Up to this many bytes are copied once; beyond, blocks of this size are copied anew in each pass.
_COPY_BYTES = 2**28
# Of a sparse matrix made dense at a time.
_DENSE_BYTES = 2**24


class Rows(NamedTuple):
    """Rows [start, start + len(points)) of the whole. points: (rows, d), as a backend reads them."""

    start: int
    points: Any


class Points:
    """n points of d features; iterate over it for blocks of limited size, in order.

    n, d: sizes. dtype: of the blocks. compute: float64 if dtype is, else float32. is_sparse: whether blocks
    are made dense anew each time. source: an array, a CSR matrix, or a tensor on a card. may_be_copied:
    whether a backend that cannot read the array in place may copy it once. made: what a backend has made of
    them.
    """

    made: Iterable[Rows] | None = None

    def __init__(self, array, *, copy: bool = True) -> None:
        """array: (n, d) of an allowed dtype, or of other integers or truth values, which become float64:
        NumPy array (any stride, memory map), tf.Tensor, SciPy sparse matrix, or what `arrays.taken` makes
        one of those.

        copy: whether an array that cannot be read in place may be copied once if it is small;
        otherwise it is always read in blocks.
        """
        array = arrays.taken("points", array)
        self.is_sparse = sparse.issparse(array)
        if not arrays.is_tensor(array):
            array = as_array(array, 2, "(n, d)")
        self.n, self.d = (int(size) for size in array.shape)
        self.dtype = checks.point_dtype(array.dtype)
        self.compute = checks.compute_dtype(self.dtype)
        small = self.n * self.d * self.dtype.itemsize <= _COPY_BYTES
        self.may_be_copied = copy and small and not self.is_sparse
        if self.may_be_copied and isinstance(array, np.ndarray) and array.dtype != self.dtype:
            array = array.astype(self.dtype)
        self.source = array

    @property
    def array(self) -> np.ndarray | None:
        """(n, d), in place; for a tensor on a GPU a copy. None where they are not in one array as they are
        to be read."""
        if self.is_sparse:
            return None
        array = self.source if isinstance(self.source, np.ndarray) else np.asarray(self.source)
        return array if array.dtype == self.dtype else None

    def __iter__(self) -> Iterator[Rows]:
        return self.blocks(max(1, _COPY_BYTES // (self.d * self.dtype.itemsize)))

    def blocks(self, rows: int) -> Iterator[Rows]:
        """Blocks of at most this many rows."""
        array = self.array
        if array is None:
            most = _DENSE_BYTES if self.is_sparse else _COPY_BYTES
            rows = min(rows, most // (self.d * self.dtype.itemsize))
        rows = max(1, rows)
        for start in range(0, self.n, rows):
            some = slice(start, start + rows)
            yield Rows(start, self._rows(some) if array is None else array[some])
        if not self.n:
            yield Rows(0, self._rows(slice(0)))

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The points of these indices, (len(rows), d), in the dtype to compute in."""
        if arrays.is_tensor(self.source):
            import tensorflow as tf

            return np.ascontiguousarray(tf.gather(self.source, rows), self.compute)
        return np.ascontiguousarray(self._rows(rows), self.compute)

    def _rows(self, rows: slice | np.ndarray) -> np.ndarray:
        """Of what is in host memory."""
        if self.is_sparse:
            return self.source[rows].toarray().astype(self.dtype, copy=False)
        return self.source[rows].astype(self.dtype, copy=False)


def as_array(array, rank: int, needs: str):
    """points as an array, or CSR, of real numbers and with d ≥ 1 features."""
    checks.refuse_masked("points", array)
    if not sparse.issparse(array):
        try:
            array = np.asanyarray(array)
        except ValueError as error:  # of rows of several lengths
            raise ValueError(f"points: {error}") from error
    if (
        not checks.is_real(array.dtype)
        or checks.point_dtype(array.dtype).name not in checks.POINT_DTYPES
    ):
        names = ", ".join(checks.POINT_DTYPES)
        raise TypeError(f"points: dtype {array.dtype}; allowed are {names}")
    if array.ndim != rank or array.shape[-1] < 1:
        raise ValueError(f"points: shape {array.shape}; it needs shape {needs} with d ≥ 1")
    return array
