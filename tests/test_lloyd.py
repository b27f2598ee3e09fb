"""lloyd: the loop ends as it says, repeats to the bit, and its parts belong together."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from sklearn.cluster import KMeans as Rival
from sklearn.datasets import load_digits

import tfkm
from tfkm.data import points as points_module
from tfkm.fits import kmeans as fit_module
from tfkm.ops import on_tensors
from tfkm.ops.native import Native
from tfkm.testing import noise, two_far_groups, weighted
from tfkm.types import Status

DIGITS = load_digits().data


def same(a: tfkm.Result, b: tfkm.Result) -> bool:
    return (
        np.array_equal(a.centroids, b.centroids)
        and np.array_equal(a.labels, b.labels)
        and a[2:] == b[2:]
    )


def belongs_together(result: tfkm.Result, points, weights=None, backend=None) -> None:
    assignment, statistics = tfkm.accumulate(points, result.centroids, weights, backend=backend)
    np.testing.assert_array_equal(result.labels, assignment.labels)
    assert result.inertia == pytest.approx(float(statistics.inertia), rel=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.every_backend
@pytest.mark.quick
def test_repeats_to_the_bit_in_any_blocks_and_tiles(monkeypatch, small_tiles, backend, dtype):
    points = DIGITS.astype(dtype)
    expected = tfkm.kmeans(points, 10, random_state=0, backend=backend)
    assert same(expected, tfkm.kmeans(points, 10, random_state=0, backend=backend))
    belongs_together(expected, points, backend=backend)
    monkeypatch.setattr(points_module, "_COPY_BYTES", 9999)
    small_tiles(block_rows=(256, 256))
    assert same(expected, tfkm.kmeans(points, 10, random_state=0, backend=backend, copy=False))


@pytest.mark.parametrize("backend", ["native", pytest.param("xla", marks=pytest.mark.full)])
def test_threads_are_invisible(python, backend):
    """One process with one thread, one with four."""
    code = """
        import sys, hashlib, numpy as np, tensorflow as tf, tfkm
        from sklearn.datasets import load_digits
        tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
        tf.config.threading.set_inter_op_parallelism_threads(int(sys.argv[1]))
        x = np.tile(load_digits().data, (20, 1)).astype(np.float32)
        r = tfkm.kmeans(x, 32, random_state=0, max_iter=3, backend=sys.argv[2])
        h = hashlib.sha256(r.centroids.tobytes() + r.labels.tobytes())
        print(h.hexdigest(), r.inertia)
    """
    alone, four = (python(code, threads, backend) for threads in "14")
    assert alone == four != ""


@pytest.mark.every_backend
@pytest.mark.quick
def test_one_step_equals_scikit_learns(backend):
    points, init, _ = noise(3000, 9, 5, np.float64)
    mine = tfkm.kmeans(points, 9, init=init, max_iter=1, backend=backend)
    rival = Rival(9, init=init, max_iter=1, n_init=1).fit(points)
    np.testing.assert_allclose(mine.centroids, rival.cluster_centers_, rtol=1e-9)
    np.testing.assert_array_equal(mine.labels, rival.labels_)
    assert mine.inertia == pytest.approx(rival.inertia_, rel=1e-9)


@pytest.mark.parametrize("tol", [0, 1e-4, 1e-2])
@pytest.mark.quick
def test_stops_where_scikit_learn_does(backend, tol):
    rng = np.random.default_rng(0)
    centers = rng.uniform(-10, 10, (6, 4))
    points = centers[rng.integers(0, 6, 2000)] + rng.standard_normal((2000, 4))
    init = points[:6]
    mine = tfkm.kmeans(points, 6, init=init, tol=tol, backend=backend)
    rival = Rival(6, init=init, tol=tol, n_init=1).fit(points)
    assert mine.n_iter == rival.n_iter_
    assert mine.inertia == pytest.approx(rival.inertia_, rel=1e-9)


def test_inertia_never_rises(backend):
    seen = []
    tfkm.kmeans(DIGITS, 10, init="random", n_init=3, tol=0, on_pass=seen.append, backend=backend)
    assert {p.start for p in seen} == {0, 1, 2}
    for start in range(3):
        inertia = [p.inertia for p in seen if p.start == start]
        assert [p.iteration for p in seen if p.start == start] == list(range(1, len(inertia) + 1))
        assert all(b <= a for a, b in zip(inertia, inertia[1:], strict=False))


def test_status_tells_why_it_ended(backend):
    ended = {
        tfkm.kmeans(DIGITS, 10, random_state=0, backend=backend, **options).status
        for options in (dict(tol=0), dict(tol=10.0), dict(max_iter=1))
    }
    assert ended == set(Status) - {Status.STOPPED}


@pytest.mark.quick
def test_result_at_max_iter_belongs_together(backend):
    result = tfkm.kmeans(DIGITS, 10, random_state=0, max_iter=2, backend=backend)
    assert result.n_iter == 2 and result.status is Status.MAX_ITER
    belongs_together(result, DIGITS, backend=backend)


@pytest.mark.quick
def test_restarts_keep_the_best(backend):
    done = {}
    result = tfkm.kmeans(
        DIGITS, 10, init="random", n_init=4, random_state=0, backend=backend,
        on_pass=lambda p: done.__setitem__(p.start, p.inertia),
    )  # fmt: skip
    assert len(done) == 4 and result.inertia <= min(done.values())


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("n, k", [(300, 7), (40_000, 30)])  # one thread for each start; all for one
def test_starts_together_are_as_one_after_another(monkeypatch, backend, metric, n, k):
    """The same bits, draws and passes, whether all run together, some or none."""
    if n > 300 and backend != "native":
        pytest.skip("there is no other way for many points")
    points, _, weights = weighted(n, k, 15)
    seen: dict[int, list] = {}
    results = []
    for together in (1, 2, 10):
        monkeypatch.setattr(fit_module, "_TOGETHER_BYTES", together * (32 * n + 64 * k * 15))
        seen[together] = []
        rng = np.random.RandomState(0)
        results.append(tfkm.kmeans(
            points, k, weights=weights, init="random", n_init=5, max_iter=9, random_state=rng,
            on_pass=seen[together].append, metric=metric, backend=backend,
        ))  # fmt: skip
        results[-1] = (results[-1], rng.randint(2**31))
    by_start = {t: sorted(p[:4] for p in passes) for t, passes in seen.items()}
    assert by_start[1] == by_start[2] == by_start[10]
    assert [p.start for p in seen[10]][:5] == [0, 1, 2, 3, 4] == sorted({p.start for p in seen[1]})
    for result, drawn_next in results[1:]:
        assert same(result, results[0][0]) and drawn_next == results[0][1]


def test_empty_clusters_are_filled(backend):
    """Three of four initial centroids are far from all points."""
    points = noise(500, 1, 3).points
    init = np.float32([[0, 0, 0], [1e3, 0, 0], [0, 1e3, 0], [0, 0, 1e3]])
    result = tfkm.kmeans(points, 4, init=init, backend=backend)
    assert len(np.unique(result.labels)) == 4
    belongs_together(result, points, backend=backend)


def test_all_points_equal(backend):
    points = np.full((50, 3), 0.1)
    result = tfkm.kmeans(points, 4, random_state=0, backend=backend)
    np.testing.assert_array_equal(result.centroids, points[:4])
    assert result.inertia == 0


def test_k_equals_n(backend):
    points = noise(40, 1, 3, np.float64).points
    result = tfkm.kmeans(points, 40, random_state=0, backend=backend)
    assert result.inertia == 0 and len(np.unique(result.labels)) == 40
    np.testing.assert_array_equal(np.asarray(result.centroids)[result.labels], points)


def test_inertia_of_near_pairs_is_not_lost(backend):
    """The case of scikit-learn-intelex#25, which once returned 0."""
    points = np.float32([[-1.0001], [-0.9999], [0.9999], [1.0001]])
    result = tfkm.kmeans(points, 2, random_state=0, backend=backend)
    assert result.inertia == pytest.approx(4.0013276e-08, rel=1e-4)


