"""KMeans with scikit-learn's parameters, attributes and methods."""

from __future__ import annotations

import warnings

import numpy as np
import tensorflow as tf
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from tfkm import lloyd, ops
from tfkm.ops import validate
from tfkm.points import Points
from tfkm.types import Pass

_BLOCK_BYTES = 2**26  # of distances at a time in transform


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Exact k-means, in place of `sklearn.cluster.KMeans`.

    Args:
      n_clusters: k, 1 ≤ k ≤ n.
      init: "k-means++" (greedy), "random", an array (k, d), or a callable
        (X, n_clusters, random_state) -> (k, d).
      n_init: restarts, the least inertia is kept; "auto" is 1 for "k-means++" and an array, else 10.
      max_iter: most iterations of a start.
      tol: end when Σ‖shift‖² ≤ tol · mean variance of the features; 0 for when nothing moves.
      verbose: 1 prints the inertia after each iteration.
      random_state: None, an int or a `numpy.random.RandomState`.
      copy_x: whether points that TensorFlow cannot read in place may be copied once (below 256 MB);
        X itself is never changed.
      algorithm: "lloyd".
      backend: a name from `tfkm.backends()`; None takes the fastest usable one.

    Attributes:
      cluster_centers_: (k, d) float64 if X is float64, else float32 for X of float32, float16,
        bfloat16, int8 or uint8; other numbers are taken as float64.
      labels_: (n,) int32. inertia_: float. n_iter_: int. n_features_in_: int.
      feature_names_in_: (d,) if X has string column names.

    `predict(X)` of the training points equals `labels_`, and centers, labels, inertia and score
    always belong together. X may be what NumPy takes, a memory map (read in blocks), a pandas frame
    or a tf.Tensor; predict and transform of a tf.Tensor return one.

    Source: Lloyd (1982), "Least squares quantization in PCM".

    >>> import numpy as np
    >>> from tfkm import KMeans
    >>> x = np.array([[1.0, 2.0], [1.0, 4.0], [10.0, 2.0], [10.0, 4.0]])
    >>> model = KMeans(n_clusters=2, random_state=0).fit(x)
    >>> sorted(model.cluster_centers_.tolist())
    [[1.0, 3.0], [10.0, 3.0]]
    >>> bool((model.predict(x) == model.labels_).all())
    True
    """

    def __init__(
        self,
        n_clusters=8,
        *,
        init="k-means++",
        n_init="auto",
        max_iter=300,
        tol=1e-4,
        verbose=0,
        random_state=None,
        copy_x=True,
        algorithm="lloyd",
        backend=None,
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.backend = backend

    def fit(self, X, y=None, sample_weight=None):
        """Clusters X (n, d); sample_weight (n,) or None. Returns self.

        Raises: ValueError or TypeError naming the argument, before any work.
        """
        if self.algorithm != "lloyd":
            raise ValueError(
                f"algorithm: {self.algorithm!r}; allowed is 'lloyd', which gives the same result"
            )
        points = self._checked(X, reset=True)
        result = lloyd.kmeans(
            points,
            self.n_clusters,
            weights=self._checked_weight(sample_weight, points),
            init=self.init,
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            random_state=self.random_state,
            backend=self.backend,
            copy=self.copy_x,
            on_pass=_print_pass if self.verbose else None,
        )
        self.cluster_centers_ = result.centroids.numpy()
        self.labels_ = result.labels.numpy()
        self.inertia_ = result.inertia
        self.n_iter_ = result.n_iter
        distinct = np.unique(self.labels_).size
        if distinct < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=2,
            )
        if self.verbose:
            print(f"Stopped after {result.n_iter} iterations: {result.status.value}.")
        return self

    def fit_predict(self, X, y=None, sample_weight=None):
        """`labels_` after fit; a tf.Tensor for a tf.Tensor."""
        labels = self.fit(X, sample_weight=sample_weight).labels_
        return tf.constant(labels) if _is_tensor(X) else labels

    def predict(self, X):
        """(n,) int32, the index of the nearest center of each row of X (n, d)."""
        points = self._checked(X, reset=False)
        if _is_tensor(points):
            return ops.assign(points, self.cluster_centers_, backend=self.backend).labels
        blocks = Points(points)
        labels = np.empty(blocks.n, np.int32)
        for start, block in blocks:
            part = ops.assign(block, self.cluster_centers_, backend=self.backend)
            labels[start : start + len(block)] = part.labels
        return labels

    def transform(self, X):
        """(n, k) distances (not squared) of each row of X to each center."""
        points = self._checked(X, reset=False)
        if _is_tensor(points):
            return self._distances(points)
        blocks = Points(points)
        k = len(self.cluster_centers_)
        wide = np.result_type(blocks.compute.as_numpy_dtype, self.cluster_centers_)
        distances = np.empty((blocks.n, k), wide)
        for start, block in blocks.blocks(max(1, _BLOCK_BYTES // (k * wide.itemsize))):
            distances[start : start + len(block)] = self._distances(block)
        return distances

    def _distances(self, points: tf.Tensor) -> tf.Tensor:
        return tf.sqrt(ops.sq_distances(points, self.cluster_centers_, backend=self.backend))

    def fit_transform(self, X, y=None, sample_weight=None):
        """`transform` of X after fit."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def score(self, X, y=None, sample_weight=None):
        """Minus the inertia of X (n, d) around the centers; for the training points −`inertia_`."""
        points = self._checked(X, reset=False)
        weights = self._checked_weight(sample_weight, points)
        return -lloyd.inertia(points, self.cluster_centers_, weights, backend=self.backend)

    def _checked(self, X, reset: bool):
        """X as an array of a dtype that is computed with, or as the tensor it is."""
        if not reset:
            check_is_fitted(self)
        if not _is_tensor(X):
            array = validate_data(
                self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_samples=1
            )
            known = tf.as_dtype(array.dtype) in validate.POINT_DTYPES
            return array if known else array.astype(np.float64)
        if X.dtype not in validate.POINT_DTYPES and (X.dtype.is_integer or X.dtype.is_bool):
            X = tf.cast(X, tf.float64)
        X = validate.matrix("X", X, validate.POINT_DTYPES)
        if reset:
            self.n_features_in_ = X.shape[1]
        elif X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return X

    def _checked_weight(self, sample_weight, points) -> np.ndarray | None:
        if sample_weight is None:
            return None
        weights = _check_sample_weight(sample_weight, points, dtype=np.float64)
        validate.check_weights(weights, "sample_weight")
        return weights

    @property
    def _n_features_out(self):
        return self.cluster_centers_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _is_tensor(X) -> bool:
    return isinstance(X, tf.Tensor | tf.Variable)


def _print_pass(done: Pass) -> None:
    print(f"Start {done.start}, iteration {done.iteration}, inertia {done.inertia}.")
