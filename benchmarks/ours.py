"""tfkm as a contender: the methods of a rival, see `benchmarks.rivals`, for one of its backends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

import tfkm
from benchmarks.rivals import Outcome, Seed
from tfkm import exact
from tfkm.lloyd import update
from tfkm.ops import sums, tensors


class Tfkm:
    name = "tfkm"
    version = tfkm.__version__

    def __init__(self, backend: str) -> None:
        self._backend = backend

    def assign(self, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """`tfkm.assign`, on tensors."""
        p, c = tf.constant(points), tf.constant(centroids)

        def run() -> Outcome:
            return Outcome(*tfkm.assign(p, c, backend=self._backend)[:1], centroids)

        return run

    def assign_with_copies(
        self, points: np.ndarray, centroids: np.ndarray
    ) -> Callable[[], Outcome]:
        """`tfkm.assign` of NumPy arrays, and the labels as one: to the device and back."""

        def run() -> Outcome:
            labels, _ = tfkm.assign(points, centroids, backend=self._backend)
            return Outcome(labels, centroids)

        return run

    def accumulate(self, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """`tfkm.accumulate`, on tensors; the means are worked out by the judge."""
        p, c = tf.constant(points), tf.constant(centroids)

        def run() -> Outcome:
            assignment, statistics = tfkm.accumulate(p, c, backend=self._backend)
            return Outcome(assignment.labels, centroids, statistics.inertia, updated=statistics)

        return run

    def step(self, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """A pass of Lloyd's iteration, its grid made before, as in a fit, and the means."""
        p, c = tf.constant(points), tf.constant(centroids)
        grid = exact.grid(len(points), np.asarray(tensors.largest_magnitudes(p)))

        def run() -> Outcome:
            assignment, total = tensors.partial(p, c, None, grid, backend=self._backend)
            statistics = tfkm.Statistics(*(part.numpy() for part in sums.rounded(total)))
            means = update.means(statistics, centroids)
            return Outcome(assignment.labels, centroids, statistics.inertia, updated=means)

        return run

    def seed(self, points: np.ndarray, k: int) -> Callable[[], Outcome]:
        """`tfkm.kmeans_plusplus`, greedy."""

        def run() -> Outcome:
            seeds = tfkm.kmeans_plusplus(points, k, random_state=0, backend=self._backend)
            return Outcome(None, seeds.centroids)

        return run

    def fit(
        self, points: np.ndarray, centroids: np.ndarray, max_iter: int
    ) -> Callable[[], Outcome]:
        """`tfkm.KMeans.fit`, NumPy in, NumPy out."""
        model = tfkm.KMeans(
            len(centroids),
            init=centroids,
            n_init=1,
            max_iter=max_iter,
            tol=0,
            backend=self._backend,
        )
        return lambda: _outcome(model.fit(points))

    def default_fit(self, points: np.ndarray, k: int, seed: Seed) -> Callable[[], Outcome]:
        """`tfkm.KMeans(k).fit`, seeding and all."""
        model = tfkm.KMeans(k, backend=self._backend)
        return lambda: _outcome(model.set_params(random_state=seed.value).fit(points))

    def predict(self, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """`tfkm.KMeans.predict`, with its checks. The model has these centroids: each is there twice."""
        k = len(centroids)
        model = tfkm.KMeans(k, init=centroids, n_init=1, max_iter=1, backend=self._backend)
        model.fit(np.repeat(centroids, 2, axis=0))
        return lambda: Outcome(model.predict(points), centroids)

    def stream(self, batches: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """`tfkm.MiniBatchKMeans.fit` of a tf.data.Dataset of batches (m, rows, d), one pass."""
        dataset = tf.data.Dataset.from_tensor_slices(batches)
        model = tfkm.MiniBatchKMeans(
            len(centroids),
            init=centroids,
            max_iter=1,
            max_no_improvement=None,
            reassignment_ratio=0,
            compute_labels=False,
            backend=self._backend,
        )
        return lambda: Outcome(None, model.fit(dataset).cluster_centers_)

    @staticmethod
    def why_not(op: str, n: int, k: int) -> str:
        return ""


def _outcome(model: tfkm.KMeans) -> Outcome:
    return Outcome(model.labels_, model.cluster_centers_, model.inertia_, model.n_iter_)
