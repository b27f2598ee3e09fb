"""Mini-batch k-means (Sculley 2010): each batch moves the means of the clusters that its points join.

The count of a cluster is the weight that it has been given so far. Its mean is that of all points
it was ever given, so the learning rate is one over the count. Clusters of small count are moved to
points of the batch from time to time. The fit ends when the smoothed inertia no longer falls, or
when the means hardly move. All of this is as in scikit-learn.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from operator import add
from typing import NamedTuple

import numpy as np
from sklearn.utils.random import sample_without_replacement

from tfkm import checks, exact, seeding
from tfkm.data.batches import Batches, Epochs, Weighted
from tfkm.data.points import Points
from tfkm.lloyd.one_pass import inertia, mean_variance, one_pass
from tfkm.ops.backend import Backend
from tfkm.ops.magnitudes import largest_magnitudes
from tfkm.options import FitOptions
from tfkm.types import Statistics


class MiniBatchOptions(NamedTuple):
    """The options of a mini-batch fit.

    Attributes:
        fit: The options of every fit. The best of `n_init` seedings is used. `max_iter` counts
            passes. `tol` applies to Σ‖shift‖² of a batch; 0 turns it off.
        init_size: How many points each seeding chooses from, at least n_clusters.
        max_no_improvement: The fit ends after this many batches without a new least inertia; None
            for never.
        reassignment_ratio: Clusters with less than this share of the largest count are moved.
        report: Called with lines of text about the progress.
    """

    fit: FitOptions
    init_size: int
    max_no_improvement: int | None = 10
    reassignment_ratio: float = 0.01
    report: Callable[[str], None] = lambda text: None


class MiniBatchState(NamedTuple):
    """The state between two batches.

    Attributes:
        means: (k, d) float64. In float32 they would stop moving once a batch moves them by less
            than half an ulp.
        counts: (k,) float64, the weight that each cluster was given.
        dtype: The dtype of the centroids.
        since: Number of rows since clusters were last considered for being moved.
    """

    means: np.ndarray
    counts: np.ndarray
    dtype: np.dtype
    since: int = 0

    @property
    def centroids(self) -> np.ndarray:
        """Return (k, d), the means in the dtype to compute in."""
        return self.means.astype(self.dtype)


class Ended(NamedTuple):
    """The result of a mini-batch fit.

    Attributes:
        n_steps: Number of batches used.
        n_iter: Number of passes begun.
        inertia: Estimate for all points, smoothed over the batches.
    """

    state: MiniBatchState
    n_steps: int
    n_iter: int
    inertia: float


def fit_points(
    points,
    weights: np.ndarray | None,
    batch_size: int,
    rng: np.random.RandomState,
    options: MiniBatchOptions,
) -> Ended:
    """Fit batches drawn from points (n, d) with replacement, with probability proportional to weight.

    A drawn point has weight 1 in its batch.

    Raises:
        ValueError: A point is not finite; before any work.
    """
    data = Points(points, copy=False)
    largest = largest_magnitudes(data)
    threshold = _threshold(points, options)
    state = _best(_sampler(points, weights, options.init_size, rng), rng, options)
    draw = _Draw(data.n, weights, rng)
    # All batches share one grid: making one takes three times as long as using it.
    grid = exact.grids(1, batch_size, largest)
    backend = options.fit.selected

    def statistics(batch: Weighted, centroids: np.ndarray) -> Statistics:
        parts = [
            backend.sweep(block[None], centroids[None], None, grid).statistics
            for _, block in Points(batch.points, copy=False)
        ]
        return Statistics(*(part[0] for part in functools.reduce(add, parts).rounded()))

    def pick(rows: np.ndarray) -> Weighted:
        return Weighted(points[rows] if data.is_sparse else data[rows], None)

    max_steps = options.fit.max_iter * data.n // batch_size
    batches = (pick(draw(batch_size)) for _ in range(max_steps))
    monitor = _Monitor(max_steps, threshold, options)
    state, n_steps = _run(state, batches, statistics, lambda: data.n, monitor, rng, options)
    total = data.n if weights is None else float(weights.sum())
    return Ended(state, n_steps, -(-n_steps * batch_size // data.n), monitor.smoothed * total)


def fit_batches(batches: Batches, rng: np.random.RandomState, options: MiniBatchOptions) -> Ended:
    """Fit the elements of a dataset in their order, each as one batch; seeds come from the first ones.

    An endless dataset gives max_iter batches.
    """
    k = options.fit.n_clusters
    epochs = Epochs(batches, options.fit.max_iter)
    head = epochs.head(options.init_size)
    n = len(head.points) if head.positive.size else 0
    if n < k:
        raise ValueError(f"n_samples={n} should be >= n_clusters={k}.")
    state = _best(lambda: head, rng, options)
    monitor = _Monitor(epochs.max_steps, _threshold(head.points, options), options)

    def statistics(batch: Weighted, centroids: np.ndarray) -> Statistics:
        points, weights = batch
        return one_pass(points, centroids, weights, options.fit.selected)[1]

    rows_so_far = lambda: epochs.rows  # noqa: E731
    state, n_steps = _run(state, epochs, statistics, rows_so_far, monitor, rng, options)
    return Ended(state, n_steps, epochs.begun, monitor.smoothed * epochs.weight)


def begin(batch: Weighted, rng: np.random.RandomState, options: MiniBatchOptions) -> MiniBatchState:
    """Return the state before the first batch, with seeds from that batch."""
    return _best(_sampler(*batch, options.init_size, rng), rng, options)


def partial_fit(
    state: MiniBatchState, batch: Weighted, rng: np.random.RandomState, options: MiniBatchOptions
) -> MiniBatchState:
    """Return the state after one more batch."""
    points, weights = batch
    _, statistics = one_pass(points, state.centroids, weights, options.fit.selected)
    return _update(state, batch, statistics, rng, options)


def label_batches(
    batches: Batches, centroids: np.ndarray, backend: Backend
) -> tuple[np.ndarray, float]:
    """Make one more pass over the batches; return labels (n,) int32 in their order, and the inertia."""
    labels, inertia = [np.empty(0, np.int32)], 0.0
    for points, weights in batches:
        if weights is None or weights.any():
            assignment, statistics = one_pass(points, centroids, weights, backend)
            inertia += float(statistics.inertia)
        else:
            assignment = backend.assign(points, centroids)
            checks.distances(points, assignment.sq_distances)
        labels.append(assignment.labels)
    return np.concatenate(labels), inertia


def _run(
    state: MiniBatchState,
    batches: Iterable[Weighted],
    statistics_of: Callable[[Weighted, np.ndarray], Statistics],
    rows_of_a_pass: Callable[[], int],
    monitor: _Monitor,
    rng: np.random.RandomState,
    options: MiniBatchOptions,
) -> tuple[MiniBatchState, int]:
    """Return the state and the number of steps when the batches end or the monitor ends the fit."""
    step = 0
    for step, batch in enumerate(batches, 1):
        statistics = statistics_of(batch, state.centroids)
        before, state = state, _update(state, batch, statistics, rng, options)
        inertia = float(statistics.inertia) / float(np.sum(statistics.weights))
        shift = float(np.square(state.means - before.means).sum())
        rate = 2 * batch.points.shape[0] / (rows_of_a_pass() + 1)
        if monitor.sees_the_end(step, inertia, shift, rate):
            break
    return state, step


def _update(
    state: MiniBatchState,
    batch: Weighted,
    statistics: Statistics,
    rng: np.random.RandomState,
    options: MiniBatchOptions,
) -> MiniBatchState:
    """Return the state after a batch with these statistics, with clusters moved if it is time."""
    sums, weights = np.asarray(statistics.sums), np.asarray(statistics.weights)
    means, counts = state.means.copy(), state.counts + weights
    given = weights > 0
    past = means[given] * state.counts[given, None]
    means[given] = (past + sums[given]) / counts[given, None]
    since = state.since + batch.points.shape[0]
    if (state.counts == 0).any() or since >= 10 * len(counts):
        since = 0
        if moved := _reassign(means, counts, batch, rng, options.reassignment_ratio):
            options.report(f"[MiniBatchKMeans] Reassigning {moved} cluster centers.")
    return MiniBatchState(means, counts, state.dtype, since)


def _reassign(
    means: np.ndarray, counts: np.ndarray, batch: Weighted, rng: np.random.RandomState, ratio: float
) -> int:
    """Move clusters of small count to points of the batch, in place, and return how many."""
    low = np.flatnonzero((counts < ratio * counts.max()) & (counts < counts.max()))
    # At most half of the batch is used, for the clusters of least count.
    low = low[np.argsort(counts[low], kind="stable")]
    low = np.sort(low[: min(batch.points.shape[0] // 2, batch.positive.size)])
    if low.size:
        chosen = rng.choice(batch.positive, size=low.size, replace=False)
        means[low] = Points(batch.points, copy=False)[chosen]
        # A count of 0 would move them again at once.
        counts[low] = np.delete(counts, low).min()
    return low.size


class _Monitor:
    """The stopping rule of mini-batch fits: a weighted mean of the inertia, as in scikit-learn.

    The weights decrease exponentially with the age of a batch.

    Attributes:
        smoothed: That mean, for a point of weight 1.
    """

    def __init__(self, max_steps: int | None, threshold: float, options: MiniBatchOptions) -> None:
        self.smoothed = np.inf
        self._of, self._threshold, self._options = max_steps or "?", threshold, options
        self._least, self._without_improvement = np.inf, 0

    def sees_the_end(self, step: int, inertia: float, shift: float, rate: float) -> bool:
        """Report a step, and return whether the fit ends after it.

        Args:
            step: Number of the batch, from 1.
            inertia: Inertia of the batch for a point of weight 1.
            shift: Σ‖shift‖² of the means.
            rate: The weight of this batch in the smoothed mean.
        """
        at, patience = f"step {step}/{self._of}", self._options.max_no_improvement
        report = self._options.report
        if step <= 2:  # the first inertia is that of the seeding, so it is left out of the mean
            self.smoothed = inertia
        else:
            self.smoothed += min(rate, 1.0) * (inertia - self.smoothed)
        smoothed = f", ewa inertia: {self.smoothed}" if step > 1 else ""
        report(f"Minibatch {at}: mean batch inertia: {inertia}{smoothed}")
        if step == 1:
            return False
        if self._threshold > 0 and shift <= self._threshold:
            report(f"Converged (small centers change) at {at}")
            return True
        improves = self.smoothed < self._least
        self._least = min(self._least, self.smoothed)
        self._without_improvement = 0 if improves else self._without_improvement + 1
        if patience is None or self._without_improvement < patience:
            return False
        report(f"Converged (lack of improvement in inertia) at {at}")
        return True


class _Draw:
    """Random indices, drawn with replacement and probability proportional to weight.

    A draw takes O(log n) with weights and O(1) without.
    """

    def __init__(self, n: int, weights: np.ndarray | None, rng: np.random.RandomState) -> None:
        self._n, self._rng, self._ends = n, rng, None
        # Equal weights give the same bits as no weights.
        if weights is not None and (weights != weights[0]).any():
            ends = np.cumsum(weights)
            self._ends = ends / ends[-1]

    def __call__(self, size: int) -> np.ndarray:
        uniform = self._rng.random_sample(size)
        if self._ends is None:
            return (uniform * self._n).astype(np.int64)
        return self._ends.searchsorted(uniform, side="right")


def _best(
    sample: Callable[[], Weighted], rng: np.random.RandomState, options: MiniBatchOptions
) -> MiniBatchState:
    """Return the state of the best of `n_init` seedings, each of its own sample.

    The best has the least inertia in one more sample.
    """
    fit, backend = options.fit, options.fit.selected
    judge = sample() if fit.n_init > 1 else None
    best, least = None, np.inf
    for i in range(1, fit.n_init + 1):
        how = fit.init if isinstance(fit.init, str) else type(fit.init).__name__
        options.report(f"Init {i}/{fit.n_init} with method {how}")
        points, weights = sample()
        data = Points(points)
        centroids = seeding.seed(
            data, fit.n_clusters, fit.init, rng,
            weights=weights, original=points, backend=backend,
        )  # fmt: skip
        cost = 0.0
        if judge is not None:
            cost = inertia(judge[0], centroids, judge[1], backend)
            options.report(f"Inertia for init {i}/{fit.n_init}: {cost}")
        if best is None or cost < least:
            best, least = centroids, cost
    means = np.asarray(best)
    return MiniBatchState(means.astype(np.float64), np.zeros(fit.n_clusters), means.dtype)


def _sampler(
    points, weights: np.ndarray | None, size: int, rng: np.random.RandomState
) -> Callable[[], Weighted]:
    """Return a function that draws `size` points without replacement, or takes all if there are fewer.

    Only points of positive weight are drawn.
    """
    positive = None if weights is None else np.flatnonzero(weights)
    n = points.shape[0] if positive is None else len(positive)

    def sample() -> Weighted:
        if size >= n:
            return Weighted(points, weights)
        rows = sample_without_replacement(n, size, random_state=rng)
        rows = rows if positive is None else positive[rows]
        return Weighted(points[rows], None if weights is None else weights[rows])

    return sample


def _threshold(points, options: MiniBatchOptions) -> float:
    tol = options.fit.tol
    return tol * mean_variance(points, options.fit.selected) if tol > 0 else 0.0
