"""MiniBatchKMeans: scikit-learn's contract, what a step does, and datasets as batches."""

import pickle
import re

import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans as Rival
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import NotFittedError

from tfkm import KMeans, MiniBatchKMeans
from tfkm.data.batches import Batches, Weighted
from tfkm.fits import minibatch
from tfkm.options import FitOptions
from tfkm.testing import noise, weighted

pytestmark = pytest.mark.quick

DIGITS = load_digits().data
BLOBS, _, CENTERS = make_blobs(
    3000, n_features=4, centers=6, cluster_std=0.5, random_state=0, return_centers=True
)


def batches_of(points, size, weights=None):
    parts = points if weights is None else (points, weights)
    return tf.data.Dataset.from_tensor_slices(parts).batch(size)


class TestAStep:
    def test_is_scikit_learns(self, backend):
        points = noise(400, 1, 5, np.float64).points
        options = dict(n_clusters=4, init=points[:4], n_init=1, reassignment_ratio=0)
        mine, theirs = MiniBatchKMeans(backend=backend, **options), Rival(**options)
        for batch in np.split(points, 4):
            mine.partial_fit(batch)
            theirs.partial_fit(batch)
            np.testing.assert_allclose(mine.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
            np.testing.assert_array_equal(mine.labels_, theirs.labels_)
            assert mine.inertia_ == pytest.approx(theirs.inertia_, rel=1e-12)
        assert mine.n_steps_ == theirs.n_steps_ == 4

    def test_weights_are_repetitions(self, backend):
        points = noise(300, 1, 3).points
        times = np.arange(300) % 4
        options = dict(init=points[:5], reassignment_ratio=0, compute_labels=True, backend=backend)
        one, other = MiniBatchKMeans(5, **options), MiniBatchKMeans(5, **options)
        for rows in np.split(np.arange(300), 3):
            one.partial_fit(points[rows], sample_weight=times[rows])
            other.partial_fit(np.repeat(points[rows], times[rows], axis=0))
            np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
            assert one.inertia_ == pytest.approx(other.inertia_, rel=1e-14)
            np.testing.assert_array_equal(np.repeat(one.labels_, times[rows]), other.labels_)

    def test_means_do_not_stall(self, backend):
        """In float32 a step of 3e-8 from 1 goes nowhere; 300 of them go 9e-6."""
        model = MiniBatchKMeans(1, init=np.float32([[1]]), compute_labels=False, backend=backend)
        model.partial_fit(np.float32([[1]]), sample_weight=[1e9])
        for _ in range(300):
            model.partial_fit(np.float32([[2]]), sample_weight=[30])
        assert float(model.cluster_centers_[0, 0]) - 1 == pytest.approx(9e-6, rel=2e-2)

    def test_bad_batch_changes_nothing(self, backend):
        model = MiniBatchKMeans(3, random_state=0, backend=backend).partial_fit(BLOBS[:100])
        before = pickle.dumps(model)
        for bad in (np.full((5, 4), np.nan), np.zeros((5, 3))):
            with pytest.raises(ValueError, match="NaN|features"):
                model.partial_fit(bad)
        with pytest.raises(ValueError, match=r"sample_weight\[1\] is -1"):
            model.partial_fit(BLOBS[:2], sample_weight=[1, -1])
        assert pickle.dumps(model) == before
        assert model.partial_fit(BLOBS[:1]).n_steps_ == 2  # fewer points than clusters


class TestReassignment:
    def state(self, counts):
        counts = np.array(counts, np.float64)
        return minibatch.MiniBatchState(np.zeros((len(counts), 2)), counts, np.dtype("float32"))

    def update(self, state, points, weights=None, ratio=0.1):
        batch = Weighted(tf.constant(points, tf.float32), weights)
        options = minibatch.MiniBatchOptions(FitOptions(2), 2, reassignment_ratio=ratio)
        return minibatch.partial_fit(state, batch, np.random.RandomState(0), options)

    def test_moves_small_clusters_to_points_of_the_batch(self):
        points = 1 + np.arange(80.0).reshape(40, 2)
        after = self.update(self.state([100, 5, 50, 1]), points)
        rows = [np.flatnonzero((points == mean).all(1)) for mean in after.means]
        assert [len(r) for r in rows] == [0, 1, 0, 1]
        # All of the batch fell to the first; the moved ones count as the least of the others does.
        np.testing.assert_array_equal(after.counts, [140, 50, 50, 50])
        assert after.since == 0

    def test_takes_at_most_half_of_the_batch_the_smallest_first(self):
        points = np.ones((4, 2)) * 9
        after = self.update(self.state([100, 3, 1, 2, 4])._replace(since=50), points)
        np.testing.assert_array_equal(after.means[:, 0] == 9, [False, False, True, True, False])

    def test_never_takes_a_point_of_weight_zero(self):
        points = np.array([[1.0, 1.0]] + [[7.0, 7.0]] * 30)
        weights = np.array([1.0] + [0.0] * 30)
        after = self.update(self.state([100, 0, 0, 0]), points, weights)
        assert (after.means == 1).all(1).sum() == 1 and not (after.means == 7).any()

    def test_waits_for_ten_points_a_cluster(self):
        few, many = np.ones((10, 2)), np.ones((21, 2))
        state = self.state([100, 1, 100])
        assert self.update(state, few).means[1, 0] == 0
        assert self.update(self.update(state, few), many).means[1, 0] == 1

    @pytest.mark.parametrize("ratio, moved", [(0, 0), (5.0, 2)])
    def test_ratio(self, ratio, moved):
        """With 0 none; however large, never the largest one."""
        points = np.ones((40, 2)) * 3
        after = self.update(self.state([100, 1, 2]), points, ratio=ratio)
        assert (after.means[1:] == 3).all(1).sum() == moved
        assert after.means[0, 0] != 3


class TestFit:
    def test_parts_belong_together_and_repeat(self, backend):
        points = DIGITS.astype(np.float32)
        options = dict(n_clusters=10, batch_size=200, random_state=0, backend=backend)
        model, again = (MiniBatchKMeans(**options).fit(points) for _ in range(2))
        np.testing.assert_array_equal(model.cluster_centers_, again.cluster_centers_)
        assert model.cluster_centers_.dtype == np.float32 and model.labels_.dtype == np.int32
        np.testing.assert_array_equal(model.predict(points), model.labels_)
        assert model.score(points) == -model.inertia_ == -again.inertia_
        for other in (tf.constant(points), np.asfortranarray(points), np.repeat(points, 2, 0)[::2]):
            model.fit(other)
            np.testing.assert_array_equal(model.cluster_centers_, again.cluster_centers_)

    @pytest.mark.parametrize("init", ["k-means++", CENTERS, lambda X, k, random_state: CENTERS])
    def test_finds_clear_clusters(self, backend, init):
        n_init = 5 if isinstance(init, str) else 1
        options = dict(n_init=n_init, random_state=0, backend=backend)
        model = MiniBatchKMeans(6, init=init, **options).fit(BLOBS)
        assert model.inertia_ < 1.01 * KMeans(6, init=CENTERS).fit(BLOBS).inertia_

    def test_quality_is_scikit_learns(self):
        def median(kind):
            options = dict(n_clusters=10, batch_size=256)
            return np.median(
                [kind(random_state=s, **options).fit(DIGITS).inertia_ for s in range(9)]
            )

        assert median(MiniBatchKMeans) < 1.02 * median(Rival)

    @pytest.mark.parametrize("factor", [0.25, 3.0, 1e-3])
    def test_weights_scale_inertia_and_nothing_else(self, backend, factor):
        points, _, weights = weighted(1000, 1, 4)
        model = MiniBatchKMeans(6, batch_size=100, random_state=0, backend=backend)
        one = clone(model).fit(points, sample_weight=weights)
        other = clone(model).fit(points, sample_weight=weights * factor)
        np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
        np.testing.assert_array_equal(one.labels_, other.labels_)
        assert other.inertia_ == pytest.approx(one.inertia_ * factor, rel=1e-12)

    def test_equal_weights_are_none(self):
        model = MiniBatchKMeans(6, random_state=0)
        one = clone(model).fit(BLOBS)
        other = clone(model).fit(BLOBS, sample_weight=np.full(3000, 3.0))
        np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)

    def test_weight_zero_is_not_there(self):
        points = np.concatenate([BLOBS, np.full((3000, 4), 1e4)])
        weights = np.repeat([1.0, 0.0], 3000)
        model = MiniBatchKMeans(6, random_state=0).fit(points, sample_weight=weights)
        assert np.abs(model.cluster_centers_).max() < 100

    def test_draws_in_proportion_to_weight(self):
        rng = np.random.RandomState(0)
        weights = np.array([0.0, 1.0, 0.0, 3.0, 0.0])
        counts = np.bincount(minibatch._Draw(5, weights, rng)(40000), minlength=5)
        assert counts[[0, 2, 4]].sum() == 0
        assert abs(counts[3] / 40000 - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 40000)
        counts = np.bincount(minibatch._Draw(4, np.full(4, 0.1), rng)(40000), minlength=4)
        assert np.abs(counts / 40000 - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 40000)

    def test_draws_no_weight_zero_at_the_ends_of_the_range(self):
        class Ends:
            def random_sample(self, size):
                return np.array([0.0, 0.5, np.nextafter(1, 0)])

        draw = minibatch._Draw(5, np.array([0.0, 1.0, 0.0, 1.0, 0.0]), Ends())
        np.testing.assert_array_equal(draw(3), [1, 3, 3])

    def test_seeds_from_the_few_points_of_weight(self):
        weights = np.zeros(3000)
        weights[::500] = 1
        options = dict(
            init="random", batch_size=20, max_iter=1, reassignment_ratio=0, random_state=0
        )
        model = MiniBatchKMeans(6, **options).fit(BLOBS, sample_weight=weights)
        np.testing.assert_allclose(model.transform(BLOBS[::500]).min(1), 0, atol=1e-12)

    def test_the_first_step_never_ends_it(self):
        """It tells of the seeding; the second begins the mean."""
        monitor = minibatch._Monitor(
            9, 1.0, minibatch.MiniBatchOptions(FitOptions(2), 2, max_no_improvement=1)
        )
        assert not monitor.sees_the_end(1, 1.0, 0.0, 0.1)
        assert not monitor.sees_the_end(2, 5.0, 2.0, 0.1)
        assert not monitor.sees_the_end(3, 4.0, 2.0, 0.1) and monitor.smoothed == 4.9
        assert monitor.sees_the_end(4, 4.0, 1.0, 0.1)

    def test_counts_steps_and_passes_as_scikit_learn_does(self):
        options = dict(n_clusters=6, batch_size=900, max_no_improvement=None, max_iter=4)
        model = MiniBatchKMeans(**options).fit(BLOBS)
        assert model.n_steps_ == 4 * 3000 // 900 and model.n_iter_ == 4
        model = MiniBatchKMeans(6, batch_size=100, max_no_improvement=3, random_state=0).fit(BLOBS)
        assert model.n_iter_ == np.ceil(model.n_steps_ * 100 / 3000) < 100

    @pytest.mark.parametrize(
        "options, reason",
        [
            (dict(tol=1e-3, max_no_improvement=None), "small centers change"),
            (dict(tol=0.0, max_no_improvement=5), "lack of improvement in inertia"),
        ],
    )
    def test_ends_early_and_says_why(self, capsys, options, reason):
        model = MiniBatchKMeans(6, batch_size=300, random_state=0, verbose=1, **options).fit(BLOBS)
        lines = capsys.readouterr().out.splitlines()
        steps = [line for line in lines if line.startswith("Minibatch step")]
        assert lines[0] == "Init 1/1 with method k-means++"
        assert 1 < model.n_steps_ == len(steps) < 1000
        assert lines[-1] == f"Converged ({reason}) at step {model.n_steps_}/1000"

    def test_prints_what_scikit_learn_prints(self, capsys):
        words = []
        for kind in MiniBatchKMeans, Rival:
            options = dict(n_init=2, batch_size=1500, max_iter=5, verbose=1, random_state=0)
            kind(6, init="random", **options, max_no_improvement=None).fit(BLOBS)
            words.append(re.sub(r"\d+\.\d+", "#", capsys.readouterr().out).splitlines())
        assert [line for line in words[0] if "Reassigning" not in line] == [
            line for line in words[1] if "Reassigning" not in line
        ]
        assert words[0][-1] == "Minibatch step 10/10: mean batch inertia: #, ewa inertia: #"

    def test_keeps_the_best_of_n_init(self):
        """Nine of ten callables' centers are all the same point."""
        calls = []

        def init(X, k, random_state):
            assert X.shape == (300, 4)
            calls.append(len(calls))
            return CENTERS if len(calls) == 4 else np.repeat(X[:1], k, axis=0)

        options = dict(init=init, n_init=10, init_size=300, max_iter=1, batch_size=3000)
        model = MiniBatchKMeans(6, random_state=0, **options).fit(BLOBS)
        assert len(calls) == 10
        np.testing.assert_allclose(model.cluster_centers_, CENTERS, atol=0.2)

    def test_without_labels(self):
        model = MiniBatchKMeans(6, random_state=0).fit(BLOBS)
        rough = MiniBatchKMeans(6, random_state=0, compute_labels=False).fit(BLOBS)
        np.testing.assert_array_equal(model.cluster_centers_, rough.cluster_centers_)
        assert not hasattr(rough, "labels_")
        assert rough.inertia_ == pytest.approx(model.inertia_, rel=0.2)
        model.set_params(compute_labels=False).partial_fit(BLOBS[:9])
        assert not hasattr(model, "labels_") and not hasattr(model, "inertia_")

    def test_partial_fit_goes_on_from_a_pickle(self):
        model = MiniBatchKMeans(6, random_state=0).fit(BLOBS[:2000])
        again = pickle.loads(pickle.dumps(model))
        for part in np.split(BLOBS[2000:], 5):
            model.partial_fit(part)
            again.partial_fit(part)
        np.testing.assert_array_equal(model.cluster_centers_, again.cluster_centers_)
        fresh = clone(model).fit(BLOBS)
        np.testing.assert_array_equal(model.fit(BLOBS).cluster_centers_, fresh.cluster_centers_)

    def test_restarts_from_an_array_are_warned_of_once(self, recwarn):
        model = MiniBatchKMeans(6, init=CENTERS, n_init=2)
        for part in np.split(BLOBS, 3):
            model.partial_fit(part)
        assert [w.category for w in recwarn] == [RuntimeWarning]

    def test_warns_of_a_small_init_size(self):
        with pytest.warns(RuntimeWarning, match="init_size=10 should be larger than n_clusters=20"):
            MiniBatchKMeans(20, init_size=10).fit(BLOBS)

    @pytest.mark.parametrize(
        "options, message",
        [
            (dict(n_clusters=3001), "n_samples=3000 should be >= n_clusters=3001"),
            (dict(batch_size=0), "'batch_size' parameter of MiniBatchKMeans must be an int"),
            (dict(max_no_improvement=-1), "'max_no_improvement' parameter"),
            (dict(reassignment_ratio=-0.1), "'reassignment_ratio' parameter"),
            (dict(init=CENTERS[:2]), "initial centers .* does not match the number of clusters 6"),
            (dict(init=CENTERS[:, :2]), "initial centers .* does not match the number of features"),
            (dict(backend="opencl"), "backend: 'opencl'"),
        ],
    )
    def test_bad_parameters(self, options, message):
        with pytest.raises(ValueError, match=message):
            MiniBatchKMeans(**{"n_clusters": 6} | options).fit(BLOBS)

    def test_not_fitted(self):
        with pytest.raises(NotFittedError):
            MiniBatchKMeans().predict(BLOBS)


