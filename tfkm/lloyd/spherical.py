"""Spherical k-means (Dhillon & Modha 2001) as k-means of points scaled to length 1.

For x and c of length 1, ½‖x − c‖² = 1 − x·c, the cosine distance. So assignment, seeding, empty clusters
and stopping are those of Lloyd's iteration on the scaled points; only a centroid is scaled after each mean.

A point of zeros has no direction: its cosine distance to everything is defined as 1, its label as 0; it
counts in the inertia, and has no part in seeding and in centroids.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfkm import checks
from tfkm.data.points import Block, Points
from tfkm.ops import error_bound
from tfkm.ops.backend import Backend

METRICS = ("euclidean", "cosine")

# As in points.py: so many scaled points are kept, more are scaled anew in each pass.
_COPY_BYTES = 2**28
_BLOCK_BYTES = 2**25  # of float64 at a time while scaling


def unit_rows(rows: np.ndarray, backend: Backend) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (n, d) scaled to length 1 in the dtype to compute in, and which are zeros, (n,) bool.

    Rows of length 1 up to rounding stay as they are, so that scaling twice is scaling once. A row's result
    depends on nothing but the row.
    """
    n, d = rows.shape
    compute = checks.compute_dtype(rows.dtype)
    scaled, zeros = np.empty((n, d), compute), np.empty(n, bool)
    step, origin = max(1, _BLOCK_BYTES // (8 * d)), np.zeros((1, d))
    for start in range(0, n, step):
        some = slice(start, start + step)
        sq_norms = backend.assign(rows[some], origin).sq_distances
        lengths, zeros[some] = lengths_of(sq_norms, compute)
        scaled[some] = rows[some].astype(np.float64) / lengths[:, None]
    return scaled, zeros


def lengths_of(sq_norms: np.ndarray, compute: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return what rows of these squared norms (n,) are divided by, and which of them are zeros."""
    is_zero = sq_norms == 0
    stays = error_bound.is_unit(sq_norms, compute) | is_zero
    return np.where(stays, 1.0, np.sqrt(sq_norms)), is_zero


class UnitPoints(Points):
    """`Points` scaled to length 1, in the dtype to compute in; points of zeros stay.

    zeros: (n,) bool, which those are.
    """

    def __init__(self, points: Points, backend: Backend) -> None:
        self._raw, self._backend = points, backend
        self.n, self.d, self.is_sparse = points.n, points.d, points.is_sparse
        self.dtype = self.compute = points.compute
        small = points.n * points.d * self.compute.itemsize <= _COPY_BYTES
        kept = self.may_be_copied = small and not points.is_sparse
        self.source = np.empty((self.n, self.d), self.dtype) if kept else None
        self.zeros = np.zeros(points.n, bool)
        for start, block in self._in_steps(points.n):
            some = slice(start, start + len(block))
            scaled, self.zeros[some] = unit_rows(block, backend)
            if self.source is not None:
                self.source[some] = scaled

    @property
    def array(self) -> np.ndarray | None:
        return self.source

    def blocks(self, rows: int) -> Iterator[Block]:
        if self.source is not None:
            yield from super().blocks(rows)
            return
        for start, block in self._in_steps(rows):
            yield Block(start, unit_rows(block, self._backend)[0])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        if self.source is not None:
            return super().__getitem__(rows)
        return unit_rows(self._raw[rows], self._backend)[0]

    def _in_steps(self, rows: int) -> Iterator[Block]:
        return self._raw.blocks(min(rows, max(1, _COPY_BYTES // (self.d * self.compute.itemsize))))
