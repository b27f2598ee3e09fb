"""k-means++ (Arthur & Vassilvitskii 2007), greedy or plain."""

from __future__ import annotations

from functools import partial
from numbers import Integral

import numpy as np

from tfkm import checks
from tfkm.ops.backend import Backend
from tfkm.seeding.draws import by_weight, chunk_rows
from tfkm.seeding.potential import Potential
from tfkm.seeding.problem import Choose, SeedingProblem, seeds
from tfkm.types import Seeds


def kmeans_plusplus(
    points,
    n_clusters: int,
    *,
    weights=None,
    random_state=None,
    n_local_trials: int | None = None,
    given=None,
    backend: str | None = None,
) -> Seeds:
    """Choose centroids by greedy k-means++, as `init="k-means++"` does.

    Each round draws candidates with probability weight · D², where D is the distance to the nearest
    centroid so far. It keeps the candidate that lowers the sum of weight · D², the potential, most.
    The first centroid is drawn by weight.

    Args:
        points: (n, d) array or tensor, as for `tfkm.kmeans`.
        n_clusters: k, 1 ≤ k ≤ n.
        weights: (n,) real numbers, finite and not negative; None for ones. A weight counts as that
            many copies of a point. A point of weight zero is never chosen.
        random_state: None, an int or a `numpy.random.RandomState`. All draws follow from it,
            whatever the threads and blocks.
        n_local_trials: How many candidates a round draws; None for 2 + ⌊ln k⌋ as in scikit-learn, 1
            for plain k-means++.
        given: (m, d) centroids that are there already, 1 ≤ m < k; the others are chosen around
            them.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Returns:
        `Seeds` with centroids (k, d), the first m of which are `given`, and their indices (k,), −1
        for those. If fewer than k points of positive weight differ, the rest is drawn by weight.

    Raises:
        ValueError: An argument has a value that is not allowed; before any work.
        TypeError: An argument has a wrong type; before any work.
        RuntimeError: The named backend cannot be used here.

    References:
        Arthur & Vassilvitskii (2007), "k-means++: The Advantages of Careful Seeding"; greedy in §5.

    Examples:
        >>> import functools, numpy as np, tfkm
        >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
        >>> centroids, indices = tfkm.kmeans_plusplus(x, 2, random_state=0)
        >>> bool((centroids == x[indices]).all())
        True
        >>> tfkm.kmeans_plusplus(x, 2, given=[[10.5]], random_state=0).indices
        array([-1,  1])
        >>> plain = functools.partial(tfkm.kmeans_plusplus, n_local_trials=1)
        >>> tfkm.kmeans(x, 2, init=plain, random_state=0).inertia
        1.0
    """
    choose = chooser(n_local_trials)
    return seeds(choose, points, n_clusters, weights, random_state, given, backend)


def chooser(n_local_trials: int | None = None) -> Choose:
    """Return the function that chooses the points, after checking its settings."""
    if n_local_trials is not None:
        checks.check_number("n_local_trials", n_local_trials, Integral, 1, " or None")
    return partial(_choose, trials=n_local_trials)


def _choose(problem: SeedingProblem, trials: int | None) -> np.ndarray:
    """Return `wanted` indices, in one call of the backend if it can, else in blocks."""
    problem = problem.held()
    points, weights, given, wanted, rng, backend, tell = problem
    trials = trials or _default_trials(len(given) + wanted)
    first = nearest = None
    if len(given):
        uniforms = rng.uniform(size=(wanted, trials))
        nearest = Potential(problem).nearest
    else:
        first, uniforms = _draws(rng, points.n, weights, wanted, trials)
    chosen = _at_once(problem, first, uniforms, nearest)
    if chosen is None:
        chosen = in_blocks(problem, first, uniforms)
    # From here on every point coincides with a centroid.
    rest = np.flatnonzero(chosen < 0)
    chosen[rest] = problem.by_weight(len(rest))
    return chosen


def _at_once(
    problem: SeedingProblem, first: int | None, uniforms: np.ndarray, nearest: np.ndarray | None
) -> np.ndarray | None:
    """Return the choices of all rounds from one call, or None.

    It is None if the backend has no such call, or if the points are not in one array.
    """
    array, weights = problem.points.array, problem.weights
    if array is None:
        return None
    chosen = problem.backend.kmeans_plusplus(
        array[None],
        np.array([len(array)]),
        None if weights is None else weights[None],
        np.array([first or 0]),
        uniforms[None],
        None if nearest is None else nearest[None],
        tell=problem.tell,
    )
    return None if chosen is None else chosen[0]


def _default_trials(k: int) -> int:
    return 2 + int(np.log(k))


def _draws(rng: np.random.RandomState, n: int, weights, k: int, trials: int):
    """Return the first index and the uniforms of all rounds.

    They are drawn before the first round, so they depend on the seed alone.
    """
    return by_weight(rng, n, weights, 1)[0], rng.uniform(size=(k - 1, trials))


def choose_batch(
    points: np.ndarray, counts: np.ndarray, weights, k: int, seeds: np.ndarray, backend: Backend
) -> np.ndarray | None:
    """Return (B, k) indices that "k-means++" chooses with RandomState(seeds[b]), all in one call.

    It is None if the backend has no such call.

    Args:
        points: (B, n, d).
        counts: (B,) How many of the n rows are points.
        weights: (B, n) or None.
        k: How many points to choose in each problem.
        seeds: (B,) int.
        backend: The backend that computes.
    """
    # One generator, seeded again for each problem: a new one takes ten times as long to make.
    rng = np.random.RandomState()

    def draws(b: int) -> tuple:
        rng.seed(seeds[b])
        own = None if weights is None else weights[b, : counts[b]]
        return own, *_draws(rng, counts[b], own, k, _default_trials(k))

    _, firsts, uniforms = zip(*map(draws, range(len(points))), strict=True)
    chosen = backend.kmeans_plusplus(points, counts, weights, np.array(firsts), np.array(uniforms))
    if chosen is not None:
        for b in np.flatnonzero((chosen < 0).any(axis=1)):
            own, *_ = draws(int(b))
            rest = np.flatnonzero(chosen[b] < 0)
            chunk = chunk_rows(points.shape[2], points.dtype.itemsize)
            chosen[b, rest] = by_weight(rng, counts[b], own, len(rest), chunk=chunk)
    return chosen


def in_blocks(problem: SeedingProblem, first: int | None, uniforms: np.ndarray) -> np.ndarray:
    """Return what `_at_once` returns, by the backend's `assign` and `sq_distances`.

    If `first` is None, the given centroids take the place of a first choice.
    """
    points, potential = problem.points, Potential(problem)
    chosen = np.full(problem.wanted, -1, np.int64)
    if first is not None:
        chosen[0] = first
        potential.add(points[chosen[:1]])
    for i, shares in enumerate(uniforms, problem.wanted - len(uniforms)):
        if potential.total == 0:
            break
        if problem.tell is not None:
            problem.tell(i, problem.wanted, "centroids")
        candidates = potential.draw(shares)
        best = np.argmin(potential.with_each(candidates)) if len(candidates) > 1 else 0
        chosen[i] = candidates[best]
        potential.add(points[chosen[i : i + 1]])
    return chosen
