"""KMeans: scikit-learn's contract, by its own checks and by what its users do."""

import functools
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans as Rival
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tfkm
from tfkm import KMeans
from tfkm.testing import noise, weighted

DIGITS = load_digits().data


@pytest.fixture(params=[np.float32, np.float64, np.uint8, np.float16, np.int64])
def digits(request):
    return DIGITS.astype(request.param)


@pytest.mark.every_backend
@pytest.mark.quick
def test_predict_and_score_are_those_of_the_fit(backend, digits):
    model = KMeans(10, random_state=0, backend=backend).fit(digits)
    np.testing.assert_array_equal(model.predict(digits), model.labels_)
    assert model.score(digits) == -model.inertia_
    wide = digits.dtype in (np.float64, np.int64)
    assert model.cluster_centers_.dtype == (np.float64 if wide else np.float32)
    assert model.labels_.dtype == np.int32 and isinstance(model.inertia_, float)
    assert model.n_features_in_ == 64 and 1 < model.n_iter_ <= 300


@pytest.mark.quick
def test_predict_is_the_same_far_from_the_origin(backend):
    """scikit-learn's own predict differs from its labels_ for 27 % of such points."""
    points = noise(2000, 1, 16, offset=1e3).points
    points[::2, 0] += 1
    model = KMeans(8, random_state=0, backend=backend).fit(points)
    np.testing.assert_array_equal(model.predict(points), model.labels_)
    np.testing.assert_array_equal(model.transform(points).argmin(1), model.labels_)
    assert model.score(points) == -model.inertia_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.quick
def test_transform_is_the_distance(backend, dtype):
    points = DIGITS[:300].astype(dtype)
    model = KMeans(5, random_state=0, backend=backend)
    distances = model.fit_transform(points)
    exact = np.linalg.norm(points[:, None] - model.cluster_centers_.astype(float), axis=2)
    assert distances.dtype == dtype
    np.testing.assert_allclose(distances, exact, rtol=1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.quick
def test_tensor_in_tensor_out(backend):
    points = tf.constant(DIGITS, tf.float32)
    model = KMeans(10, random_state=0, backend=backend)
    labels = model.fit_predict(points)
    assert isinstance(labels, tf.Tensor) and isinstance(model.labels_, np.ndarray)
    for got, expected in [
        (model.predict(points), model.labels_),
        (model.transform(points), model.transform(np.asarray(points))),
    ]:
        assert isinstance(got, tf.Tensor)
        np.testing.assert_array_equal(got, expected)
    assert isinstance(model.predict(np.asarray(points)), np.ndarray)
    assert model.score(points) == -model.inertia_
    in_graph = tf.function(model.predict, input_signature=[tf.TensorSpec([None, 64])])
    np.testing.assert_array_equal(in_graph(points[:9]), model.labels_[:9])


def test_tensor_of_other_width_or_dtype_is_refused():
    model = KMeans(3, random_state=0).fit(DIGITS)
    with pytest.raises(ValueError, match="X has 3 features, but KMeans is expecting 64 features"):
        model.predict(tf.zeros([2, 3]))
    with pytest.raises(ValueError, match="X: shape"):
        model.predict(tf.zeros([64]))
    with pytest.raises(TypeError, match="X: dtype complex64"):
        model.predict(tf.zeros([2, 64], tf.complex64))
    assert model.predict(tf.zeros([2, 64], tf.int64)).shape == (2,)


def test_frame(backend):
    frame = pd.DataFrame(DIGITS[:, :3], columns=["a", "b", "c"])
    model = KMeans(4, random_state=0, backend=backend).fit(frame)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.predict(frame), model.labels_)
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(frame.to_numpy())
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["c", "b", "a"]])
    named = model.set_output(transform="pandas").transform(frame)
    assert named.columns.tolist() == [f"kmeans{i}" for i in range(4)]


def test_clone_and_pickle(backend):
    model = KMeans(10, init="random", n_init=2, random_state=3, backend=backend).fit(DIGITS)
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model), "labels_")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(DIGITS), model.labels_)


def test_in_a_pipeline_and_a_grid_search():
    pipeline = make_pipeline(StandardScaler(), KMeans(10, random_state=0))
    assert pipeline.fit_predict(DIGITS).shape == (1797,)
    search = GridSearchCV(KMeans(random_state=0), {"n_clusters": [2, 9]}, cv=2).fit(DIGITS)
    assert search.best_params_ == {"n_clusters": 9}


