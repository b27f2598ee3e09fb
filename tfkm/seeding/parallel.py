"""k-means‖ (Bahmani et al. 2012): draw many candidates in few passes, then choose k of them."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real

import numpy as np

from tfkm import checks
from tfkm.data.points import Points
from tfkm.seeding import plusplus
from tfkm.seeding.potential import Potential
from tfkm.seeding.problem import Choose, SeedingProblem, Unheld, seeds
from tfkm.types import Seeds

_MOST = 0.5  # candidates, as a share of the points; measured in docs/design/decisions.md


def kmeans_parallel(
    points,
    n_clusters: int,
    *,
    weights=None,
    random_state=None,
    rounds: int = 5,
    oversampling: float = 2.0,
    given=None,
    backend: str | None = None,
) -> Seeds:
    """Choose centroids by k-means‖, as `init="k-means||"` does.

    Each round draws ⌈oversampling · k⌉ candidates at once with probability weight · D², where D is
    the distance to the nearest candidate so far. Greedy k-means++ then chooses k of the candidates,
    each with the weight of the points nearest to it. So the points are read `rounds` + 1 times
    instead of k times. The work is that of assigning them to 1 + rounds · ⌈oversampling · k⌉
    centroids.

    If the candidates would be more than half as many as the points, that costs more than it saves.
    Then all points are the candidates, which is k-means++. k-means++ also chooses the rest if there
    are fewer candidates than k.

    Candidates are drawn with replacement, where Bahmani et al. let each point decide for itself. So
    a weight counts as that many copies of a point.

    Args:
        points: (n, d) array or tensor, as for `tfkm.kmeans`.
        n_clusters: k, 1 ≤ k ≤ n.
        weights: (n,) real numbers, finite and not negative; None for ones.
        random_state: None, an int or a `numpy.random.RandomState`.
        rounds: How many rounds draw candidates, ≥ 1.
        oversampling: Candidates of a round as a multiple of k, ≥ 0.1.
        given: (m, d) centroids that are there already, as for `kmeans_plusplus`.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Returns:
        `Seeds`, as `kmeans_plusplus` returns them.

    Raises:
        ValueError: An argument has a value that is not allowed; before any work.
        TypeError: An argument has a wrong type; before any work.
        RuntimeError: The named backend cannot be used here.

    References:
        Bahmani, Moseley, Vattani, Kumar & Vassilvitskii (2012), "Scalable K-Means++".

    Examples:
        >>> import numpy as np, tfkm
        >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
        >>> centroids, indices = tfkm.kmeans_parallel(x, 2, random_state=0)
        >>> sorted((indices // 2).tolist())  # one of each pair
        [0, 1]
    """
    choose = chooser(rounds, oversampling)
    return seeds(choose, points, n_clusters, weights, random_state, given, backend)


def chooser(rounds: int = 5, oversampling: float = 2.0) -> Choose:
    """Return the function that chooses the points, after checking its settings."""
    checks.check_number("rounds", rounds, Integral, 1)
    checks.check_number("oversampling", oversampling, Real, 0.1)
    return partial(_choose, rounds=rounds, oversampling=oversampling)


def _choose(problem: SeedingProblem, rounds: int, oversampling: float) -> np.ndarray:
    """Return `wanted` indices, chosen among the candidates or, if these would be too many, all points."""
    size = int(np.ceil(oversampling * problem.wanted))
    if rounds * size > _MOST * problem.points.n:
        points = problem.points
        whole = points.in_memory(problem) if isinstance(points, Unheld) else problem
        return plusplus.chooser()(whole)
    candidates, sizes = _candidates(problem, rounds, size)
    if len(candidates) > problem.wanted:
        among = problem._replace(points=Points(problem.points[candidates]), weights=sizes)
        return candidates[plusplus.chooser()(among)]
    if len(candidates) < problem.wanted:
        rest = plusplus.chooser()(problem.with_given(candidates))
        candidates = np.concatenate([candidates, rest])
    return candidates


def _candidates(problem: SeedingProblem, rounds: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of distinct points, and the positive weight of the points nearest to each."""
    points = problem.points
    if isinstance(points, Unheld):
        potential = points.potential(problem)
    else:
        potential = Potential(problem, labelled=True)
    drawn = [np.zeros(0, np.int64)]
    if not len(problem.given):
        drawn.append(problem.by_weight(1))
        potential.add(problem.points[drawn[-1]])
    for done in range(rounds):
        if problem.tell is not None:
            problem.tell(done, rounds, "rounds")
        # Points drawn twice are kept: rounds of one size need one program in `xla`.
        indices = potential.sample(problem.rng, size)
        if not len(indices):
            break
        drawn.append(indices)
        potential.add(problem.points[drawn[-1]])
    if problem.tell is not None:
        problem.tell(rounds, rounds, "rounds")
    sizes = potential.sizes()[len(problem.given) :]
    taken = np.flatnonzero(sizes)  # among equal points the first one gets all the weight
    return np.concatenate(drawn)[taken], sizes[taken]
