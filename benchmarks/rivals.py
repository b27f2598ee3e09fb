"""Other implementations of the same ops. To add one: a class as `ScikitLearn`, and its name in ALL.

Each method prepares all that can be prepared and returns a call to be timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import sklearn
from sklearn.cluster import KMeans, _kmeans
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from sklearn.utils.parallel import _get_threadpool_controller


class Outcome(NamedTuple):
    """What one run found. centroids: those that the labels mean. inertia: None if it does not say."""

    labels: np.ndarray
    centroids: np.ndarray
    inertia: float | None = None
    n_iter: int | None = None


class ScikitLearn:
    """The Cython code behind `sklearn.cluster.KMeans`, with a thread on every core."""

    name = "scikit-learn"
    version = sklearn.__version__

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
        """One step of its Lloyd loop, buffers ready: labels, sums, weights and the new centroids.

        Unlike ours it gives no inertia, which its loop does not need.
        """
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
            return Outcome(labels, centroids)

        return run

    @staticmethod
    def fit(points: np.ndarray, centroids: np.ndarray, max_iter: int) -> Callable[[], Outcome]:
        """`KMeans.fit`, whole."""
        model = KMeans(len(centroids), init=centroids, n_init=1, max_iter=max_iter, tol=0)

        def run() -> Outcome:
            model.fit(points)
            return Outcome(model.labels_, model.cluster_centers_, model.inertia_, model.n_iter_)

        return run


ALL = (ScikitLearn,)
