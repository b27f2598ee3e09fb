"""What a user gets wrong: the message names the argument, what it was, and what to do."""

import re

import numpy as np
import pytest
import tensorflow as tf

import tfkm

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
NO_ARRAYS = {
    "None": (lambda: None, "None; it needs an array"),
    "generator": (
        lambda: (row for row in X),
        "a generator, which can be read but once; .*np.stack",
    ),
    "dict": (lambda: {"a": X[:, 0]}, "a dict; .*pandas.DataFrame"),
    "set": (lambda: {1, 2}, "a set, which has no order"),
    "ragged": (
        lambda: tf.ragged.constant([[1.0, 2.0], [3.0]]),
        r"a ragged tensor; .*to_tensor\(\)",
    ),
    "sparse": (lambda: tf.sparse.from_dense(X), "a SparseTensor; .*SciPy"),
}
USES = {
    "fit": lambda x: tfkm.KMeans(2).fit(x),
    "mini-batch": lambda x: tfkm.MiniBatchKMeans(2).fit(x),
    "predict": lambda x: tfkm.KMeans(2, random_state=0).fit(X).predict(x),
    "kmeans": lambda x: tfkm.kmeans(x, 2),
    "seeding": lambda x: tfkm.random_points(x, 2),
    "assign": lambda x: tfkm.assign(x, X[:2]),
    "centroids": lambda x: tfkm.assign(X, x),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", NO_ARRAYS)
def test_what_is_no_array(use, kind):
    make, said = NO_ARRAYS[kind]
    with pytest.raises(TypeError, match=f"^(X|points|centroids): {said}"):
        USES[use](make())


@pytest.mark.parametrize("use", ["fit", "mini-batch", "kmeans", "seeding"])
def test_a_fit_of_a_tensor_of_a_graph(use):
    with pytest.raises(ValueError, match="(X|points): a tensor inside tf.function.*tf.py_function"):
        tf.function(lambda x: (USES[use](x), 0)[1], autograph=False)(tf.constant(X))


@pytest.mark.parametrize("use", ["fit", "mini-batch", "predict", "kmeans"])
def test_a_dataset_that_is_not_batched(use):
    with pytest.raises(ValueError, match=r"a dataset of shape \(3,\); .*dataset.batch\(1024\)"):
        USES[use](tf.data.Dataset.from_tensor_slices(X))


@pytest.mark.parametrize(
    "do, kind, said",
    [
        (
            lambda: USES["fit"]("/tmp"),
            ValueError,
            r"X: /tmp is a folder, not a file; '/tmp/\*.npy'",
        ),
        (
            lambda: USES["mini-batch"]("/tmp"),
            TypeError,
            "X: '/tmp', which is text; it needs an array",
        ),
        (lambda: tfkm.load("/tmp"), ValueError, "/tmp: a folder, not a regular file"),
        (
            lambda: tfkm.kmeans(X, 7, size_max=8),
            ValueError,
            "size_max: 8 for each of 7 clusters is less than the 60 points; it needs at least 9",
        ),
        (
            lambda: tfkm.kmeans(X, 7, size_min=9),
            ValueError,
            "size_min: 9 for each of 7 clusters is more than the 60 points; it needs at most 8",
        ),
        (lambda: tfkm.plot.inertia_curve(None), TypeError, "curve: None; .*metrics.inertia_curve"),
        (
            lambda: tfkm.plot.silhouettes(None, None),
            TypeError,
            r"values: .*needs \(n,\) silhouettes",
        ),
        (lambda: tfkm.plot.silhouettes([1.0], [0], ax=5), TypeError, "ax: 5; .*matplotlib"),
        (lambda: tfkm.datasets.load("digit"), ValueError, "'digit'; did you mean 'digits'"),
        (lambda: tfkm.datasets.load("China"), ValueError, "'China'; did you mean 'china'"),
        (lambda: tfkm.datasets.load(None), TypeError, "name: None; it needs text"),
        (
            lambda: tfkm.kmeans(X, 2, callbacks=print),
            TypeError,
            "callbacks: .*print.*tfkm.Callback",
        ),
        (
            lambda: tfkm.kmeans(X, 2, callbacks=tfkm.Progress),
            TypeError,
            r"callbacks: the class Progress; it needs an instance: Progress\(\)",
        ),
        (lambda: tfkm.kmeans(X, 2, on_pass=5), TypeError, "on_pass: 5; it needs a function"),
        (lambda: tfkm.kmeans(X, 2, engine="ray"), TypeError, r"engine: 'ray'; .*tfkm.Ray\(\)"),
        (
            lambda: tfkm.kmeans(X, 2, weights="a"),
            TypeError,
            "weights: str; it needs real numbers",
        ),
        (lambda: tfkm.metrics.inertia_curve(X, 5), TypeError, r"n_clusters: 5; .*range\(1, 11\)"),
        (lambda: tfkm.kmeans([[1.0], [1.0, 2.0]], 1), ValueError, "points: .*inhomogeneous"),
    ],
)
def test_what_it_is_and_what_to_do(do, kind, said):
    with pytest.raises(kind, match=said):
        do()


def test_the_class_of_an_error_is_named_once():
    if tfkm.backends()["cuda"].usable:
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError) as caught:
        tfkm.kmeans(X, 2, backend="cuda")
    assert re.fullmatch(
        "backend: 'cuda' cannot be used here: TensorFlow shows .*", str(caught.value)
    )


