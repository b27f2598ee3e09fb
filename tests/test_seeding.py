"""seeding: what may be chosen, how often, and that blocks and offsets do not matter."""

import numpy as np
import pytest
import tensorflow as tf

from tfkm import ops, seeding
from tfkm import points as points_module
from tfkm.points import Points
from tfkm.testing import duplicates, noise


def seed(points, k, init="k-means++", state=0, **options):
    points = Points(np.asarray(points))
    return seeding.seed(points, k, init, np.random.RandomState(state), **options).numpy()


def rows_of(centroids, points):
    return [int(np.flatnonzero((points == c).all(1))[0]) for c in centroids]


@pytest.mark.parametrize("init", seeding.NAMES)
class TestChosen:
    def test_are_distinct_points(self, backend, init):
        points = noise(500, 1, 3).points
        centroids = seed(points, 20, init, backend=backend)
        assert centroids.dtype == np.float32 and len(set(rows_of(centroids, points))) == 20

    def test_never_have_weight_zero(self, backend, init):
        points = noise(60, 1, 3).points
        weights = (np.arange(60) % 3 == 0).astype(float)
        for state in range(5):
            chosen = rows_of(
                seed(points, 20, init, state, weights=weights, backend=backend), points
            )
            assert sorted(chosen) == list(range(0, 60, 3))

    def test_follow_the_seed(self, backend, init):
        points = noise(500, 1, 3).points
        one, same, other = (seed(points, 9, init, s, backend=backend) for s in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)

    def test_blocks_are_invisible(self, monkeypatch, backend, init):
        points = noise(3000, 1, 3).points
        expected = seed(points, 9, init, backend=backend)
        monkeypatch.setattr(points_module, "_COPY_BYTES", 1000)
        np.testing.assert_array_equal(seed(points, 9, init, backend=backend), expected)

    def test_duplicates_do_not_make_it_fail(self, backend, init):
        points = duplicates(300, 1, 4).points
        assert seed(points, 20, init, backend=backend).shape == (20, 4)
        assert seed(np.ones((30, 2), np.float32), 30, init, backend=backend).shape == (30, 2)


def test_kmeans_plusplus_finds_every_far_group(backend):
    """Greedy k-means++ on groups far apart takes one of each; random choice hardly ever does."""
    rng = np.random.default_rng(0)
    centers = np.arange(12)[:, None] * 1e4
    points = (centers[rng.integers(0, 12, 600)] + rng.standard_normal((600, 1))).astype(np.float32)
    for state in range(5):
        chosen = seed(points, 12, state=state, backend=backend)
        assert len(np.unique(np.round(chosen / 1e4))) == 12


def test_kmeans_plusplus_draws_by_squared_distance():
    """With one trial, the second of three points on a line is drawn as 1² to 3² of the first."""
    points = np.array([[0.0], [1.0], [3.0]])
    counts = np.zeros(3)
    for state in range(4000):
        rng = np.random.RandomState(state)
        potential = seeding._Potential(Points(points), None, "xla")
        potential.add(0)
        counts[potential.draw(rng.uniform(size=1))[0]] += 1
    assert counts[0] == 0
    assert abs(counts[2] / 4000 - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 4000)


def test_potential_is_exact_and_picks_the_best(backend):
    points = noise(400, 1, 5, np.float64).points
    potential = seeding._Potential(Points(points), None, backend)
    potential.add(7)
    candidates = np.array([1, 50, 399])
    near = np.square(points - points[7]).sum(1)
    expected = [np.minimum(near, np.square(points - points[c]).sum(1)).sum() for c in candidates]
    np.testing.assert_allclose(potential.total, near.sum(), rtol=1e-12)
    np.testing.assert_allclose(potential.with_each(candidates), expected, rtol=1e-12)


def test_a_long_tail_is_not_lost():
    """All of the potential lies in the last of 2 million points' costs, one 1e-9 of another."""
    points = np.zeros((2_000_000, 1), np.float32)
    points[-1_000_000:] = 1e-3
    points[0] = 1e3
    potential = seeding._Potential(Points(points), None, None)
    potential.add(1)
    np.testing.assert_allclose(potential.total, 1e6 + 1.0, rtol=1e-7)
    drawn = potential.draw(np.random.RandomState(0).uniform(size=3))
    assert set(drawn) == {0}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint8"])
@pytest.mark.parametrize(
    "n, k, d, weighted", [(700, 40, 3, False), (300, 299, 20, True), (65, 9, 1, True)]
)
def test_native_chooses_as_the_blocks_do(dtype, n, k, d, weighted):
    """On whole numbers, of which every distance and sum is exact in both forms."""
    rng = np.random.default_rng(n)
    points = tf.cast(rng.integers(0, 12, (n, d)), dtype).numpy()
    weights = rng.integers(0, 3, n).astype(float) if weighted else None
    first, uniforms = int(np.argmax(weights)) if weighted else 5, rng.random((k - 1, 6))
    for given in (points, np.repeat(points, 2, axis=0)[::2]):  # the second with rows apart
        chosen = ops.kmeans_plusplus(given, weights, first, uniforms, backend="native")
        expected = seeding._in_blocks(Points(given), weights, first, uniforms, "reference")
        np.testing.assert_array_equal(chosen, expected)


def test_native_leaves_what_it_cannot_read():
    points = np.asfortranarray(noise(50, 1, 4).points)
    assert ops.kmeans_plusplus(points, None, 0, np.zeros((3, 2)), backend="native") is None
    assert seed(points, 4, backend="native").shape == (4, 4)


def test_array_is_taken_as_it_is():
    got = seed(noise(9, 1, 2).points, 2, [[0, 1], [2, 3]])
    np.testing.assert_array_equal(got, np.float32([[0, 1], [2, 3]]))


def test_callable_gets_the_data_and_the_state():
    points = noise(9, 1, 2).points
    given = []

    def init(X, k, random_state):
        given.append((X, k, random_state))
        return X[:k]

    state = np.random.RandomState(0)
    got = seeding.seed(Points(points), 3, init, state, original=points)
    np.testing.assert_array_equal(got, points[:3])
    assert given[0][0] is points and given[0][1:] == (3, state)


@pytest.mark.parametrize(
    "init, error, message",
    [
        (np.zeros((2, 3)), ValueError, r"init: shape \(2, 3\); it needs shape \(2, 2\)"),
        (np.full((2, 2), np.nan), ValueError, r"init\[0, 0\] is NaN"),
        (np.full((2, 2), 1e30), ValueError, r"init\[0\] is .* overflows"),
        (["text"], TypeError, "init: dtype string; it needs real numbers"),
        (lambda X, k, random_state: X[:1], ValueError, r"init\(…\): shape \(1, 2\)"),
    ],
)
def test_bad_init(init, error, message):
    points = Points(tf.zeros([5, 2]))
    with pytest.raises(error, match=message):
        seeding.seed(points, 2, init, np.random.RandomState(0), original=np.zeros((5, 2)))
