"""Leading batch dimensions: each problem as it is alone, bit for bit, on every backend."""

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm import exact
from tfkm.ops import backends, tensors
from tfkm.ops.backend import Problems
from tfkm.testing import ties

pytestmark = pytest.mark.quick

# Leading dimensions of points, of centroids, and those to which they broadcast.
LEADING = {
    "both": ((3,), (3,), (3,)),
    "one set of points": ((), (4,), (4,)),
    "one set of points, 1": ((1,), (4,), (4,)),
    "one set of centroids": ((3,), (), (3,)),
    "two dimensions": ((2, 1), (1, 3), (2, 3)),
    "fewer": ((2, 3), (3,), (2, 3)),
    "no problem": ((0,), (0,), (0,)),
    "no problem of some centroids": ((0,), (1,), (0,)),
}


def problems(leading, n, k, d, dtype=np.float32, seed=0):
    """Points and centroids with these leading dimensions, each problem at another scale and place."""
    rng = np.random.default_rng([seed, n, k, d])
    return [
        (rng.standard_normal((*dims, rows, d)) * 10 ** rng.uniform(-2, 2, (*dims, 1, 1)) + 3).astype(dtype)
        for dims, rows in zip(leading, (n, k), strict=False)
    ]  # fmt: skip


def alone(function, batch, *arrays):
    """function of each problem, by a loop; arrays with the number of their own dimensions."""
    spread = [np.broadcast_to(a, (*batch, *a.shape[a.ndim - own :])) for a, own in arrays]
    return {i: function(*(a[i] for a in spread)) for i in np.ndindex(*batch)}


def assert_equal(got, expected, batch):
    parts = tf.nest.flatten(got)
    for i in np.ndindex(*batch):
        for part, own in zip(parts, tf.nest.flatten(expected[i]), strict=True):
            assert part.dtype == own.dtype
            np.testing.assert_array_equal(part[i], own)


@pytest.mark.parametrize("leading", LEADING.values(), ids=LEADING)
@pytest.mark.parametrize("n", [0, 1, 37])
def test_leading_dimensions(backend, leading, n):
    points, centroids = problems(leading, n, 5, 3)
    batch = leading[2]
    weights = np.random.default_rng(0).uniform(0, 2, (*leading[0], n)) + 1e-3
    run = lambda *args: tfkm.accumulate(*args, backend=backend)  # noqa: E731
    got = run(points, centroids, weights)
    assert got[0].labels.shape == (*batch, n) and got[1].sums.shape == (*batch, 5, 3)
    assert got[1].weights.shape == (*batch, 5) and got[1].inertia.shape == batch
    expected = alone(run, batch, (points, 2), (centroids, 2), (weights, 1))
    assert_equal(got, expected, batch)
    assert_equal(
        tfkm.assign(points, centroids, backend=backend),
        {i: e[0] for i, e in expected.items()},
        batch,
    )
    got = run(points, centroids)
    assert_equal(got, alone(run, batch, (points, 2), (centroids, 2)), batch)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    "dtype", [tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.uint8], ids=str
)
def test_dtypes(dtype, wide):
    points, centroids = problems(((3,), (3,)), 70, 6, 11, np.float64)
    points = tf.cast(tf.clip_by_value(tf.round(points), 0, 99), dtype)
    centroids = tf.cast(centroids, tf.float64 if wide else tf.float32)
    run = lambda *args: tfkm.accumulate(*args, backend="native")  # noqa: E731
    got = run(points, centroids)
    assert_equal(got, {(i,): run(points[i], centroids[i]) for i in range(3)}, (3,))


# Below and above the size from which native shares one problem out to all threads, and one set of points
# that is read in parts.
SIZES = {
    "small": ((9,), (9,), 60, 7, 5),
    "large": ((3,), (3,), 30000, 20, 9),
    "large, some points shared": ((2, 1), (2, 3), 30000, 20, 9),
    "one set of points in parts": ((), (3,), 300_000, 5, 8),
}


@pytest.mark.parametrize("points_of, centroids_of, n, k, d", SIZES.values(), ids=SIZES)
def test_sizes(points_of, centroids_of, n, k, d):
    points, centroids = problems((points_of, centroids_of), n, k, d)
    weights = np.random.default_rng(0).uniform(0, 2, (*centroids_of, n))
    run = lambda *args: tfkm.accumulate(*args, backend="native")  # noqa: E731
    for some in ((), (weights,)):
        got = run(points, centroids, *some)
        expected = alone(run, centroids_of, (points, 2), (centroids, 2), *((w, 1) for w in some))
        assert_equal(got, expected, centroids_of)


