"""Bad input: one error that names the argument, its value and what is allowed, on every backend."""

import numpy as np
import pytest
import tensorflow as tf

import tfkm

pytestmark = pytest.mark.quick

X = np.arange(12, dtype=np.float32).reshape(6, 2)
C = X[:2]


def bad(value, row=2, column=1, dtype=np.float32):
    points = X.astype(dtype)
    points[row, column] = value
    return points


POINTS = {
    "NaN": (bad(np.nan), ValueError, r"points\[2, 1\] is NaN"),
    "infinity": (bad(np.inf), ValueError, r"points\[2, 1\] is infinity"),
    "minus infinity": (bad(-np.inf), ValueError, r"points\[2, 1\] is infinity \(-inf\)"),
    "NaN in float64": (bad(np.nan, dtype=np.float64), ValueError, r"points\[2, 1\] is NaN"),
    "NaN in float16": (bad(np.nan, dtype=np.float16), ValueError, r"points\[2, 1\] is NaN"),
    "norm overflows": (bad(1e20), ValueError, r"squared norm of points\[2\] is 1e\+40 and over"),
    "norm overflows float64": (
        bad(1e160, dtype=np.float64),
        ValueError,
        r"squared norm of points\[2\] is inf and overflows; in float64",
    ),
    "rank 1": (X[0], ValueError, r"points: shape \(2,\); it needs rank 2"),
    "rank 3": (bad(np.nan)[None], ValueError, r"points(\[0, 2, 1\] is NaN|: .* it needs rank 2,)"),
    "no features": (X[:, :0], ValueError, r"points: shape \(6, 0\)"),
    "complex": (X.astype(np.complex64), TypeError, "points: dtype complex64; allowed are float32"),
    "text": (
        np.array([["a", "b"]]),
        TypeError,
        "points: dtype (string|str32); allowed are float32",
    ),
    "ragged": ([[1.0], [1.0, 2.0]], TypeError, "points: list is not an array"),
    "not an array": (object(), TypeError, "points: object is not an array"),
}
CENTROIDS = {
    "NaN": (C * np.nan, ValueError, r"centroids\[0, 0\] is NaN"),
    "infinity": (np.where(C == 3, np.inf, C), ValueError, r"centroids\[1, 1\] is infinity"),
    "norm overflows": (C * 1e20, ValueError, r"squared norm of centroids\[1\] is"),
    "norm overflows, no square": (
        np.full_like(C, 4e18),
        ValueError,
        r"squared norm of centroids\[0\] is 3.2e\+37",
    ),
    "other width": (C[:, :1], ValueError, r"centroids: shape \(2, 1\); points have 2 features"),
    "none": (C[:0], ValueError, r"centroids: shape \(0, 2\); it needs .* ≥ 1 of rows"),
    "rank 1": (C[0], ValueError, r"centroids: shape \(2,\); it needs rank 2"),
    "complex": (C.astype(complex), TypeError, "centroids: dtype complex128; allowed are float32"),
}
WEIGHTS = {
    "too few": (np.ones(5), ValueError, r"weights: shape \(5,\); it needs shape \(6,\)"),
    "rank 2": (np.ones((6, 1)), ValueError, r"weights: shape \(6, 1\); it needs shape \(6,\)"),
    "negative": ([1, 1, 1, -2.0, 1, 1], ValueError, r"weights\[3\] is -2.0; each must be finite"),
    "NaN": ([1, 1, np.nan, 1, 1, 1], ValueError, r"weights\[2\] is nan"),
    "infinite": ([np.inf, 1, 1, 1, 1, 1], ValueError, r"weights\[0\] is inf"),
    "all zero": (np.zeros(6), ValueError, "weights: all are zero; at least one must be positive"),
    "complex": (np.ones(6, np.complex64), TypeError, "weights: dtype complex64; it needs real"),
}


def by_name(table):
    return pytest.mark.parametrize("value, error, message", table.values(), ids=table)


@pytest.mark.parametrize("make", [np.asarray, tf.constant], ids=["array", "tensor"])
def test_other_integers_are_computed_in_float64(backend, make):
    points, centroids = np.array([[0], [7], [9]]), np.array([[1], [8]])
    labels, distances = tfkm.assign(make(points), make(centroids), backend=backend)
    np.testing.assert_array_equal(labels, [0, 1, 1])
    assert distances.dtype in (np.float64, tf.float64)


@by_name(POINTS)
class TestPoints:
    def test_assign(self, backend, value, error, message):
        with pytest.raises(error, match=message):
            tfkm.assign(value, C, backend=backend)

    def test_accumulate(self, backend, value, error, message):
        with pytest.raises(error, match=message):
            tfkm.accumulate(value, C, backend=backend)

    def test_sq_distances(self, backend, value, error, message):
        with pytest.raises(error, match=message):
            tfkm.ops.sq_distances(value, C, backend=backend)


@by_name(CENTROIDS)
class TestCentroids:
    def test_assign(self, backend, value, error, message):
        with pytest.raises(error, match=message):
            tfkm.assign(X, value, backend=backend)

    def test_accumulate(self, backend, value, error, message):
        with pytest.raises(error, match=message):
            tfkm.accumulate(X, value, backend=backend)


@by_name(WEIGHTS)
def test_weights(backend, value, error, message):
    with pytest.raises(error, match=message):
        tfkm.accumulate(X, C, value, backend=backend)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_values_in_a_graph_are_judged_when_it_runs(backend, value):
    function = tf.function(lambda x: tfkm.assign(x, C, backend=backend).sq_distances)
    with pytest.raises(tf.errors.InvalidArgumentError, match="points: a value is NaN or inf"):
        function(tf.constant(bad(value)))


def test_weights_in_a_graph_are_judged_when_it_runs(backend):
    function = tf.function(lambda w: tfkm.accumulate(X, C, w, backend=backend)[1].sums)
    with pytest.raises(tf.errors.InvalidArgumentError, match="weights: not finite"):
        function(tf.constant([1.0, 1, 1, 1, 1, -1]))


def test_shapes_in_a_graph_are_judged_at_once(backend):
    function = tf.function(lambda x: tfkm.assign(x, C, backend=backend).labels)
    with pytest.raises(ValueError, match="centroids: shape"):
        function.get_concrete_function(tf.TensorSpec([None, 3]))
    with pytest.raises(ValueError, match="known number ≥ 1 of features"):
        function.get_concrete_function(tf.TensorSpec([None, None]))


def test_far_row_of_a_long_input_is_named(backend):
    points = np.zeros((200_000, 2), np.float32)
    points[123_456, 1] = np.nan
    with pytest.raises(ValueError, match=r"points\[123456, 1\] is NaN"):
        tfkm.assign(points, C, backend=backend)


def test_unknown_backend():
    with pytest.raises(
        ValueError,
        match="backend: 'opencl'; allowed are None, 'native', 'cuda', 'xla', 'portable', 'ref",
    ):
        tfkm.assign(X, C, backend="opencl")
