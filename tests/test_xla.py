"""What only the xla backend promises: tiling is invisible, memory bounded, a new n recompiles nothing."""

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm import exact
from tfkm.ops import devices, sums, tensors, validate, xla, xla_kernels
from tfkm.testing import CASES


@pytest.mark.parametrize("name", CASES)
def test_tiling_is_invisible(small_tiles, name):
    case = CASES[name]()
    expected = tfkm.accumulate(*case, backend="xla")
    small_tiles()
    got = tfkm.accumulate(*case, backend="xla")
    for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [name for name in CASES if name != "ties over tiles"])
def test_rescue_decides_as_the_screen_does(forget, monkeypatch, name):
    """With no row trusted to the screened distances, every bit stays."""
    case = CASES[name]()
    expected = tfkm.accumulate(*case, backend="xla")

    class Distrust:
        """`screen` with every real row marked unclear."""

        def __call__(self, points, centroids, frame, rows, plan):
            labels, distances, unclear = screen(points, centroids, frame, rows, plan)
            return tf.zeros_like(labels), distances * 0, tf.range(plan.block) < rows

    screen = xla_kernels.screen
    monkeypatch.setattr(xla_kernels, "screen", Distrust())
    forget()
    got = tfkm.accumulate(*case, backend="xla")
    for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_new_n_recompiles_nothing():
    """n from 1 to 5000 meets two programs: few points, and blocks."""
    rng = np.random.default_rng(0)
    points, centroids = rng.random((5000, 11), np.float32), rng.random((13, 11), np.float32)
    tfkm.assign(points[:1], centroids, backend="xla")
    tfkm.assign(points, centroids, backend="xla")
    compiled, traced = compilations(), xla._build.cache_info().currsize
    for n in (2, 17, 255, 256, 257, 1000, 4095, 4097, 4999):
        tfkm.assign(points[:n], centroids, backend="xla")
    assert compilations() == compiled
    assert xla._build.cache_info().currsize == traced


def compilations() -> int:
    return sum(
        kernel.experimental_get_tracing_count()
        for kernel in (xla_kernels.frame, xla_kernels.screen, xla_kernels.rescue)
    )


def test_products_are_not_rounded_to_tf32():
    """The compiled program asks for full precision, whatever TensorFlow's global switch says."""
    assert tf.config.experimental.tensor_float_32_execution_enabled()
    points, centroids = tf.zeros([64, 3]), tf.zeros([5, 3])
    sizes = xla_kernels.Plan(64, 64, 5, 4)
    frame = xla_kernels.frame(centroids, sizes)
    program = xla_kernels.screen.experimental_get_compiler_ir(
        points, tf.cast(centroids, tf.float64), frame, tf.constant(64), sizes
    )(stage="hlo")
    products = [line for line in program.splitlines() if " dot(" in line]
    assert products and all("operand_precision={highest,highest}" in line for line in products)


@pytest.mark.parametrize("k", [1, 10, 256, 4096, 5000, 262_145])
@pytest.mark.parametrize("d", [1, 3, 128, 4096])
@pytest.mark.parametrize("device", xla.TUNING)
def test_plan_keeps_its_bounds(k, d, device):
    tuning = xla.TUNING[device]
    sizes = xla.plan(k, d, 4, tuning)
    least = tuning.chunk_rows[0] * max(sizes.tile, d) * 4
    assert sizes.chunk * sizes.tile * 4 <= max(tuning.chunk_bytes, least)
    assert sizes.tile <= tuning.tile
    assert sizes.block % sizes.chunk == 0
    assert -(-k // sizes.tile) * sizes.tile - k < -(-k // sizes.tile)  # hardly any padding


def test_float32_margin_covers_the_measured_error():
    """The rounding of the screened distances stays within the bound that screening relies on."""
    rng = np.random.default_rng(0)
    for d in (1, 3, 50, 1000):
        x = rng.standard_normal((256, d)).astype(np.float32) * np.float32(50)
        c = rng.standard_normal((40, d)).astype(np.float32) * np.float32(50)
        frame = xla_kernels.frame(tf.constant(c), xla_kernels.Plan(256, 256, 40, 1))
        shifted = tf.constant(x) - frame.offset
        margin = np.asarray(xla_kernels._margin(tf.reduce_sum(tf.square(shifted), axis=1), frame))
        dots = np.asarray(tf.linalg.matmul(frame.factors.parts[0][0], shifted, transpose_b=True))
        got = (np.asarray(frame.sq_norms[0])[:, None] + dots).astype(np.float64)
        x64, c64 = x.astype(np.float64), c.astype(np.float64)
        true = np.square(x64[None] - c64[:, None]).sum(2)
        error = (got - got[:1]) - (true - true[:1])  # of differences: ‖x‖² is left out of `got`
        assert (np.abs(error) <= margin).all()
        assert margin.max() < 0.05 * true.max()  # and the bound is of use


def test_grid_is_shared_by_parts_made_with_other_tilings(small_tiles):
    case = CASES["weighted"]()
    points, centroids = validate.points_and_centroids(case.points, case.centroids)
    most = tensors.largest_magnitudes
    weights = tf.constant(case.weights)
    grid = exact.grid(1000, np.asarray(most(points)), 1e3)
    _, one = tensors.partial(points, centroids, weights, grid, backend="xla")
    _, first = tensors.partial(points[:400], centroids, weights[:400], grid, backend="xla")
    small_tiles()
    _, second = tensors.partial(points[400:], centroids, weights[400:], grid, backend="reference")
    for got, expected in zip(sums.rounded(first + second), sums.rounded(one), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.fixture
def precision():
    yield tfkm.set_xla_precision
    tfkm.set_xla_precision("ieee")


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("wide", "ties") else pytest.param(name, marks=pytest.mark.full)
        for name in CASES
    ],
)
def test_precision_shows_in_nothing(precision, small_tiles, name):
    """Factors of 11 bits, and two of them: what they leave unclear is decided anew."""
    case = CASES[name]()
    expected = tfkm.accumulate(*case, backend="xla")
    small_tiles()
    for other in "tf32", "tf32x3":
        precision(other)
        got = tfkm.accumulate(*case, backend="xla")
        for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
            np.testing.assert_array_equal(a, b)


