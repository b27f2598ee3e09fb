"""The largest magnitude of each feature: what the grid of exact sums is made of."""

from __future__ import annotations

import numpy as np

from tfkm.ops import backends

_FEW = 2**14  # values: up to there NumPy takes less time than a call


def magnitudes(points: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Return (…, d) float64, the largest |value| of each feature of points (…, n, d); NaN where one is.

    counts: (…) how many rows to look at, from the first on; None for all.
    """
    if (
        points.ndim == 2
        and counts is None
        and points.size > _FEW
        and not backends.why_not("native")
    ):
        from tfkm.ops.native import Native

        return Native().magnitudes(points)
    if counts is None:
        low, high = points.min(axis=-2, initial=0), points.max(axis=-2, initial=0)
    else:
        where = (np.arange(points.shape[-2]) < counts[..., None])[..., None]
        leading = np.broadcast_shapes(points.shape[:-2], where.shape[:-2])
        values = np.broadcast_to(points, (*leading, *points.shape[-2:]))
        low, high = (f(axis=-2, initial=0, where=where) for f in (values.min, values.max))
    return np.maximum(-low.astype(np.float64), high)  # −(−128) is not an int8
