"""seeding: what may be chosen, how often, and that blocks and offsets do not matter."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import chi2_contingency, chisquare

import tfkm
from tfkm import seeding
from tfkm.data import points as points_module
from tfkm.data.points import Points
from tfkm.ops import backends
from tfkm.ops.native import Native
from tfkm.seeding import parallel
from tfkm.seeding import potential as potential_module
from tfkm.seeding.plusplus import in_blocks
from tfkm.seeding.potential import Potential
from tfkm.seeding.problem import SeedingProblem
from tfkm.testing import duplicates, noise

PLAIN = functools.partial(tfkm.kmeans_plusplus, n_local_trials=1)
FUNCTIONS = {name: seeding.function_of(name) for name in seeding.NAMES}
FORMS = {**FUNCTIONS, "plain": PLAIN}
BY_DISTANCE = {name: form for name, form in FORMS.items() if name != "random"}


def parametrize(forms):
    return pytest.mark.parametrize("init", forms.values(), ids=forms)


def seed(points, k, init="k-means++", state=0, backend=None, **options):
    points, rng = Points(np.asarray(points)), np.random.RandomState(state)
    return seeding.seed(points, k, init, rng, backend=backends.select(backend), **options)


def potential_of(points, *chosen, weights=None, backend=None):
    points = Points(points)
    none = np.zeros((0, points.d), points.compute)
    potential = Potential(SeedingProblem(points, weights, none, 0, None, backends.select(backend)))
    for index in chosen:
        potential.add(points[np.array([index])])
    return potential


def rows_of(centroids, points):
    return [int(np.flatnonzero((points == c).all(1))[0]) for c in centroids]


@parametrize(FORMS)
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
        monkeypatch.setattr(potential_module, "_BLOCK", 128)
        monkeypatch.setattr(potential_module, "_DISTANCES", 1000)
        np.testing.assert_array_equal(seed(points, 9, init, backend=backend), expected)

    def test_duplicates_do_not_make_it_fail(self, backend, init):
        points = duplicates(300, 1, 4).points
        assert seed(points, 20, init, backend=backend).shape == (20, 4)
        assert seed(np.ones((30, 2), np.float32), 30, init, backend=backend).shape == (30, 2)


@pytest.mark.parametrize("init", ["k-means++", "k-means||"])
def test_finds_every_far_group(backend, init):
    """On groups far apart these take one of each; random choice hardly ever does."""
    rng = np.random.default_rng(0)
    centers = np.arange(12)[:, None] * 1e4
    points = (centers[rng.integers(0, 12, 600)] + rng.standard_normal((600, 1))).astype(np.float32)
    for state in range(5):
        chosen = seed(points, 12, init, state, backend=backend)
        assert len(np.unique(np.round(chosen / 1e4))) == 12


@parametrize(BY_DISTANCE)
@pytest.mark.every_backend
@pytest.mark.quick
def test_all_backends_choose_alike(backend, init):
    """On whole numbers, of which every distance and sum is exact."""
    rng = np.random.default_rng(0)
    points = rng.integers(0, 50, (700, 3)).astype(np.float32)
    weights = rng.integers(0, 4, 700).astype(float)
    for given in (None, points[:3] + 1):
        one, same = (
            init(points, 30, weights=weights, random_state=1, given=given, backend=name)
            for name in (backend, "reference")
        )
        np.testing.assert_array_equal(one.indices, same.indices)
        np.testing.assert_array_equal(one.centroids, same.centroids)


@pytest.mark.parametrize("init", [PLAIN, tfkm.afk_mc2], ids=["plain", "afk-mc2"])
def test_draws_by_weight_and_squared_distance(init):
    """Sets of three of five points, as often as the definition of k-means++ says."""
    points = np.array([[0.0], [1.0], [3.0], [4.0], [9.0]])
    weights = np.array([1.0, 4, 0, 2, 0.5])
    expected = {}
    for order in itertools.permutations(np.flatnonzero(weights), 3):
        probability = weights[order[0]] / weights.sum()
        for i in (1, 2):
            costs = weights * np.square(points - points[list(order[:i])].T).min(1)
            probability *= costs[order[i]] / costs.sum()
        expected[frozenset(order)] = expected.get(frozenset(order), 0) + probability
    counts = dict.fromkeys(expected, 0)
    for state in range(2000):
        chosen = init(points, 3, weights=weights, random_state=state).indices
        counts[frozenset(np.asarray(chosen).tolist())] += 1
    expected = [2000 * expected[key] for key in counts]
    assert chisquare(list(counts.values()), expected).pvalue > 1e-3


@parametrize({name: FORMS[name] for name in ("k-means++", "k-means||")})
def test_a_weight_is_as_good_as_copies(init):
    points = np.array([[0.0], [1.0], [3.0], [4.0], [9.0], [10.0]])
    weights = np.array([1, 12, 1, 6, 1, 2])
    copies = np.repeat(points, weights, axis=0)
    drawn = [], []
    for state in range(600):
        one = init(points, 3, weights=weights, random_state=state)
        other = init(copies, 3, random_state=10_000 + state)
        for found, seeds in zip(drawn, (one, other), strict=True):
            found.append(sum(2 ** np.searchsorted(points[:, 0], np.asarray(seeds.centroids)[:, 0])))
    sets, counts = np.unique(np.concatenate(drawn), return_counts=True)
    sets = sets[counts >= 10]
    table = [[np.count_nonzero(found == one) for one in sets] for found in map(np.array, drawn)]
    assert len(sets) > 3 and chi2_contingency(table).pvalue > 1e-3


class TestGiven:
    @pytest.mark.quick
    @parametrize(FORMS)
    def test_come_first_and_the_rest_are_points(self, init):
        points = noise(300, 1, 3).points
        given = points[:4] + 0.5
        centroids, indices = init(points, 12, given=given, random_state=0)
        np.testing.assert_array_equal(centroids[:4], given)
        np.testing.assert_array_equal(indices[:4], np.full(4, -1))
        np.testing.assert_array_equal(centroids[4:], points[indices[4:]])
        assert len(set(np.asarray(indices))) == 1 + 8

    @pytest.mark.quick
    @parametrize(BY_DISTANCE)
    def test_repel_the_rest(self, init):
        """Of groups far apart, those with a given centroid get no second one."""
        rng = np.random.default_rng(0)
        groups = rng.integers(0, 5, 400)
        points = (1e4 * groups[:, None] + rng.standard_normal((400, 2))).astype(np.float32)
        for state in range(5):
            chosen = init(points, 5, given=[[0, 0], [2e4, 2e4]], random_state=state).indices[2:]
            assert sorted(groups[chosen]) == [1, 3, 4]

    @parametrize(BY_DISTANCE)
    def test_may_be_all_that_differs(self, init):
        points = np.ones((20, 2), np.float32)
        centroids, indices = init(points, 4, given=points[:1], random_state=0)
        np.testing.assert_array_equal(centroids, np.ones((4, 2)))
        assert (np.asarray(indices)[1:] >= 0).all()

    @pytest.mark.parametrize(
        "given, message",
        [
            (np.zeros(2), r"given: shape \(2,\); it needs shape \(m, 2\) with 1 ≤ m < 3"),
            (np.zeros((1, 3)), r"given: shape \(1, 3\)"),
            (np.zeros((0, 2)), r"given: shape \(0, 2\)"),
            (np.zeros((3, 2)), r"given: shape \(3, 2\)"),
            (np.full((1, 2), np.nan), r"given\[0, 0\] is NaN"),
        ],
    )
    def test_bad(self, given, message):
        points = np.zeros((5, 2))
        with pytest.raises(ValueError, match=message):
            tfkm.kmeans_plusplus(points, 3, given=given)
        with pytest.raises(ValueError, match=message):
            tfkm.kmeans(points, 3, init=functools.partial(tfkm.afk_mc2, given=given))


class TestFunctions:
    @pytest.mark.parametrize("name", seeding.NAMES)
    def test_choose_what_the_name_does(self, name):
        points, weights = noise(300, 1, 3).points, np.arange(300) % 4
        centroids, indices = FUNCTIONS[name](points, 9, weights=weights, random_state=5)
        np.testing.assert_array_equal(centroids, seed(points, 9, name, 5, weights=weights / 1.0))
        np.testing.assert_array_equal(centroids, points[indices])
        assert indices.dtype == tf.int64

    @parametrize(FORMS)
    def test_take_weights_and_backend_from_the_fit(self, backend, init):
        points = noise(60, 1, 3).points
        weights = (np.arange(60) % 3 == 0).astype(float)
        chosen = rows_of(seed(points, 20, init, weights=weights, backend=backend), points)
        assert sorted(chosen) == list(range(0, 60, 3))

    @parametrize(FORMS)
    def test_are_tried_as_often_as_their_names(self, init):
        starts = set()
        tfkm.kmeans(noise(60, 1, 3).points, 4, init=init, on_pass=lambda p: starts.add(p.start))
        assert len(starts) == (10 if init is tfkm.random_points else 1)

    def test_a_callable_of_the_users_own_is_tried_ten_times(self):
        points, starts = noise(60, 1, 3).points, set()

        def init(X, k, random_state):
            return tfkm.kmeans_plusplus(X, k, random_state=random_state).centroids

        tfkm.kmeans(points, 4, init=init, on_pass=lambda p: starts.add(p.start))
        assert len(starts) == 10

    @pytest.mark.parametrize(
        "function, settings, error, message",
        [
            (tfkm.kmeans_plusplus, dict(n_local_trials=0), ValueError, "n_local_trials: 0; it nee"),
            (tfkm.kmeans_plusplus, dict(n_local_trials=2.5), TypeError, "n_local_trials: 2.5 is"),
            (tfkm.kmeans_parallel, dict(rounds=0), ValueError, "rounds: 0; it needs an integer"),
            (tfkm.kmeans_parallel, dict(oversampling=0), ValueError, "oversampling: 0; it needs a"),
            (tfkm.kmeans_parallel, dict(oversampling=np.inf), ValueError, "oversampling: inf"),
            (tfkm.afk_mc2, dict(chain_length=0), ValueError, "chain_length: 0; it needs an int"),
            (tfkm.afk_mc2, dict(chain=3), TypeError, "unexpected keyword argument 'chain'"),
        ],
    )
    def test_bad_settings(self, function, settings, error, message):
        points = np.full((5, 2), np.nan)  # is not looked at
        with pytest.raises(error, match=message):
            function(points, 2, **settings)
        with pytest.raises(error, match=message):
            tfkm.kmeans(points, 2, init=functools.partial(function, **settings))

    @pytest.mark.parametrize(
        "options, error, message",
        [
            (dict(n_clusters=6), ValueError, "n_clusters: 6 is more than the 5 points"),
            (dict(n_clusters=0), ValueError, "n_clusters: 0; it needs an integer ≥ 1"),
            (dict(weights=[1, 1, 1, 1, -1]), ValueError, r"weights\[4\] is -1.0"),
            (dict(points=np.full((5, 2), np.inf)), ValueError, r"points\[0, 0\] is infinity"),
            (dict(backend="opencl"), ValueError, "backend: 'opencl'"),
        ],
    )
    def test_bad_arguments(self, options, error, message):
        with pytest.raises(error, match=message):
            tfkm.kmeans_parallel(**{"points": np.zeros((5, 2)), "n_clusters": 2, **options})

    def test_may_not_say_what_the_fit_says(self):
        points = np.zeros((5, 2))
        init = functools.partial(tfkm.kmeans_plusplus, weights=np.ones(5))
        with pytest.raises(TypeError, match="init: kmeans_plusplus with weights, which only"):
            tfkm.kmeans(points, 2, init=init)
        with pytest.raises(
            TypeError, match="init: afk_mc2 with a positional argument, which only the fit sets"
        ):
            tfkm.kmeans(points, 2, init=functools.partial(tfkm.afk_mc2, points))


@parametrize(BY_DISTANCE)
def test_every_distinct_point_is_found_before_one_is_taken_twice(backend, init):
    points = np.zeros((3000, 2), np.float32)
    points[[7, 700, 2999]] = [[1, 0], [0, 2], [3, 3]]
    for k in (4, 6):
        chosen = seed(points, k, init, backend=backend)
        assert len(np.unique(chosen, axis=0)) == 4


def test_short_chains_fall_back():
    """All but three of the points coincide with a centroid: chains of 2 see nothing else."""
    points = np.zeros((3000, 1))
    points[:3, 0] = [1, 1, 2]
    for state in range(20):
        indices = tfkm.afk_mc2(points, 3, chain_length=2, random_state=state).indices
        assert len(np.unique(points[indices])) == 3


@pytest.mark.quick
def test_few_points_of_weight_are_repeated(backend):
    points, weights = np.arange(12.0).reshape(6, 2), [0, 1, 0, 0, 3, 0]
    for name in tfkm.seeding.NAMES:
        options = {} if name == "random" else {"backend": backend}
        seeding = tfkm.seeding.function_of(name)
        seeds = seeding(points, 4, weights=weights, random_state=0, **options)
        assert set(np.asarray(seeds.indices)) == {1, 4}
        np.testing.assert_array_equal(seeds.centroids, points[seeds.indices])
        together = dict(weights=weights, init=name, n_init=1, backend=backend)
        batch = tfkm.kmeans_batch(points[None], 4, **{**together, "weights": [weights]})
        assert batch.inertia[0] == tfkm.kmeans(points, 4, **together).inertia == 0
        ones = tf.data.Dataset.from_tensors((points, np.float64(weights)))
        assert tfkm.kmeans(ones, 4, init=name, n_init=1).inertia == 0


def test_few_candidates_are_completed():
    points = noise(500, 1, 3).points
    for options in (dict(rounds=1, oversampling=0.1), dict(rounds=2, oversampling=0.5)):
        indices = np.asarray(tfkm.kmeans_parallel(points, 20, random_state=0, **options).indices)
        assert len(set(indices)) == 20


@pytest.mark.parametrize("n, enough", [(999, True), (1001, False)])
def test_parallel_takes_no_more_candidates_than_half_of_the_points(n, enough, monkeypatch):
    points, among = noise(n, 1, 3).points, []
    chooser = seeding.parallel.plusplus.chooser
    counted = lambda problem: among.append(problem.points.n) or chooser()(problem)  # noqa: E731
    monkeypatch.setattr(seeding.parallel.plusplus, "chooser", lambda *settings: counted)
    found = tfkm.kmeans_parallel(points, 50, random_state=0)
    assert len(set(found.indices)) == 50
    if enough:
        expected = tfkm.kmeans_plusplus(points, 50, random_state=0)
        np.testing.assert_array_equal(found.indices, expected.indices)
    else:
        assert 50 < among[0] <= 501


def test_parallel_weighs_candidates_by_their_clusters():
    """Unweighted, the many candidates of a thin cloud around two dense groups would win."""
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((4000, 2)) * 0.01 + np.tile([[0, 0], [1, 0]], (2000, 1))
    points = np.concatenate([dense, rng.uniform(-8, 8, (40, 2))])
    for state in range(10):
        chosen = tfkm.kmeans_parallel(points, 4, random_state=state).indices
        assert np.count_nonzero(chosen < 4000) == 2


def test_more_trials_than_the_core_takes():
    points = noise(400, 1, 3).points
    one = tfkm.kmeans_plusplus(points, 9, n_local_trials=100, random_state=0)
    same = tfkm.kmeans_plusplus(points, 9, n_local_trials=100, random_state=0, backend="reference")
    np.testing.assert_array_equal(one.indices, same.indices)


@pytest.mark.quick
def test_sizes_are_those_of_the_clusters(backend):
    points, centroids, weights = noise(700, 9, 3, np.float64)[:2] + (np.arange(700) % 3 / 2,)
    problem = SeedingProblem(
        Points(points), weights, centroids[:4], 0, None, backends.select(backend)
    )
    potential = Potential(problem, labelled=True)
    potential.add(centroids[4:])
    _, expected = tfkm.accumulate(points, centroids, weights)
    np.testing.assert_array_equal(potential.sizes(), expected.weights)
    np.testing.assert_allclose(potential.total, expected.inertia, rtol=1e-12)


@pytest.mark.quick
def test_candidates_weigh_what_is_nearest_to_them_and_not_to_given_ones():
    points = noise(500, 1, 3).points
    given, rng = points[:4] + np.float32(0.5), np.random.RandomState(0)
    problem = SeedingProblem(Points(points), None, given, 5, rng, backends.select(None))
    indices, sizes = parallel._candidates(problem, 2, 6)
    nearest = tfkm.assign(points, np.concatenate([given, points[indices]])).labels
    np.testing.assert_array_equal(sizes, np.bincount(nearest, minlength=4 + len(indices))[4:])


def test_potential_is_exact_and_picks_the_best(backend):
    points = noise(400, 1, 5, np.float64).points
    potential = potential_of(points, 7, backend=backend)
    candidates = np.array([1, 50, 399])
    near = np.square(points - points[7]).sum(1)
    expected = [np.minimum(near, np.square(points - points[c]).sum(1)).sum() for c in candidates]
    np.testing.assert_allclose(potential.total, near.sum(), rtol=1e-12)
    np.testing.assert_allclose(potential.with_each(candidates), expected, rtol=1e-12)


@parametrize(BY_DISTANCE)
def test_costs_too_small_for_a_step(init):
    """Squared distances of 1e-320 cannot be told from 0 on a grid; the choice is by weight."""
    points = np.arange(5.0)[:, None] * 1e-160
    assert (np.asarray(init(points, 3, random_state=0).indices) >= 0).all()


def test_a_long_tail_is_not_lost():
    """All of the potential lies in the last of 2 million points' costs, one 1e-9 of another."""
    points = np.zeros((2_000_000, 1), np.float32)
    points[-1_000_000:] = 1e-3
    points[0] = 1e3
    potential = potential_of(points, 1)
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
    points = np.asarray(tf.cast(rng.integers(0, 12, (n, d)), dtype))
    weights = rng.integers(0, 3, n).astype(float) if weighted else None
    first, uniforms = int(np.argmax(weights)) if weighted else 5, rng.random((k - 1, 6))
    for given in (points, np.repeat(points, 2, axis=0)[::2]):  # the second with rows apart
        own = None if weights is None else weights[None]
        (chosen,) = Native().kmeans_plusplus(
            given[None], np.array([n]), own, np.array([first]), uniforms[None]
        )
        none = np.zeros((0, d), Points(given).compute)
        problem = SeedingProblem(
            Points(given), weights, none, k, None, backends.select("reference")
        )
        expected = in_blocks(problem, first, uniforms)
        np.testing.assert_array_equal(chosen, expected)


