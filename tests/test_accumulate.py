"""accumulate: sums that are right to the last bit, whatever the order, on every backend."""

from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm import exact
from tfkm.ops import sums, tensors, validate
from tfkm.testing import CASES, noise, weighted

pytestmark = pytest.mark.quick


def exact_sums(case, labels) -> np.ndarray:
    """(k, d) float64, the correctly rounded weighted sums by rational arithmetic."""
    k, d = case.centroids.shape
    totals = [[Fraction(0)] * d for _ in range(k)]
    weights = np.ones(len(labels)) if case.weights is None else case.weights
    for point, weight, label in zip(case.points.astype(np.float64), weights, labels, strict=True):
        for j in range(d):  # each product is rounded to float64 once, as documented
            totals[label][j] += Fraction(float(weight * point[j]))
    return np.array([[float(value) for value in row] for row in totals])


SMALL = [n for n in CASES if n not in ("uint8", "many centroids", "ties over tiles", "wide")]


@pytest.mark.parametrize("name", SMALL)
def test_sums_are_correctly_rounded(backend, name):
    case = CASES[name]()
    (labels, distances), (sums, weights, inertia) = tfkm.accumulate(
        case.points, case.centroids, case.weights, backend=backend
    )
    assert sums.dtype == weights.dtype == inertia.dtype == tf.float64
    alone = tfkm.assign(case.points, case.centroids, backend=backend)
    np.testing.assert_array_equal(labels, alone.labels)
    np.testing.assert_array_equal(distances, alone.sq_distances)
    expected = exact_sums(case, np.asarray(labels))
    largest = np.abs(expected).max()
    np.testing.assert_allclose(sums, expected, rtol=3e-16, atol=1e-25 * largest)
    w = np.ones(len(labels)) if case.weights is None else case.weights
    np.testing.assert_allclose(weights, np.bincount(labels, w, len(case.centroids)), rtol=1e-14)
    centers = case.centroids.astype(np.float64)[np.asarray(labels)]
    direct = np.square(case.points.astype(np.float64) - centers).sum(1)
    np.testing.assert_allclose(float(inertia), (w * direct).sum(), rtol=1e-12)


@pytest.mark.parametrize("make", [noise, weighted])
def test_parts_add_up_to_the_same_bits(backend, make):
    """Any split, in any order, of points that would sum differently in plain float64."""
    case = make(3001, 6, 4, np.float64)
    points = case.points * 10.0 ** np.random.default_rng(0).uniform(-9, 9, case.points.shape)
    weights = None if case.weights is None else tf.constant(case.weights)
    args = validate.points_and_centroids(points, case.centroids)
    most = tensors.largest_magnitudes
    grid = exact.grid(3001, np.asarray(most(args[0])), 1.0 if weights is None else 1e3)

    def fold(cuts, order):
        parts = [
            tensors.partial(
                args[0][a:b], args[1], None if weights is None else weights[a:b], grid,
                backend=backend,
            )[1]
            for a, b in zip([0, *cuts], [*cuts, 3001], strict=True)
        ]  # fmt: skip
        total = parts[order[0]]
        for i in order[1:]:
            total = total + parts[i]
        return [np.asarray(word) for word in sums.rounded(total)]

    whole = fold([], [0])
    for cuts, order in ([[1000, 2000], [2, 0, 1]], [[1, 7, 2999], [3, 1, 0, 2]]):
        for got, expected in zip(fold(cuts, order), whole, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_counters_pass_the_limit_of_float32(backend):
    """2^24 + 2^22 zeros and ones: float32 counters stop at 2^24."""
    points = np.zeros((20_971_520, 1), np.float32)
    points[1::2] = 1
    _, (sums, weights, inertia) = tfkm.accumulate(points, [[0.5]], backend=backend)
    assert float(sums[0, 0]) == 10_485_760
    assert float(weights[0]) == 20_971_520
    assert float(inertia) == 5_242_880


@pytest.mark.parametrize("backend", ["native", "xla"])
@pytest.mark.full
def test_memory_does_not_grow_with_n_times_k(python, backend):
    """n·k = 2.2e9 passes 2³¹ and would be 8.8 GB of float32."""
    code = """
        import resource, sys
        import numpy as np, tensorflow as tf, tfkm
        points = np.random.default_rng(0).random((2_200_000, 1), np.float32)
        tfkm.accumulate(points[:70_000], points[:1000], backend=sys.argv[1])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        (labels, _), statistics = tfkm.accumulate(points, points[:1000], backend=sys.argv[1])
        assert float(tf.reduce_sum(statistics.weights)) == 2_200_000
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    assert int(python(code, backend)) * 1024 < 500e6


def test_integer_weights_equal_repeated_points(backend):
    case = noise(400, 5, 3)
    times = np.random.default_rng(0).integers(0, 4, 400)
    _, weighted_ = tfkm.accumulate(case.points, case.centroids, times, backend=backend)
    repeated = np.repeat(case.points, times, axis=0)
    _, plain = tfkm.accumulate(repeated, case.centroids, backend=backend)
    np.testing.assert_array_equal(weighted_.sums, plain.sums)
    np.testing.assert_array_equal(weighted_.weights, plain.weights)
    # weight · distance is rounded once, distance + distance + … never
    np.testing.assert_allclose(weighted_.inertia, plain.inertia, rtol=1e-15)


def test_statistics_add():
    case = noise(400, 5, 3)
    _, first = tfkm.accumulate(case.points[:100], case.centroids)
    _, second = tfkm.accumulate(case.points[100:], case.centroids)
    _, whole = tfkm.accumulate(case.points, case.centroids)
    for got, expected in zip(first + second, whole, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_no_points(backend):
    none = np.empty((0, 3), np.float32)
    (labels, _), statistics = tfkm.accumulate(none, np.ones((2, 3), np.float32), backend=backend)
    assert labels.shape == (0,)
    assert statistics.sums.shape == (2, 3) and not np.any(statistics.sums)
    assert not np.any(statistics.weights) and float(statistics.inertia) == 0


def test_in_a_function_and_dataset_map(backend):
    case = weighted(1000, 4, 5)
    _, expected = tfkm.accumulate(*case, backend=backend)
    function = tf.function(
        lambda x, w: tfkm.accumulate(x, case.centroids, w, backend=backend)[1],
        input_signature=[tf.TensorSpec([None, 5]), tf.TensorSpec([None], tf.float64)],
    )
    for got, value in zip(function(case.points, case.weights), expected, strict=True):
        np.testing.assert_array_equal(got, value)
    batches = tf.data.Dataset.from_tensor_slices((case.points, case.weights)).batch(130)
    total = sum_of(batches.map(function))
    for got, value in zip(total, expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-13)


def sum_of(statistics):
    statistics = iter(statistics)
    total = tfkm.Statistics(*next(statistics))
    for part in statistics:
        total = total + tfkm.Statistics(*part)
    return total
