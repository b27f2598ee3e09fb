"""scikit-learn: the Cython code behind `sklearn.cluster.KMeans`, with a thread on every core."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sklearn
from sklearn.cluster import KMeans, MiniBatchKMeans, _kmeans, kmeans_plusplus
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from sklearn.utils.parallel import _get_threadpool_controller

from benchmarks.rivals import Outcome, Seed


class ScikitLearn:
    name = "scikit-learn"
    version = sklearn.__version__
    KMeans = KMeans
    options: dict = {}
    dtypes: tuple[str, ...] = ("float32", "float64")

    @staticmethod
    def assign(points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """What `KMeans.predict` calls once its arguments are checked."""
        weights, threads = np.ones(len(points), points.dtype), _openmp_effective_n_threads()

        def run() -> Outcome:
            labels = _kmeans._labels_inertia_threadpool_limit(
                points, weights, centroids, n_threads=threads, return_inertia=False
            )
            return Outcome(labels, centroids)

        return run

    @staticmethod
    def accumulate(points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """One step of its Lloyd loop, buffers ready: labels and the new centroids, no inertia."""
        weights, threads = np.ones(len(points), points.dtype), _openmp_effective_n_threads()
        updated = np.zeros_like(centroids)
        in_clusters, shift = (np.zeros(len(centroids), points.dtype) for _ in range(2))
        labels = np.full(len(points), -1, np.int32)

        def run() -> Outcome:
            # Its own loop is under the same limit: the parallel parts call a BLAS of one thread.
            with _get_threadpool_controller().limit(limits=1, user_api="blas"):
                _kmeans.lloyd_iter_chunked_dense(
                    points, weights, centroids, updated, in_clusters, labels, shift, threads
                )
            return Outcome(labels, centroids, updated=updated)

        return run

    step = accumulate

    @staticmethod
    def seed(points: np.ndarray, k: int) -> Callable[[], Outcome]:
        """`sklearn.cluster.kmeans_plusplus`, greedy as ours."""
        return lambda: Outcome(None, kmeans_plusplus(points, k, random_state=0)[0])

    @classmethod
    def fit(cls, points: np.ndarray, centroids: np.ndarray, max_iter: int) -> Callable[[], Outcome]:
        model = cls.KMeans(
            len(centroids), init=centroids, n_init=1, max_iter=max_iter, tol=0, **cls.options
        )
        return lambda: cls._outcome(model.fit(points))

    @classmethod
    def default_fit(cls, points: np.ndarray, k: int, seed: Seed) -> Callable[[], Outcome]:
        """As ours."""
        model = cls.KMeans(k, **cls.options)
        return lambda: cls._outcome(model.set_params(random_state=seed.value).fit(points))

    @classmethod
    def predict(cls, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """With the checks of the arguments. The model has these centroids: each is there twice."""
        model = cls.KMeans(len(centroids), init=centroids, n_init=1, max_iter=1, **cls.options)
        model.fit(np.repeat(centroids, 2, axis=0))
        return lambda: Outcome(model.predict(points), centroids)

    @staticmethod
    def _outcome(model: KMeans) -> Outcome:
        return Outcome(model.labels_, model.cluster_centers_, model.inertia_, model.n_iter_)

    @staticmethod
    def stream(batches: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """`MiniBatchKMeans.partial_fit` on each of batches (m, rows, d), once."""
        k = len(centroids)

        def run() -> Outcome:
            model = MiniBatchKMeans(
                k, init=centroids, n_init=1, reassignment_ratio=0, compute_labels=False
            )
            for batch in batches:
                model.partial_fit(batch)
            return Outcome(None, model.cluster_centers_)

        return run

    @staticmethod
    def why_not(op: str, n: int, k: int) -> str:
        return ""


class Elkan(ScikitLearn):
    """The same by the triangle inequality: n×k bounds instead of n×k distances in each pass."""

    name = "scikit-learn (Elkan)"
    options = {"algorithm": "elkan"}
    assign = accumulate = step = seed = predict = stream = None  # of Lloyd's and no other

    @staticmethod
    def why_not(op: str, n: int, k: int) -> str:
        gigabytes = 4 * (n * k + k * k) / 1e9
        return (
            f"it would hold {gigabytes:.1f} GB of bounds; the bound is 0.3"
            if gigabytes > 0.3
            else ""
        )
