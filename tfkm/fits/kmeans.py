"""k-means of points in memory or in a memory map: checks, seeds, starts, and the best of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from tfkm import checks, seeding, streams
from tfkm.callbacks import Callback, Callbacks, Step
from tfkm.data import arrays
from tfkm.data.points import Points
from tfkm.lloyd import size_limits, spherical
from tfkm.lloyd.in_memory import Problem, Starts, mean_variance_of, pass_over, problem_of
from tfkm.lloyd.iteration import End, State, iterate
from tfkm.ops import backends
from tfkm.ops.backend import Backend
from tfkm.types import Assignment, Pass, Result, Statistics

# Of the labels, margins, distances and sums of starts that run together.
_TOGETHER_BYTES = 2**28


def kmeans(
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
    """Exact k-means of points in memory, in a memory map, or of a stream.

    Args:
      points: (n, d) NumPy array or tf.Tensor, float32, float64, float16, bfloat16, int8 or uint8;
        finite. Computed in float64 if float64, else in float32. Other integers and truth values are
        copied to float64.
      n_clusters: k, 1 ≤ k ≤ n. If fewer points have a positive weight or differ, clusters are left without
        points, and their centroids are repetitions.
      weights: (n,) real, finite, not negative; None for ones.
      init: "k-means++" (greedy), "k-means||", "afk-mc2" or "random", which are the functions
        `kmeans_plusplus`, `kmeans_parallel`, `afk_mc2` and `random_points`; a `functools.partial` of
        one, with settings such as n_local_trials or given; an array (k, d); or any other callable
        (points, k, random_state=…) -> (k, d).
      n_init: restarts, of which the one with the least inertia is kept; "auto" is 10 for "random" and
        any other callable, else 1. An array is tried once, with a RuntimeWarning if more are asked for.
      max_iter: most passes of a start.
      tol: the end is also reached when Σ‖shift‖² ≤ tol · mean variance of the features.
      random_state: None, an int or a `numpy.random.RandomState`.
      metric: "euclidean", or "cosine" for spherical k-means (`tfkm.lloyd.spherical`): a point belongs to
        the centroid at the least cosine distance, centroids are of length 1, and the inertia is the
        weighted sum of cosine distances. A point of zeros is at distance 1 from everything, has label 0,
        and no part in centroids. Points are scaled to length 1, once if that copy is below 256 MB.
      backend: a name from `tfkm.backends()`, None for the fastest usable one.
      copy: whether points that cannot be read in place may be copied once if below 256 MB.
      size_min, size_max: least and most points of a cluster, without weights: each pass then finds the
        labels of the least inertia within these limits (Bradley, Bennett & Demiriz 2000). Needs OR-tools
        (`tfkm[limits]`), memory of 110 bytes · n·k and n·k ≤ 2²⁷.
      on_pass: called after each pass with a `Pass`; if it returns True the start ends there, an exception
        in it ends the fit.
      callbacks: one or several, told of seeds, shards of a stream, passes and the end, see
        `tfkm.Callback`; `on_pass` is for one function.
      checkpoint_dir: a folder in which a fit notes its state after each step and pass, and every 20 s
        within a pass. The same call goes on from there, and ends with the same bits. The folder is of
        this fit alone.
      engine: who reads and computes; None for this process, `tfkm.Ray(…)` for workers.

    Returns:
      `Result`, with arrays of the kind that the points are: tensors for tensors, else NumPy's. The same
      input, seed and backend give the same bits.

    Raises:
      ValueError, TypeError: an argument is not as above; before any work.
      RuntimeError: the named backend cannot be used here.

    Sources: Lloyd (1982), "Least squares quantization in PCM", doi:10.1109/TIT.1982.1056489; for
      metric="cosine" Dhillon & Modha (2001), "Concept decompositions for large sparse text data using
      clustering".

    >>> import numpy as np, tfkm
    >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> result = tfkm.kmeans(x, 2, random_state=0)
    >>> sorted(result.centroids.ravel().tolist()), result.inertia
    ([0.5, 10.5], 1.0)
    """
    check_parameters(n_clusters, init, n_init, max_iter, tol, metric)
    end = fit(
        points, n_clusters, weights=weights, init=init, n_init=starts(n_init, init), max_iter=max_iter,
        tol=tol, random_state=random_state, metric=metric, backend=backend, copy=copy,
        size_min=size_min, size_max=size_max, on_pass=on_pass, callbacks=callbacks,
        checkpoint_dir=checkpoint_dir, engine=engine,
    )  # fmt: skip
    return _in_kind(points, end)


def fit(
    points, n_clusters, *, weights, init, n_init, max_iter, tol, random_state, metric, backend, copy,
    size_min, size_max, on_pass, callbacks, checkpoint_dir, engine,
) -> End:  # fmt: skip
    """`kmeans` of checked parameters, in arrays: for an estimator, which would make arrays of tensors
    again. n_init: a number."""
    if on_pass is not None and not callable(on_pass):
        raise TypeError(f"on_pass: {on_pass!r}; it needs a function of a tfkm.Pass, or None")
    if engine is not None and not callable(engine):
        raise TypeError(f"engine: {engine!r}; it needs an engine, as tfkm.Ray(), or None")
    with closing(Callbacks(callbacks)) as told:
        end = _fit(
            points, n_clusters, weights, init, n_init, max_iter, tol, random_state, metric,
            backends.select(backend), copy, size_min, size_max, on_pass, told, checkpoint_dir, engine,
        )  # fmt: skip
        if told:
            told.on_end(Result(*end))
        return end


def _fit(
    points, n_clusters, weights, init, n_init, max_iter, tol, random_state, metric, backend, copy,
    size_min, size_max, on_pass, told, checkpoint_dir, engine,
) -> End:  # fmt: skip
    on_pass = _both(told, on_pass)
    if streams.is_stream(points) or checkpoint_dir is not None or engine is not None:
        streams.check_options(points, weights, metric, size_min, size_max)
        settings = streams.Settings(
            int(n_clusters),
            init,
            n_init,
            int(max_iter),
            float(tol),
            backend.name,
            random_state,
        )
        source = streams.source_of(points, weights)
        rng = check_random_state(random_state)
        end = streams.fit(source, settings, rng, told, on_pass, checkpoint_dir, engine)
        if not streams.is_stream(points):
            labels = one_pass(points, end.centroids, backend=backend.name)[0].labels
            end = end._replace(labels=labels)
        return end
    data = Points(points, copy=copy)
    weights = checks.weights_array(weights, data.n)
    checks.check_clusters(n_clusters, data.n)
    init = seeding.checked(init, data, n_clusters)
    limits = size_limits.checked(size_min, size_max, data, n_clusters, weights)
    rng = check_random_state(random_state)

    told.on_step(Step("scan", 0, None, "steps"))
    problem = problem_of(data, weights, metric, backend)
    data, weights = problem.points, problem.weights
    if weights is not None and not weights.any():
        raise ValueError(
            "points: all of positive weight are all zeros; metric='cosine' needs a direction"
        )
    if limits is not None:
        if problem.directions is not None and problem.directions.zeros.size:
            row = problem.directions.zeros[0]
            raise ValueError(
                f"points: row {row} is all zeros; with metric='cosine' and limits it needs a direction"
            )
        problem = problem._replace(limits=limits)
    if problem.directions is not None:
        init = seeding.with_given(init, lambda c: unit_centroids(c, backend), data, n_clusters)
    threshold = tol * mean_variance_of(problem) if tol > 0 else 0.0

    def seed(start: int) -> np.ndarray:
        centroids = seeding.seed(
            data, n_clusters, init, rng, weights=weights, original=points, backend=backend,
            tell=told.seeding(start, n_init),
        )  # fmt: skip
        if problem.directions is not None:
            centroids = unit_centroids(centroids, backend)
        told.on_seed(start)
        return centroids

    seeds = [seed(start) for start in range(n_init)]
    return _best(problem, seeds, threshold, max_iter, on_pass)


def _in_kind(points, end: End) -> Result:
    """Arrays of the kind that the points are."""
    centroids, labels = (arrays.like(points, part) for part in (end.centroids, end.labels))
    return Result(centroids, labels, end.inertia, end.n_iter, end.status)


def _both(
    callbacks: Callbacks, on_pass: Callable[[Pass], bool | None] | None
) -> Callable[[Pass], bool | None] | None:
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
    on_pass: Callable[[Pass], bool | None] | None,
) -> End:
    """Of starts with these centroids (k, d). They run together, as many as memory allows."""
    best: list[End] = []
    bytes_of_one = 32 * problem.points.n + 64 * seeds[0].size
    together = max(1, _TOGETHER_BYTES // bytes_of_one)
    for first in range(0, len(seeds), together):
        group = np.array(seeds[first : first + together])
        thresholds = np.full(len(group), threshold)
        runs, state = Starts(problem, group), State.first(group)
        ends = iterate(runs, state, thresholds, max_iter, on_pass, first=first)
        best = [min(best + ends, key=lambda end: end.inertia)]
    return best[0]


def unit_centroids(centroids: np.ndarray, backend: Backend) -> np.ndarray:
    """(k, d) scaled to length 1; raises ValueError if one is all zeros."""
    scaled, zeros = spherical.unit_rows(centroids, backend)
    if zeros.any():
        row = np.flatnonzero(zeros)[0]
        raise ValueError(f"init: row {row} is all zeros; with metric='cosine' it needs a direction")
    return scaled


def inertia(
    points, centroids, weights=None, *, metric: str = "euclidean", backend: str | None = None
) -> float:
    """The weighted sum of squared distances to the nearest centroid; arguments as for `kmeans`.

    Of the points and weights of a fit and its centroids it is `Result.inertia`, bit for bit.
    """
    return float(_one_pass(points, centroids, weights, metric, backend)[1].inertia)


def one_pass(
    points, centroids, weights=None, *, backend: str | None = None
) -> tuple[Assignment, Statistics]:
    """Labels (n,) and squared distances (n,) as arrays, and the statistics; arguments as for `kmeans`."""
    return _one_pass(points, centroids, weights, "euclidean", backend)


def _one_pass(points, centroids, weights, metric, backend) -> tuple[Assignment, Statistics]:
    problem = _checked_problem(points, weights, metric, backend)
    centroids = arrays.taken("centroids", centroids)
    centroids = checks.matrix("centroids", centroids, checks.CENTROID_DTYPES)
    compute = checks.compute_dtype(problem.points.compute, centroids.dtype)
    assignment, statistics = pass_over(problem, checks.packed(centroids, compute))
    return Assignment(*(a[0] for a in assignment)), Statistics(*(s[0] for s in statistics))


def mean_variance(points, *, backend: str | None = None) -> float:
    """The unit of `tol`: the mean over the features of their variance, unweighted."""
    return mean_variance_of(_checked_problem(points, None, "euclidean", backend))


def _checked_problem(points, weights, metric: str, backend: str | None) -> Problem:
    data = Points(points)
    weights = checks.weights_array(weights, data.n)
    return problem_of(data, weights, metric, backends.select(backend))


def starts(n_init: int | str, init: seeding.Init) -> int:
    """How many, with "auto" worked out."""
    if not isinstance(init, str) and not callable(init):
        if n_init not in ("auto", 1):
            warnings.warn(
                "Explicit initial center position passed: performing only one init instead of "
                f"n_init={n_init}.",
                RuntimeWarning,
                stacklevel=3,
            )
        return 1
    return seeding.default_starts(init) if n_init == "auto" else int(n_init)


def check_parameters(n_clusters, init, n_init, max_iter, tol, metric) -> None:
    """Raises a ValueError or TypeError that names the first one that is wrong."""
    checks.check_number("n_clusters", n_clusters, Integral, 1)
    checks.check_number("max_iter", max_iter, Integral, 1)
    checks.check_number("tol", tol, Real, 0)
    if n_init != "auto":
        checks.check_number("n_init", n_init, Integral, 1, " or 'auto'")
    if metric not in spherical.METRICS:
        raise ValueError(f"metric: {metric!r}; allowed are 'euclidean' and 'cosine'")
    if isinstance(init, str) and init not in seeding.NAMES:
        names = ", ".join(map(repr, seeding.NAMES))
        raise ValueError(f"init: {init!r}; allowed are {names}, an array (k, d), or a callable")
