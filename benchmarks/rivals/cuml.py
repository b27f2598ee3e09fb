"""cuML on a GPU, after its documentation. Untried: no machine of ours has had a GPU."""

from __future__ import annotations

from collections.abc import Callable

import cuml
import numpy as np
from cuml.cluster import KMeans

from benchmarks.rivals.scikit_learn import Outcome, ScikitLearn


class CuML(ScikitLearn):
    name = "cuML"
    version = cuml.__version__
    KMeans = KMeans
    accumulate = step = seed = stream = None

    @classmethod
    def assign(cls, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        """`predict` of points that are on the GPU already."""
        import cupy

        predict = cls.predict(cupy.asarray(points), centroids)

        def run() -> Outcome:
            labels = predict().labels
            cupy.cuda.get_current_stream().synchronize()
            return Outcome(labels.get(), centroids)

        return run

    @classmethod
    def assign_with_copies(cls, points: np.ndarray, centroids: np.ndarray) -> Callable[[], Outcome]:
        return cls.predict(points, centroids)
