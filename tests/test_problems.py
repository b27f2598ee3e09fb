"""kmeans_batch: each problem as kmeans solves it alone, to the bit."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils import check_random_state

import tfkm
from tfkm.fits import kmeans_batch as problems_module
from tfkm.ops.native import Native
from tfkm.types import Status

pytestmark = pytest.mark.quick


def some(count, n, d, dtype=np.float32, seed=0):
    """Problems at different places and scales; some have duplicates, and one is a single point."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, n, d)) * 10 ** rng.uniform(-1, 1, (count, 1, 1)) + 20
    points[1 % count] = np.round(points[1 % count])
    points[2 % count] = points[2 % count, 0]
    return points.astype(dtype)


def assert_as_alone(result, points, k, *, weights=None, n_points=None, random_state=0, init="k-means++",
                    **options):  # fmt: skip
    count, n = points.shape[:2]
    seeds = check_random_state(random_state).randint(2**31 - 1, size=count)
    assert result.labels.shape == (count, n) and result.centroids.shape == (
        count,
        k,
        points.shape[2],
    )
    for b in range(count):
        rows = n if n_points is None else n_points[b]
        alone = tfkm.kmeans(
            points[b, :rows], k, weights=None if weights is None else weights[b, :rows],
            random_state=seeds[b], init=init[b] if isinstance(init, np.ndarray) else init, **options,
        )  # fmt: skip
        assert result.centroids.dtype == alone.centroids.dtype
        np.testing.assert_array_equal(result.centroids[b], alone.centroids)
        np.testing.assert_array_equal(result.labels[b, :rows], alone.labels)
        assert (np.asarray(result.labels[b, rows:]) == -1).all()
        got = (result.inertia[b], result.n_iter[b], result.status[b])
        assert got == (alone.inertia, alone.n_iter, alone.status)


def check(points, k, random_state=0, **options):
    result = tfkm.kmeans_batch(points, k, random_state=random_state, **options)
    assert_as_alone(result, np.asarray(points), k, random_state=random_state, **options)
    return result


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_equals_the_loop(backend, weighted, padded):
    count = 12 if backend == "native" else 4
    points, rng, options = some(count, 60, 3), np.random.default_rng(1), {}
    if padded:
        options["n_points"] = np.append(rng.integers(8, 60, count - 1), 60)
        for b, rows in enumerate(options["n_points"]):
            points[b, rows:] = np.nan
    if weighted:
        options["weights"] = rng.uniform(0, 2, (count, 60)) * (rng.uniform(size=(count, 60)) > 0.1)
        if padded:
            options["weights"][0, options["n_points"][0] :] = -1
    result = check(points, 5, backend=backend, **options)
    assert len(set(result.n_iter)) > 1  # each stops on its own


@pytest.mark.parametrize(
    "options",
    [
        dict(n_init=3),
        dict(init="random", n_init=4),
        dict(init=functools.partial(tfkm.kmeans_plusplus, n_local_trials=1)),
        dict(init=lambda x, k, random_state: x[random_state.permutation(len(x))[:k]], n_init=2),
        dict(tol=0),
        dict(max_iter=2),
        dict(tol=10.0),
    ],
)
def test_options(options):
    check(some(9, 50, 4), 6, n_points=[50, 40, 30] * 3, **options)


def test_all_ways_to_end():
    ended = {s for options in (dict(tol=0), dict(tol=10.0), dict(max_iter=1))
             for s in tfkm.kmeans_batch(some(5, 50, 4), 6, **options).status}  # fmt: skip
    assert ended == set(Status) - {tfkm.Status.STOPPED}


def test_given_centroids_and_empty_clusters():
    points = some(6, 40, 2)
    init = points[:, :4] + np.float32([0, 0, 1e4, 1e5])[:, None]
    result = check(points, 4, init=init)
    assert all(len(np.unique(result.labels[b])) == 4 for b in (0, 1, 3, 4, 5))


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "uint8", "int8"])
def test_dtypes(dtype):
    points = np.asarray(tf.cast(np.clip(some(4, 40, 9, np.float64), 0, 99), dtype))
    check(points, 4)
    result = tfkm.kmeans_batch(tf.constant(points), 4, random_state=0)
    assert_as_alone(result, points, 4)


