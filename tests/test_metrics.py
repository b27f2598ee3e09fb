"""metrics: scikit-learn's figures where it has them, the definition where it has not."""

import numpy as np
import pytest
import sklearn.metrics as rivals
import tensorflow as tf
from sklearn.datasets import load_digits

import tfkm
from tfkm import metrics
from tfkm.data import points as points_module
from tfkm.lloyd import by_label
from tfkm.ops.magnitudes import largest_magnitudes
from tfkm.testing import noise, per_feature_offsets, weighted

pytestmark = pytest.mark.quick

DIGITS = load_digits().data
LABELS = np.asarray(tfkm.kmeans(DIGITS, 10, random_state=0).labels)


def test_every_point_of_a_curve_is_a_fit_and_the_curve_never_rises():
    curve = metrics.inertia_curve(DIGITS, range(1, 13), random_state=0)
    assert curve.n_clusters.tolist() == list(range(1, 13))
    assert (np.diff(curve.inertias) < 0).all()
    for k, inertia, result in zip(*curve, strict=True):
        assert len(result.centroids) == k and result.inertia == inertia
        _, statistics = tfkm.accumulate(DIGITS, result.centroids)
        assert inertia == pytest.approx(float(statistics.inertia))


def test_a_curve_goes_on_where_it_was(monkeypatch):
    given = []
    fit = tfkm.kmeans

    def spy(*args, init, **options):
        given.append(None if init == "k-means++" else init.keywords["given"])
        return fit(*args, init=init, **options)

    monkeypatch.setattr(metrics, "kmeans", spy)
    results = metrics.inertia_curve(DIGITS, [2, 5, 7], random_state=0).results
    assert given == [None, results[0].centroids, results[1].centroids]


def test_a_curve_repeats_and_takes_weights():
    points, _, weights = weighted(500, 1, 3)
    one, other = (
        metrics.inertia_curve(points, [2, 4], weights=weights, random_state=3) for _ in range(2)
    )
    np.testing.assert_array_equal(one.inertias, other.inertias)
    np.testing.assert_array_equal(one.results[1].labels, other.results[1].labels)
    _, statistics = tfkm.accumulate(points, one.results[1].centroids, weights)
    assert one.inertias[1] == pytest.approx(float(statistics.inertia))


def test_warm_starts_are_no_worse_than_cold_ones():
    """On average over k and seeds, by less than a hundredth."""
    warm = np.mean(
        [metrics.inertia_curve(DIGITS, range(2, 16), random_state=s).inertias for s in range(3)]
    )
    cold = np.mean(
        [tfkm.kmeans(DIGITS, k, random_state=s).inertia for k in range(2, 16) for s in range(3)]
    )
    assert warm < 1.01 * cold


def simplified(points, centroids, labels):
    """By the definition, with n×k distances."""
    distances = np.linalg.norm(points[:, None].astype(float) - centroids, axis=2)
    own = distances[np.arange(len(points)), labels]
    distances[np.arange(len(points)), labels] = np.inf
    values = (distances.min(1) - own) / np.maximum(own, distances.min(1))
    return np.where(np.bincount(labels)[labels] == 1, 0, values)


@pytest.mark.parametrize("given", [False, True])
def test_simplified_silhouette_is_its_definition(monkeypatch, backend, given):
    monkeypatch.setattr(metrics, "_BLOCK", 100)
    points, centroids, _ = noise(700, 9, 5)
    centroids[0] = 30.0
    points[3] = 29.0  # alone in its cluster
    labels = np.asarray(tfkm.assign(points, centroids).labels)
    if given:
        labels = np.random.default_rng(0).integers(0, 9, 700)
    got = metrics.simplified_silhouette_samples(
        points, centroids, labels if given else None, backend=backend
    )
    np.testing.assert_allclose(got, simplified(points, centroids, labels), atol=2e-6)
    assert given or got[3] == 0
    score = metrics.simplified_silhouette_score(
        points, centroids, labels if given else None, backend=backend
    )
    assert score == got.mean()


def test_simplified_silhouette_of_equal_points_is_zero():
    values = metrics.simplified_silhouette_samples(np.ones((4, 2)), np.ones((2, 2)))
    np.testing.assert_array_equal(values, 0)


