"""Derivatives of distances: those of the mathematics, the same on every backend."""

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm.testing import noise

pytestmark = pytest.mark.quick


def nearest(backend):
    return lambda x, c: tfkm.assign(x, c, backend=backend).sq_distances


def accumulated(backend):
    return lambda x, c: tfkm.accumulate(x, c, backend=backend)[0].sq_distances


def to_all(backend):
    return lambda x, c: tfkm.ops.sq_distances(x, c, backend=backend)


FUNCTIONS = {"assign": nearest, "accumulate": accumulated, "sq_distances": to_all}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-6), ("float32", 2e-2)])
def test_is_what_differences_give(backend, name, dtype, tolerance):
    points, centroids, _ = noise(7, 3, 2, dtype)
    arguments = [tf.constant(points), tf.constant(centroids)]
    theory, differences = tf.test.compute_gradient(FUNCTIONS[name](backend), arguments)
    for exact, estimate in zip(theory, differences, strict=True):
        np.testing.assert_allclose(exact, estimate, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_backends_agree_far_from_the_origin(backend, name):
    points, centroids, _ = noise(50, 4, 3, offset=1e4)

    def gradients(backend):
        x, c = tf.Variable(points), tf.Variable(centroids)
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(tf.sqrt(FUNCTIONS[name](backend)(x, c)))
        return tape.gradient(value, [x, c])

    x, c = points[:, None].astype(float), centroids.astype(float)
    unit = (x - c) / np.linalg.norm(x - c, axis=2, keepdims=True)
    if name != "sq_distances":
        labels = np.asarray(tfkm.assign(points, centroids).labels)
        unit *= np.eye(4)[labels][:, :, None]
    got = gradients(backend)
    np.testing.assert_allclose(got[0], unit.sum(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[1], -unit.sum(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_in_a_graph(backend, compiled):
    if compiled and "not inside" in tfkm.backends()[backend].why:
        pytest.skip("this backend is not for compiled programs")
    points, centroids, _ = noise(40, 3, 2)

    @tf.function(jit_compile=compiled)
    def gradients(x, c):
        with tf.GradientTape() as tape:
            tape.watch([x, c])
            value = tf.reduce_sum(tfkm.assign(x, c, backend=backend).sq_distances)
        return tape.gradient(value, [x, c])

    x, c = gradients(tf.constant(points), tf.constant(centroids))
    differences = points - centroids[tfkm.assign(points, centroids).labels]
    np.testing.assert_allclose(x, 2 * differences, rtol=1e-5)
    _, statistics = tfkm.accumulate(points, centroids)
    expected = 2 * (statistics.weights[:, None] * centroids.astype(float) - statistics.sums)
    np.testing.assert_allclose(c, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("x_shape, c_shape", [((5, 4, 2), (3, 2)), ((4, 2), (5, 3, 2))])
def test_leading_dimensions_broadcast(backend, x_shape, c_shape):
    rng = np.random.default_rng(0)
    arguments = [tf.constant(rng.normal(size=shape)) for shape in (x_shape, c_shape)]
    theory, differences = tf.test.compute_gradient(nearest(backend), arguments)
    for exact, estimate in zip(theory, differences, strict=True):
        np.testing.assert_allclose(exact, estimate, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_derivatives(name):
    x, c = tf.Variable([[1.0, 2.0]]), tf.Variable([[0.0, 1.0]])
    with tf.GradientTape() as outer:
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(FUNCTIONS[name](None)(x, c))
        first = tf.reduce_sum(tape.gradient(value, x))
    np.testing.assert_allclose(outer.gradient(first, c), [[-2.0, -2.0]])


def test_dtypes(backend):
    """Of integers there is none; float16 points get theirs in float16."""
    centroids = tf.Variable([[0.0, 1.0], [9.0, 9.0]])
    for points in (tf.constant([[1, 2]], tf.uint8), tf.constant([[1, 2]], tf.float16)):
        with tf.GradientTape() as tape:
            tape.watch(points)
            value = tfkm.assign(points, centroids, backend=backend).sq_distances
        to_points, to_centroids = tape.gradient(value, [points, centroids])
        np.testing.assert_array_equal(to_centroids, [[-2, -2], [0, 0]])
        if points.dtype == tf.float16:
            assert to_points.dtype == tf.float16
            np.testing.assert_array_equal(to_points, [[2, 2]])
        else:
            assert to_points is None


def test_labels_and_statistics_have_none(backend):
    points, centroids, _ = noise(20, 3, 2)
    x, c, w = tf.Variable(points), tf.Variable(centroids), tf.Variable(tf.ones([20]))
    with tf.GradientTape(persistent=True) as tape:
        (labels, _), statistics = tfkm.accumulate(x, c, w, backend=backend)
    for value in (labels, *statistics):
        assert tape.gradient(value, [x, c, w]) == [None] * 3


@pytest.mark.parametrize("name", FUNCTIONS)
def test_products_are_not_rounded_to_tf32(name):
    """Whatever TensorFlow's global switch says: they are in float64."""

    @tf.function
    def gradients(x, c):
        with tf.GradientTape() as tape:
            tape.watch([x, c])
            value = tf.reduce_sum(FUNCTIONS[name]("reference")(x, c))
        return tape.gradient(value, [x, c])

    points, centroids, _ = noise(7, 3, 2)
    program = gradients.get_concrete_function(tf.constant(points), tf.constant(centroids))
    graph = program.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    products = [node.attr["T"].type for node in nodes if "MatMul" in node.op]
    assert set(products) <= {tf.float64.as_datatype_enum}
    assert products or name != "sq_distances"


def test_of_transform():
    points, _, _ = noise(60, 1, 3)
    model = tfkm.KMeans(3, random_state=0).fit(points)
    x = tf.constant(points)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(model.transform(x)[:, 0])
    away = points - model.cluster_centers_[0]
    expected = away / np.linalg.norm(away, axis=1, keepdims=True)
    np.testing.assert_allclose(tape.gradient(value, x), expected, rtol=1e-5, atol=1e-6)
