"""`n_points`: of each problem only the first rows count, on every backend, as in a loop over them."""

import numpy as np
import pytest
import tensorflow as tf

import tfkm

pytestmark = pytest.mark.quick

N, K, D = 37, 4, 3

# Leading dimensions of points, of centroids, of n_points and of all together.
LEADING = {
    "none": ((), (), (), ()),
    "both": ((4,), (4,), (4,), (4,)),
    "one number for all": ((4,), (4,), (), (4,)),
    "one set of centroids": ((4,), (), (4,), (4,)),
    "one set of points": ((), (4,), (4,), (4,)),
    "two dimensions": ((2, 1), (1, 3), (2, 3), (2, 3)),
}


def problem(leading, dtype=np.float32):
    """Points with NaN and weights with −1 behind those that count, if each has its own."""
    *shapes, together = leading
    rng = np.random.default_rng(len(together))
    points = rng.standard_normal((*shapes[0], N, D)).astype(dtype)
    centroids = rng.standard_normal((*shapes[1], K, D)).astype(dtype)
    counts = rng.permutation([0, N, 1, 20, 21, 22])[: int(np.prod(shapes[2]))]
    counts = counts.reshape(shapes[2])
    weights = rng.uniform(1, 2, (*shapes[0], N))
    if shapes[0] == shapes[2]:
        behind = np.arange(N) >= counts[..., None]
        points[behind], weights[behind] = np.nan, -1
    return points, centroids, weights, counts


def assert_as_in_a_loop(got, arrays, together, run, weighted):
    points, centroids, weights, counts = (
        np.broadcast_to(a, (*together, *a.shape[a.ndim - own :]))
        for a, own in zip(arrays, (2, 2, 1, 0), strict=True)
    )
    (labels, distances), statistics = tf.nest.map_structure(np.asarray, got)
    assert labels.shape == distances.shape == (*together, N)
    for i in np.ndindex(*together):
        m = counts[i]
        own = run(points[i][:m], centroids[i], *([weights[i][:m]] if weighted else []))
        here = (labels[i][:m], distances[i][:m]), tuple(part[i] for part in statistics)
        tf.nest.map_structure(np.testing.assert_array_equal, here, tuple(map(tuple, own)))
        assert (labels[i][m:] == -1).all() and (distances[i][m:] == 0).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("leading", LEADING.values(), ids=LEADING)
def test_as_in_a_loop(backend, leading, weighted):
    arrays = points, centroids, weights, counts = problem(leading)

    def run(*args, **options):
        return tfkm.accumulate(*args, **options, backend=backend)

    got = run(points, centroids, *([weights] if weighted else []), n_points=counts)
    assert_as_in_a_loop(got, arrays, leading[-1], run, weighted)
    alone = tfkm.assign(points, centroids, n_points=counts, backend=backend)
    tf.nest.map_structure(np.testing.assert_array_equal, alone, got[0])


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("leading", ["none", "two dimensions"])
def test_in_a_graph(backend, jit, known, leading):
    if jit and backend == "portable":
        pytest.skip("not inside jit_compile")
    arrays = points, centroids, weights, counts = problem(LEADING[leading])
    specs = [
        tf.TensorSpec([None] * (a.ndim - own) + last, a.dtype)
        for a, own, last in zip(arrays, (2, 2, 1, 0), ([None, D], [K, D], [None], []), strict=True)
    ]

    def run(points, centroids, weights, counts):
        return tfkm.accumulate(points, centroids, weights, n_points=counts, backend=backend)

    graph = tf.function(run, jit_compile=jit, input_signature=None if known else specs)
    expected = tf.nest.flatten(run(*arrays))
    for got, value in zip(tf.nest.flatten(graph(*arrays)), expected, strict=True):
        assert got.shape == value.shape
        if jit and backend == "reference":
            np.testing.assert_allclose(got, value, rtol=1e-5)
        else:
            np.testing.assert_array_equal(got, value)