def test_large_problems():
    check(some(3, 20_000, 8), 120, max_iter=2)


def test_groups_layouts_and_threads_are_invisible(monkeypatch):
    points = some(7, 60, 3)
    expected = check(points, 4, n_init=2)
    strided = np.asfortranarray(points)
    strided.flags.writeable = False
    monkeypatch.setattr(problems_module, "_TOGETHER_BYTES", 20_000)
    for layout in (points, strided):
        got = tfkm.kmeans_batch(layout, 4, n_init=2, random_state=0)
        assert np.array_equal(got.labels, expected.labels)
        assert np.array_equal(got.centroids, expected.centroids)
        assert np.array_equal(got.inertia, expected.inertia)


def test_no_problem():
    result = tfkm.kmeans_batch(np.zeros((0, 5, 2)), 3)
    assert result.centroids.shape == (0, 3, 2) and result.labels.shape == (0, 5)
    assert result.inertia.shape == result.n_iter.shape == (0,) and result.status == []


def test_a_problem_does_not_depend_on_the_others():
    points = some(5, 60, 3)
    other = points.copy()
    other[1:] = some(5, 60, 3, seed=9)[1:]
    one, two = (tfkm.kmeans_batch(p, 4, random_state=3) for p in (points, other))
    assert np.array_equal(one.labels[0], two.labels[0]) and one.inertia[0] == two.inertia[0]


X = np.arange(24.0).reshape(2, 6, 2)
NAN, LARGE = X.copy(), X.copy()
NAN[1, 3, 0], LARGE[1, 3, 0] = np.nan, 1e200


@pytest.mark.parametrize(
    "points, options, error, message",
    [
        (X[0], {}, ValueError, r"points: shape \(6, 2\); it needs shape \(B, n, d\) with d ≥ 1"),
        (X.astype(complex), {}, TypeError, "points: dtype complex128; allowed are float32"),
        (NAN, {}, ValueError, r"points\[1, 3, 0\] is NaN"),
        (LARGE, {}, ValueError, r"squared norm of points\[1, 3\] is inf"),
        (X, dict(n_clusters=7), ValueError, "n_clusters: 7 is more than the 6 points of problem 0"),
        (X, dict(n_points=[6, 1]), ValueError, "n_clusters: 2 is more than the 1 points of problem 1"),
        (X, dict(n_points=[6]), ValueError, r"n_points: shape \(1,\) and dtype int64; .*shape \(2,\)"),
        (X, dict(n_points=[6.0, 6]), ValueError, "n_points: shape .* dtype float64; it needs integers"),
        (X, dict(n_points=[6, 7]), ValueError, r"n_points\[1\] is 7; allowed is 0 … 6"),
        (X, dict(weights=np.ones(6)), ValueError, r"weights: shape \(6,\); it needs shape \(2, 6\)"),
        (X, dict(weights=-X[..., 0]), ValueError, r"weights\[0, 1\] is -2.0; each must be finite"),
        (X, dict(init=X[0, :2]), ValueError, r"init: shape \(2, 2\); it needs shape \(2, 2, 2\)"),
        (X, dict(init="forgy"), ValueError, "init: 'forgy'; allowed are"),
        (X, dict(tol=-1), ValueError, "tol: -1"),
        (X, dict(backend="opencl"), ValueError, "backend: 'opencl'"),
    ],
)  # fmt: skip
def test_bad_input(points, options, error, message):
    with pytest.raises(error, match=message):
        tfkm.kmeans_batch(points, options.pop("n_clusters", 2), **options)


def test_problems_do_not_wait_for_each_other(monkeypatch):
    """Each makes its passes by itself; else calls would be as many as the longest has passes."""
    calls = []
    once = Native.sweep
    monkeypatch.setattr(Native, "sweep", lambda *a, **k: calls.append(0) or once(*a, **k))
    points = np.random.default_rng(0).standard_normal((60, 200, 3)).astype(np.float32)
    result = tfkm.kmeans_batch(points, 8, random_state=0, backend="native")
    assert result.n_iter.max() > 3 * len(calls) and result.n_iter.min() < result.n_iter.max() / 2