def test_settings_of_a_seeding_survive_clone_and_pickle():
    weights = np.arange(len(DIGITS)) % 3
    init = functools.partial(tfkm.kmeans_plusplus, n_local_trials=1, given=DIGITS[:2])
    models = [KMeans(5, init=init, random_state=0, max_iter=2)]
    models += [clone(models[0]), pickle.loads(pickle.dumps(models[0]))]
    centers = [model.fit(DIGITS, sample_weight=weights).cluster_centers_ for model in models]
    seeds = init(DIGITS, 5, weights=weights, random_state=0)
    same = KMeans(5, init=np.asarray(seeds.centroids), max_iter=2).fit(
        DIGITS, sample_weight=weights
    )
    for one in centers:
        np.testing.assert_array_equal(one, same.cluster_centers_)


def test_callable_init_gets_x():
    def first_rows(X, n_clusters, random_state):
        assert X.shape == (1797, 64)
        return X[:n_clusters]

    model = KMeans(5, init=first_rows, n_init=1, max_iter=3).fit(DIGITS)
    same = KMeans(5, init=DIGITS[:5], max_iter=3).fit(DIGITS)
    np.testing.assert_array_equal(model.cluster_centers_, same.cluster_centers_)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, bool, np.float32])
def test_callable_init_gets_the_floats_that_scikit_learns_gets(dtype):
    seen = []

    def init(X, n_clusters, random_state):
        seen.append(X.dtype)
        return X[:n_clusters] / 2

    points = DIGITS[:99].astype(dtype)
    for kind in KMeans, Rival:
        kind(5, init=init, n_init=1, max_iter=1).fit(points)
    assert seen[0] == seen[1] == (np.float32 if dtype == np.float32 else np.float64)
    tensors = KMeans(5, init=init, n_init=1, max_iter=1).fit(tf.constant(points))
    assert seen[2] == seen[0] and tensors.labels_.shape == (99,)


@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
def test_callable_init_cannot_change_x(form):
    def init(X, n_clusters, random_state):
        X[0, 0] = 99
        return DIGITS[:n_clusters]

    points = form(DIGITS[:99] + 7 * (DIGITS[:99] == DIGITS[0, 0]))
    for copy in True, False:
        KMeans(5, init=init, n_init=1, copy_x=copy).fit(points)
        assert points[0, 0] == (7 if copy else 99)


@pytest.mark.parametrize(
    "points, same",
    [
        ([["1", "2"], ["3", "4"], ["9", "8"]], [[1.0, 2], [3, 4], [9, 8]]),
        (np.array([["1", "2"], ["3", "4"], ["9", "8"]], object), [[1.0, 2], [3, 4], [9, 8]]),
        (DIGITS.astype(np.longdouble), DIGITS),
    ],
    ids=["strings", "objects", "longdouble"],
)
def test_what_scikit_learn_converts(points, same):
    model = KMeans(2, random_state=0).fit(points)
    assert model.cluster_centers_.dtype == np.float64
    expected = KMeans(2, random_state=0).fit(same)
    np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)
    np.testing.assert_array_equal(model.predict(points), model.labels_)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "u2", "i8"])
@pytest.mark.quick
def test_any_byte_order_and_a_file_give_the_bits_of_the_array(tmp_path, dtype):
    """As FITS files have them; int16 once was float32 from a file and float64 from memory."""
    points = (DIGITS[:400] * 7).astype(dtype)
    other = points.astype(points.dtype.newbyteorder(">"))
    np.save(tmp_path / "x.npy", other)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    expected = KMeans(4, random_state=0).fit(points)
    for given in other, mapped, tmp_path / "x.npy":
        model = KMeans(4, random_state=0).fit(given)
        assert model.cluster_centers_.dtype == expected.cluster_centers_.dtype
        np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)
        np.testing.assert_array_equal(model.predict(given), expected.labels_)
    for function in tfkm.kmeans, tfkm.kmeans_plusplus:
        one, two = (function(x, 4, random_state=0).centroids for x in (points, other))
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtypes", ["nullable", "pyarrow"])
def test_functions_take_the_frames_that_estimators_take(dtypes):
    pandas = pytest.importorskip("pandas")
    plain = pandas.DataFrame({"a": DIGITS[:99, 20], "b": DIGITS[:99, 30] > 3, "c": DIGITS[:99, 40]})
    if dtypes == "pyarrow":
        pytest.importorskip("pyarrow")
        frame = plain.convert_dtypes(dtype_backend="pyarrow")
    else:
        frame = plain.convert_dtypes()
    expected = KMeans(3, random_state=0).fit(frame)
    result = tfkm.kmeans(frame, 3, random_state=0)
    np.testing.assert_array_equal(result.centroids, expected.cluster_centers_)
    labels = tfkm.assign(frame, expected.cluster_centers_).labels
    np.testing.assert_array_equal(labels, expected.labels_)
    holes = frame.copy()
    holes.loc[3, "a"] = pandas.NA
    with pytest.raises(ValueError, match="NaN"):
        tfkm.kmeans(holes, 3)


