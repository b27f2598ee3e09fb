"""Checks of `cluster_centers_` before use, since a user may set or edit it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfkm import checks
from tfkm.ops import error_bound

_FLOATS = (np.float32, np.float64)
_SUMS = 64 * float(
    np.finfo(np.float64).eps
)  # what NumPy's sums of squares near 1 err by, generously


def checked(centers: Any, d: int | None) -> np.ndarray:
    """Return centers (k, d) as an array of float32 or float64.

    Args:
        centers: What `cluster_centers_` holds.
        d: The number of features of the model; None if it has none yet.

    Raises:
        TypeError: They are not numbers.
        ValueError: They have another shape.
    """
    name = "cluster_centers_"
    if not isinstance(centers, np.ndarray) or centers.dtype not in _FLOATS:
        given = np.asarray(centers)
        if given.dtype.kind not in "fiub":
            raise TypeError(f"{name}: dtype {given.dtype}; it needs real numbers")
        centers = given.astype(np.float32 if given.dtype == np.float16 else np.float64)
    if centers.ndim != 2 or not centers.size:
        raise ValueError(f"{name}: shape {centers.shape}; it needs shape (k, d), both at least 1")
    if d not in (None, centers.shape[1]):
        raise ValueError(
            f"{name}: shape {centers.shape}; the model was fitted on {d} features, so it needs "
            f"shape (k, {d})"
        )
    return centers


def finite(centers: np.ndarray) -> np.ndarray:
    """Return the same centers, if all are finite.

    Raises:
        ValueError: One is NaN, infinite or too large to compute with.
    """
    return checks.finite_rows("cluster_centers_", centers, centers.dtype)


def of_length_one(centers: np.ndarray) -> np.ndarray:
    """Return the centers scaled to length 1; centers that have it up to rounding are not changed.

    Fitted centers have length 1 up to rounding.

    Raises:
        ValueError: One is all zeros and has no direction.
    """
    sq_lengths = np.square(centers, dtype=np.float64).sum(axis=1, keepdims=True)
    others = ~error_bound.is_unit(sq_lengths, centers.dtype, more=_SUMS)
    if not others.any():
        return centers
    if not np.isfinite(sq_lengths).all():
        finite(centers)
    if (sq_lengths == 0).any():
        row = np.flatnonzero(sq_lengths == 0)[0]
        raise ValueError(
            f"cluster_centers_: row {row} is all zeros; with metric='cosine' it needs a direction"
        )
    return (centers / np.where(others, np.sqrt(sq_lengths), 1.0)).astype(centers.dtype)
