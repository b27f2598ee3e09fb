"""k-means of many problems of one size: one call makes the passes of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from tfkm import checks, exact, seeding
from tfkm.data import arrays
from tfkm.data.points import Points, as_array
from tfkm.lloyd.in_memory import places_of
from tfkm.lloyd.iteration import End, State, iterate
from tfkm.lloyd.stopping import mean_variances
from tfkm.ops.backend import Backend, Problems, Sweep
from tfkm.ops.magnitudes import magnitudes
from tfkm.options import FitOptions
from tfkm.types import Ahead, Assignment, BatchResult, Made, Statistics

# Bytes of points, labels, margins and distances of problems that run together.
_TOGETHER_BYTES = 2**28


def kmeans_batch(  # noqa: PLR0913 - a user's arguments
    points,
    n_clusters: int,
    *,
    weights=None,
    n_points=None,
    init: seeding.Init = "k-means++",
    n_init: int | str = "auto",
    max_iter: int = 300,
    tol: float = 1e-4,
    random_state=None,
    backend: str | None = None,
) -> BatchResult:
    """Cluster each of B problems as `tfkm.kmeans` clusters it alone, bit for bit.

    With `seeds = check_random_state(random_state).randint(2**31 - 1, size=B)` (of `sklearn.utils`),
    problem b is `tfkm.kmeans(points[b, :n_points[b]], …, random_state=seeds[b])`.

    Args:
        points: (B, n, d) array, memory map or tensor of a dtype that `kmeans` takes, all finite.
        n_clusters: k, from 1 to the number of points in each problem.
        weights: (B, n) real numbers, finite and not negative; None for ones.
        n_points: (B,) integers: how many rows of each problem are points, from the first on. The
            rows behind are padding and are not read, nor are their weights. None means that all
            rows are points.
        init: As for `kmeans`, but an array is (B, k, d).
        n_init: How many restarts to make in each problem, as for `kmeans`.
        max_iter: The most passes of a restart.
        tol: When a restart ends, as for `kmeans`.
        random_state: None, an int or a `numpy.random.RandomState`.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Returns:
        `BatchResult`, in which the label of padding is −1.

    Raises:
        ValueError: An argument has a value that is not allowed; before any work.
        TypeError: An argument has a wrong type; before any work.
        RuntimeError: The named backend cannot be used here.

    References:
        As for `kmeans`.

    Examples:
        >>> import numpy as np, tfkm
        >>> x = np.array([[[0.0], [1.0], [10.0], [11.0]], [[5.0], [5.0], [8.0], [0.0]]])
        >>> result = tfkm.kmeans_batch(x, 2, n_points=[4, 3], random_state=0)
        >>> result.inertia.tolist(), int(result.labels[1, 3])
        ([1.0, 0.0], -1)
    """
    options = FitOptions(n_clusters, init, n_init, max_iter, tol, random_state, backend=backend)
    batch = _checked(points, weights, n_points, n_clusters)
    count, n, d = batch.points.shape
    if seeding.is_array(init):
        init = checks.real_numbers("init", arrays.taken("init", init))
        if init.shape != (count, n_clusters, d):
            needed = (count, n_clusters, d)
            raise ValueError(f"init: shape {init.shape}; it needs shape {needed}")
    each, module = options.n_init, options.selected
    if count and not isinstance(init, np.ndarray):
        seeding.checked(init, Points(batch.points[0, : batch.counts[0]]), n_clusters)
    parts = list(_parts(batch, each, n_clusters))
    largest = [_largest_magnitudes(part) for part in parts]  # raises if a value is not finite
    seeds = check_random_state(random_state).randint(2**31 - 1, size=count)
    best: list[End] = []
    labels = np.empty((count, n), np.int32)
    for part, own in zip(parts, largest, strict=True):
        centroids = _seeds(part, n_clusters, init, each, seeds, module)
        thresholds = np.repeat(tol * _mean_variances(part, own, module), each)
        starts_of_all = _Restarts(part, own, centroids, module)
        ends = iterate(starts_of_all, State.first(centroids), thresholds, max_iter)
        for i in range(0, len(ends), each):
            end = min(ends[i : i + each], key=lambda end: end.inertia)
            assert end.labels is not None
            labels[len(best)] = end.labels
            best.append(end._replace(labels=labels[len(best)]))
    centroids = np.array([end.centroids for end in best], batch.compute)
    return BatchResult(
        arrays.like(points, centroids.reshape(count, n_clusters, d)),
        arrays.like(points, labels),
        np.array([end.inertia for end in best]),
        np.array([end.n_iter for end in best], np.int64),
        [end.status for end in best],
    )


class _Batch(NamedTuple):
    """Some or all of the problems."""

    first: int  # the number of its first problem
    points: np.ndarray  # (b, n, d)
    weights: np.ndarray | None  # (b, n) float64
    counts: np.ndarray  # (b,) int64, how many of the rows are points

    @property
    def compute(self) -> np.dtype:
        return np.dtype(np.float64 if self.points.dtype == np.float64 else np.float32)


def _checked(points, weights, n_points, n_clusters: int) -> _Batch:
    """Return all problems, checked."""
    with checks.named("points"):  # several lengths
        points = np.asarray(arrays.taken("points", points))
    points = as_array(points, 3, "(B, n, d)")
    points = points.astype(checks.point_dtype(points.dtype), copy=False)
    count, n = points.shape[:2]
    counts = np.full(count, n) if n_points is None else np.asarray(n_points)
    if counts.shape != (count,) or counts.dtype.kind not in "iu":
        found = f"shape {counts.shape} and dtype {counts.dtype}"
        raise ValueError(f"n_points: {found}; it needs integers of shape ({count},)")
    if (wrong := np.flatnonzero((counts < 0) | (counts > n))).size:
        raise ValueError(
            f"n_points: n_points[{wrong[0]}] is {counts[wrong[0]]}; allowed is 0 … {n}"
        )
    if weights is not None:
        weights = np.asarray(weights, np.float64)
        if weights.shape != (count, n):
            raise ValueError(f"weights: shape {weights.shape}; it needs shape {(count, n)}")
        if (counts < n).any():
            weights = np.where(np.arange(n) < counts[:, None], weights, 0.0)
        checks.check_weights(weights)
    if (few := np.flatnonzero(counts < n_clusters)).size:
        found = f"the {counts[few[0]]} points of problem {few[0]}"
        raise ValueError(f"n_clusters: {n_clusters} is more than {found}")
    return _Batch(0, points, weights, counts.astype(np.int64))


def _parts(batch: _Batch, each: int, k: int) -> Iterator[_Batch]:
    """Yield the problems in batches of as many as memory allows, for `each` restarts per problem."""
    count, n, d = batch.points.shape
    # Upper bound for one problem; a number takes at most 8 bytes.
    numbers = n * (d + 4 * each) + 8 * each * k * d
    together = max(1, _TOGETHER_BYTES // (8 * numbers))
    for first in range(0, count, together):
        some = slice(first, first + together)
        weights = None if batch.weights is None else batch.weights[some]
        yield _Batch(first, batch.points[some], weights, batch.counts[some])


def _largest_magnitudes(batch: _Batch) -> np.ndarray:
    """Return (b, d) float64, the greatest magnitude of each feature in each problem.

    Raises:
        ValueError: A value is not finite, or a squared norm may overflow.
    """
    points, counts = batch.points, batch.counts
    some = (counts < points.shape[1]).any()
    largest, compute = magnitudes(points, counts if some else None), batch.compute
    with np.errstate(over="ignore"):
        fine = np.square(largest).sum(axis=1) <= checks.largest_sq_norm(compute)
    for i in np.flatnonzero(~fine):
        rows = points[i, : counts[i]]
        checks.finite_rows("points", rows, compute, batch.first + int(i), 0)
    return largest


def _seeds(
    batch: _Batch, k: int, init: seeding.Init, each: int, seeds: np.ndarray, backend: Backend
) -> np.ndarray:
    """Return the seeds (b · each, k, d); the restarts of a problem are adjacent."""
    points, counts = batch.points, batch.counts
    own = seeds[batch.first : batch.first + len(points)]
    if isinstance(init, str) and init == "k-means++" and each == 1:
        chosen = seeding.choose_batch(points, counts, batch.weights, k, own, backend)
        if chosen is not None:
            return np.take_along_axis(points, chosen[..., None], axis=1).astype(batch.compute)
    centroids = np.empty((len(points) * each, k, points.shape[2]), batch.compute)
    for i, n in enumerate(counts):
        rng, some = np.random.RandomState(own[i]), points[i, :n]
        data = Points(some)
        weights = None if batch.weights is None else batch.weights[i, :n]
        given = init[batch.first + i] if isinstance(init, np.ndarray) else init
        for start in range(each):
            centroids[i * each + start] = seeding.seed(
                data, k, given, rng, weights=weights, original=some, backend=backend
            )
    return centroids


def _mean_variances(batch: _Batch, largest: np.ndarray, backend: Backend) -> np.ndarray:
    """Return (b,) the unit of `tol` in each problem."""
    centroids = batch.points[:, :1].astype(batch.compute)
    starts_of_all = _Restarts(batch._replace(weights=None), largest, centroids, backend)
    _, statistics = starts_of_all.look(np.arange(len(centroids)), centroids)
    return mean_variances(statistics, centroids, batch.counts)


class _Restarts:
    """The points of many problems as `iterate` needs them, for restarts from centroids (r, k, d).

    This implements `iteration.Points`. Each of the b problems has r / b restarts, and `largest` (b,
    d) are the greatest magnitudes of its features.
    """

    def __init__(
        self, batch: _Batch, largest: np.ndarray, centroids: np.ndarray, backend: Backend
    ) -> None:
        self._batch, self._backend, self.n = batch, backend, batch.points.shape[1]
        self._own = np.arange(len(centroids)) * len(batch.points) // len(centroids)
        self._points = backend.held(batch.points)
        heaviest = 1.0 if batch.weights is None else batch.weights.max(axis=1)[self._own]
        counts = batch.counts[self._own]
        self._grids = exact.grid(counts, largest[self._own], heaviest)
        self._rows = None if (counts == batch.points.shape[1]).all() else counts
        self._runs, self._given_runs = np.arange(len(centroids)), np.arange(0)
        self._before: Sweep | None = None

    def one_pass(
        self, runs: np.ndarray, centroids: np.ndarray, measured: bool, ahead: Ahead | None
    ) -> Made:
        """Make the next pass of each run, see `iteration.Points.one_pass`."""
        if len(runs) < len(self._runs):
            self._before = self._before_of(runs)
        self._runs = runs
        self._before = sweep = self._sweep(runs, centroids, self._before, measured, ahead)
        assignment, statistics = self._finished(sweep)
        return Made(assignment, statistics, sweep.changed, sweep.centroids, sweep.passes)

    def look(self, runs: np.ndarray, centroids: np.ndarray) -> tuple[Assignment, Statistics]:
        """Make a measured pass that leaves the state alone, see `iteration.Points.look`."""
        return self._finished(self._sweep(runs, centroids, self._before_of(runs), True))

    def _finished(self, sweep: Sweep) -> tuple[Assignment, Statistics]:
        return Assignment(sweep.labels, sweep.sq_distances), sweep.statistics.rounded()

    def _before_of(self, runs: np.ndarray) -> Sweep | None:
        """Return a copy of the last sweep of these runs, ascending; None if a run was not part of it."""
        if self._before is None:
            return None
        places = places_of(runs, self._runs)
        return None if places is None else self._before.of(places)

    def _sweep(
        self,
        runs: np.ndarray,
        centroids: np.ndarray,
        before: Sweep | None,
        measured: bool,
        ahead: Ahead | None = None,
    ) -> Sweep:
        problems, grid = self._given(runs)
        return self._backend.sweep(
            self._points, centroids, self._batch.weights, grid, problems, before, measured, ahead
        )

    def _given(self, runs: np.ndarray) -> tuple[Problems, exact.Grid]:
        """Return the table of problems and the grid for these runs, kept until a run ends."""
        if not np.array_equal(runs, self._given_runs):
            own = self._own[runs]
            table = np.stack([own, np.arange(len(runs)), own], axis=1)
            problems = Problems(table, None if self._rows is None else self._rows[runs])
            grid = exact.Grid(*(np.ascontiguousarray(part[runs]) for part in self._grids))
            self._given_runs, self._given_of_runs = runs, (problems, grid)
        return self._given_of_runs

    def placed(self, means: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """Return the means unchanged; see `iteration.Points.placed`."""
        return means

    def candidates(self, run: int, centroids: np.ndarray, assignment: Assignment | None) -> tuple:
        """Return the arguments of `update.centroids` for all points of the run's problem."""
        weights, own = self._batch.weights, self._own[run]
        rows = self._batch.points[own].__getitem__
        if assignment is None:
            of_all, _ = self.look(np.array([run]), centroids[None])
            assignment = Assignment(*(part[0] for part in of_all))
        return *assignment, None if weights is None else weights[own], rows
