"""Spherical k-means (Dhillon & Modha 2001) as k-means of points scaled to length 1.

For x and c of length 1, ½‖x − c‖² = 1 − x·c, the cosine distance. So assignment, seeding, empty clusters
and stopping are those of Lloyd's iteration on the scaled points; only a centroid is scaled after each mean.

A point of zeros has no direction: its cosine distance to everything is defined as 1, its label as 0; it
counts in the inertia, and has no part in seeding and in centroids.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfkm import ops
from tfkm.points import Block, Points

METRICS = ("euclidean", "cosine")

# As in points.py: so many scaled points are kept, more are scaled anew in each pass.
_COPY_BYTES = 2**28
_BLOCK_BYTES = 2**25  # of float64 at a time while scaling


def unit_rows(
    rows: tf.Tensor, backend: str | None = None
) -> tuple[tf.Tensor, np.ndarray | tf.Tensor]:
    """rows (n, d) scaled to length 1 in the dtype to compute in, and which are zeros, (n,) bool: an array,
    in a graph a tensor.

    Rows of length 1 up to rounding stay as they are, so that scaling twice is scaling once. A row's result
    depends on nothing but the row.
    """
    if not tf.executing_eagerly():
        return _unit_rows(rows, backend)
    n, d = rows.shape
    step = max(1, _BLOCK_BYTES // (8 * d))
    compute = tf.float64 if rows.dtype == tf.float64 else tf.float32
    scaled, zeros = [tf.zeros([0, d], compute)], [np.zeros(0, bool)]
    for start in range(0, n, step):
        unit, is_zero = _unit_rows(rows[start : start + step], backend)
        scaled.append(unit)
        zeros.append(is_zero.numpy())
    return tf.concat(scaled, axis=0) if n > step else scaled[-1], np.concatenate(zeros)


def _unit_rows(rows: tf.Tensor, backend: str | None) -> tuple[tf.Tensor, tf.Tensor]:
    compute = tf.float64 if rows.dtype == tf.float64 else tf.float32
    origin = tf.zeros([1, rows.shape[1]], tf.float64)
    sq_norms = ops.assign(rows, origin, backend=backend).sq_distances
    # Rounding to `compute` moves ‖x‖² by at most twice its unit roundoff, and a little.
    is_unit = tf.abs(sq_norms - 1) <= 4 * np.finfo(compute.as_numpy_dtype).eps
    is_zero = sq_norms == 0
    lengths = tf.where(is_unit | is_zero, tf.ones_like(sq_norms), tf.sqrt(sq_norms))
    return tf.cast(tf.cast(rows, tf.float64) / lengths[:, None], compute), is_zero


class UnitPoints(Points):
    """`Points` scaled to length 1, in the dtype to compute in; points of zeros stay.

    zeros: (n,) bool, which those are.
    """

    def __init__(self, points: Points, backend: str | None = None) -> None:
        self._raw, self._backend = points, backend
        self.n, self.d, self.is_sparse = points.n, points.d, points.is_sparse
        self.dtype = self.compute = points.compute
        small = points.n * points.d * self.compute.size <= _COPY_BYTES
        kept = small and not points.is_sparse
        blocks, zeros = [], [np.zeros(0, bool)]
        for _, block in self._in_steps(points.n):
            scaled, is_zero = unit_rows(block, backend)
            zeros.append(is_zero)
            blocks += [scaled] * kept
        self.zeros = np.concatenate(zeros)
        self._source = tf.concat(blocks, axis=0) if kept and blocks else None
        self._in_one = self._source is not None

    @property
    def array(self) -> np.ndarray | None:
        return None if self._source is None else super().array

    def blocks(self, rows: int) -> Iterator[Block]:
        if self._source is not None:
            yield from super().blocks(rows)
            return
        for start, block in self._in_steps(rows):
            yield Block(start, unit_rows(block, self._backend)[0])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        if self._source is not None:
            return super().__getitem__(rows)
        return unit_rows(tf.constant(self._raw[rows]), self._backend)[0].numpy()

    def _in_steps(self, rows: int) -> Iterator[Block]:
        return self._raw.blocks(min(rows, max(1, _COPY_BYTES // (self.d * self.compute.size))))
