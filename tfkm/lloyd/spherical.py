"""Spherical k-means (Dhillon & Modha 2001), as k-means of points scaled to length 1.

For x and c of length 1, ½‖x − c‖² = 1 − x·c, the cosine distance. So Lloyd's iteration on scaled
points does assignment, seeding, empty clusters and stopping. The one addition is that each mean is
scaled to length 1.

A point of zeros has no direction. Its cosine distance to everything is defined as 1, and its label
as 0. It counts in the inertia, but not in seeding or in centroids.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfkm import checks
from tfkm.data.points import Points, Rows
from tfkm.ops import error_bound
from tfkm.ops.backend import Backend

METRICS = ("euclidean", "cosine")

# Scaled points are kept up to this size; larger ones are scaled again in each pass.
_COPY_BYTES = 2**28
_BLOCK_BYTES = 2**25  # bytes of float64 at a time while scaling


def unit_rows(rows: np.ndarray, backend: Backend) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (n, d) scaled to length 1 in the dtype to compute in, and a mask (n,) of rows of zeros.

    Rows that have length 1 up to rounding are not changed, so scaling twice equals scaling once.
    The result for a row depends on that row alone.
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
    """Return the divisors (n,) for rows of these squared norms (n,), and a mask (n,) of rows of zeros."""
    is_zero = sq_norms == 0
    stays = error_bound.is_unit(sq_norms, compute) | is_zero
    return np.where(stays, 1.0, np.sqrt(sq_norms)), is_zero


class UnitPoints(Points):
    """`Points` scaled to length 1, in the dtype to compute in; points of zeros are not changed.

    Attributes:
        zeros: (n,) bool, True for points of zeros.
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

    def blocks(self, rows: int) -> Iterator[Rows]:
        if self.source is not None:
            yield from super().blocks(rows)
            return
        for start, block in self._in_steps(rows):
            yield Rows(start, unit_rows(block, self._backend)[0])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        if self.source is not None:
            return super().__getitem__(rows)
        return unit_rows(self._raw[rows], self._backend)[0]

    def _in_steps(self, rows: int) -> Iterator[Rows]:
        return self._raw.blocks(min(rows, max(1, _COPY_BYTES // (self.d * self.compute.itemsize))))
