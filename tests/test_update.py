"""update: means, and where the centroid of an empty cluster goes."""

import numpy as np
import pytest

from tfkm.lloyd import update
from tfkm.types import Statistics

pytestmark = pytest.mark.quick


def run(points, labels, previous, weights=None):
    points, previous = np.asarray(points, float), np.asarray(previous, float)
    labels, k = np.asarray(labels, np.int32), len(previous)
    w = np.ones(len(points)) if weights is None else np.asarray(weights, float)
    sums = np.zeros(previous.shape)
    np.add.at(sums, labels, w[:, None] * points)
    distances = np.square(points - previous[labels]).sum(1)
    statistics = Statistics(sums, np.bincount(labels, w, k), (w * distances).sum())
    return update.centroids(statistics, previous, labels, distances, weights, lambda i: points[i])


def test_means():
    got = run([[0.0], [2.0], [10.0]], [0, 0, 1], [[0.0], [9.0]])
    np.testing.assert_array_equal(got, [[1.0], [10.0]])


def test_empty_cluster_takes_the_farthest_point():
    got = run([[0.0], [2.0], [50.0]], [0, 0, 0], [[0.0], [99.0]])
    np.testing.assert_array_equal(got, [[1.0], [50.0]])


def test_two_empty_clusters_take_the_two_farthest():
    got = run([[0.0], [1.0], [40.0], [50.0]], [0, 0, 0, 0], [[0.0], [98.0], [99.0]])
    np.testing.assert_array_equal(got, [[0.5], [50.0], [40.0]])


def test_lowest_index_among_equally_far_points():
    got = run([[-5.0], [0.0], [5.0]], [0, 0, 0], [[0.0], [99.0]])
    np.testing.assert_array_equal(got, [[2.5], [-5.0]])


def test_zero_weight_points_are_not_taken():
    got = run([[0.0], [2.0], [50.0]], [0, 0, 0], [[0.0], [99.0]], np.array([1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(got, [[0.0], [2.0]])


def test_the_last_point_of_a_cluster_stays():
    """Taking 50, though farthest, would only empty its own cluster."""
    got = run([[0.0], [1.0], [50.0]], [0, 0, 1], [[0.0], [9.0], [99.0]])
    np.testing.assert_array_equal(got, [[0.0], [50.0], [1.0]])


def test_previous_centroid_stays_where_all_points_coincide():
    got = run([[3.0]] * 4, [0] * 4, [[3.0], [7.0]])
    np.testing.assert_array_equal(got, [[3.0], [7.0]])


@pytest.mark.parametrize("seed", range(20))
def test_no_cluster_stays_empty_while_distinct_points_last(seed):
    rng = np.random.default_rng(seed)
    points = rng.random((40, 2))
    labels = rng.integers(0, 3, 40)
    got = run(points, labels, rng.random((9, 2)))
    assert np.isfinite(got).all()
    moved = got[3:]  # clusters 3 … 8 were empty
    assert all((point == points).all(axis=1).any() for point in moved)
    assert len(np.unique(moved, axis=0)) == 6
