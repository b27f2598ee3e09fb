"""What a program says to TensorFlow for all of it: deterministic ops, a policy of mixed precision."""

import textwrap

import pytest

from tfkm import tensorflow_private

# `bits()`: of fits, ops and a gradient.
BITS = textwrap.dedent("""
    import hashlib
    import numpy as np, tensorflow as tf
    import tfkm
    points = np.random.default_rng(0).standard_normal((5_000, 16)).astype(np.float32)

    def bits():
        digest = hashlib.sha256()
        for backend in "native", "xla":
            model = tfkm.KMeans(20, max_iter=5, random_state=0, backend=backend).fit(points)
            labels, distances = tfkm.assign(points, model.cluster_centers_, backend=backend)
            for part in model.cluster_centers_, model.labels_, labels, distances:
                digest.update(np.asarray(part).tobytes())
            assert model.cluster_centers_.dtype == np.float32, model.cluster_centers_.dtype
        x = tf.Variable(points[:500])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tfkm.assign(x, model.cluster_centers_).sq_distances)
        digest.update(tape.gradient(loss, x).numpy().tobytes())
        mini = tfkm.MiniBatchKMeans(20, random_state=0).fit(points)
        digest.update(mini.cluster_centers_.tobytes())
        return digest.hexdigest()
""")


@pytest.fixture(scope="module")
def plain(python):
    return python(BITS + "print(bits())")


@pytest.mark.full
def test_deterministic_ops_run_and_change_nothing(python, plain):
    """An op without a deterministic kernel raises then, and so does a random one without a seed: randomness
    here is NumPy's, by `random_state`."""
    code = """
        tf.config.experimental.enable_op_determinism()
        try:
            tf.random.uniform([1])
        except RuntimeError:
            pass
        else:
            raise AssertionError("determinism is not on")
        print(bits())
        x = points[:500, :3]
        for init in "k-means++", "k-means||", "afk-mc2", "random":
            fits = [tfkm.KMeans(4, init=init, random_state=1).fit(x) for _ in range(2)]
            assert np.array_equal(fits[0].labels_, fits[1].labels_), init
        layer = tfkm.layers.VectorQuantizer(4, initializer="zeros")
        layer(x, training=True)
        assert len(np.unique(layer.encode(x).numpy())) > 1
    """
    assert python(BITS + textwrap.dedent(code)) == plain


@pytest.mark.full
def test_policies_of_keras(python, plain):
    """They leave fits alone. Layers compute in the compute dtype, and keep variables in the other."""
    code = """
        tf.keras.backend.set_floatx("float64")
        print(bits())
        tf.keras.backend.set_floatx("float32")
        near = np.float32([[10000.0], [10001.0]])  # one number in either half precision
        for policy in "mixed_float16", "mixed_bfloat16":
            tf.keras.mixed_precision.set_global_policy(policy)
            print(bits())
            half = policy.removeprefix("mixed_")
            labels = tfkm.layers.NearestCentroid(near)
            assert labels(near).numpy().tolist() == [0, 1]
            assert labels.centroids.dtype == "float32"
            distances = tfkm.layers.NearestCentroid(near, output="distances")(near)
            assert distances.dtype == half and distances.numpy()[0, 1] == 1
            quantizer = tfkm.layers.VectorQuantizer(2)
            outputs = quantizer(np.float32([[1.0], [2.0], [4.0]]), training=True)
            assert outputs.dtype == half, outputs.dtype
            assert quantizer.codes.dtype == "float32" and quantizer.code_sums.dtype == "float64"
    """
    assert python(BITS + textwrap.dedent(code)) == plain * 3


@pytest.mark.parametrize("name", tensorflow_private.NAMES)
def test_what_is_private_is_there(name):
    assert getattr(tensorflow_private, name)