def screened(points, centroids, precision):
    """Labels and unclear of the screen alone."""
    sizes = xla_kernels.Plan(len(points), len(points), len(centroids), 1, precision)
    frame = xla_kernels.frame(tf.constant(centroids), sizes)
    wide = tf.constant(centroids.astype(np.float64))
    labels, _, unclear = xla_kernels.screen(tf.constant(points), wide, frame, len(points), sizes)
    return np.asarray(labels), np.asarray(unclear)


@pytest.mark.parametrize("precision", ["tf32", "tf32x3"])
def test_what_cut_factors_leave_out_is_in_the_margin(monkeypatch, precision):
    """Without that part of it the screen would be sure of wrong labels."""
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal((2, 40)).astype(np.float32)
    near = centroids + rng.standard_normal((2, 40)).astype(np.float32) / 100
    centroids = np.concatenate([centroids, near])
    points = rng.standard_normal((4096, 40)).astype(np.float32)
    true = np.square(points[:, None].astype(np.float64) - centroids).sum(axis=2).argmin(axis=1)
    labels, unclear = screened(points, centroids, precision)
    assert (labels == true)[~unclear].all()
    share = unclear.mean()
    assert share > 0 if precision == "tf32" else share < 0.5

    rounded = xla_kernels.tf2xla.reduce_precision
    monkeypatch.setattr(  # coarser, so that what three products leave out is seen, too
        xla_kernels.tf2xla,
        "reduce_precision",
        lambda x, exponent_bits, mantissa_bits: rounded(x, 8, 2),
    )
    for kernel in "frame", "screen":
        function = getattr(xla_kernels, kernel).python_function
        again = tf.function(function, jit_compile=True, autograph=False)
        monkeypatch.setattr(xla_kernels, kernel, again)
    labels, unclear = screened(points, centroids, precision)
    assert (labels == true)[~unclear].all()
    monkeypatch.setattr(xla_kernels, "_lost", lambda a, b: tf.zeros_like(a.rest))
    monkeypatch.setattr(
        xla_kernels, "screen", tf.function(function, jit_compile=True, autograph=False)
    )
    labels, unclear = screened(points, centroids, precision)
    assert not (labels == true)[~unclear].all()


def test_a_precision_there_is_not(precision):
    with pytest.raises(ValueError, match="precision: 'half'; allowed are 'ieee', 'tf32x3', 'tf32'"):
        precision("half")


@pytest.mark.parametrize("free", [2**40, 2**34, 2**28, 3 * 2**27])
def test_sizes_follow_the_memory_of_the_card(monkeypatch, free):
    """All that runs at once leaves three quarters of it to points and results."""
    monkeypatch.setattr(devices, "card", lambda: devices.Gpu("/device:GPU:0", free))
    caps, tuning = xla.TUNING["GPU"], xla._tuning(gpu=True)
    share = min(caps.chunk_bytes, 2 ** int(np.log2(free // 16)))
    assert tuning.chunk_bytes == tuning.block_bytes == share
    assert xla._tuning(gpu=False) == xla.TUNING["CPU"]
    for k in 1, 256, 5000, 65536, 262_145:
        for d in 1, 128, 4096, 65536:
            for itemsize in 4, 8:
                sizes = xla.plan(k, d, itemsize, tuning)
                chunk = max(sizes.chunk, sizes.rescue) * sizes.tile * itemsize
                assert chunk <= share and sizes.block * d * itemsize <= share
                assert sizes.at_once * 2 * share <= free / 4
