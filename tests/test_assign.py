"""assign: the contract of exactness, on every backend."""

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm.testing import (
    CASES,
    DTYPES,
    SHAPES,
    Case,
    assert_same_assignment,
    in_dtype,
    noise,
)


@pytest.mark.parametrize(
    "name, dtype", [(name, "float32") for name in SHAPES] + [("embeddings", d) for d in DTYPES[1:]]
)
def test_what_the_benchmarks_time(backend, name, dtype):
    """Their shapes, cut, and their dtypes, with points as centroids."""
    points = in_dtype(noise(*SHAPES[name].cut()).points, dtype)
    centroids = points[: SHAPES[name].cut().k].astype(
        "float64" if dtype == "float64" else "float32"
    )
    case = Case(points, centroids)
    assert_same_assignment(tfkm.assign(points, centroids, backend=backend), case)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.quick
class TestCases:
    def test_is_exact(self, backend, name):
        case = CASES[name]()
        assert_same_assignment(tfkm.assign(case.points, case.centroids, backend=backend), case)

    def test_labels_alone_are_the_same(self, backend, name):
        case = CASES[name]()
        right = tfkm.assign(case.points, case.centroids, backend=backend).labels
        labels, none = tfkm.assign(case.points, case.centroids, distances=False, backend=backend)
        np.testing.assert_array_equal(labels, right)
        assert none is None

    def test_lowest_index_among_copies(self, backend, name):
        """Each centroid once more behind the others: no label may point at a copy."""
        case = CASES[name]()
        twice = np.concatenate([case.centroids, case.centroids])
        labels = np.asarray(tfkm.assign(case.points, twice, backend=backend).labels)
        alone = np.asarray(tfkm.assign(case.points, case.centroids, backend=backend).labels)
        np.testing.assert_array_equal(labels, alone)

    def test_a_part_has_the_labels_of_the_whole(self, backend, name):
        case = CASES[name]()
        whole = tfkm.assign(case.points, case.centroids, backend=backend)
        n = len(case.points)
        for rows in (slice(0, 1), slice(n // 3, n // 2 + 1), slice(n - 1, n)):
            part = tfkm.assign(case.points[rows], case.centroids, backend=backend)
            np.testing.assert_array_equal(part.labels, whole.labels[rows])
            np.testing.assert_array_equal(part.sq_distances, whole.sq_distances[rows])

    def test_backends_agree(self, backend, name):
        case = CASES[name]()
        expected = np.asarray(tfkm.assign(case.points, case.centroids, backend="reference").labels)
        labels = np.asarray(tfkm.assign(case.points, case.centroids, backend=backend).labels)
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("offset", [1e2, 1e3, 1e4])
@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.quick
def test_translation_changes_no_label(backend, offset, per_feature):
    """Points and centroids on a grid of 2^-7 can be moved by 1e4 without float32 rounding them."""
    case = noise(3000, 20, 10)
    grid = [np.round(a * 128) / 128 for a in case[:2]]
    shift = np.round(offset * (np.arange(10) + 1) / 10) if per_feature else offset
    moved = [(a + shift).astype(np.float32) for a in grid]
    np.testing.assert_array_equal(moved[0] - np.float32(shift), grid[0])  # nothing was rounded
    labels = tfkm.assign(*moved, backend=backend).labels
    here = tfkm.assign(*(a.astype(np.float32) for a in grid), backend=backend).labels
    np.testing.assert_array_equal(labels, here)


@pytest.mark.parametrize(
    "view",
    {
        "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
        "reversed": lambda a: a[::-1][::-1],
        "negative stride": lambda a: a[::-1].copy()[::-1],
        "Fortran": np.asfortranarray,
        "transposed": lambda a: a.T.copy().T,
        "wider rows": lambda a: np.pad(a, [(0, 0), (3, 5)])[:, 3:-5],
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.quick
def test_layout_is_invisible(backend, view):
    points, centroids, _ = noise(500, 7, 12)
    viewed = view[1](points)
    viewed.flags.writeable = False
    np.testing.assert_array_equal(viewed, points)
    got = tfkm.assign(viewed, view[1](centroids), backend=backend)
    expected = tfkm.assign(points, centroids, backend=backend)
    np.testing.assert_array_equal(got.labels, expected.labels)
    np.testing.assert_array_equal(got.sq_distances, expected.sq_distances)


def test_no_points(backend):
    got = tfkm.assign(np.empty((0, 3), np.float32), np.ones((2, 3), np.float32), backend=backend)
    assert got.labels.shape == (0,) and got.labels.dtype == tf.int32
    assert got.sq_distances.shape == (0,) and got.sq_distances.dtype == tf.float32


def test_in_a_function_with_unknown_n(backend):
    @tf.function(input_signature=[tf.TensorSpec([None, 5]), tf.TensorSpec([4, 5])])
    def labels(points, centroids):
        return tfkm.assign(points, centroids, backend=backend).labels

    for n in (1, 3, 1000):
        points, centroids, _ = noise(n, 4, 5)
        expected = tfkm.assign(points, centroids, backend=backend).labels
        np.testing.assert_array_equal(labels(points, centroids), expected)


def test_autograph_leaves_it_alone(backend, caplog):
    points, centroids, _ = noise(9, 2, 3)

    def call(x):
        return tfkm.accumulate(x, centroids, backend=backend)

    with caplog.at_level("WARNING"):
        tf.function(call)(points)
    assert "AutoGraph" not in caplog.text


@pytest.mark.quick
def test_in_dataset_map(backend):
    points, centroids, _ = noise(1000, 4, 5)
    batches = tf.data.Dataset.from_tensor_slices(points).batch(300)
    mapped = batches.map(
        lambda x: tfkm.assign(x, centroids, backend=backend).labels, num_parallel_calls=2
    )
    expected = tfkm.assign(points, centroids, backend=backend).labels
    np.testing.assert_array_equal(np.concatenate(list(mapped)), expected)


def test_float64_centroids_make_it_float64(backend):
    points, centroids, _ = noise(100, 4, 5)
    got = tfkm.assign(points, centroids.astype(np.float64), backend=backend)
    assert got.sq_distances.dtype == tf.float64


def test_sq_distances_of_equal_points_are_zero(backend):
    points = noise(50, 1, 9, offset=1e4).points
    distances = np.asarray(tfkm.ops.sq_distances(points, points, backend=backend))
    assert (np.diag(distances) == 0).all()
    exact = np.square(points[:, None].astype(np.float64) - points.astype(np.float64)).sum(2)
    np.testing.assert_allclose(distances, exact, rtol=1e-5)


@pytest.mark.quick
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20])
def test_a_bad_row_is_named_without_distances(bad, backend):
    points = np.zeros((5, 3), np.float32)
    points[3, 1] = bad
    with pytest.raises(ValueError, match="points: .*3"):
        tfkm.assign(points, points[:2], distances=False, backend=backend)
    two = np.float32([[0, 0, 0], [1, 1, 1]])
    for kind in tfkm.KMeans(2), tfkm.BisectingKMeans(1), tfkm.BisectingKMeans(2):
        model = kind.set_params(random_state=0, backend=backend).fit(two)
        with pytest.raises(ValueError, match=r"X\[3"):
            model.predict(points)
