"""The stopping rule: when a run ends, and the unit of `tol`. Both are scikit-learn's."""

from __future__ import annotations

import numpy as np

from tfkm.types import Statistics, Status


def status(
    changed: int, shift: float, threshold: float, passes: int, max_iter: int
) -> Status | None:
    """Return why a run ends after this pass, or None if it goes on.

    Args:
        changed: Number of points whose label changed in this pass.
        shift: Σ‖shift‖² of the centroids in this pass.
        threshold: `tol` times the mean variance of the features.
        passes: Number of passes made, including this one.
        max_iter: The most passes of a run.
    """
    if changed == 0:
        return Status.LABELS_UNCHANGED
    if shift <= threshold:
        return Status.WITHIN_TOL
    return Status.MAX_ITER if passes == max_iter else None


def told(why: Status | None) -> Status:
    """Return the status of a run that a callback ends: converged, if it converged in the same pass."""
    return Status.STOPPED if why in (None, Status.MAX_ITER) else why


def mean_variances(
    statistics: Statistics, centroids: np.ndarray, counts: int | np.ndarray
) -> np.ndarray:
    """Return (a,) the mean over the features of their variance, from one unweighted pass with k = 1.

    It follows from Σ‖x − c‖² = n·Σvariance + n·‖mean − c‖².

    Args:
        statistics: The statistics of the pass, (a, …).
        centroids: (a, 1, d), any centroids.
        counts: () or (a,), the numbers of points.
    """
    n = np.asarray(counts, np.float64)
    means = statistics.sums[:, 0] / n[..., None]
    from_centroids = np.square(means - centroids[:, 0].astype(np.float64)).sum(axis=1)
    variances = statistics.inertia / n - from_centroids
    return np.maximum(variances, 0.0) / centroids.shape[2]
