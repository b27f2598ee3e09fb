"""AFK-MC² (Bachem et al. 2016): k-means++ by Markov chains, in one pass over the points."""

from __future__ import annotations

from functools import partial
from numbers import Integral

import numpy as np

from tfkm import checks
from tfkm.seeding import plusplus
from tfkm.seeding.potential import Potential
from tfkm.seeding.problem import Choose, SeedingProblem, seeds
from tfkm.types import Seeds


def afk_mc2(
    points,
    n_clusters: int,
    *,
    weights=None,
    random_state=None,
    chain_length: int = 200,
    given=None,
    backend: str | None = None,
) -> Seeds:
    """Choose centroids by AFK-MC², as `init="afk-mc2"` does.

    This is plain k-means++ in which a Markov chain approximates each draw by weight · D². Half of
    what the chain proposes is drawn by weight · D² to the first centroid (or to those given), and
    half by weight. So the points are read once, and the rest takes chain_length · k² distances and
    chain_length · k integers, whatever n is.

    A chain that has met only points that coincide with centroids ends the approximation. Plain
    k-means++ then chooses the rest.

    Args:
        points: (n, d) array or tensor, as for `tfkm.kmeans`.
        n_clusters: k, 1 ≤ k ≤ n.
        weights: (n,) real numbers, finite and not negative; None for ones.
        random_state: None, an int or a `numpy.random.RandomState`.
        chain_length: How many points are proposed for each centroid, ≥ 1. The longer the chain, the
            nearer the result is to plain k-means++.
        given: (m, d) centroids that are there already, as for `kmeans_plusplus`.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Returns:
        `Seeds`, as `kmeans_plusplus` returns them.

    Raises:
        ValueError: An argument has a value that is not allowed; before any work.
        TypeError: An argument has a wrong type; before any work.
        RuntimeError: The named backend cannot be used here.

    References:
        Bachem, Lucic, Hassani & Krause (2016), "Fast and Provably Good Seedings for k-Means".

    Examples:
        >>> import numpy as np, tfkm
        >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
        >>> centroids, indices = tfkm.afk_mc2(x, 4, random_state=0)
        >>> sorted(indices.tolist())
        [0, 1, 2, 3]
    """
    choose = chooser(chain_length)
    return seeds(choose, points, n_clusters, weights, random_state, given, backend)


def chooser(chain_length: int = 200) -> Choose:
    """Return the function that chooses the points, after checking its settings."""
    checks.check_number("chain_length", chain_length, Integral, 1)
    return partial(_choose, length=chain_length)


def _choose(problem: SeedingProblem, length: int) -> np.ndarray:
    """Return `wanted` indices: by Markov chains, then by plain k-means++ if a chain ends on a centroid."""
    problem = problem.held()
    potential, chosen = Potential(problem), np.zeros(0, np.int64)
    if not len(problem.given):
        chosen = problem.by_weight(1)
        potential.add(problem.points[chosen])
    if potential.total > 0:
        chosen = np.concatenate([chosen, _chains(problem.with_given(chosen), potential, length)])
    if len(chosen) < problem.wanted:
        chosen = np.concatenate([chosen, plusplus.chooser(1)(problem.with_given(chosen))])
    return chosen


def _chains(problem: SeedingProblem, potential: Potential, length: int) -> np.ndarray:
    """Return the last point of each chain, up to the first chain that ends on a centroid."""
    points, weights, given, wanted, rng, backend, tell = problem
    weight = points.n if weights is None else weights.sum()
    # The array has its final size from the start, filled with repeats, so `xla` compiles one
    # program.
    centroids = np.resize(np.asarray(given), (len(given) + wanted, points.d))
    proposals = _proposals(problem, potential, wanted * length).reshape(wanted, length)
    chosen = proposals[:, 0].copy()
    for i, indices in enumerate(proposals):
        if tell is not None:
            tell(i, wanted, "centroids")
        rows = points[indices]
        distances = backend.assign(rows, centroids).sq_distances
        # A proposal's acceptance ratio is its D² over this share; the weight cancels.
        shares = potential.nearest[indices] / np.float64(potential.total) + 1 / weight
        ratios, acceptances = distances / shares, rng.uniform(size=length)
        at = 0
        for j in range(1, length):
            if ratios[j] > acceptances[j] * ratios[at]:
                at = j
        if ratios[at] == 0:
            return chosen[:i]
        chosen[i], centroids[len(given) + i] = indices[at], rows[at]
    return chosen


def _proposals(problem: SeedingProblem, potential: Potential, size: int) -> np.ndarray:
    """Return (size,) indices: each is drawn by weight · D² or by weight, with probability ½."""
    by_potential = problem.rng.uniform(size=size) < 0.5
    proposals = problem.by_weight(size)
    shares = problem.rng.uniform(size=size)
    proposals[by_potential] = potential.draw(shares[by_potential])
    return proposals
