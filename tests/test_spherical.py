"""metric="cosine": the cosine distance it is, zero rows, scales and blocks that do not matter."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics.pairwise import cosine_distances

import tfkm
from tfkm.data import points as points_module
from tfkm.data.points import Points
from tfkm.lloyd import spherical
from tfkm.lloyd.one_pass import inertia
from tfkm.ops import backends, tensors
from tfkm.ops.native import Native
from tfkm.testing import noise

pytestmark = pytest.mark.quick

POINTS = noise(400, 1, 5).points
ZEROS = [3, 77]


@pytest.fixture
def some_zero():
    points = POINTS.copy()
    points[ZEROS] = 0
    return points


def fit(points, k=6, **options):
    return tfkm.kmeans(points, k, metric="cosine", **{"random_state": 0, "tol": 0, **options})


@pytest.mark.parametrize("init", ["k-means++", "random", "k-means||"])
@pytest.mark.every_backend
def test_labels_and_inertia_are_of_the_cosine_distance(backend, init, some_zero):
    result = fit(some_zero, init=init, backend=backend)
    distances = cosine_distances(some_zero.astype(np.float64), result.centroids)
    others = np.delete(np.arange(len(some_zero)), ZEROS)
    labels = np.asarray(result.labels)
    np.testing.assert_array_equal(labels[others], distances[others].argmin(1))
    assert not labels[ZEROS].any()
    assert result.inertia == pytest.approx(distances.min(1)[others].sum() + len(ZEROS), rel=1e-6)
    np.testing.assert_allclose(np.linalg.norm(result.centroids, axis=1), 1, rtol=1e-6)


def test_a_centroid_is_the_direction_of_its_points(some_zero):
    result = fit(some_zero)
    assert result.status is tfkm.Status.LABELS_UNCHANGED
    unit = some_zero / np.maximum(np.linalg.norm(some_zero, axis=1, keepdims=True), 1e-30)
    for i, centroid in enumerate(np.asarray(result.centroids)):
        total = unit[np.asarray(result.labels) == i].sum(0)
        np.testing.assert_allclose(centroid, total / np.linalg.norm(total), atol=2e-6)


def test_given_centroids_are_directions():
    """Seeding sees them at length 1, like the points; far out they would repel nothing."""
    results = [
        fit(POINTS, init=functools.partial(tfkm.afk_mc2, given=scale * POINTS[:2]), max_iter=1)
        for scale in (1, 2.0**20)
    ]
    np.testing.assert_array_equal(results[0].centroids, results[1].centroids)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lengths_do_not_matter(dtype):
    points = POINTS.astype(dtype)
    scales = 2.0 ** np.random.default_rng(0).integers(-60, 60, (len(points), 1))
    one, other = fit(points), fit((points * scales).astype(dtype))
    np.testing.assert_array_equal(one.centroids, other.centroids)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.inertia == other.inertia


def test_scaling_twice_is_scaling_once():
    once, _ = spherical.unit_rows(POINTS, Native())
    np.testing.assert_array_equal(once, spherical.unit_rows(once, Native())[0])
    np.testing.assert_array_equal(once, tensors.unit_rows(tf.constant(POINTS))[0])


def test_blocks_are_invisible(monkeypatch, some_zero):
    expected = fit(some_zero, weights=np.arange(400))
    for module in points_module, spherical:
        monkeypatch.setattr(module, "_COPY_BYTES", 1000)
    monkeypatch.setattr(spherical, "_BLOCK_BYTES", 300)
    result = fit(some_zero, weights=np.arange(400))
    np.testing.assert_array_equal(result.centroids, expected.centroids)
    np.testing.assert_array_equal(result.labels, expected.labels)
    assert result.inertia == expected.inertia


def test_weights_are_repeated_points(some_zero):
    weights = np.random.default_rng(0).integers(0, 3, len(some_zero))
    start = POINTS[:6]
    result = fit(some_zero, init=start, weights=weights)
    repeated = fit(np.repeat(some_zero, weights, axis=0), init=start)
    np.testing.assert_array_equal(result.centroids, repeated.centroids)
    assert result.inertia == pytest.approx(repeated.inertia, rel=1e-12)


def test_inertia_of_a_fit_is_that_of_its_centroids(some_zero):
    result = fit(some_zero)
    native = backends.select(None)
    assert inertia(some_zero, result.centroids, None, native, "cosine") == result.inertia


def test_opposite_points_leave_the_centroid_where_it_is():
    points = np.array([[1.0, 0.0], [-1.0, 0.0]])
    result = tfkm.kmeans(points, 1, metric="cosine", init=[[0.0, 1.0]])
    np.testing.assert_array_equal(result.centroids, [[0.0, 1.0]])
    assert result.inertia == 2.0


def test_bad_arguments():
    with pytest.raises(
        ValueError, match="metric: 'manhattan'; allowed are 'euclidean' and 'cosine'"
    ):
        tfkm.kmeans(POINTS, 2, metric="manhattan")
    with pytest.raises(ValueError, match="init: row 1 is all zeros"):
        fit(POINTS, 2, init=np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0.0]]))
    with pytest.raises(ValueError, match="points: every point of positive weight is all zeros"):
        fit(np.zeros((3, 1)), 2)
    assert fit(np.array([[1.0], [0.0], [-1.0]]), 3).inertia == 1.0
    with pytest.raises(ValueError, match=r"points\[2, 0\]"):
        fit(np.array([[1.0], [0.0], [np.nan]]), 1)


def test_kept_points_are_those_scaled_anew(monkeypatch):
    kept = spherical.UnitPoints(Points(POINTS), Native())
    monkeypatch.setattr(spherical, "_COPY_BYTES", 1000)
    anew = spherical.UnitPoints(Points(POINTS), Native())
    assert anew.array is None
    rows = np.array([5, 2, 399])
    np.testing.assert_array_equal(kept[rows], anew[rows])
    np.testing.assert_array_equal(kept.array, np.concatenate([b for _, b in anew]))


def test_estimator(backend, some_zero):
    model = tfkm.KMeans(6, metric="cosine", random_state=0, backend=backend).fit(some_zero)
    distances = model.transform(some_zero)
    np.testing.assert_allclose(
        distances, cosine_distances(some_zero, model.cluster_centers_), atol=1e-6
    )
    assert (distances[ZEROS] == 1).all()
    np.testing.assert_array_equal(model.predict(some_zero), model.labels_)
    np.testing.assert_array_equal(model.predict(tf.constant(some_zero)), model.labels_)
    assert model.score(some_zero) == -model.inertia_
    np.testing.assert_array_equal(model.predict(some_zero[:10] * 1024), model.labels_[:10])
