"""What all estimators share: input checks, predict, transform, score, tags."""

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

_BLOCK_BYTES = 2**26  # of distances at a time in transform


class CentroidEstimator(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """An estimator whose `fit` sets `cluster_centers_` (k, d) and `labels_`; `backend` is a parameter."""

    def fit_predict(self, X, y=None, sample_weight=None):
        """`labels_` after fit; a tf.Tensor for a tf.Tensor."""
        labels = self.fit(X, sample_weight=sample_weight).labels_
        return tf.constant(labels) if is_tensor(X) else labels

    def predict(self, X):
        """(n,) int32, the index of the nearest center of each row of X (n, d)."""
        points = self._checked(X, reset=False)
        if is_tensor(points):
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
        if is_tensor(points):
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
        if not is_tensor(X):
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

    def _warn_of_fewer_clusters(self) -> None:
        distinct = np.unique(self.labels_).size
        if distinct < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=3,
            )

    @property
    def _n_features_out(self):
        return self.cluster_centers_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def is_tensor(X) -> bool:
    return isinstance(X, tf.Tensor | tf.Variable)