@pytest.mark.full
def test_counters_pass_the_limit_of_float32(backend):
    points = np.zeros((20_971_520, 1), np.float32)
    points[1::2] = 1
    result = tfkm.kmeans(points, 1, random_state=0, backend=backend)
    assert float(result.centroids[0, 0]) == 0.5 and result.inertia == 5_242_880


@pytest.mark.parametrize("factor", [2.0, 1e-3])
def test_weights_scale_inertia_and_nothing_else(backend, factor):
    points, _, weights = weighted(1000, 1, 4)
    one = tfkm.kmeans(points, 6, weights=weights, random_state=0, backend=backend)
    other = tfkm.kmeans(points, 6, weights=weights * factor, random_state=0, backend=backend)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.centroids, other.centroids, rtol=1e-6)
    assert other.inertia == pytest.approx(one.inertia * factor, rel=1e-9)


def test_two_far_groups_are_told_apart(backend):
    points, init, _ = two_far_groups(2000, 8, 16)
    result = tfkm.kmeans(points, 8, init=init, backend=backend)
    belongs_together(result, points, backend=backend)


def test_tensor_and_array_give_the_same(backend):
    points = DIGITS.astype(np.float32)
    one = tfkm.kmeans(points, 10, random_state=0, backend=backend)
    assert same(one, tfkm.kmeans(tf.constant(points), 10, random_state=0, backend=backend))