def test_few_points_of_weight_are_clusters_with_a_warning(backend):
    """As scikit-learn has it; what is left are repetitions of these."""
    weights = np.zeros(1797)
    weights[[3, 30]] = 1, 2
    for init in tfkm.seeding.NAMES:
        model = KMeans(4, init=init, n_init=1, random_state=0, backend=backend)
        with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(2\) found smaller"):
            model.fit(DIGITS, sample_weight=weights)
        assert {*map(tuple, model.cluster_centers_)} == {*map(tuple, DIGITS[[3, 30]])}
        assert model.inertia_ == 0


def test_fit_predict_of_a_dataset():
    dataset = tf.data.Dataset.from_tensor_slices(DIGITS).batch(500)
    labels = KMeans(5, random_state=0).fit_predict(dataset)
    np.testing.assert_array_equal(labels, KMeans(5, random_state=0).fit_predict(DIGITS))
    model = KMeans(5, random_state=0).fit(DIGITS)
    for method in model.transform, model.score:
        with pytest.raises(TypeError, match="X: a tf.data.Dataset; only `fit` of KMeans and"):
            method(dataset)
    with pytest.raises(ValueError, match="sample_weight: given together with a dataset or files"):
        KMeans(5).fit(dataset, sample_weight=np.ones(1797))


@pytest.mark.quick
def test_sample_weight(backend):
    points, _, weights = weighted(1000, 1, 3)
    init = points[np.argsort(-weights)[:5]]
    model = KMeans(5, init=init, backend=backend).fit(points, sample_weight=weights)
    rival = Rival(5, init=init, n_init=1).fit(points.astype(float), sample_weight=weights)
    np.testing.assert_allclose(model.cluster_centers_, rival.cluster_centers_, rtol=1e-3, atol=1e-3)
    assert model.inertia_ == pytest.approx(rival.inertia_, rel=1e-4)
    assert model.score(points, sample_weight=weights) == -model.inertia_


def test_quality_is_scikit_learns():
    """The best of ten seeds each; greedy k-means++ on both sides."""
    mine = min(KMeans(10, random_state=s).fit(DIGITS).inertia_ for s in range(10))
    theirs = min(Rival(10, random_state=s).fit(DIGITS).inertia_ for s in range(10))
    assert mine <= 1.002 * theirs


