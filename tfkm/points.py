"""Points as a few large tensors: in place where TensorFlow can read them so, else block by block.

TensorFlow can wrap a NumPy array without a copy only if it is C-contiguous, writable, of native byte
order and starts at a multiple of 64 bytes; `tf.experimental.dlpack` accepts an unaligned buffer and then
aborts the process in the first op, so the address is checked here. Most large NumPy arrays start at 16
modulo 64, hence the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfkm import ops
from tfkm.ops import validate

_ALIGNMENT = 64
# Up to this many bytes are copied once; beyond, blocks of this size are copied anew in each pass.
_COPY_BYTES = 2**28
# A copy of this size is still in a cache when it is scanned: 122 MB in 0.03 s where one copy took 0.37.
_SCAN_BYTES = 2**22
_DTYPES = {dtype.as_numpy_dtype: dtype for dtype in validate.POINT_DTYPES}


class Block(NamedTuple):
    """Rows [start, start + len(points)) of the whole."""

    start: int
    points: tf.Tensor  # (rows, d)


class Points:
    """n points of d features; iterate over it for its blocks, in order.

    n, d: sizes. dtype: as stored. compute: float64 if dtype is, else float32.
    """

    def __init__(self, array, *, copy: bool = True) -> None:
        """array: (n, d) NumPy array (any stride, memory map) or tf.Tensor of an allowed dtype.

        copy: whether an array that cannot be read in place may be copied once if it is small;
        otherwise it is always read in blocks.
        """
        if isinstance(array, tf.Tensor | tf.Variable):
            source = validate.matrix("points", array, validate.POINT_DTYPES)
            self.dtype = source.dtype
        else:
            source = as_array(array, 2, "(n, d)")
            self.dtype = tf.as_dtype(source.dtype)
            small = source.size * self.dtype.size <= _COPY_BYTES
            if _readable_in_place(source) or (copy and small):
                source = as_tensor(source)
        self._source = source
        self.n, self.d = (int(size) for size in source.shape)
        self.compute = tf.float64 if self.dtype == tf.float64 else tf.float32

    @property
    def array(self) -> np.ndarray | None:
        """(n, d), in place; for a tensor on a GPU a copy. None where they are not in one array."""
        return np.asarray(self._source)

    def __iter__(self) -> Iterator[Block]:
        return self.blocks(self.n)

    def blocks(self, rows: int) -> Iterator[Block]:
        """Blocks of at most this many rows."""
        if isinstance(self._source, tf.Tensor) and rows >= self.n:
            yield Block(0, self._source)
            return
        if not isinstance(self._source, tf.Tensor):
            rows = min(rows, max(1, _COPY_BYTES // (self.d * self.dtype.size)))
        for start in range(0, self.n, max(rows, 1)):
            yield Block(start, tf.convert_to_tensor(self._source[start : start + rows]))

    def __getitem__(self, rows: np.ndarray) -> tf.Tensor:
        """The points of these indices, (len(rows), d), in the dtype to compute in."""
        if isinstance(self._source, tf.Tensor) and "GPU" in self._source.device:
            return tf.cast(tf.gather(self._source, rows), self.compute)
        # A tf.gather and a tf.cast take 40 µs, this takes 10.
        return tf.constant(np.asarray(self._source)[rows].astype(self.compute.as_numpy_dtype))

    def largest_magnitudes(self) -> np.ndarray:
        """(d,) float64; raises ValueError if a value is not finite or a squared norm may overflow."""
        largest = np.zeros(self.d)
        in_place = isinstance(self._source, tf.Tensor)
        rows = self.n if in_place else max(1, _SCAN_BYTES // (self.d * self.dtype.size))
        for start, points in self.blocks(rows):
            here = np.asarray(ops.largest_magnitudes(points))
            with np.errstate(over="ignore"):
                fine = np.square(here).sum() <= validate.largest_sq_norm(self.compute)
            if not fine:
                validate.finite_rows("points", points, self.compute, start)
            largest = np.maximum(largest, here)
        return largest


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """In place where TensorFlow can read it so, else a copy."""
    if _readable_in_place(array):
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.convert_to_tensor(array)


def as_array(array, rank: int, needs: str) -> np.ndarray:
    """points as an array of native byte order and an allowed dtype, with d ≥ 1 features."""
    array = np.asanyarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.type not in _DTYPES:
        names = ", ".join(dtype.name for dtype in validate.POINT_DTYPES)
        raise TypeError(f"points: dtype {array.dtype}; allowed are {names}")
    if array.ndim != rank or array.shape[-1] < 1:
        raise ValueError(f"points: shape {array.shape}; it needs shape {needs} with d ≥ 1")
    return array


def _readable_in_place(array: np.ndarray) -> bool:
    return (
        array.flags.c_contiguous
        and array.flags.writeable
        and array.size > 0
        and array.ctypes.data % _ALIGNMENT == 0
        and array.dtype.kind in "fiu"
    )