def test_ties():
    points, centroids, _ = ties(600, 24, 3)
    got = tfkm.assign(points.reshape(4, 150, 3), np.stack([centroids] * 4), backend="native")
    np.testing.assert_array_equal(
        np.reshape(got.labels, -1), tfkm.assign(points, centroids, backend="native").labels
    )


def test_points_are_not_copied_for_each_problem():
    """One set of points with many sets of centroids."""
    resource = pytest.importorskip("resource")
    points = tf.random.stateless_uniform((400_000, 16), [0, 0])  # 26 MB
    centroids = tf.random.stateless_uniform((40, 1, 16), [0, 1])
    tfkm.assign(points, centroids[:2], backend="native")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tfkm.assign(points, centroids, backend="native")
    results = 40 * 400_000 * 8 // 1024
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1.5 * results
    )  # else 8 times


@pytest.mark.parametrize("layout", ["array", "rows apart", "held"])
@pytest.mark.parametrize("counted", [False, True])
def test_arrays(backend, layout, counted):
    """`sweep`: each problem its own points, of which some rows count; the others unread."""
    points, centroids = problems(((3,), (4,)), 20, 3, 2, np.float64)
    rows, own = np.array([20, 0, 7, 7]), np.array([2, 0, 1, 2])
    if counted:
        points[0], points[1, 7:] = np.nan, np.inf
    weights = np.random.default_rng(0).uniform(1, 2, (2, 20))
    table = np.stack([own, np.arange(4), [0, 0, 1, 1]], axis=1)
    grid = exact.grid(20, np.full((4, 2), 1e3), np.full(4, 2.0))
    given = points
    if layout == "rows apart":
        given = np.zeros((3, 25, 5))[:, :20, 1:3]
        given[...] = points
    module = backends.select(backend)
    sweep = module.sweep(
        module.held(points) if layout == "held" else given, centroids, weights, grid,
        Problems(table, rows if counted else None),
    )  # fmt: skip
    for i in range(4):
        until = rows[i] if counted else 20
        x, w = points[own[i], :until], weights[table[i, 2], :until]
        one = exact.Grid(grid.sums[i], grid.others[i])
        expected = tensors.partial(*map(tf.constant, (x, centroids[i], w)), one, backend=backend)
        got = (tfkm.Assignment(sweep.labels[i, :until], sweep.sq_distances[i, :until]),
               tf.nest.map_structure(lambda part, i=i: part[i], sweep.statistics))  # fmt: skip
        tf.nest.map_structure(np.testing.assert_array_equal, got, expected)
        assert (sweep.labels[i, until:] == -1).all()
        assert (sweep.sq_distances[i, until:] == 0).all()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("known", [True, False])
def test_in_a_graph(backend, jit, known):
    points, centroids = problems(((2, 1), (3,)), 40, 4, 3)
    weights = np.random.default_rng(0).uniform(1, 2, (2, 3, 40)).astype(np.float32)
    unknown = [tf.TensorSpec(s) for s in ([None, None, None, 3], [None, 4, 3], [None, None, None])]
    function = tf.function(
        lambda *args: tfkm.accumulate(*args, backend=backend), jit_compile=jit,
        input_signature=None if known else unknown,
    )  # fmt: skip
    got = function(points, centroids, weights)
    expected = tfkm.accumulate(points, centroids, weights, backend=backend)
    for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        assert a.shape == b.shape
        if jit and backend == "reference":
            np.testing.assert_allclose(a, b, rtol=1e-5)
        else:
            np.testing.assert_array_equal(a, b)


def test_shapes_are_inferred():
    specs = [tf.TensorSpec(s) for s in ([7, None, 3], [7, 5, 3])]
    function = tf.function(lambda *args: tfkm.accumulate(*args, backend="native"))
    (labels, distances), statistics = function.get_concrete_function(*specs).structured_outputs
    assert labels.shape.as_list() == distances.shape.as_list() == [7, None]
    assert [s.shape.as_list() for s in statistics] == [[7, 5, 3], [7, 5], [7]]


