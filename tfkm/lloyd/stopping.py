"""The stopping rule: when a start ends, and the unit of `tol`. Both are scikit-learn's."""

from __future__ import annotations

import numpy as np

from tfkm.types import Statistics, Status


def status(
    changed: int, shift: float, threshold: float, passes: int, max_iter: int
) -> Status | None:
    """Return why a start ends after this pass, None if it goes on.

    Args:
      changed: points whose label is another than before the pass.
      shift: Σ‖shift‖² of the centroids in this pass.
      threshold: `tol` times the mean variance of the features.
      passes: passes done, this one included.
      max_iter: the most passes of a start.
    """
    if changed == 0:
        return Status.LABELS_UNCHANGED
    if shift <= threshold:
        return Status.WITHIN_TOL
    return Status.MAX_ITER if passes == max_iter else None


def told(why: Status | None) -> Status:
    """Return why a start ends that a callback ends: convergence, if that came in the same pass."""
    return Status.STOPPED if why in (None, Status.MAX_ITER) else why


def mean_variances(
    statistics: Statistics, centroids: np.ndarray, counts: int | np.ndarray
) -> np.ndarray:
    """(a,) the mean over the features of their variance, of one unweighted pass with one centroid each.

    centroids (a, 1, d), any; counts: () or (a,) points. Σ‖x − c‖² = n·Σvariance + n·‖mean − c‖².
    """
    n = np.asarray(counts, np.float64)
    means = statistics.sums[:, 0] / n[..., None]
    from_centroids = np.square(means - centroids[:, 0].astype(np.float64)).sum(axis=1)
    variances = statistics.inertia / n - from_centroids
    return np.maximum(variances, 0.0) / centroids.shape[2]