def test_a_misspelt_name_is_known_to_python():
    with pytest.raises(AttributeError) as caught:
        tfkm.Kmeans  # noqa: B018
    assert caught.value.name == "Kmeans" and "KMeans" in dir(
        caught.value.obj
    )  # from which it suggests


class Counting(tfkm.Callback):
    passes = 0

    def on_pass(self, done):
        self.passes += 1


def test_one_callback_is_a_list_of_one():
    for fit in (
        lambda own: tfkm.kmeans(X, 2, random_state=0, callbacks=own).n_iter,
        lambda own: tfkm.KMeans(2, random_state=0, callbacks=own).fit(X).n_iter_,
    ):
        own = Counting()
        assert fit(own) == own.passes > 0
    assert tfkm.kmeans(X, 2, random_state=0, callbacks=None).n_iter > 0


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.int64, bool])
def test_integers_are_computed_in_float64(dtype):
    points, centroids = (10 * X).astype(dtype), (10 * X[:4]).astype(dtype)
    wide = tfkm.assign(points.astype(float), centroids.astype(float))
    for got in (
        tfkm.assign(points, centroids),
        tfkm.assign(points, centroids.astype(float)),
        tfkm.accumulate(points, centroids)[0],
        tf.function(tfkm.assign)(points, centroids),
    ):
        np.testing.assert_array_equal(got.labels, wide.labels)
        np.testing.assert_array_equal(got.sq_distances, wide.sq_distances)
        assert got.sq_distances.dtype == tf.float64
    small = tfkm.assign(X, (10 * X[:4]).astype(np.int8))
    assert small.sq_distances.dtype == tf.float32  # which holds all of int8


@pytest.mark.parametrize(
    "use, name",
    [
        (lambda path: tfkm.KMeans(2).fit(X).save(path), "path"),
        (lambda path: tfkm.KMeans(2).fit(X).export(path), "path"),
        (tfkm.load, "path"),
        (lambda path: tfkm.kmeans(X, 2, checkpoint_dir=path), "checkpoint_dir"),
    ],
)
def test_what_is_no_path(use, name):
    for wrong, error in (5, TypeError), (b"a", TypeError), ("", ValueError):
        with pytest.raises(error, match=f"^{name}: {re.escape(repr(wrong))}; it needs a path"):
            use(wrong)


@pytest.mark.parametrize(
    "do, kind, said",
    [
        (lambda: tfkm.KMeans(2).fit([["a", "b"]] * 5), ValueError, "^X: could not convert"),
        (lambda: tfkm.KMeans(2).fit([[1, 2], [3]]), ValueError, "^X: setting an array element"),
        (lambda: tfkm.KMeans(2).fit(X, sample_weight="w"), ValueError, "^sample_weight: could not"),
        (lambda: tfkm.kmeans_batch([X, X[:5]], 2), ValueError, "^points: setting an array element"),
        (lambda: tfkm.kmeans(X, 2, callbacks="bar"), TypeError, "^callbacks: 'bar'; each has"),
        (lambda: tfkm.kmeans(X, 2, copy="no"), TypeError, "^copy: 'no'; it needs True or False"),
    ],
)
def test_what_another_library_refuses_is_named(do, kind, said):
    with pytest.raises(kind, match=said):
        do()


def test_a_model_cannot_be_a_folder(tmp_path):
    with pytest.raises(ValueError, match=f"^{tmp_path}: a folder, not a file"):
        tfkm.KMeans(2).fit(X).save(tmp_path)


@pytest.mark.parametrize("init", [lambda points: points[:2], lambda points, k: points[:k]])
def test_a_callable_that_cannot_be_called_is_named_before_any_work(init):
    points = np.arange(8.0).reshape(4, 2)
    for fit in (
        lambda: tfkm.kmeans(points, 2, init=init),
        lambda: tfkm.KMeans(2, init=init).fit(points),
        lambda: tfkm.MiniBatchKMeans(2, init=init).fit(points),
    ):
        with pytest.raises(TypeError, match=r"init: .*it needs \(points, k, random_state"):
            fit()