class TestDataset:
    @pytest.mark.parametrize("has_weights", [False, True])
    def test_is_partial_fit_of_its_elements(self, backend, has_weights):
        """Bit for bit, the ragged last one included."""
        weights = np.linspace(0, 3, 3000) if has_weights else None
        dataset = batches_of(BLOBS, 700, weights)
        options = dict(init=CENTERS, random_state=0, backend=backend, compute_labels=False)
        one = MiniBatchKMeans(6, max_iter=2, max_no_improvement=None, **options).fit(dataset)
        other = MiniBatchKMeans(6, **options)
        for element in [*dataset, *dataset]:
            points, weights = element if has_weights else (element, None)
            other.partial_fit(
                points, sample_weight=None if weights is None else np.asarray(weights)
            )
        np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
        assert one.n_steps_ == other.n_steps_ == 10 and one.n_iter_ == 2
        assert one.n_features_in_ == 4

    @pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
    def test_labels_are_in_its_order(self, dtype):
        points = DIGITS.astype(dtype)
        model = MiniBatchKMeans(10, random_state=0).fit(batches_of(points, 500))
        np.testing.assert_array_equal(model.labels_, model.predict(points))
        assert model.inertia_ == pytest.approx(-model.score(points), rel=1e-14)

    def test_finds_clear_clusters(self):
        dataset = batches_of(BLOBS, 128).shuffle(24, seed=0)
        model = MiniBatchKMeans(6, n_init=3, random_state=0).fit(dataset)
        assert -model.score(BLOBS) < 1.01 * KMeans(6, init=CENTERS).fit(BLOBS).inertia_

    def test_unknown_cardinality_and_batches_without_weight(self):
        def generate():
            for rows in np.split(BLOBS.astype(np.float32), 10):
                yield rows, np.ones(300)
                yield np.full((7, 4), 1e6, np.float32), np.zeros(7)  # padding
                yield np.zeros((0, 4), np.float32), np.zeros(0)

        signature = (tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.float64))
        dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
        options = dict(init=CENTERS, max_iter=3, max_no_improvement=None, random_state=0)
        model = MiniBatchKMeans(6, **options).fit(dataset)
        assert model.n_steps_ == 30 and model.labels_.shape == (3070,)
        np.testing.assert_allclose(model.cluster_centers_, CENTERS, atol=0.2)

    def test_endless(self):
        endless = batches_of(BLOBS, 300).repeat()
        with pytest.raises(ValueError, match="compute_labels: True; X is a dataset without an end"):
            MiniBatchKMeans(6).fit(endless)
        options = dict(compute_labels=False, max_no_improvement=None, random_state=0)
        model = MiniBatchKMeans(6, max_iter=17, n_init=3, **options).fit(endless)
        assert model.n_steps_ == 17 and model.n_iter_ == 1

    def test_predict_is_mapped(self):
        dataset = batches_of(BLOBS, 300)
        model = MiniBatchKMeans(6, random_state=0).fit(dataset)
        with pytest.raises(TypeError, match=r"use dataset.map\(model.predict\)"):
            model.predict(dataset)
        mapped = np.concatenate(list(dataset.map(model.predict).as_numpy_iterator()))
        np.testing.assert_array_equal(mapped, model.labels_)

    @pytest.mark.parametrize(
        "dataset, error, message",
        [
            (batches_of(BLOBS[:5], 2), ValueError, "n_samples=5 should be >= n_clusters=6"),
            (tf.data.Dataset.from_tensor_slices(BLOBS), ValueError, r"of shape \(4,\)"),
            (tf.data.Dataset.from_tensors({"x": BLOBS}), TypeError, "have to be batches of points"),
            (tf.data.Dataset.from_tensors(BLOBS.astype(str)), TypeError, "X: dtype object"),
            (batches_of(BLOBS, 9, -np.ones(3000)), ValueError, r"weights of X: .* is -1.0"),
            (batches_of(BLOBS, 9).take(0), ValueError, "X: an empty dataset"),
            (batches_of(np.where(BLOBS > 9, np.nan, BLOBS), 500), ValueError, "is NaN"),
            (
                tf.data.Dataset.from_generator(
                    lambda: iter([BLOBS, BLOBS[:, :3]]),
                    output_signature=tf.TensorSpec([None, None], tf.float64),
                ),
                ValueError,
                "X: a batch of 3 features; the first has 4",
            ),
        ],
    )
    def test_bad_dataset(self, dataset, error, message):
        model = MiniBatchKMeans(6)
        with pytest.raises(error, match=message):
            model.fit(dataset)
        assert not hasattr(model, "cluster_centers_")

    def test_weights_belong_to_its_elements(self):
        with pytest.raises(ValueError, match="sample_weight: given together with a dataset"):
            MiniBatchKMeans(6).fit(batches_of(BLOBS, 300), sample_weight=np.ones(3000))

    def test_known_number_of_batches(self):
        assert Batches(batches_of(BLOBS, 700)).count == 5
        assert Batches(batches_of(BLOBS, 700).filter(lambda x: True)).count is None
        assert Batches(batches_of(BLOBS, 700).repeat()).infinite
