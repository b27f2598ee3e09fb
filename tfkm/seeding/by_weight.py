"""Centroids drawn without a look at where the points are."""

from __future__ import annotations

import numpy as np

from tfkm.seeding.problem import Choose, Problem, seeds
from tfkm.types import Seeds


def random_points(points, n_clusters: int, *, weights=None, random_state=None, given=None) -> Seeds:
    """Distinct points drawn in proportion to weight: what `init="random"` does.

    Should fewer than k have a positive weight, these are drawn again for the rest.

    Args, returns and raises as `tfkm.kmeans_plusplus`.

    Source: Forgy (1965), "Cluster analysis of multivariate data: efficiency versus interpretability of
      classifications".

    >>> import numpy as np, tfkm
    >>> tfkm.random_points(np.eye(3), 2, weights=[1, 0, 1], random_state=0).indices
    array([2, 0])
    """
    return seeds(chooser(), points, n_clusters, weights, random_state, given, None)


def chooser() -> Choose:
    """The choice; there is nothing to set."""
    return _choose


def _choose(problem: Problem) -> np.ndarray:
    chosen = problem.by_weight(problem.wanted, replace=False)
    missing = problem.wanted - len(chosen)
    return np.concatenate([chosen, problem.by_weight(missing)]) if missing else chosen
