"""Inside a user's tf.function(jit_compile=True): every backend, unknown n, loops, and bad values."""

import ctypes

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm import tensorflow_private
from tfkm.ops import native_library, native_ops, tensor_backends, xla_call
from tfkm.testing import CASES, assert_same_assignment, noise

compiled = tf.function(jit_compile=True)


def assert_same(got, expected, exactly=True):
    for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        assert a.dtype == b.dtype
        if exactly or a.dtype == tf.int32:
            np.testing.assert_array_equal(a, b)
        else:  # XLA may add a row's squares in another order
            np.testing.assert_allclose(a, b, rtol=1e-5 if a.dtype == tf.float32 else 1e-12)


@pytest.mark.parametrize("name", CASES)
def test_cases(backend, name):
    case = CASES[name]()
    call = lambda *args: tfkm.accumulate(*args, backend=backend)  # noqa: E731
    got = compiled(call)(*case)
    assert_same_assignment(got[0], case)
    assert_same(got, call(*case), exactly=backend == "native")


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    "dtype", [tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.uint8], ids=str
)
def test_dtypes(dtype, wide):
    case = noise(500, 7, 12)
    points = tf.cast(tf.round(8 * case.points), dtype)
    centroids = tf.cast(8 * case.centroids, tf.float64 if wide else tf.float32)
    call = lambda x, c: tfkm.accumulate(x, c, backend="native")  # noqa: E731
    assert_same(compiled(call)(points, centroids), call(points, centroids))


def test_unknown_n(backend):
    call = lambda x, c, w: tfkm.accumulate(x, c, w, backend=backend)  # noqa: E731
    specs = [tf.TensorSpec(shape) for shape in ([None, 5], [4, 5], [None])]
    function = tf.function(call, input_signature=specs, jit_compile=True)
    for n in (1, 3, 1000, 5000, 0):
        points, centroids, _ = noise(n, 4, 5) if n else noise(4, 4, 5)
        points, weights = points[:n], np.linspace(1, 2, n, dtype=np.float32)
        got = function(points, centroids, weights)
        assert_same(got, call(points, centroids, weights), exactly=backend == "native")
    assert function.experimental_get_tracing_count() == 1


def test_in_a_loop(backend):
    """Lloyd's iteration, whole in one program."""
    points, centroids, _ = noise(3000, 6, 9)

    def lloyd(x, c):
        def step(i, c):
            _, (sums, weights, _) = tfkm.accumulate(x, c, backend=backend)
            return i + 1, tf.cast(sums / weights[:, None], tf.float32)

        return tf.while_loop(lambda i, _: i < 5, step, (0, c))[1]

    expected = tf.constant(centroids)
    for _ in range(5):
        _, (sums, weights, _) = tfkm.accumulate(points, expected, backend=backend)
        expected = tf.cast(sums / weights[:, None], tf.float32)
    np.testing.assert_array_equal(compiled(lloyd)(points, centroids), expected)


def test_layouts(backend):
    """XLA may keep a transposed operand as it was; a call has to get it row by row."""
    points, centroids, _ = noise(500, 7, 12)
    call = lambda x, c: tfkm.assign(tf.transpose(x), tf.transpose(c), backend=backend)  # noqa: E731
    got = compiled(call)(points.T.copy(), centroids.T.copy())
    assert_same(got.labels, tfkm.assign(points, centroids, backend=backend).labels)


def test_sq_distances(backend):
    points, centroids, _ = noise(500, 7, 12)
    call = lambda x, c: tfkm.ops.sq_distances(x, c, backend=backend)  # noqa: E731
    assert_same(compiled(call)(points, centroids), call(points, centroids), exactly=False)


@pytest.mark.full
def test_small_tiles(small_tiles):
    """Blocks with a short last one, many chunks and rescues of three rows."""
    small_tiles()
    for n in (1, 3, 64, 65, 1000):
        case = noise(n, 10, 6)
        twice = np.concatenate([case.centroids, case.centroids])  # every row is unclear
        call = lambda x, c: tfkm.accumulate(x, c, backend="xla")  # noqa: E731
        assert_same(compiled(call)(case.points, twice), call(case.points, twice), exactly=False)


def test_a_compiled_function_traced_before(backend):
    """Its graph is that of a compiled one, wherever it is called from."""
    points, centroids, _ = noise(500, 7, 12)
    inner = compiled(lambda x, c: tfkm.assign(x, c, backend=backend).labels)
    expected = inner(points, centroids)
    got = compiled(lambda x, c: inner(x, c))(points, centroids)
    np.testing.assert_array_equal(got, expected)


def test_none_takes_the_native_call():
    function = compiled(lambda x: tfkm.assign(x, x[:2]).labels)
    assert "tfkm_assign" in function.experimental_get_compiler_ir(tf.ones([9, 3]))()


@pytest.fixture
def no_call(monkeypatch):
    monkeypatch.setattr(native_ops, "why_not_in_xla", lambda: "XLA is too old")


def test_without_the_call_another_is_taken_and_told(no_call):
    state = tfkm.backends()["native"]
    assert state.usable and "not inside tf.function(jit_compile=True): XLA is too old" in state.why
    points, centroids, _ = noise(100, 3, 4)

    def assign(backend):
        return compiled(lambda x: tfkm.assign(x, centroids, backend=backend).labels)

    assert "tfkm_assign" not in assign(None).experimental_get_compiler_ir(tf.constant(points))()
    np.testing.assert_array_equal(assign(None)(points), tfkm.assign(points, centroids).labels)
    with pytest.raises(RuntimeError, match="'native' cannot be used here: not inside .* too old"):
        assign("native")(points)
    assert tensor_backends.select(None) is native_ops


def test_a_tensorflow_without_the_interface(monkeypatch):
    def why_not():
        return xla_call.why_not.__wrapped__(native_library.library())

    assert why_not() == ""
    monkeypatch.setattr(tensorflow_private, "FFI_API", "of_another_name")
    assert why_not() == "RuntimeError: this TensorFlow shows no XLA FFI"
    other = ctypes.create_string_buffer(1000)
    monkeypatch.setattr(tensorflow_private, "xla_ffi_api", lambda: ctypes.addressof(other))
    assert why_not().startswith("XLA refuses the kernels: its version is not one")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_bad_values_come_out_as_nan(backend, value):
    """XLA leaves assertions out."""
    call = compiled(lambda x, c, w: tfkm.accumulate(x, c, w, backend=backend))
    points, centroids, _ = noise(9, 2, 3)
    fine = np.ones(9)
    bad = points.copy()
    bad[4, 1] = value
    (_, distances), statistics = call(bad, centroids, fine)
    assert np.isnan(distances).nonzero()[0] == [4]
    assert all(np.isnan(part).all() for part in statistics)
    assignment, statistics = call(
        points, np.where(centroids == centroids[1, 1], value, centroids), fine
    )
    assert np.isnan(assignment.sq_distances).all()
    assert all(np.isnan(part).all() for part in statistics)
    if value != 1e20:
        assignment, statistics = call(points, centroids, np.where(np.arange(9) == 4, value, fine))
        assert np.isfinite(assignment.sq_distances).all()
        assert all(np.isnan(part).all() for part in statistics)