@pytest.mark.quick
def test_warns_of_fewer_distinct_points():
    points = np.repeat(np.eye(3), 5, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(3\) found smaller than n_cl"):
        KMeans(5, random_state=0).fit(points)


@pytest.mark.parametrize(
    "options, end",
    [
        (dict(tol=0), "Converged at iteration {}: strict convergence."),
        (dict(tol=10.0), "Converged at iteration {}: center shift "),
        (dict(max_iter=2, tol=0), "Iteration {}, inertia "),
    ],
)
def test_verbose_speaks_as_scikit_learn_does(capsys, options, end):
    model = KMeans(3, random_state=0, verbose=1, **options).fit(DIGITS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Initialization complete"
    passes = [line for line in lines if line.startswith("Iteration")]
    assert passes[0].startswith("Iteration 0, inertia ") and len(passes) == model.n_iter_
    assert lines[-1].startswith(end.format(model.n_iter_ - 1))


def said(capsys, model, points):
    """What a fit prints: the words, and the numbers."""
    model.fit(points)
    lines = capsys.readouterr().out
    number = r"\d+\.\d+(?:e[-+]\d+)?"
    return re.sub(number, "#", lines).splitlines(), [float(x) for x in re.findall(number, lines)]


@pytest.mark.parametrize("tol", [0.0, 0.05])
def test_verbose_prints_what_scikit_learn_prints(capsys, tol):
    options = dict(init=DIGITS[:3], n_init=1, verbose=1, tol=tol)
    words, numbers = said(capsys, KMeans(3, **options), DIGITS)
    theirs, their_numbers = said(capsys, Rival(3, **options), DIGITS)
    assert words == theirs and "Converged" in words[-1]
    np.testing.assert_allclose(numbers, their_numbers, rtol=1e-9)


def test_verbose_goes_start_by_start(capsys):
    starts = [DIGITS[i : i + 3] for i in (0, 100, 200)]
    expected, model = [], KMeans(3, n_init=3, verbose=1)
    for centers in starts:
        expected += said(capsys, KMeans(3, init=centers, verbose=1), DIGITS)[0]
    given = iter(starts)
    model.set_params(init=lambda X, n_clusters, random_state: next(given))
    assert said(capsys, model, DIGITS)[0] == expected
    given = iter(starts)

    class Stop(tfkm.Callback):
        def on_pass(self, done):
            return done.start == 0

    lines, _ = said(capsys, model.set_params(callbacks=[Stop()]), DIGITS)
    assert lines.count("Initialization complete") == 3


def test_copy_x_false_gives_the_same(tmp_path):
    np.save(tmp_path / "x.npy", DIGITS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one = KMeans(10, random_state=0).fit(DIGITS)
    other = KMeans(10, random_state=0, copy_x=False).fit(mapped)
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
    np.testing.assert_array_equal(other.predict(mapped), one.labels_)


def test_elkan_is_the_same():
    one, other = (
        KMeans(10, random_state=0, algorithm=algorithm).fit(DIGITS)
        for algorithm in ("lloyd", "elkan")
    )
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
    assert one.n_iter_ == other.n_iter_
    with pytest.warns(RuntimeWarning, match="algorithm='elkan' doesn't make sense for a single"):
        KMeans(1, algorithm="elkan").fit(DIGITS)


def test_warns_of_restarts_from_an_array():
    with pytest.warns(RuntimeWarning, match="performing only one init in KMeans instead of n_init"):
        KMeans(3, init=DIGITS[:3], n_init=7).fit(DIGITS)


@pytest.mark.quick
def test_equal_weights_are_none(backend):
    """The random draws too: only inertia knows."""
    model = KMeans(10, random_state=0, backend=backend)
    one = clone(model).fit(DIGITS)
    for weight in (1.0, 0.25, 3.0):
        other = clone(model).fit(DIGITS, sample_weight=np.full(1797, weight))
        np.testing.assert_array_equal(one.labels_, other.labels_)
        np.testing.assert_allclose(one.cluster_centers_, other.cluster_centers_, atol=1e-13)
        assert other.inertia_ == pytest.approx(weight * one.inertia_, rel=1e-13)


def test_weights_are_repetitions(backend):
    points, times = DIGITS[:600], np.arange(600) % 3
    model = KMeans(5, init=DIGITS[1:6], backend=backend)
    one = clone(model).fit(points, sample_weight=times)
    other = clone(model).fit(np.repeat(points, times, axis=0))
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
    np.testing.assert_array_equal(np.repeat(one.labels_, times), other.labels_)
    assert one.inertia_ == pytest.approx(other.inertia_, rel=1e-14)


def test_score_in_another_dtype(backend):
    model = KMeans(5, random_state=0, backend=backend).fit(DIGITS.astype(np.float32))
    assert model.score(DIGITS) == pytest.approx(-model.inertia_, rel=1e-6)
    model.fit(DIGITS)
    assert model.score(DIGITS.astype(np.float32)) == pytest.approx(-model.inertia_, rel=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(algorithm="full"), "'algorithm' parameter of KMeans must be a str among"),
        (dict(n_clusters=0), "'n_clusters' parameter of KMeans must be an int .* Got 0 instead"),
        (dict(n_clusters=2000), "n_samples=1797 should be >= n_clusters=2000"),
        (dict(init="forgy"), "'init' parameter of KMeans must be a str among"),
        (dict(init=DIGITS[0]), "Expected 2D array, got 1D array instead"),
        (dict(init=np.full((8, 64), np.nan)), "Input contains NaN"),
        (
            dict(init=lambda X, k, random_state: X[:k] * np.nan, n_init=1),
            "Input contains NaN",
        ),
        (
            dict(init=DIGITS[:3]),
            r"initial centers \(3, 64\) does not match the number of clusters 8",
        ),
        (
            dict(init=lambda X, k, random_state: X[:k, :9], n_init=1),
            r"initial centers \(8, 9\) does not match the number of features of the data 64",
        ),
        (dict(backend="opencl"), "backend: 'opencl'"),
        (dict(backend=3), "'backend' parameter of KMeans must be"),
        (dict(tol=-1.0), "'tol' parameter of KMeans must be a float"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        KMeans(**options).fit(DIGITS)


@pytest.mark.parametrize("name", ["n_clusters", "n_init", "max_iter", "tol"])
def test_truth_values_are_no_numbers(name):
    with pytest.raises(TypeError, match=f"^{name}: True is of type bool"):
        KMeans(**{"n_clusters": 2, name: True}).fit(DIGITS)


@pytest.mark.parametrize(
    "X, message",
    [
        (np.where(DIGITS == 16, np.nan, DIGITS), r"^Input X contains NaN\. X\[1, 12\] is NaN"),
        (
            np.where(DIGITS == 16, np.inf, DIGITS),
            r"^Input X contains infinity or a value too large for dtype\('float64'\)\. X\[1, 12\] is",
        ),
        (
            DIGITS.astype(np.float32) * np.float32(1e30),
            r"^Input X contains infinity or a value too large .*float32'\)\. the squared norm of X\[",
        ),
        (DIGITS[0], "1D array"),
        (DIGITS[None], "dim 3"),
        (DIGITS[:0], "0 sample"),
    ],
    ids=["NaN", "infinity", "overflow", "rank 1", "rank 3", "empty"],
)
def test_bad_points_change_nothing(backend, X, message):
    digits = DIGITS.astype(np.float32)
    model = KMeans(3, random_state=0, backend=backend).fit(digits)
    before = model.cluster_centers_.copy()
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    for method in model.predict, model.transform, model.score:
        with pytest.raises(ValueError, match=message):
            method(X)
    np.testing.assert_array_equal(model.cluster_centers_, before)
    np.testing.assert_array_equal(model.predict(digits), model.labels_)


@pytest.mark.parametrize(
    "weights, message",
    [
        (-np.ones(1797), r"sample_weight\[0\] is -1.0"),
        (np.zeros(1797), "at least one (non-zero|must be positive)"),
        (np.full(1797, np.nan), r"^Input sample_weight contains NaN\."),
        (np.ones(3), "sample_weight"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        KMeans(3).fit(DIGITS, sample_weight=weights)
    if weights.any():
        with pytest.raises(ValueError, match=message):
            KMeans(3, random_state=0).fit(DIGITS).score(DIGITS, sample_weight=weights)


def test_not_fitted():
    with pytest.raises(NotFittedError):
        KMeans().predict(DIGITS)


def test_a_named_backend_is_used(monkeypatch):
    from tfkm.ops import reference

    def fail(*_):
        raise AssertionError("the reference was called")

    monkeypatch.setattr(reference, "accumulate", fail)
    KMeans(3, random_state=0, backend="xla").fit(DIGITS)
    with pytest.raises(AssertionError, match="the reference was called"):
        KMeans(3, random_state=0, backend="reference").fit(DIGITS)


def test_public_names():
    assert {"KMeans", "kmeans", "assign", "accumulate", "backends"} <= set(dir(tfkm))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.uint8, np.int8])
def test_labels_without_a_tensor(monkeypatch, dtype):
    """On native, of arrays as they lie; the labels are those of the op."""
    points = np.random.default_rng(0).integers(0, 100, (300, 7)).astype(dtype)
    model = KMeans(5, random_state=0, backend="native").fit(points.astype(np.float32))
    strided = np.repeat(points, 2, axis=0)[::2]
    expected = np.asarray(tfkm.assign(points, model.cluster_centers_).labels)
    monkeypatch.setattr(tfkm.ops, "assign", None)
    for some in points, strided, points[:1]:
        np.testing.assert_array_equal(model.predict(some), expected[: len(some)])


def test_bad_values_are_named_without_a_tensor_too():
    model = KMeans(2, random_state=0).fit([[0.0, 0.0], [9.0, 9.0]])
    with pytest.raises(ValueError, match=r"Input X contains NaN. .*\[1, 0\]"):
        model.predict([[1.0, 2.0], [np.nan, 0.0]])
    model.cluster_centers_[0, 0] = np.inf
    with pytest.raises(ValueError, match=r"cluster_centers_\[0, 0\] is infinity"):
        model.predict([[1.0, 2.0]])