def test_bad_values_inside_xla_spoil_their_problem_alone(backend):
    points, centroids = problems(((4,), (4,)), 30, 3, 2)
    weights = np.ones((4, 30))
    points[1, 4, 0], centroids[2, 1, 1], weights[3, 9] = np.nan, np.inf, -1
    call = tf.function(lambda *a: tfkm.accumulate(*a, backend=backend), jit_compile=True)
    (_, distances), statistics = call(points, centroids, weights)
    bad = [[4], range(30), []]
    assert [np.flatnonzero(np.isnan(d)).tolist() for d in distances[1:]] == [list(b) for b in bad]
    assert [bool(np.isnan(i)) for i in statistics.inertia] == [False, True, True, True]
    assert np.isfinite(statistics.sums[0]).all()


@pytest.mark.parametrize(
    "leading, spoil, message",
    [
        (((2, 3), (3,)), ("points", (1, 2, 5, 1), np.nan), r"points\[1, 2, 5, 1\] is NaN"),
        (((), (3,)), ("points", (5, 1), np.nan), r"points\[5, 1\] is NaN"),
        (((2, 1), (3,)), ("points", (1, 0, 5, 1), np.inf), r"points\[1, 0, 5, 1\] is infinity"),
        (((2,), (2,)), ("points", (1, 5, 1), 1e30), r"squared norm of points\[1, 5\]"),
        (((2,), (2,)), ("centroids", (1, 0, 1), np.nan), r"centroids\[1, 0, 1\] is NaN"),
        (((2,), (2,)), ("centroids", (1, 0, 1), 1e30), r"squared norm of centroids\[1, 0\]"),
        (((2,), (2,)), ("weights", (1, 3), -1), r"weights\[1, 3\] is -1.0; each"),
        (((2,), (2,)), ("weights", (1, slice(None)), 0), r"weights: all of weights\[1\] are zero"),
    ],
)  # fmt: skip
def test_bad_values_are_named(backend, leading, spoil, message):
    points, centroids = problems(leading, 10, 3, 2)
    arrays = dict(points=points, centroids=centroids, weights=np.ones((*leading[0], 10)))
    arrays[spoil[0]][spoil[1]] = spoil[2]
    with pytest.raises(ValueError, match=message):
        tfkm.accumulate(**arrays, backend=backend)


@pytest.mark.parametrize(
    "points, centroids, weights, message",
    [
        (
            (2, 9, 3),
            (3, 4, 3),
            None,
            r"centroids: .*dimensions \(3,\) do not broadcast with \(2,\)",
        ),
        ((9, 3), (4,), None, "centroids: shape .*; it needs rank 2 or more"),
        (
            (2, 9, 3),
            (2, 4, 3),
            (3, 9),
            r"weights: .*dimensions \(3,\) do not broadcast with \(2,\)",
        ),
        ((9, 3), (4, 3), (2, 9), r"weights: shape \(2, 9\); it needs shape \(9,\)"),
        ((1, 9, 3), (4, 3), (2, 9), r"weights: shape \(2, 9\); its leading dimensions"),
        ((2, 9, 3), (4, 3), (2, 8), r"weights: shape \(2, 8\); it needs shape \(…, 9\)"),
    ],
)
def test_shapes_that_do_not_fit(backend, points, centroids, weights, message):
    arrays = [np.ones(shape, np.float32) for shape in (points, centroids, weights) if shape]
    with pytest.raises(ValueError, match=message):
        tfkm.accumulate(*arrays, backend=backend)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(problems=[[2, 0, 0]]), "no such points"),
        (dict(problems=[[-1, 0, 0]]), "no such points"),
        (dict(problems=[[0, 1, 0]]), "no such centroids"),
        (dict(problems=[[0, 0, 3]], weights=np.ones((3, 5))), "no such weights"),
        (dict(rows=[6]), "more than there are points"),
        (dict(rows=[1, 1]), "one is needed for each problem"),
        (dict(weights=np.ones((1, 4))), "one is needed for each point"),
        (dict(grid=np.ones((2, 3))), r"grid: needs shape \(B, 2\)"),
        (dict(points=np.ones((5, 2), np.float32)), "rank 3"),
    ],
)
def test_the_op_itself_checks_its_input(changes, message):
    from tfkm.ops import native_library

    arguments = dict(
        points=np.ones((2, 5, 2), np.float32), centroids=np.ones((1, 3, 2), np.float32),
        problems=[[1, 0, 0]], rows=np.zeros(0, np.int64), weights=np.zeros((0, 0)),
        grid_sums=np.ones((1, 2)), grid=np.ones((1, 2)),
    )  # fmt: skip
    arguments |= changes
    arguments["problems"] = np.int64(arguments["problems"])
    arguments["rows"] = np.int64(arguments["rows"])
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        native_library.ops().tfkm_accumulate_batch(**arguments)
