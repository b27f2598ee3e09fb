"""Faiss, whose k-means is of another kind: it never stops early and fills empty clusters its own way."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np

from benchmarks.rivals import Outcome

ALL_POINTS = {"min_points_per_centroid": 1, "max_points_per_centroid": 10**9}


class Faiss:
    name = "Faiss"
    version = faiss.__version__
    dtypes = ("float32",)
    gpu = False

    @classmethod
    def assign(cls, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """A search for one neighbour in a flat index of the centroids, made once."""
        index = cls._index(centroids.shape[1])
        index.add(np.ascontiguousarray(centroids))
        return lambda: Outcome(index.search(points, 1)[1][:, 0], centroids)

    predict = assign  # it has no other face

    @classmethod
    def fit(cls, points: np.ndarray, centroids: np.ndarray, max_iter: int) -> Callable[[], Outcome]:
        """`Kmeans.train` on all points, and the labels that the others' fits give."""

        def run() -> Outcome:
            model = faiss.Kmeans(
                points.shape[1], len(centroids), niter=max_iter, gpu=cls.gpu, **ALL_POINTS
            )
            model.train(points, init_centroids=centroids)
            labels = model.index.search(points, 1)[1][:, 0]
            return Outcome(labels, model.centroids, n_iter=len(model.obj))

        return run

    @staticmethod
    def _index(d: int):
        return faiss.IndexFlatL2(d)

    @staticmethod
    def why_not(op: str, n: int, k: int) -> str:
        return ""
