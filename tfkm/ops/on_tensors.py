"""A backend whose functions take tensors, for what brings arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.data import arrays
from tfkm.data.points import Rows
from tfkm.ops import backends, batched, devices, interruptible, tensor_backends
from tfkm.ops.backend import ONE, Held, Problems, Sweep, TensorBackend
from tfkm.ops.magnitudes import magnitudes
from tfkm.traces import traced
from tfkm.types import Ahead, Assignment, ExactStatistics

if TYPE_CHECKING:
    from tfkm.data.points import Points

_ALIGNMENT = 64
# Largest magnitudes below which products of differences come to where TensorFlow has zeros.
_TINY = {"float32": 2.0**-40, "bfloat16": 2.0**-40, "float64": 2.0**-460}


class OnTensors:
    """A `Backend` by TensorFlow. Blocks are tensors where that saves a copy in each pass."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._on_gpu = name in tensor_backends.ON_GPU

    @property
    def _module(self) -> TensorBackend:
        return tensor_backends.select(self.name)

    def blocks(self, points: Points) -> Iterable[Rows]:
        card = tensor_backends.card_of(self.name)
        if card is None:
            return _in_host_memory(points)
        source = points.source
        if arrays.is_on_card(source):
            return [Rows(0, source)]
        if points.made is None:
            points.made = _OnCard(points, card)
        return points.made

    def held(self, points: np.ndarray) -> tf.Tensor:
        tensor = as_tensor(points)
        return tf.identity(tensor) if self._on_gpu else tensor

    def assign(self, points: Held, centroids: np.ndarray) -> Assignment:
        x, c = self._tensors(points, centroids)
        labels, distances = _arrays(x, c, ONE, lambda: self._module.assign(x, c))
        return Assignment(labels, distances.astype(centroids.dtype, copy=False))

    def labels(self, points: Held, centroids: np.ndarray) -> np.ndarray:
        labels, sq_distances = self.assign(points, centroids)
        found: np.ndarray = np.where(sq_distances < np.inf, labels, np.int32(-1))
        return found

    def assign_batch(self, points: Held, centroids: np.ndarray, problems: Problems) -> Assignment:
        x, c = self._tensors(points, centroids)
        labels, distances = _arrays(
            x, c, problems, lambda: batched.assign(self._module, x, c, _table(problems))
        )
        return Assignment(labels, distances.astype(centroids.dtype, copy=False))

    def sq_distances(self, points: Held, centroids: np.ndarray) -> np.ndarray:
        x, c = self._tensors(points, centroids)
        distances: np.ndarray = _arrays(x, c, ONE, lambda: self._module.sq_distances(x, c))
        return distances.astype(centroids.dtype, copy=False)

    @traced("tfkm: pass")
    def sweep(
        self,
        points: Held,
        centroids: np.ndarray,
        weights: np.ndarray | None,
        grid: exact.Grid,
        problems: Problems = ONE,
        before: Sweep | None = None,
        measured: bool = True,
        ahead: Ahead | None = None,
    ) -> Sweep:
        """As `Backend.sweep`; always measured, and never ahead."""
        x, c = self._tensors(points, centroids)
        w = None if weights is None else tf.constant(weights)
        one = len(centroids) == len(x) == len(problems.table) == 1 and problems.rows is None

        def one_alone() -> tuple[Assignment, ExactStatistics]:  # which takes less time
            own = exact.Grid(*(tf.constant(part[0]) for part in grid))
            own_w = None if w is None else tf.squeeze(w, 0)
            return self._module.accumulate(tf.squeeze(x, 0), tf.squeeze(c, 0), own_w, own)

        def every() -> tuple[Assignment, ExactStatistics]:
            grids = exact.Grid(*map(tf.constant, grid))
            return batched.accumulate(self._module, x, c, w, grids, _table(problems))

        result = _arrays(x, c, problems, one_alone if one else every)
        if one:
            result = tf.nest.map_structure(lambda part: part[None], result)
        (labels, distances), statistics = result
        if before is None:
            changed = np.full(len(labels), labels.shape[1])
        else:
            changed = np.count_nonzero(labels != before.labels, axis=1)
        distances = distances.astype(centroids.dtype, copy=False)
        return Sweep(centroids, labels, distances, statistics, changed)

    def kmeans_plusplus(self, *arguments: object, **more: object) -> None:
        """It has only the parts."""

    def _tensors(self, points: Held, centroids: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        backends.check_fork()
        x = points if isinstance(points, tf.Tensor) else self.held(points)
        if x.dtype == tf.float64:  # which tiny points have become
            centroids = centroids.astype(np.float64, copy=False)
        return x, tf.constant(centroids)


def _arrays(
    x: tf.Tensor, centroids: tf.Tensor, problems: Problems, function: Callable[[], Any]
) -> Any:
    """Return what `function` computes of these, in arrays."""
    work = len(problems.table) * x.shape[-2] * centroids.shape[-2] * centroids.shape[-1]
    return interruptible.run(work, lambda: tf.nest.map_structure(lambda t: t.numpy(), function()))


def _table(problems: Problems) -> Problems:
    rows = None if problems.rows is None else tf.constant(problems.rows)
    return Problems(tf.constant(problems.table), rows)


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """Return the array as a tensor: in place where TensorFlow can read it so, else a copy.

    TensorFlow can wrap a NumPy array without a copy only if it is C-contiguous, of native byte order and
    starts at a multiple of 64 bytes; `tf.experimental.dlpack` accepts an unaligned buffer and then aborts
    the process in the first op, so the address is checked here.

    TensorFlow's threads take subnormal numbers for zeros. So points of which the largest is near these
    become float64, in which nothing of theirs is subnormal; of float64 there is nothing wider.

    Raises:
        ValueError: Points of float64 too small for their squares.
    """
    tiny = _TINY.get(array.dtype.name, 0.0)
    if tiny and 0 < (largest := float(magnitudes(array).max(initial=0))) < tiny:
        if array.dtype == np.float64:
            raise ValueError(
                f"points: the largest magnitude is {largest:.3g}, of which squares vanish in this backend; "
                "take backend='native', or points times a power of two"
            )
        return tf.constant(array.astype(np.float64))
    if not _readable_in_place(array):
        return tf.convert_to_tensor(np.ascontiguousarray(array))
    if array.dtype == tf.bfloat16:  # which NumPy does not hand on
        return tf.bitcast(as_tensor(array.view(np.uint16)), tf.bfloat16)
    if not array.flags.writeable:  # nor that, which pandas, JAX and joblib give out
        memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
        memory.owner = array  # type: ignore[attr-defined]  # lives as long as the tensor
        array = np.frombuffer(memoryview(memory), array.dtype).reshape(array.shape)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def _readable_in_place(array: np.ndarray) -> bool:
    if isinstance(array, np.memmap) and not array.flags.writeable:
        return False
    contiguous = array.flags.c_contiguous and array.dtype.isnative
    return contiguous and array.size > 0 and array.ctypes.data % _ALIGNMENT == 0


def _in_host_memory(points: Points) -> Iterable[Rows]:
    """All points in one tensor, in place or copied once; else the blocks as they are."""
    if points.made is None:
        array = points.array
        if array is None or not (_readable_in_place(array) or points.may_be_copied):
            return points
        points.made = [Rows(0, as_tensor(array))]
    return points.made


class _OnCard:
    """Blocks of points in host memory, on a card: copied once if they fit, else anew in each pass."""

    def __init__(self, points: Points, card: devices.Gpu) -> None:
        self._points, self._card = points, card
        row = points.d * points.dtype.itemsize
        stay = card.keeps(points.n * row)
        self._rows = points.n if stay else max(1, card.block_bytes // row)
        self._kept: list[Rows] | None = [] if stay else None

    def __iter__(self) -> Iterator[Rows]:
        if self._kept:
            return iter(self._kept)
        blocks = devices.copied_ahead(self._points.blocks(self._rows), self._copied)
        if self._kept is None:
            return blocks
        self._kept.extend(blocks)
        return iter(self._kept)

    def _copied(self, block: Rows) -> Rows:
        return Rows(block.start, devices.copied(as_tensor(block.points), self._card))
