"""BisectingKMeans: which cluster is split, and that prediction goes down the tree."""

import pickle

import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.cluster import BisectingKMeans as Rival
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

import tfkm
from tfkm import BisectingKMeans
from tfkm.fits import bisecting
from tfkm.testing import duplicates, noise, weighted

pytestmark = pytest.mark.quick

DIGITS = load_digits().data


def two_first_rows(X, k, random_state):
    assert k == 2
    return X[:2]


def down_the_tree(tree, points):
    """Labels and squared distances to the leaf, in float64, one point at a time."""
    labels = []
    for point in points.astype(float):
        at = 0 if len(tree.pairs) else -1
        while at >= 0:
            sides = np.square(tree.pairs[at].astype(float) - point).sum(1)
            at = tree.children[at][sides.argmin()]
        labels.append(-1 - at)
    labels = np.array(labels)
    return labels, np.square(points.astype(float) - tree.centroids[labels]).sum(1)


@pytest.mark.parametrize(
    "strategy, dtype",
    [("biggest_inertia", "float32"), ("largest_cluster", "int64"), ("biggest_inertia", "uint8")],
)
def test_predict_and_score_are_those_of_the_fit(backend, strategy, dtype):
    digits = DIGITS[:500].astype(dtype)
    options = dict(bisecting_strategy=strategy, random_state=0, backend=backend)
    model = BisectingKMeans(7, **options).fit(digits)
    np.testing.assert_array_equal(model.predict(digits), model.labels_)
    assert model.score(digits) == -model.inertia_
    assert sorted(set(model.labels_)) == list(range(7)) and model.labels_.dtype == np.int32
    assert model.cluster_centers_.dtype == (
        "float64" if dtype in ("float64", "int64") else "float32"
    )
    labels, distances = down_the_tree(model._tree, digits)
    np.testing.assert_array_equal(labels, model.labels_)
    assert model.inertia_ == pytest.approx(distances.sum(), rel=1e-12)
    again = BisectingKMeans(7, **options).fit(digits)
    np.testing.assert_array_equal(model.cluster_centers_, again.cluster_centers_)


def test_predict_need_not_be_the_nearest_center():
    model = BisectingKMeans(12, random_state=0).fit(DIGITS)
    nearest = model.transform(DIGITS).argmin(1)
    assert (nearest != model.labels_).any()
    np.testing.assert_array_equal(model.predict(DIGITS), model.labels_)


