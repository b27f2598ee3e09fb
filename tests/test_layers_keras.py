"""Keras layers: that they train, keep what they learnt, and respect the policy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm.layers import NearestCentroid, VectorQuantizer

RNG = np.random.default_rng(0)
CENTERS = RNG.normal(size=(6, 4)).astype(np.float32) * 8
POINTS = (CENTERS[RNG.integers(0, 6, 900)] + RNG.normal(size=(900, 4))).astype(np.float32)


def saved(model, path):
    model.save(path / "m.keras")
    return keras.saving.load_model(path / "m.keras")


@pytest.fixture(scope="module", params=["euclidean", "cosine"])
def fitted(request):
    return tfkm.KMeans(5, metric=request.param, random_state=0).fit(POINTS)


class TestNearestCentroid:
    def test_is_the_fitted_model(self, fitted):
        labels = NearestCentroid(fitted.cluster_centers_, metric=fitted.metric)
        distances = NearestCentroid(
            fitted.cluster_centers_, metric=fitted.metric, output="distances"
        )
        np.testing.assert_array_equal(labels(POINTS), fitted.labels_)
        np.testing.assert_array_equal(distances(POINTS), fitted.transform(POINTS))
        images = POINTS.reshape(9, 10, 10, 4)
        np.testing.assert_array_equal(labels(images), fitted.labels_.reshape(9, 10, 10))
        assert distances(images).shape == (9, 10, 10, 5)

    def test_in_a_model_that_is_saved(self, fitted, tmp_path):
        inputs = keras.Input((4,))
        outputs = [
            NearestCentroid(fitted.cluster_centers_, metric=fitted.metric, output=output)(inputs)
            for output in ("labels", "distances")
        ]
        model = keras.Model(inputs, outputs)
        assert [tuple(o.shape) for o in model.outputs] == [(None,), (None, 5)]
        assert model.outputs[0].dtype == "int32" and not model.trainable_weights
        for some in (model, saved(model, tmp_path)):
            labels, distances = some.predict(POINTS, verbose=0)
            np.testing.assert_array_equal(labels, fitted.labels_)
            np.testing.assert_allclose(distances, fitted.transform(POINTS), rtol=1e-5, atol=1e-6)

    def test_mixed_precision_rounds_no_input(self):
        """float16 has steps of 8 at 10000, where these two centroids lie."""
        layer = NearestCentroid(np.float32([[10000], [10001]]), dtype="mixed_float16")
        assert np.asarray(layer(np.float32([[10000.4], [10000.6]]))).tolist() == [0, 1]
        assert layer.centroids.dtype == "float32"
        layer = NearestCentroid(np.float32([[0]]), output="distances", dtype="mixed_float16")
        assert layer(np.float32([[3]])).dtype == tf.float16

    def test_gradient_goes_through_distances(self):
        layer = NearestCentroid(CENTERS, output="distances")
        x = tf.constant(POINTS[:3])
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = layer(x)[:, 0]
        away = POINTS[:3] - CENTERS[0]
        expected = away / np.linalg.norm(away, axis=1, keepdims=True)
        np.testing.assert_allclose(tape.gradient(value, x), expected, rtol=1e-5)

    def test_wrong_arguments(self):
        with pytest.raises(ValueError, match="output: 'label'; allowed are 'labels', 'distances'"):
            NearestCentroid(CENTERS, output="label")
        with pytest.raises(ValueError, match="metric: 'l1'"):
            NearestCentroid(CENTERS, metric="l1")
        with pytest.raises(ValueError, match="centroids: shape"):
            NearestCentroid(CENTERS[0])


def around_codes(**options):
    """A model that is nothing but a quantizer, in training."""
    options = {"decay": 0.8, "commitment": 1.0, **options}
    model = keras.Sequential([keras.Input((4,)), VectorQuantizer(6, **options)])
    model.compile(optimizer="sgd", loss="mse")
    return model


class TestVectorQuantizer:
    @pytest.mark.full
    def test_finds_the_clusters(self):
        keras.utils.set_random_seed(0)
        model = around_codes()
        model.layers[0].start_from(tfkm.kmeans_plusplus(POINTS, 6, random_state=0).centroids)
        model.fit(POINTS, POINTS, epochs=20, batch_size=100, verbose=0)
        codes = np.asarray(model.layers[0].codes)
        distances = np.linalg.norm(codes[:, None] - CENTERS, axis=2)
        assert sorted(distances.argmin(1)) == list(range(6)) and distances.min(1).max() < 0.7

    def test_is_the_moving_average_of_its_source(self):
        """Against the formulas of the paper, in NumPy; no code dies."""
        layer = VectorQuantizer(3, decay=0.7, patience=10**6)
        layer.build((None, 4))
        codes = POINTS[:3].astype(np.float64)
        layer.start_from(codes, 2.0)
        sums, weights = 2 * codes, np.full(3, 2.0)
        for batch in np.split(POINTS, 9):
            labels = np.asarray(tfkm.assign(batch, codes.astype(np.float32)).labels)
            chosen = np.eye(3)[labels]
            sums = 0.7 * sums + 0.3 * chosen.T @ batch.astype(np.float64)
            weights = 0.7 * weights + 0.3 * chosen.sum(0)
            codes = sums / weights[:, None]
            layer(batch, training=True)
        np.testing.assert_allclose(layer.codes, codes, rtol=1e-5)
        np.testing.assert_allclose(layer.code_weights, weights)

    @pytest.mark.quick
    def test_a_dead_code_takes_the_farthest_vector(self):
        layer = VectorQuantizer(2, decay=0.5, patience=2)
        layer.build((None, 1))
        layer.start_from([[0.0], [100.0]])
        x = np.float32([[-1.0], [1.0], [4.0]])
        moved = []
        for _ in range(6):
            layer(x, training=True)
            moved.append(float(layer.codes[1, 0]))
        # Its weight of 1 falls to 1/2, 1/4, 1/8, 1/16; dead is below (1 − 1/2)·(1/2)² = 1/8.
        assert moved[:3] == [100.0] * 3 and moved[3] == 4.0
        assert np.asarray(layer.encode(x)).tolist() == [0, 0, 1]

    def test_straight_through(self):
        layer = VectorQuantizer(6, commitment=0.5)
        layer.build((None, 4))
        layer.start_from(CENTERS)
        x = tf.constant(POINTS[:5])
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            outputs = layer(x)
            value, loss = tf.reduce_sum(outputs * 3), layer.losses[0]
        labels = np.asarray(tfkm.assign(POINTS[:5], CENTERS).labels)
        np.testing.assert_array_equal(outputs, CENTERS[labels])
        np.testing.assert_array_equal(tape.gradient(value, x), np.full((5, 4), 3.0))
        expected = 0.5 * 2 * (POINTS[:5] - CENTERS[labels]) / 20
        np.testing.assert_allclose(tape.gradient(loss, x), expected, rtol=1e-5)

    def test_saves_and_goes_on(self, tmp_path):
        keras.utils.set_random_seed(0)
        model = around_codes()
        model.fit(POINTS, POINTS, epochs=2, verbose=0)
        again = saved(model, tmp_path)
        layers = model.layers[0], again.layers[0]
        assert layers[0].get_config() == layers[1].get_config()
        np.testing.assert_array_equal(
            model.predict(POINTS, verbose=0), again.predict(POINTS, verbose=0)
        )
        for some in (model, again):
            some.fit(POINTS, POINTS, epochs=1, shuffle=False, verbose=0)
        for ours, theirs in zip(layers[0].weights, layers[1].weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    @pytest.mark.quick
    def test_mixed_precision(self, policy):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(3, dtype=policy),
                VectorQuantizer(6, dtype=policy),
            ]
        )
        model.compile(optimizer="sgd", loss="mse")
        model.fit(POINTS, POINTS[:, :3], epochs=1, verbose=0)
        layer = model.layers[-1]
        assert model.predict(POINTS[:2], verbose=0).dtype == policy.removeprefix("mixed_")
        assert [w.dtype for w in layer.weights] == ["float32", "float64", "float64"]

    def test_images(self):
        layer = VectorQuantizer(6)
        x = POINTS.reshape(9, 10, 10, 4)
        assert layer(x).shape == x.shape and layer.encode(x).shape == (9, 10, 10)

    def test_wrong_arguments(self):
        with pytest.raises(ValueError, match="n_codes: 0; it needs an integer ≥ 1"):
            VectorQuantizer(0)
        with pytest.raises(ValueError, match="decay: 1.0; it needs a number below 1"):
            VectorQuantizer(3, decay=1.0)


def test_replicas_learn_as_one(python):
    """Codes of two replicas are each other's, and those of one device; a dead one moves, too."""
    code = """
        import keras, numpy as np, tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        from tfkm.layers import VectorQuantizer
        x = np.random.default_rng(0).normal(size=(70, 4)).astype(np.float32)
        def trained():
            layer = VectorQuantizer(5, decay=0.5, patience=2)
            model = keras.Sequential([keras.Input((4,)), layer])
            model.compile(optimizer="sgd", loss="mse")
            layer.start_from(np.concatenate([x[:4], np.full((1, 4), 99.0)]))  # the last one dies
            model.fit(x, x, batch_size=14, epochs=2, shuffle=False, verbose=0)
            return layer.weights
        alone = trained()
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            together = trained()
        assert np.abs(alone[0]).max() < 9
        for one, both in zip(alone, together):
            first, second = both.value.values
            np.testing.assert_array_equal(first, second)
            np.testing.assert_allclose(first, one, rtol=1e-6)
    """
    python(code)


@pytest.mark.full
def test_equal_seeds_give_equal_bits(python):
    """With enable_op_determinism, in two processes of 1 and 2 threads."""
    code = """
        import sys, numpy as np, tensorflow as tf, keras
        tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
        tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(0)
        from tfkm.layers import VectorQuantizer
        x = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
        model = keras.Sequential([keras.Input((4,)), VectorQuantizer(9, patience=3)])
        model.compile(optimizer="sgd", loss="mse")
        model.fit(x, x, epochs=3, verbose=0)
        import hashlib
        print(hashlib.sha256(model.layers[0].codes.numpy().tobytes()).hexdigest())
    """
    assert python(code, "1") == python(code, "2")