def test_native_leaves_what_it_cannot_do():
    """More candidates in a round than the kernel has room for: the blocks do it."""
    points = noise(50, 1, 4).points
    one = np.array([50]), None, np.array([0])
    assert Native().kmeans_plusplus(points[None], *one, np.zeros((1, 3, 65))) is None
    seeds = tfkm.kmeans_plusplus(points, 4, n_local_trials=65, random_state=0, backend="native")
    assert seeds.centroids.shape == (4, 4)


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
    backend = backends.select(None)
    got = seeding.seed(Points(points), 3, init, state, original=points, backend=backend)
    np.testing.assert_array_equal(got, points[:3])
    assert given[0][0] is points and given[0][1:] == (3, state)


@pytest.mark.parametrize(
    "init, error, message",
    [
        (np.zeros((2, 3)), ValueError, r"init: shape \(2, 3\); it needs shape \(2, 2\)"),
        (np.full((2, 2), np.nan), ValueError, r"init\[0, 0\] is NaN"),
        (np.full((2, 2), 1e30), ValueError, r"init\[0\] is .* overflows"),
        (["text"], TypeError, "init: 'text', which is text"),
        (lambda X, k, random_state: X[:1], ValueError, r"init\(…\): shape \(1, 2\)"),
    ],
)
@pytest.mark.quick
def test_bad_init(init, error, message):
    with pytest.raises(error, match=message):
        tfkm.kmeans(np.zeros((5, 2), np.float32), 2, init=init)