def test_each_split_is_a_k_means_of_two(backend):
    """With two clusters it is `kmeans`; and centers are means of their points."""
    model = BisectingKMeans(2, init=two_first_rows, tol=0, backend=backend).fit(DIGITS)
    result = tfkm.kmeans(DIGITS, 2, init=DIGITS[:2], tol=0, backend=backend)
    np.testing.assert_array_equal(model.cluster_centers_, result.centroids)
    np.testing.assert_array_equal(model.labels_, result.labels)
    assert model.inertia_ == result.inertia
    model = BisectingKMeans(6, random_state=0, tol=0, backend=backend).fit(DIGITS)
    means = [DIGITS[model.labels_ == j].mean(0) for j in range(6)]
    np.testing.assert_allclose(model.cluster_centers_, means, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weights, halved", [(None, "many"), ([1] * 40 + [9] * 8, "few")])
def test_strategy_says_which_cluster_is_split(backend, weights, halved):
    """Many points close together, and few of more inertia far off."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-1, 1, (40, 2)), rng.uniform(90, 110, (8, 2))])
    many = np.arange(48) < 40

    def splits(strategy, **fit):
        options = dict(bisecting_strategy=strategy, random_state=0, n_init=3, backend=backend)
        labels = BisectingKMeans(3, **options).fit(points, **fit).labels_
        return "many" if len(set(labels[many])) == 2 else "few"

    assert splits("biggest_inertia", sample_weight=weights) == "few"
    assert splits("largest_cluster", sample_weight=weights) == halved


def test_quality_is_scikit_learns():
    def median(kind):
        return np.median([kind(10, random_state=s).fit(DIGITS).inertia_ for s in range(5)])

    assert median(BisectingKMeans) < 1.02 * median(Rival)


@pytest.mark.parametrize("strategy", bisecting.STRATEGIES)
def test_points_that_coincide_are_split_last(backend, strategy):
    """Of five distinct points many times over, five clusters are five points; more are copies."""
    points = duplicates(300, 1, 4).points
    options = dict(bisecting_strategy=strategy, random_state=0, backend=backend)
    model = BisectingKMeans(5, **options).fit(points)
    assert model.inertia_ == 0 and len(set(model.labels_)) == 5
    model = BisectingKMeans(9, **options).fit(points)
    assert model.inertia_ == 0 and model.cluster_centers_.shape == (9, 4)
    np.testing.assert_array_equal(model.predict(points), model.labels_)


def test_no_split_is_wasted_on_what_cannot_be_split(backend):
    """The heaviest cluster is many copies of one point, or one point of much weight."""
    points = noise(4, 1, 3).points
    options = dict(bisecting_strategy="largest_cluster", random_state=0, backend=backend)
    model = BisectingKMeans(4, **options).fit(np.repeat(points, [90, 1, 1, 1], axis=0))
    assert {*map(tuple, model.cluster_centers_)} == {*map(tuple, points)}
    model.fit(points, sample_weight=[90, 1, 1, 1])
    assert {*map(tuple, model.cluster_centers_)} == {*map(tuple, points)}


def test_k_equals_n(backend):
    points = noise(30, 1, 3).points
    model = BisectingKMeans(30, random_state=0, backend=backend).fit(points)
    np.testing.assert_array_equal(model.cluster_centers_[model.labels_], points)


def test_one_cluster(backend):
    points, _, weights = weighted(50, 1, 3)
    model = BisectingKMeans(1, backend=backend).fit(points, sample_weight=weights)
    mean = np.average(points.astype(float), axis=0, weights=weights)
    np.testing.assert_allclose(model.cluster_centers_, mean[None], rtol=1e-6)
    assert not model.predict(points).any()
    assert model.score(points, sample_weight=weights) == -model.inertia_


@pytest.mark.full
def test_a_tree_deeper_than_the_stack():
    """Split i takes point i off a chain of 1100."""
    at = np.arange(1100.0)[:, None]
    pairs = np.stack([at[:-1], at[1:]], axis=1)
    children = np.stack([-1 - np.arange(1099), np.arange(1, 1100)], axis=1)
    children[-1, 1] = -1100
    tree = bisecting.Tree(pairs, children, at)
    np.testing.assert_array_equal(bisecting.labels(tf.constant(at), tree), np.arange(1100))


class TestWeights:
    def test_are_repetitions(self, backend):
        points, times = DIGITS[:600], np.arange(600) % 3
        for strategy in bisecting.STRATEGIES:
            options = dict(init=two_first_rows, bisecting_strategy=strategy, backend=backend)
            kept, weights = points[times > 0], times[times > 0]
            one = BisectingKMeans(6, **options).fit(kept, sample_weight=weights)
            # Repeated behind the first ones, so that the first two rows of a cluster are the same.
            order = np.argsort(
                np.concatenate([np.arange(len(kept)), np.flatnonzero(weights == 2) + 1e6])
            )
            twice = np.concatenate([kept, kept[weights == 2]])[order]
            other = BisectingKMeans(6, **options).fit(twice)
            np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
            np.testing.assert_array_equal(one.labels_, other.labels_[: len(kept)])
            assert one.inertia_ == pytest.approx(other.inertia_, rel=1e-14)

    @pytest.mark.parametrize("factor", [0.25, 3.0, 1e-3])
    def test_scale_inertia_and_nothing_else(self, backend, factor):
        points, _, weights = weighted(1000, 1, 4)
        model = BisectingKMeans(6, random_state=0, backend=backend)
        one = clone(model).fit(points, sample_weight=weights)
        other = clone(model).fit(points, sample_weight=weights * factor)
        np.testing.assert_array_equal(one.labels_, other.labels_)
        np.testing.assert_allclose(one.cluster_centers_, other.cluster_centers_, rtol=1e-6)
        assert other.inertia_ == pytest.approx(one.inertia_ * factor, rel=1e-9)

    def test_of_zero_split_nothing(self, backend):
        """Two points of weight and many without: two clusters are those two points."""
        points = noise(50, 1, 3).points
        weights = np.zeros(50)
        weights[[7, 9]] = 1
        model = BisectingKMeans(2, random_state=0, backend=backend).fit(
            points, sample_weight=weights
        )
        assert {*map(tuple, model.cluster_centers_)} == {*map(tuple, points[[7, 9]])}
        with pytest.raises(ValueError, match="n_samples=2 of positive weight should be >= n_clus"):
            BisectingKMeans(3).fit(points, sample_weight=weights)

    def test_negative_are_refused(self):
        with pytest.raises(ValueError, match=r"sample_weight\[3\] is -1"):
            BisectingKMeans(2).fit(DIGITS[:4], sample_weight=[1, 1, 1, -1])


def test_blocks_are_invisible(monkeypatch, backend):
    points, weights = DIGITS.astype(np.float32), np.linspace(0, 2, 1797)
    model = BisectingKMeans(6, random_state=0, backend=backend).fit(points, sample_weight=weights)
    monkeypatch.setattr(bisecting, "_BLOCK_BYTES", 64 * 4 * 100)
    np.testing.assert_array_equal(model.predict(points), model.labels_)
    assert model.score(points, sample_weight=weights) == -model.inertia_


@pytest.mark.every_backend
def test_tensors_and_graphs(backend):
    points = tf.constant(DIGITS, tf.float32)
    model = BisectingKMeans(6, random_state=0, backend=backend)
    labels = model.fit_predict(points)
    assert isinstance(labels, tf.Tensor)
    in_graph = tf.function(model.predict, input_signature=[tf.TensorSpec([None, 64])])
    np.testing.assert_array_equal(in_graph(points), labels)
    assert model.predict(points[:0]).shape == in_graph(points[:0]).shape == (0,)
    same = clone(model).fit(np.asarray(points))
    np.testing.assert_array_equal(same.cluster_centers_, model.cluster_centers_)


def test_pickle_and_copy_x(tmp_path):
    np.save(tmp_path / "x.npy", DIGITS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    model = BisectingKMeans(6, random_state=0, algorithm="elkan").fit(DIGITS)
    again = pickle.loads(pickle.dumps(model))
    other = clone(model).set_params(copy_x=False, algorithm="lloyd").fit(mapped)
    for same in (again, other):
        np.testing.assert_array_equal(same.predict(mapped), model.labels_)


def test_verbose_speaks_as_scikit_learn_does(capsys):
    BisectingKMeans(3, random_state=0, verbose=1, n_init=2).fit(DIGITS)
    lines = capsys.readouterr().out.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("Iteration 0, inertia ")]
    splits = [
        i for i, line in enumerate(lines) if line.startswith("New centroids from bisection: ")
    ]
    assert starts[0] == 0 and len(starts) == 4 and starts[1] < splits[0] < starts[2] < splits[1]
    assert all(lines[i - 1].startswith("Converged at iter") for i in (starts[1], splits[0]))
    assert "Initialization complete" not in lines


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(n_clusters=1798), "n_samples=1797 should be >= n_clusters=1798"),
        (dict(init=DIGITS[:2]), "'init' parameter of BisectingKMeans must be a str among"),
        (dict(n_init="auto"), "'n_init' parameter of BisectingKMeans must be an int"),
        (dict(bisecting_strategy="first"), "'bisecting_strategy' parameter of BisectingKMeans"),
        (dict(init=lambda X, k, random_state: X[:3]), "does not match the number of clusters 2"),
        (dict(backend="opencl"), "backend: 'opencl'"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        BisectingKMeans(**options).fit(DIGITS)
    with pytest.raises(NotFittedError):
        BisectingKMeans().predict(DIGITS)
