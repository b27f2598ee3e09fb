"""Random seeding: centroids drawn by weight, whatever the positions of the points."""

from __future__ import annotations

import numpy as np

from tfkm.seeding.problem import Choose, SeedingProblem, seeds
from tfkm.types import Seeds


def random_points(points, n_clusters: int, *, weights=None, random_state=None, given=None) -> Seeds:
    """Draw distinct points with probability proportional to weight, as `init="random"` does.

    Args:
        points: (n, d) array or tensor, as for `tfkm.kmeans`.
        n_clusters: k, 1 ≤ k ≤ n. If fewer points have a positive weight, they are drawn again for
            the rest.
        weights: (n,) real numbers, finite and not negative; None for ones.
        random_state: None, an int or a `numpy.random.RandomState`.
        given: (m, d) centroids that are there already, as for `kmeans_plusplus`.

    Returns:
        `Seeds`, as `kmeans_plusplus` returns them.

    Raises:
        ValueError: An argument has a value that is not allowed; before any work.
        TypeError: An argument has a wrong type; before any work.

    References:
        Forgy (1965), "Cluster analysis of multivariate data: efficiency versus interpretability of
        classifications".

    Examples:
        >>> import numpy as np, tfkm
        >>> tfkm.random_points(np.eye(3), 2, weights=[1, 0, 1], random_state=0).indices
        array([2, 0])
    """
    return seeds(chooser(), points, n_clusters, weights, random_state, given, None)


def chooser() -> Choose:
    """Return the function that chooses the points."""
    return _choose


def _choose(problem: SeedingProblem) -> np.ndarray:
    """Return `wanted` indices: distinct ones while they last, then repeated ones."""
    chosen = problem.by_weight(problem.wanted, replace=False)
    missing = problem.wanted - len(chosen)
    return np.concatenate([chosen, problem.by_weight(missing)]) if missing else chosen
