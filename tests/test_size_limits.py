"""size_limits: the cheapest assignment that keeps them, and fits whose parts belong together."""

import sys

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack
from sklearn.datasets import load_digits

import tfkm
from tfkm.data import points as points_module
from tfkm.lloyd import by_label, size_limits
from tfkm.lloyd.size_limits import SizeLimits
from tfkm.ops.native import Native
from tfkm.testing import noise

pytestmark = pytest.mark.quick

DIGITS = load_digits().data


def least_cost(costs, limits):
    """By another solver, of the linear program."""
    n, k = costs.shape
    arc = np.arange(n * k)
    sent = csr_array((np.ones(n * k), (arc // k, arc)))
    taken = csr_array((np.ones(n * k), (arc % k, arc)))
    return linprog(
        costs.ravel(), A_eq=sent, b_eq=np.ones(n),
        A_ub=vstack([taken, -taken]), b_ub=np.repeat([limits.most, -limits.least], k),
    ).fun  # fmt: skip


@pytest.mark.parametrize("limits", [(0, 40), (30, 300), (37, 38), (20, 50)])
def test_the_assignment_is_the_cheapest(limits):
    points, centroids, _ = noise(300, 8, 2)
    costs = np.square(points[:, None].astype(float) - centroids).sum(2)
    limits = SizeLimits(*limits)
    data = points_module.Points(points)
    labels = size_limits._cheapest(size_limits._costs(data, centroids, Native()), limits)
    sizes = np.bincount(labels, minlength=8)
    assert limits.least <= sizes.min() and sizes.max() <= limits.most
    assert costs[np.arange(300), labels].sum() == pytest.approx(least_cost(costs, limits), rel=1e-9)


@pytest.mark.parametrize("limits", [(None, 200), (150, None), (179, 180)])
@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_a_fit_keeps_its_limits_and_belongs_together(backend, limits, dtype):
    points = DIGITS.astype(dtype)
    least, most = limits
    seen = []
    result = tfkm.kmeans(
        points, 10, size_min=least, size_max=most, random_state=0, max_iter=8, backend=backend,
        on_pass=lambda done: seen.append(done.inertia),
    )  # fmt: skip
    labels, centroids = np.asarray(result.labels), np.asarray(result.centroids)
    sizes = np.bincount(labels, minlength=10)
    assert (least or 0) <= sizes.min() and sizes.max() <= (most or 1797)
    assert labels.dtype == np.int32
    own = np.square(DIGITS - centroids[labels]).sum()
    assert result.inertia == pytest.approx(own, rel=1e-9)
    assert all(b <= a * (1 + 1e-9) for a, b in zip(seen, seen[1:], strict=False))
    free = tfkm.kmeans(points, 10, random_state=0, backend=backend)
    assert result.inertia > free.inertia and not np.array_equal(labels, free.labels)


def test_limits_that_are_kept_anyway_change_nothing(backend):
    free = tfkm.kmeans(DIGITS, 10, random_state=0, backend=backend)
    limited = tfkm.kmeans(DIGITS, 10, size_min=1, size_max=1797, random_state=0, backend=backend)
    np.testing.assert_array_equal(free.centroids, limited.centroids)
    np.testing.assert_array_equal(free.labels, limited.labels)
    assert free[2:] == limited[2:]


def test_repeats_to_the_bit_in_any_blocks_and_offset(monkeypatch, backend):
    def fit(points):
        return tfkm.kmeans(
            points, 6, init=points[:6], size_max=120, max_iter=3, backend=backend, copy=False
        )

    points = DIGITS[:600].astype(np.float32)
    once = fit(points)
    np.testing.assert_array_equal(fit(points + 4096).labels, once.labels)
    monkeypatch.setattr(points_module, "_COPY_BYTES", 9999)
    monkeypatch.setattr(by_label, "_BLOCK", 999)
    monkeypatch.setattr(size_limits, "_BLOCK_BYTES", 999)
    again = fit(points)
    np.testing.assert_array_equal(again.centroids, once.centroids)
    np.testing.assert_array_equal(again.labels, once.labels)
    assert again[2:] == once[2:]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_costs_of_any_scale_are_told_apart(scale):
    """Two points prefer a cluster for one; the one that loses less goes."""
    points = np.array([[0.0], [0.9], [5.0], [6.0]]) * scale
    result = tfkm.kmeans(points, 3, init=points[[0, 2, 3]], size_max=2, max_iter=1)
    assert np.bincount(result.labels).tolist() == [2, 1, 1]
    balanced = tfkm.kmeans(points, 2, init=points[[2, 3]], size_max=2, max_iter=2)
    assert np.asarray(balanced.labels).tolist() == [0, 0, 1, 1]


def test_directions_are_limited_too():
    result = tfkm.kmeans(DIGITS, 10, metric="cosine", size_max=180, random_state=0)
    assert np.bincount(result.labels).max() == 180
    unit = DIGITS / np.linalg.norm(DIGITS, axis=1, keepdims=True)
    cosines = (unit * np.asarray(result.centroids)[result.labels]).sum(1)
    assert result.inertia == pytest.approx((1 - cosines).sum(), rel=1e-9)
    with pytest.raises(ValueError, match="points: row 3 is all zeros"):
        points = np.where(np.arange(1797)[:, None] == 3, 0, DIGITS)
        tfkm.kmeans(points, 10, metric="cosine", size_max=180)


def test_equal_points_are_shared_out():
    result = tfkm.kmeans(np.ones((90, 2)), 9, size_max=10, random_state=0)
    assert np.bincount(result.labels).tolist() == [10] * 9 and result.inertia == 0


def test_the_estimator_predicts_without_limits():
    model = tfkm.KMeans(10, size_max=180, random_state=0).fit(DIGITS)
    assert np.bincount(model.labels_).max() == 180
    expected = tfkm.assign(DIGITS, model.cluster_centers_)
    np.testing.assert_array_equal(model.predict(DIGITS), expected.labels)
    assert -model.score(DIGITS) < model.inertia_
    assert not np.array_equal(model.predict(DIGITS), model.labels_)
    assert model.fit_predict(DIGITS).tolist() == model.labels_.tolist()


@pytest.mark.parametrize(
    "options, error, message",
    [
        (
            dict(size_min=4),
            ValueError,
            "size_min: 4 for each of 2 clusters is more than the 6 points",
        ),
        (
            dict(size_max=2),
            ValueError,
            "size_max: 2 for each of 2 clusters is less than the 6 points",
        ),
        (dict(size_min=-1), ValueError, "size_min: -1; it needs an integer ≥ 0 or None"),
        (dict(size_max=3.5), TypeError, "size_max: 3.5 is of type float"),
        (
            dict(size_min=3, size_max=4, weights=np.ones(6)),
            ValueError,
            "weights: not with size_min or size_max",
        ),
    ],
)
def test_bad_limits_are_refused_before_any_work(options, error, message):
    with pytest.raises(error, match=message):
        tfkm.kmeans(np.full((6, 2), np.nan), 2, **options)


def test_too_many_arcs_are_refused():
    points = np.broadcast_to(np.float32(0), (2**20, 2))
    with pytest.raises(ValueError, match="1048576 points · 200 clusters are more than 134217728"):
        tfkm.kmeans(points, 200, size_max=2**20)


def test_without_or_tools(monkeypatch):
    monkeypatch.setitem(sys.modules, "ortools.graph.python", None)
    with pytest.raises(ImportError, match=r"size_max need OR-tools: pip install 'tfkm\[limits\]'"):
        tfkm.kmeans(np.ones((6, 2)), 2, size_max=3)
