"""Sparse points: the results of the dense ones bit for bit, and never more dense than a block."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

import tfkm
from tfkm import BisectingKMeans, KMeans, MiniBatchKMeans, metrics
from tfkm.data import points as points_module
from tfkm.data.points import Points
from tfkm.ops.magnitudes import largest_magnitudes

DIGITS = load_digits().data  # half of it zeros
WEIGHTS = np.random.default_rng(0).uniform(size=1797)
KINDS = [KMeans, MiniBatchKMeans, BisectingKMeans]


@pytest.fixture(autouse=True)
def most_rows(monkeypatch):
    """Small blocks, and an error from whatever makes more than one of them dense at a time."""
    rows = 200
    monkeypatch.setattr(points_module, "_DENSE_BYTES", rows * 64 * 8)
    for form in sparse.csr_array, sparse.csr_matrix:
        whole = form.toarray

        def toarray(self, *args, whole=whole, **kwargs):
            assert self.shape[0] <= rows * (8 // self.dtype.itemsize)
            return whole(self, *args, **kwargs)

        monkeypatch.setattr(form, "toarray", toarray)
        monkeypatch.setattr(form, "todense", None)


def wide_indices(points):
    """CSR with 64-bit indices, as beyond 2³¹ values."""
    csr = sparse.csr_array(points)
    csr.indices, csr.indptr = csr.indices.astype(np.int64), csr.indptr.astype(np.int64)
    return csr


FORMS = [sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix, wide_indices]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_blocks_join_to_the_whole(form, dtype):
    points = DIGITS.astype(dtype)
    data = Points(form(points))
    assert (data.n, data.d) == points.shape and data.array is None
    blocks = [np.asarray(block) for _, block in data]
    assert len(blocks) > 1 and blocks[0].dtype == dtype
    np.testing.assert_array_equal(np.concatenate(blocks), points)
    np.testing.assert_array_equal(data[np.array([5, 0, 1796])], points[[5, 0, 1796]])
    np.testing.assert_array_equal(largest_magnitudes(data), points.max(0))


@pytest.mark.parametrize(
    "init",
    ["k-means++", pytest.param("random", marks=pytest.mark.quick), "k-means||", "afk-mc2"],
)
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_fit_is_that_of_the_dense_points(backend, init, weights):
    points = DIGITS.astype(np.float32)
    options = dict(
        weights=weights, init=init, n_init=1, random_state=0, max_iter=5, backend=backend
    )
    dense = tfkm.kmeans(points, 8, **options)
    got = tfkm.kmeans(sparse.csr_array(points), 8, **options)
    np.testing.assert_array_equal(got.centroids, dense.centroids)
    np.testing.assert_array_equal(got.labels, dense.labels)
    assert got[2:] == dense[2:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_estimators_give_what_they_give_for_dense_points(kind, form):
    X = form(DIGITS)
    dense = kind(7, random_state=0).fit(DIGITS, sample_weight=WEIGHTS)
    model = kind(7, random_state=0).fit(X, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(model.cluster_centers_, dense.cluster_centers_)
    np.testing.assert_array_equal(model.labels_, dense.labels_)
    assert model.inertia_ == dense.inertia_
    np.testing.assert_array_equal(model.predict(X), dense.predict(DIGITS))
    np.testing.assert_array_equal(model.transform(X), dense.transform(DIGITS))
    assert model.score(X, sample_weight=WEIGHTS) == dense.score(DIGITS, sample_weight=WEIGHTS)


def test_partial_fit():
    dense, model = (MiniBatchKMeans(5, random_state=0) for _ in range(2))
    for start in range(0, 1500, 150):
        dense.partial_fit(DIGITS[start : start + 150])
        model.partial_fit(sparse.csr_array(DIGITS[start : start + 150]))
    np.testing.assert_array_equal(model.cluster_centers_, dense.cluster_centers_)


@pytest.mark.parametrize("options", [dict(metric="cosine"), dict(size_max=180)])
def test_options_of_a_fit(options):
    dense = KMeans(10, random_state=0, **options).fit(DIGITS)
    model = KMeans(10, random_state=0, **options).fit(sparse.csr_array(DIGITS))
    np.testing.assert_array_equal(model.cluster_centers_, dense.cluster_centers_)
    np.testing.assert_array_equal(model.labels_, dense.labels_)


def test_a_callable_gets_the_sparse_points():
    def init(X, n_clusters, random_state):
        assert sparse.issparse(X)
        return X[:n_clusters].toarray()

    model = KMeans(5, init=init, n_init=1).fit(sparse.csr_array(DIGITS))
    same = KMeans(5, init=DIGITS[:5]).fit(DIGITS)
    np.testing.assert_array_equal(model.cluster_centers_, same.cluster_centers_)


def test_integers_and_repeated_entries():
    X = sparse.coo_array(DIGITS).astype(np.int64)
    twice = sparse.coo_array(
        (np.tile(X.data, 2), (np.tile(X.row, 2), np.tile(X.col, 2))), shape=X.shape
    )
    model = KMeans(5, random_state=0).fit(twice)
    np.testing.assert_array_equal(
        model.cluster_centers_, KMeans(5, random_state=0).fit(2 * DIGITS).cluster_centers_
    )


@pytest.mark.parametrize("init", tfkm.seeding.NAMES)
def test_seedings_and_the_curve(init):
    X, seeding = sparse.csr_array(DIGITS), tfkm.seeding.function_of(init)
    one, other = (seeding(x, 7, weights=WEIGHTS, random_state=0) for x in (X, DIGITS))
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.centroids, other.centroids)
    curves = [
        metrics.inertia_curve(x, [2, 5], weights=WEIGHTS, max_iter=5, random_state=0).inertias
        for x in (X, DIGITS)
    ]
    np.testing.assert_array_equal(*curves)


def test_metrics():
    X, result = sparse.csr_array(DIGITS), tfkm.kmeans(DIGITS, 10, random_state=0)
    labels = np.asarray(result.labels)
    for score, argument in [
        (metrics.simplified_silhouette_score, result.centroids),
        (metrics.calinski_harabasz_score, labels),
        (metrics.davies_bouldin_score, labels),
    ]:
        assert score(X, argument) == score(DIGITS, argument)


@pytest.mark.parametrize(
    "value, message", [(np.nan, "NaN"), (np.inf, "infinity"), (1e200, "overf")]
)
def test_bad_values_are_found(value, message):
    X = sparse.csr_array(DIGITS)
    X.data[-1] = value
    with pytest.raises(ValueError, match=message):
        KMeans(3).fit(X)


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="points: dtype complex128; allowed"):
        tfkm.kmeans(sparse.csr_array(DIGITS.astype(complex)), 3)