@pytest.mark.parametrize("dtype", [tf.float64, tf.bfloat16, tf.float16, tf.uint8, tf.int8], ids=str)
def test_dtypes(backend, dtype):
    points = tf.cast(tf.random.stateless_uniform([2, 9, 3], [0, 0], -9, 9, tf.int32), dtype)
    run = lambda *args, **options: tfkm.accumulate(*args, **options, backend=backend)  # noqa: E731
    got = run(points, np.float32(np.eye(3)), n_points=[9, 4])
    expected = run(points[1, :4], np.float32(np.eye(3)))
    got = (got[0].labels[1, :4], got[0].sq_distances[1, :4]), tuple(part[1] for part in got[1])
    tf.nest.map_structure(np.testing.assert_array_equal, got, tuple(map(tuple, expected)))


def test_padding_has_no_derivative(backend):
    points, centroids, _, counts = map(tf.constant, problem(LEADING["both"]))
    with tf.GradientTape() as tape:
        tape.watch([points, centroids])
        distances = tfkm.assign(points, centroids, n_points=counts, backend=backend).sq_distances
        total = tf.reduce_sum(distances)
    of_points, of_centroids = tape.gradient(total, [points, centroids])
    for i, m in enumerate(np.asarray(counts)):
        with tf.GradientTape() as tape:
            tape.watch([points, centroids])
            alone = tfkm.assign(points[i, :m], centroids[i], backend=backend).sq_distances
            alone = tf.reduce_sum(alone)
        x, c = tape.gradient(alone, [points, centroids])
        np.testing.assert_array_equal(of_points[i, :m], x[i, :m])
        np.testing.assert_array_equal(of_points[i, m:], 0)
        np.testing.assert_allclose(of_centroids[i], tf.convert_to_tensor(c)[i], rtol=1e-6)


@pytest.mark.parametrize(
    "counts, error, message",
    [
        ([1, 38, 3], ValueError, r"n_points: n_points\[1\] is 38; allowed is 0 … 37"),
        ([1, 2, -1], ValueError, r"n_points: n_points\[2\] is -1; allowed is 0 … 37"),
        (38, ValueError, "n_points: n_points is 38; allowed is 0 … 37"),
        ([1, 2], ValueError, r"n_points: shape \(2,\); its leading dimensions .* do not broadcast"),
        (
            [[1, 2, 3]],
            ValueError,
            r"n_points: shape \(1, 3\); its leading dimensions .* do not broadcast",
        ),
        ([1.0, 2.0, 3.0], TypeError, "n_points: dtype float64; it needs integers"),
        ("many", TypeError, "n_points: dtype str"),
    ],
)
def test_bad_counts_are_named(backend, counts, error, message):
    points, centroids = np.ones((3, N, D), np.float32), np.ones((3, K, D), np.float32)
    for function in (tfkm.assign, tfkm.accumulate):
        with pytest.raises(error, match=message):
            function(points, centroids, n_points=counts, backend=backend)


def test_bad_counts_in_a_graph():
    points, centroids = np.ones((3, N, D), np.float32), np.ones((K, D), np.float32)
    graph = tf.function(lambda counts: tfkm.assign(points, centroids, n_points=counts))
    with pytest.raises(tf.errors.InvalidArgumentError, match="n_points: not from 0 to n"):
        graph(tf.constant([1, 2, 38]))


def test_weights_of_points_that_count_are_checked(backend):
    points, centroids = np.ones((2, 3, 1), np.float32), np.ones((K, 1), np.float32)
    with pytest.raises(ValueError, match=r"weights: all of weights\[1\] are zero"):
        tfkm.accumulate(points, centroids, [[1, 0, 0], [0, 0, 1]], n_points=[3, 2], backend=backend)
    _, statistics = tfkm.accumulate(
        points, centroids, [[1, 0, 0], [0, 0, 1]], n_points=[3, 0], backend=backend
    )
    np.testing.assert_array_equal(tf.reduce_sum(statistics.weights, axis=1), [1, 0])
