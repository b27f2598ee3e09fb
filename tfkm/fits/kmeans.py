"""k-means of points in memory or in a memory map: checks, seeding, restarts, and the best of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing

import numpy as np
from sklearn.utils import check_random_state

from tfkm import checks, seeding, streams
from tfkm.callbacks import Callback, Callbacks, Step
from tfkm.data import arrays
from tfkm.data.points import Points
from tfkm.lloyd import size_limits, spherical
from tfkm.lloyd.in_memory import Problem, Restarts, mean_variance_of, problem_of
from tfkm.lloyd.iteration import End, State, iterate
from tfkm.lloyd.one_pass import one_pass
from tfkm.ops.backend import Backend
from tfkm.options import FitOptions
from tfkm.types import Pass, Result

# Bytes of labels, margins, distances and sums of restarts that run together.
_TOGETHER_BYTES = 2**28

OnPass = Callable[[Pass], bool | None] | None


def kmeans(  # noqa: PLR0913 - a user's arguments
    points,
    n_clusters: int,
    *,
    weights=None,
    init: seeding.Init = "k-means++",
    n_init: int | str = "auto",
    max_iter: int = 300,
    tol: float = 1e-4,
    random_state=None,
    metric: str = "euclidean",
    backend: str | None = None,
    copy: bool = True,
    size_min: int | None = None,
    size_max: int | None = None,
    on_pass: Callable[[Pass], bool | None] | None = None,
    callbacks: Iterable[Callback] | Callback | None = (),
    checkpoint_dir: str | os.PathLike | None = None,
    engine: streams.Opener | None = None,
) -> Result:
    """Cluster points in memory, in a memory map or of a stream by exact k-means.

    The same input, seed and backend give the same bits.

    Args:
        points: (n, d) array or tensor of float32, float64, float16, bfloat16, int8 or uint8, all
            finite. float64 is computed in float64, the others in float32. Other integers and
            booleans are copied to float64. Streams are a `tf.data.Dataset`, the path of a file, a
            pattern or list of paths, or a `tfkm.streams.Source`.
        n_clusters: k, 1 ≤ k ≤ n. If fewer than k points differ or have a positive weight, some
            clusters have no points and repeat a centroid.
        weights: (n,) real numbers, finite and not negative; None for ones.
        init: Where the first centroids come from. "k-means++" (greedy), "k-means||", "afk-mc2" and
            "random" name the functions `kmeans_plusplus`, `kmeans_parallel`, `afk_mc2` and
            `random_points`; a `functools.partial` of one of these has settings, such as
            n_local_trials or given. An array (k, d) gives the centroids. Any other callable is
            called as (points, k, random_state=…) and returns them (k, d).
        n_init: How many restarts to make; the one of least inertia is kept. "auto" is 10 for
            "random" and for a callable of your own, else 1. An array is tried once, with a
            RuntimeWarning if you ask for more.
        max_iter: The most passes of a restart.
        tol: A restart ends when Σ‖shift‖² ≤ tol · mean variance of the features, or when no label
            changes.
        random_state: None, an int or a `numpy.random.RandomState`.
        metric: "euclidean", or "cosine" for spherical k-means. With "cosine" a point belongs to the
            centroid at the least cosine distance, centroids have length 1, and the inertia is the
            weighted sum of cosine distances. A point of zeros is at distance 1 from everything, has
            label 0, and is left out of the centroids. Points are scaled to length 1, once if that
            copy is below 256 MB.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.
        copy: Whether points that cannot be read in place may be copied once, if below 256 MB.
        size_min: The least number of points of a cluster; None for no limit. With a limit each pass
            finds the labels of least inertia that keep it. That needs OR-tools (the extra
            `limits`), 110 bytes · n·k of memory, n·k ≤ 2²⁷, and points without weights.
        size_max: The most points of a cluster; None for no limit. It needs what `size_min` needs.
        on_pass: A function that is called after each pass with a `Pass`. If it returns True the
            restart ends there; an exception in it ends the fit.
        callbacks: A `tfkm.Callback` or several, told of seeds, shards of a stream, passes and the
            end.
        checkpoint_dir: A folder of this fit alone. The fit writes its state there after each step
            and pass, and every 20 s within a pass. The same call goes on from there, and ends with
            the same bits.
        engine: Who reads and computes, such as `tfkm.Ray`; None for this process.

    Returns:
        `Result`, with tensors if the points are a tensor, else with NumPy's arrays.

    Raises:
        ValueError: An argument has a value that is not allowed; before any work.
        TypeError: An argument has a wrong type; before any work.
        RuntimeError: The named backend cannot be used here.

    References:
        Lloyd (1982), "Least squares quantization in PCM", doi:10.1109/TIT.1982.1056489.

        Dhillon & Modha (2001), "Concept decompositions for large sparse text data using
        clustering", for metric="cosine".

        Bradley, Bennett & Demiriz (2000), "Constrained k-means clustering", for limited sizes.

    Examples:
        >>> import numpy as np, tfkm
        >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
        >>> result = tfkm.kmeans(x, 2, random_state=0)
        >>> sorted(result.centroids.ravel().tolist()), result.inertia
        ([0.5, 10.5], 1.0)
    """
    options = FitOptions(
        n_clusters, init, n_init, max_iter, tol, random_state, metric, backend, copy, size_min, size_max,
        on_pass, callbacks, checkpoint_dir, engine,
    )  # fmt: skip
    return _in_kind(points, fit(points, weights, options))


def fit(points, weights, options: FitOptions) -> End:
    """Fit like `kmeans`, and return arrays for any kind of points.

    Estimators call this, because they would convert tensors back to arrays.
    """
    with closing(Callbacks(options.callbacks)) as told:
        on_pass = _both(told, options.on_pass)
        is_stream = streams.is_stream(points)
        if is_stream or options.checkpoint_dir is not None or options.engine is not None:
            streams.check_options(points, weights, options)
            source = streams.source_of(points, weights)
            end = streams.fit(source, options, told, on_pass)
            if not is_stream:
                labels = one_pass(points, end.centroids, None, options.selected)[0].labels
                end = end._replace(labels=labels)
        else:
            end = _fit_in_memory(points, weights, options, told, on_pass)
        if told:
            told.on_end(Result(*end))
        return end


def _fit_in_memory(points, weights, options: FitOptions, told: Callbacks, on_pass: OnPass) -> End:
    """Check the arguments, seed each restart, and return the result of the best restart."""
    k, backend = options.n_clusters, options.selected
    data = Points(points, copy=options.copy)
    weights = checks.weights_array(weights, data.n)
    checks.check_clusters(k, data.n)
    init = seeding.checked(options.init, data, k)
    limits = size_limits.checked(options.size_min, options.size_max, data, k, weights)
    rng = check_random_state(options.random_state)

    told.on_step(Step("scan", 0, None, "steps"))
    problem = problem_of(data, weights, options.metric, backend)
    data, weights = problem.points, problem.weights
    if weights is not None and not weights.any():
        raise ValueError(
            "points: every point of positive weight is all zeros; metric='cosine' needs a direction"
        )
    if limits is not None:
        problem = problem.limited(limits)
    if problem.directions is not None:
        init = seeding.with_given(init, lambda c: _unit_centroids(c, backend), data, k)
    threshold = options.tol * mean_variance_of(problem) if options.tol > 0 else 0.0

    def seed(start: int) -> np.ndarray:
        centroids = seeding.seed(
            data, k, init, rng, weights=weights, original=points, backend=backend,
            tell=told.seeding(start, options.n_init),
        )  # fmt: skip
        if problem.directions is not None:
            centroids = _unit_centroids(centroids, backend)
        told.on_seed(start)
        return centroids

    seeds = [seed(start) for start in range(options.n_init)]
    return _best(problem, seeds, threshold, options.max_iter, on_pass)


def _in_kind(points, end: End) -> Result:
    """Return the result in the kind of array that the points are."""
    centroids, labels = (arrays.like(points, part) for part in (end.centroids, end.labels))
    return Result(centroids, labels, end.inertia, end.n_iter, end.status)


def _both(callbacks: Callbacks, on_pass: OnPass) -> OnPass:
    """Return one function that calls the callbacks and `on_pass`."""
    if not callbacks:
        return on_pass
    if on_pass is None:
        return callbacks.on_pass
    return lambda done: bool(on_pass(done)) | callbacks.on_pass(done)


def _best(
    problem: Problem,
    seeds: list[np.ndarray],
    threshold: float,
    max_iter: int,
    on_pass: OnPass,
) -> End:
    """Return the result of least inertia among restarts from these centroids (k, d).

    Restarts run together, as many as memory allows.
    """
    best: list[End] = []
    bytes_of_one = 32 * problem.points.n + 64 * seeds[0].size
    together = max(1, _TOGETHER_BYTES // bytes_of_one)
    for first in range(0, len(seeds), together):
        group = np.array(seeds[first : first + together])
        thresholds = np.full(len(group), threshold)
        runs, state = Restarts(problem, group), State.first(group)
        ends = iterate(runs, state, thresholds, max_iter, on_pass, first=first)
        best = [min(best + ends, key=lambda end: end.inertia)]
    return best[0]


def _unit_centroids(centroids: np.ndarray, backend: Backend) -> np.ndarray:
    """Return centroids (k, d) scaled to length 1.

    Raises:
        ValueError: A centroid is all zeros.
    """
    scaled, zeros = spherical.unit_rows(centroids, backend)
    if zeros.any():
        row = np.flatnonzero(zeros)[0]
        raise ValueError(f"init: row {row} is all zeros; with metric='cosine' it needs a direction")
    return scaled