@pytest.mark.parametrize(
    "options, error, message",
    [
        (dict(n_clusters=0), ValueError, "n_clusters: 0; it needs an integer ≥ 1"),
        (dict(n_clusters=2.0), TypeError, "n_clusters: 2.0 is of type float; it needs an integer"),
        (dict(n_clusters=True), TypeError, "n_clusters: True is of type bool"),
        (dict(n_clusters=7), ValueError, "n_clusters: 7 is more than the 6 points"),
        (dict(max_iter=0), ValueError, "max_iter: 0; it needs an integer ≥ 1"),
        (dict(tol=-1), ValueError, "tol: -1; it needs a finite number ≥ 0"),
        (dict(tol=10**400), ValueError, "tol: 10+; it needs a finite number ≥ 0"),
        (dict(n_clusters=10**400), ValueError, "n_clusters: 10+ is more than the"),
        (dict(tol=np.nan), ValueError, "tol: nan; it needs a finite number ≥ 0"),
        (dict(n_init=0), ValueError, "n_init: 0; it needs an integer ≥ 1 or 'auto'"),
        (dict(n_init="many"), TypeError, "n_init: 'many' is of type str"),
        (
            dict(init="forgy"),
            ValueError,
            "init: 'forgy'; allowed are 'k-means\\+\\+', 'k-means",
        ),
        (dict(init=np.zeros((3, 2))), ValueError, r"init: shape \(3, 2\); it needs shape \(2, 2\)"),
        (dict(weights=[1, 1, 1, 1, 1, -1]), ValueError, r"weights\[5\] is -1.0; each must be"),
        (dict(weights=[1.0]), ValueError, r"weights: shape \(1,\); it needs shape \(6,\)"),
        (dict(weights=np.zeros(6)), ValueError, "weights: all are zero"),
        (dict(backend="opencl"), ValueError, "backend: 'opencl'; allowed are None"),
    ],
)
def test_bad_parameters(options, error, message):
    points = np.arange(12.0).reshape(6, 2)
    with pytest.raises(error, match=message):
        tfkm.kmeans(points, options.pop("n_clusters", 2), **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e160])
def test_bad_points_are_refused_before_any_pass(backend, value):
    points = np.zeros((6, 2))
    points[4, 1] = value
    seen = []
    with pytest.raises(ValueError, match=r"points\[4"):
        tfkm.kmeans(points, 2, init=points[:2] + 1, on_pass=seen.append, backend=backend)
    assert not seen


def test_a_callback_can_stop():
    """A start that is stopped is what max_iter would have made of it."""
    seen = []

    def third(done):
        seen.append(done.iteration)
        return done.iteration == 3

    stopped = tfkm.kmeans(DIGITS, 10, random_state=0, on_pass=third)
    limited = tfkm.kmeans(DIGITS, 10, random_state=0, max_iter=3)
    assert seen == [1, 2, 3] and stopped.status is Status.STOPPED
    assert same(stopped, limited._replace(status=Status.STOPPED))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("n_init", [1, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"tol": 0.0}, {"max_iter": 2}, {"max_iter": 5}, {"tol": 0.01}, {"weights": True}],
    ids=str,
)
def test_passes_made_at_once_show_in_nothing(dtype, n_init, options):
    """A callback, which wants to know of each, makes them come one by one."""
    points = DIGITS.astype(dtype)
    if "weights" in options:
        options = {"weights": np.random.default_rng(0).integers(0, 3, len(points))}
    options |= {"n_init": n_init, "random_state": 0, "backend": "native"}
    passes = []
    one_by_one = tfkm.kmeans(points, 40, **options, on_pass=passes.append)
    assert same(tfkm.kmeans(points, 40, **options), one_by_one)
    assert len(passes) >= one_by_one.n_iter >= 2


