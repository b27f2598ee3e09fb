"""Properties that hold for any input, on problems that Hypothesis draws and makes small where one fails."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfkm
from tfkm import seeding
from tfkm.testing import ties, two_far_groups, weighted

SEEDINGS = (tfkm.kmeans_plusplus, tfkm.kmeans_parallel, tfkm.afk_mc2, tfkm.random_points)
DTYPES = ("float32", "float64", "float16", "int8", "uint8")
# The same examples in every run: a change that fails has failed by itself.
settings.register_profile(
    "tfkm",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tfkm")


class Drawn(NamedTuple):
    points: np.ndarray  # (n, d)
    centroids: np.ndarray  # (k, d), float64 if points are, else float32
    weights: np.ndarray | None  # (n,)


@st.composite
def problems(draw, dtypes=DTYPES, most_k=20) -> Drawn:
    """Points around a few places that may be far off, near ties and copies among them, in any layout."""
    dtype = draw(st.sampled_from(dtypes))
    n, d = draw(st.integers(1, 70)), draw(st.integers(1, 40))
    k = draw(st.integers(1, most_k))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1.0, 2.0**-10, 2.0**10]))
    offset = draw(st.sampled_from([0.0, 1e3, -3e4]))
    if dtype in ("float16", "int8", "uint8"):
        scale, offset = 30.0, 100.0 if dtype == "uint8" else 0.0
    places = rng.standard_normal((3, d)) * draw(st.sampled_from([0, 1, 50]))
    values = rng.standard_normal((n + k, d)) + places[rng.integers(0, 3, n + k)]
    if draw(st.booleans()):
        values = np.rint(values)  # exact ties
    values = values * scale + offset
    if dtype.endswith("int8"):
        values = np.rint(values).clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    points, centroids = values[:n].astype(dtype), values[n:]
    if draw(st.booleans()):  # copies of points and of each other
        centroids = np.concatenate([centroids, points.astype(float)])[rng.integers(0, n + k, k)]
    centroids = centroids.astype("float64" if dtype == "float64" else "float32")
    weights = None
    if draw(st.booleans()):
        weights = 10.0 ** rng.uniform(-3, 3, n) * (rng.uniform(size=n) > 0.2)
        weights[rng.integers(n)] = 1.0
    layout = draw(st.sampled_from(["C", "F", "gap", "backwards"]))
    if layout == "F":
        points = np.asfortranarray(points)
    elif layout == "gap":
        points = np.pad(points, [(0, 0), (1, 2)])[:, 1:-2]
    elif layout == "backwards":
        points = points[::-1].copy()[::-1]
    return Drawn(points, centroids, weights)


def sq_distances(points, centroids) -> np.ndarray:
    """(n, k) in long double."""
    differences = points[:, None].astype(np.longdouble) - centroids.astype(np.longdouble)
    return np.square(differences).sum(axis=2)


@pytest.mark.quick
@given(problems())
@settings(max_examples=200)
def test_labels_are_those_of_the_nearest(problem):
    points, centroids, _ = problem
    labels, distances = map(np.asarray, tfkm.assign(points, centroids))
    true = sq_distances(points, centroids)
    rows = np.arange(len(points))
    error = 1e-14 * true.min(
        axis=1
    )  # of the direct form in float64, by which near ties are decided
    assert (true[rows, labels] <= true.min(axis=1) + error).all()
    first = (true <= true.min(axis=1, keepdims=True)).argmax(axis=1)
    clear = (true <= (true.min(axis=1) + error)[:, None]).sum(axis=1) == 1
    exact = np.rint(points.astype(float)) == points  # integers: ties are exact, the first one wins
    np.testing.assert_array_equal(labels[clear], first[clear])
    if exact.all() and (np.rint(centroids) == centroids).all():
        np.testing.assert_array_equal(labels, first)
    relative = 1e-6 if distances.dtype == np.float32 else 1e-14
    np.testing.assert_allclose(distances, true[rows, labels].astype(float), rtol=relative)


@pytest.mark.quick
@given(problems())
@settings(max_examples=150)
def test_statistics_are_correctly_rounded(problem):
    points, centroids, weights = problem
    (labels, distances), (sums, sizes, inertia) = tfkm.accumulate(points, centroids, weights)
    labels, w = np.asarray(labels), np.ones(len(points)) if weights is None else weights
    for label in range(len(centroids)):
        own, own_w = points[labels == label].astype(float), w[labels == label]
        assert float(sizes[label]) == math.fsum(own_w)
        terms = own_w[:, None] * own
        expected = [math.fsum(column) for column in terms.T]
        largest = np.abs(points.astype(float)).max(axis=0) * w.max()
        np.testing.assert_allclose(sums[label], expected, rtol=3e-16, atol=largest.max() * 2e-27)
    true = sq_distances(points, centroids)[np.arange(len(points)), labels]
    expected = float((w.astype(np.longdouble) * true).sum())
    assert float(inertia) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.quick
@given(problems(), st.integers(0, 2**31))
@settings(max_examples=60)
def test_backends_order_and_parts_are_invisible(problem, seed):
    points, centroids, weights = problem
    expected = tfkm.accumulate(points, centroids, weights)
    order = np.random.default_rng(seed).permutation(len(points))
    some = None if weights is None else weights[order]
    moved = tfkm.accumulate(points[order], centroids, some)
    np.testing.assert_array_equal(moved[0].labels, np.asarray(expected[0].labels)[order])
    np.testing.assert_array_equal(
        moved[0].sq_distances, np.asarray(expected[0].sq_distances)[order]
    )
    for part, whole in zip(moved[1], expected[1], strict=True):
        np.testing.assert_array_equal(part, whole)
    other = tfkm.accumulate(points, centroids, weights, backend="reference")
    np.testing.assert_array_equal(other[0].labels, expected[0].labels)
    for part, whole in zip(other[1][:2], expected[1][:2], strict=True):
        np.testing.assert_array_equal(part, whole)
    alone = tfkm.assign(points[:1], centroids)
    np.testing.assert_array_equal(alone.labels, expected[0].labels[:1])
    np.testing.assert_array_equal(alone.sq_distances, expected[0].sq_distances[:1])


@pytest.mark.quick
@given(problems(most_k=8), st.sampled_from(list(seeding.NAMES)), st.integers(1, 3), st.booleans())
@settings(max_examples=100)
def test_what_a_fit_returns_belongs_together(problem, init, n_init, cosine):
    points, centroids, weights = problem
    usable = points.astype(float).any(axis=1) if cosine else np.ones(len(points), bool)
    usable &= True if weights is None else weights > 0
    k = min(len(centroids), int(usable.sum()))
    if not k:
        return
    options = dict(
        init=init, n_init=n_init, random_state=0, metric="cosine" if cosine else "euclidean"
    )
    model = tfkm.KMeans(k, **options).fit(points, sample_weight=weights)
    np.testing.assert_array_equal(model.predict(points), model.labels_)
    assert model.score(points, sample_weight=weights) == -model.inertia_
    again = tfkm.KMeans(k, **options).fit(points.copy(order="C"), sample_weight=weights)
    np.testing.assert_array_equal(again.cluster_centers_, model.cluster_centers_)
    assert (again.inertia_, again.n_iter_) == (model.inertia_, model.n_iter_)
    if cosine:
        lengths = np.linalg.norm(model.cluster_centers_.astype(float), axis=1)
        np.testing.assert_allclose(lengths, 1, rtol=1e-6)
        return
    nearest = sq_distances(points, model.cluster_centers_).min(axis=1)
    w = np.ones(len(points)) if weights is None else weights
    rounding = (1e-15 * np.abs(points.astype(float)).max()) ** 2 * w.sum()  # of means
    assert model.inertia_ == pytest.approx(float((w * nearest).sum()), rel=1e-12, abs=rounding)


@pytest.mark.quick
@given(problems(dtypes=("float32", "uint8"), most_k=5), st.integers(1, 30), st.booleans())
@settings(max_examples=12)
def test_a_stream_is_as_memory(problem, batch, parallel):
    points, centroids, weights = problem
    k = min(len(centroids), len(points) if weights is None else np.count_nonzero(weights))

    class Batches:
        name, d, dtype, weighted = "drawn", points.shape[1], points.dtype, weights is not None
        rows = len(points)

        def read(self, start):
            for i in range(start, len(points), batch):
                own = None if weights is None else weights[i : i + batch]
                yield tfkm.streams.Part(np.ascontiguousarray(points[i : i + batch]), own)

    options = dict(init="k-means||" if parallel else "random", n_init=2, random_state=1, max_iter=5)
    stream = tfkm.kmeans(Batches(), k, **options)
    memory = tfkm.kmeans(points, k, weights=weights, **options)
    np.testing.assert_array_equal(stream.centroids, memory.centroids)
    assert stream[2:] == memory[2:]


@pytest.mark.quick
@given(problems(), st.sampled_from(SEEDINGS))
@settings(max_examples=80)
def test_seeds_are_points_of_weight(problem, seed):
    points, centroids, weights = problem
    k = min(len(centroids), len(points))
    chosen, indices = seed(points, k, weights=weights, random_state=0)
    np.testing.assert_array_equal(
        chosen, points[np.asarray(indices)].astype(np.asarray(chosen).dtype)
    )
    if weights is not None:
        assert (weights[np.asarray(indices)] > 0).all()
    different = np.unique(points if weights is None else points[weights > 0], axis=0)
    got = np.unique(chosen, axis=0)
    if seed is not tfkm.random_points:
        assert len(got) == min(k, len(different))


@pytest.mark.quick
@pytest.mark.parametrize("name", [name for name in tfkm.backends() if name != "cuda"])
def test_every_backend_has_the_same_bits(name):
    """Also with padding and leading dimensions, and so gradients; on shapes that are shared."""
    for case in (two_far_groups(300, 8, 16), ties(300, 8, 16), weighted(300, 8, 16)):
        expected = tfkm.accumulate(*case, backend="native")
        got = tfkm.accumulate(*case, backend=name)
        *got_bits, inertia = tf.nest.flatten(got)
        *bits, expected_inertia = tf.nest.flatten(expected)
        for a, b in zip(got_bits, bits, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(
            inertia, expected_inertia, rtol=1e-12
        )  # XLA adds squares in its order
        points = tf.constant(case.points)
        with tf.GradientTape() as tape:
            tape.watch(points)
            distances = tfkm.assign(points, case.centroids, backend=name).sq_distances
        own = case.centroids[np.asarray(expected[0].labels)]
        np.testing.assert_allclose(
            tape.gradient(distances, points), 2 * (case.points - own), rtol=1e-6
        )
    both = tfkm.assign(np.stack([case.points] * 2), case.centroids, n_points=[300, 7], backend=name)
    labels = np.asarray(expected[0].labels)
    np.testing.assert_array_equal(both.labels, [labels, np.where(np.arange(300) < 7, labels, -1)])