def test_blocks_are_invisible(monkeypatch):
    points, centroids, _ = noise(700, 9, 5)
    labels = np.asarray(tfkm.assign(points, centroids).labels)

    def everything():
        return [
            metrics.simplified_silhouette_samples(points, centroids).tolist(),
            metrics.calinski_harabasz_score(points, labels),
            metrics.davies_bouldin_score(points, labels),
        ]

    whole = everything()
    monkeypatch.setattr(metrics, "_BLOCK", 64)
    monkeypatch.setattr(by_label, "_BLOCK", 64)
    monkeypatch.setattr(points_module, "_COPY_BYTES", 999)
    assert everything() == whole


@pytest.mark.parametrize("name", ["calinski_harabasz_score", "davies_bouldin_score"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_agrees_with_scikit_learn(name, dtype):
    points = DIGITS.astype(dtype)
    theirs = getattr(rivals, name)(DIGITS, LABELS)
    names = np.array([7, -3, 100, 4, 5, 6, 0, 8, 9, 22])[LABELS]  # any integers will do
    for given in points, tf.constant(points):
        assert getattr(metrics, name)(given, names) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("name", ["calinski_harabasz_score", "davies_bouldin_score"])
def test_holds_far_from_the_origin_and_in_any_order(name):
    """In float32; scikit-learn's Davies–Bouldin is off by some per cent there."""
    points = per_feature_offsets(5000, 1, 8).points
    labels = np.random.default_rng(0).integers(0, 12, 5000)
    exact = getattr(rivals, name)(points - points.mean(0, dtype=np.float64), labels)
    got = getattr(metrics, name)(points, labels)
    assert got == pytest.approx(exact, rel=1e-9)
    order = np.random.default_rng(1).permutation(5000)
    assert getattr(metrics, name)(points[order], labels[order]) == pytest.approx(got, rel=1e-14)


def test_sums_by_label_do_not_depend_on_the_order():
    points = per_feature_offsets(3000, 1, 5).points
    labels = np.random.default_rng(0).integers(0, 7, 3000)
    order = np.random.default_rng(1).permutation(3000)

    def sums(points, labels):
        data = points_module.Points(points)
        return by_label.sums(data, labels, 7, largest_magnitudes(data))

    np.testing.assert_array_equal(sums(points, labels), sums(points[order], labels[order]))


def test_labels_may_be_strings():
    names = np.array(list("abcdefghij"))[LABELS]
    for score in metrics.calinski_harabasz_score, metrics.davies_bouldin_score:
        for labels in names, names.tolist(), names.astype(object):
            assert score(DIGITS, labels) == score(DIGITS, LABELS)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: metrics.inertia_curve(x, []), ValueError, r"n_clusters: \[\]; it needs"),
        (lambda x: metrics.inertia_curve(x, [3, 2]), ValueError, r"n_clusters: \[3, 2\]; it needs"),
        (lambda x: metrics.inertia_curve(x, [2.0]), TypeError, "n_clusters: 2.0 is of type float"),
        (
            lambda x: metrics.inertia_curve(x, [2, 9]),
            ValueError,
            "n_clusters: 9 is more than the 6",
        ),
        (
            lambda x: metrics.simplified_silhouette_samples(x, x[:1]),
            ValueError,
            r"centroids: shape \(1, 2\); it needs shape \(k, 2\) with k ≥ 2",
        ),
        (
            lambda x: metrics.simplified_silhouette_samples(x, x[:2, :1]),
            ValueError,
            r"centroids: shape \(2, 1\); it needs shape \(2, 2\)",
        ),
        (
            lambda x: metrics.simplified_silhouette_samples(x, x[:2], [0, 1, 2, 0, 0, 0]),
            ValueError,
            r"labels: from 0 to 2; they need to be in \[0, 2\)",
        ),
        (
            lambda x: metrics.davies_bouldin_score(x, np.zeros(6, int)),
            ValueError,
            "labels: 1 different of 6 points; there need to be from 2 to n − 1",
        ),
        (
            lambda x: metrics.calinski_harabasz_score(x, np.arange(6)),
            ValueError,
            "labels: 6 different of 6 points",
        ),
        (
            lambda x: metrics.calinski_harabasz_score(x, np.zeros(5, int)),
            ValueError,
            r"labels: shape \(5,\); it needs shape \(6,\)",
        ),
        (
            lambda x: metrics.simplified_silhouette_samples(x, x[:2], np.zeros(6)),
            TypeError,
            "labels: dtype float64; it needs integers",
        ),
        (
            lambda x: metrics.davies_bouldin_score(np.where(x == 3, np.nan, x), [0, 1] * 3),
            ValueError,
            r"points\[1, 1\] is NaN",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(np.arange(12.0).reshape(6, 2))