def test_passes_made_at_once_with_empty_clusters():
    rng = np.random.default_rng(0)
    points = rng.integers(0, 4, (300, 2)).astype(np.float32)
    for seed in range(5):
        init = 20 * rng.standard_normal((12, 2))
        one_by_one = tfkm.kmeans(points, 12, init=init, tol=0.0, on_pass=lambda _: None)
        assert same(tfkm.kmeans(points, 12, init=init, tol=0.0), one_by_one), seed


def test_passes_are_made_at_once(monkeypatch):
    """Where nothing is to be decided; else this is no test of it."""
    calls = []
    once = Native.sweep
    monkeypatch.setattr(Native, "sweep", lambda *a, **k: calls.append(0) or once(*a, **k))
    result = tfkm.kmeans(DIGITS, 10, tol=0.0, random_state=0, backend="native")
    assert result.n_iter >= 10 and len(calls) <= 5


def test_restarts_from_an_array_are_one_with_a_warning():
    points = noise(50, 1, 3).points
    with pytest.warns(RuntimeWarning, match="performing only one init instead of n_init=7") as told:
        tfkm.kmeans(points, 2, init=points[:2], n_init=7)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tfkm.kmeans(points, 2, init=points[:2])


@pytest.mark.quick
def test_a_pass_tells_why_it_is_the_last():
    passes = []
    points = noise(500, 1, 3).points
    result = tfkm.kmeans(
        points, 4, init="random", n_init=3, random_state=0, tol=0.01, on_pass=passes.append
    )
    for start in range(3):
        *others, last = (done for done in passes if done.start == start)
        assert all(done.status is None and done.shift > done.threshold for done in others)
        assert last.status in (tfkm.Status.WITHIN_TOL, tfkm.Status.LABELS_UNCHANGED)
    assert result.status in {done.status for done in passes}
    assert passes[0].threshold == pytest.approx(0.01 * points.var(axis=0).mean(), rel=1e-5)


@pytest.mark.parametrize("factor", [0.25, 3.0])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("init", tfkm.seeding.NAMES)
def test_scaled_weights_scale_inertia_alone(init, metric, factor):
    points = noise(700, 1, 5).points
    weights = np.random.default_rng(0).integers(0, 9, 700) / 8
    for n_init in 1, 3:
        options = dict(init=init, n_init=n_init, random_state=0, max_iter=9)
        one, other = (
            tfkm.kmeans(points, 6, weights=w, metric=metric, **options)
            for w in (weights, factor * weights)
        )
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.centroids, other.centroids, rtol=1e-6, atol=1e-7)
        assert other.inertia == pytest.approx(factor * one.inertia, rel=1e-12)
        if metric == "euclidean":
            batch = tfkm.kmeans_batch(
                points.reshape(2, 350, 5), 6, weights=factor * weights.reshape(2, 350), **options
            )
            same = tfkm.kmeans_batch(
                points.reshape(2, 350, 5), 6, weights=weights.reshape(2, 350), **options
            )
            np.testing.assert_array_equal(batch.labels, same.labels)
            np.testing.assert_allclose(batch.inertia, factor * same.inertia, rtol=1e-12)


@pytest.mark.parametrize("fit", ["kmeans", "KMeans"])
def test_copy_is_once_or_in_each_pass(monkeypatch, fit):
    """Of points that TensorFlow cannot read in place: copied to one tensor, or block by block anew."""
    points = noise(300, 1, 4).points[:, ::-1]
    copies, copied = [], on_tensors.as_tensor

    def counted(array):
        copies.append(len(array))
        return copied(array)

    monkeypatch.setattr(on_tensors, "as_tensor", counted)
    counts = {}
    for copy in True, False:
        copies.clear()
        if fit == "kmeans":
            tfkm.kmeans(points, 3, random_state=0, backend="xla", copy=copy)
        else:
            getattr(tfkm, fit)(3, random_state=0, backend="xla", copy_x=copy).fit(points)
        counts[copy] = copies.count(300)
    assert 1 <= counts[True] <= 4 and counts[False] > 2 * counts[True]
