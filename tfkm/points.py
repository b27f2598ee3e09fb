"""Points as a few large tensors: in place where TensorFlow can read them so, else block by block.

TensorFlow can wrap a NumPy array without a copy only if it is C-contiguous, of native byte order and
starts at a multiple of 64 bytes; `tf.experimental.dlpack` accepts an unaligned buffer and then
aborts the process in the first op, so the address is checked here. Most large NumPy arrays start at 16
modulo 64, hence the blocks. Of a sparse matrix only the block at hand is made dense.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import sparse

from tfkm import arrays, ops
from tfkm.ops import backends, devices, validate

_ALIGNMENT = 64
# Up to this many bytes are copied once; beyond, blocks of this size are copied anew in each pass.
_COPY_BYTES = 2**28
# Of a sparse matrix made dense at a time.
_DENSE_BYTES = 2**24
# A copy of this size is still in a cache when it is scanned: 122 MB in 0.03 s where one copy took 0.37.
_SCAN_BYTES = 2**22
_DTYPES = {dtype.as_numpy_dtype: dtype for dtype in validate.POINT_DTYPES}


class Block(NamedTuple):
    """Rows [start, start + len(points)) of the whole."""

    start: int
    points: tf.Tensor  # (rows, d)


class Points:
    """n points of d features; iterate over it for its blocks, in order.

    n, d: sizes. dtype: as stored. compute: float64 if dtype is, else float32. is_sparse: whether blocks
    are made dense anew each time.
    """

    _on_card: _OnCard | None = None

    def __init__(self, array, *, copy: bool = True) -> None:
        """array: (n, d) of an allowed dtype, or of other integers or truth values, which are copied to
        float64: NumPy array (any stride, memory map), tf.Tensor, SciPy sparse matrix, or what
        `arrays.taken` makes one of those.

        copy: whether an array that cannot be read in place may be copied once if it is small;
        otherwise it is always read in blocks.
        """
        if isinstance(array, tf.Tensor) and not hasattr(array, "numpy"):
            raise ValueError(
                "points: a tensor inside tf.function, or a map of tf.data, which has no value yet; call it "
                "outside, or through tf.py_function. In a graph there are tfkm.assign and tfkm.accumulate"
            )
        array = arrays.taken("points", array)
        self.is_sparse = sparse.issparse(array)
        if isinstance(array, tf.Tensor | tf.Variable):
            source = validate.real_matrix("points", array)
            self.dtype, self._in_one = source.dtype, True
        else:
            source = as_array(array, 2, "(n, d)")
            self.dtype = tf.as_dtype(source.dtype)
            small = source.size * self.dtype.size <= _COPY_BYTES
            self._in_one = not self.is_sparse and (_readable_in_place(source) or (copy and small))
        self._source = source
        self.n, self.d = (int(size) for size in source.shape)
        self.compute = tf.float64 if self.dtype == tf.float64 else tf.float32

    @functools.cached_property
    def _tensor(self) -> tf.Tensor:
        """All points, if they are in one: in place or copied once; made when the first tensor is wanted."""
        return self._source if isinstance(self._source, tf.Tensor) else as_tensor(self._source)

    @property
    def array(self) -> np.ndarray | None:
        """(n, d), in place; for a tensor on a GPU a copy. None where they are not in one array."""
        return None if self.is_sparse else np.asarray(self._source)

    def __iter__(self) -> Iterator[Block]:
        return self.blocks(self.n)

    def read_by(self, backend: str | None) -> Iterable[Block]:
        """All blocks, as often as wanted, where the backend computes; on a card at once if they fit."""
        card = backends.card_of(backend)
        if card is None or (isinstance(self._source, tf.Tensor) and "GPU" in self._source.device):
            return self
        self._on_card = self._on_card or _OnCard(self, card)
        return self._on_card

    def blocks(self, rows: int) -> Iterator[Block]:
        """Blocks of at most this many rows."""
        if self._in_one:
            if rows >= self.n:
                yield Block(0, self._tensor)
                return
            for start in range(0, self.n, rows):
                yield Block(start, self._tensor[start : start + rows])
            return
        most = _DENSE_BYTES if self.is_sparse else _COPY_BYTES
        rows = max(1, min(rows, most // (self.d * self.dtype.size)))
        for start in range(0, self.n, rows):
            yield Block(start, tf.convert_to_tensor(self._copied(slice(start, start + rows))))

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The points of these indices, (len(rows), d), in the dtype to compute in."""
        if isinstance(self._source, tf.Tensor) and "GPU" in self._source.device:
            return tf.cast(tf.gather(self._source, rows), self.compute).numpy()
        return self._copied(rows).astype(self.compute.as_numpy_dtype)  # a tensor takes 40 µs more

    def _copied(self, rows: slice | np.ndarray) -> np.ndarray:
        """Of what is in host memory."""
        if self.is_sparse:
            return self._source[rows].toarray()
        return np.asarray(self._source)[rows]

    def largest_magnitudes(self) -> np.ndarray:
        """(d,) float64; raises ValueError if a value is not finite or a squared norm may overflow."""
        largest = np.zeros(self.d)
        rows = self.n if self._in_one else max(1, _SCAN_BYTES // (self.d * self.dtype.size))
        few = isinstance(self._source, np.ndarray) and self.n <= ops.FEW
        blocks = [Block(0, self._source)] if few else self.blocks(rows)
        for start, points in blocks:
            largest = np.maximum(largest, magnitudes(points, self.compute, start))
        return largest


class _OnCard:
    """Blocks of points in host memory, on a card."""

    def __init__(self, points: Points, card: devices.Card) -> None:
        self._points, self._card = points, card
        row = points.d * points.dtype.size
        stay = card.keeps(points.n * row)
        self._rows = points.n if stay else max(1, card.block_bytes // row)
        self._kept: list[Block] | None = [] if stay else None

    def __iter__(self) -> Iterator[Block]:
        if self._kept:
            return iter(self._kept)
        blocks = devices.copied_ahead(self._points.blocks(self._rows), self._copied)
        if self._kept is None:
            return blocks
        self._kept.extend(blocks)
        return iter(self._kept)

    def _copied(self, block: Block) -> Block:
        return Block(block.start, devices.copied(block.points, self._card))


def magnitudes(
    points: tf.Tensor | np.ndarray, compute: tf.DType, start: int, name: str = "points"
) -> np.ndarray:
    """(d,) float64, the largest of rows (m, d), the first of them number `start`; raises as the above."""
    here = np.asarray(ops.largest_magnitudes(points))
    with np.errstate(over="ignore"):
        fine = np.square(here).sum() <= validate.largest_sq_norm(compute)
    if not fine:
        validate.finite_rows(name, tf.convert_to_tensor(points), compute, start)
    return here


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """In place where TensorFlow can read it so, and it only reads; else a copy."""
    if not _readable_in_place(array):
        return tf.convert_to_tensor(array)
    if array.dtype == tf.bfloat16:  # which NumPy does not hand on
        return tf.bitcast(as_tensor(array.view(np.uint16)), tf.bfloat16)
    if not array.flags.writeable:  # nor that, which pandas, JAX and joblib give out
        memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
        memory.owner = array  # type: ignore[attr-defined]  # lives as long as the tensor
        array = np.frombuffer(memoryview(memory), array.dtype).reshape(array.shape)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def as_array(array, rank: int, needs: str):
    """points as an array of native byte order, or CSR, of an allowed dtype and with d ≥ 1 features.

    Integers and truth values that are not computed with become float64.
    """
    if not sparse.issparse(array):
        try:
            array = np.asanyarray(array)
        except ValueError as error:  # of rows of several lengths
            raise ValueError(f"points: {error}") from error
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind in "iub" and array.dtype.type not in _DTYPES:
        array = array.astype(np.float64)
    if array.dtype.type not in _DTYPES:
        names = ", ".join(dtype.name for dtype in validate.POINT_DTYPES)
        raise TypeError(f"points: dtype {array.dtype}; allowed are {names}")
    if array.ndim != rank or array.shape[-1] < 1:
        raise ValueError(f"points: shape {array.shape}; it needs shape {needs} with d ≥ 1")
    return array


def _readable_in_place(array: np.ndarray) -> bool:
    if isinstance(array, np.memmap) and not array.flags.writeable:
        return False
    return array.flags.c_contiguous and array.size > 0 and array.ctypes.data % _ALIGNMENT == 0
