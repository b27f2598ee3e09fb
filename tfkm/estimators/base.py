"""The base of all estimators: checks of the input, predict, transform, score, tags."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_is_fitted,
    validate_data,
)

from tfkm import checks, seeding
from tfkm.data import arrays
from tfkm.data.arrays import FRAME_DTYPES, is_tensor
from tfkm.data.points import Points
from tfkm.estimators import centers
from tfkm.estimators.saving import Kept
from tfkm.lloyd.one_pass import inertia
from tfkm.ops import backends
from tfkm.ops.backend import Backend
from tfkm.types import Assignment

_BLOCK_BYTES = 2**26  # bytes of distances at a time in transform
_Method = TypeVar("_Method", bound=Callable)
_USERS_NAMES = {
    "points": "X",
    "X": "X",
    "weights": "sample_weight",
    "centroids": "cluster_centers_",
}


def in_users_words(method: _Method) -> _Method:
    """Return the method, with errors that name its own arguments and begin as scikit-learn's do."""

    @functools.wraps(method)
    def wrapped(self, *args, **kwargs):
        try:
            return method(self, *args, **kwargs)
        except ValueError as error:
            if (told := _in_users_words(error)) is error:
                raise
            raise told from error

    return wrapped  # type: ignore[return-value]


def _in_users_words(error: BaseException) -> BaseException:
    """Return the error in the user's words, or the same object if its words need no change."""
    name, _, text = str(error).partition(": ")
    if not isinstance(error, ValueError) or name not in _USERS_NAMES or not text:
        return error
    users, kind = _USERS_NAMES[name], getattr(error, "kind", "")
    if users == name and not kind:
        return error
    text = text.replace(f"{name}[", f"{users}[")
    return ValueError((f"Input {users} contains {kind}. " if kind else f"{users}: ") + text)


def all_or_nothing(fit: _Method) -> _Method:
    """Return the method, changed so that if it raises, the estimator is as it was before.

    Errors are also put `in_users_words`. That is done here, not by a second decorator, because
    warnings count the calls up to the user's.
    """

    @functools.wraps(fit)
    def wrapped(self, *args, **kwargs):
        before = vars(self).copy()
        try:
            return fit(self, *args, **kwargs)
        except BaseException as error:
            vars(self).clear()
            vars(self).update(before)
            if (told := _in_users_words(error)) is error:
                raise
            raise told from error

    return wrapped  # type: ignore[return-value]


class CentroidEstimator(
    Kept, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """An estimator whose `fit` sets `cluster_centers_` (k, d) and `labels_`; `backend` is a parameter."""

    labels_: Any  # (n,) int32 array; None for a stream
    inertia_: float
    n_features_in_: int

    @classmethod
    @functools.cache
    def _get_param_names(cls):
        """Return the names of the parameters, found once for each class.

        `inspect` takes 0.1 ms to find them, about a twentieth of a fit of few points.
        """
        return super()._get_param_names()

    # `_validate_params` reads these; its messages are known to users of scikit-learn.
    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions(seeding.NAMES), callable, "array-like"],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "backend": [str, None],
    }

    def fit_predict(self, X, y=None, sample_weight=None) -> Any:
        """Cluster X and return the label of each row.

        Args:
            X: (n, d) points, as for `fit`.
            y: Ignored; scikit-learn's pipelines pass it.
            sample_weight: (n,) real numbers, finite and not negative; None for ones.

        Returns:
            (n,) int32 `labels_`, from the library that X comes from.

        Raises:
            ValueError: As for `fit`.
            TypeError: As for `fit`.
            RuntimeError: The named backend cannot be used here.

        Examples:
            >>> import tfkm
            >>> labels = tfkm.KMeans(2, random_state=0).fit_predict([[0.0], [1.0], [9.0]])
            >>> bool(labels[0] == labels[1] != labels[2])
            True
        """
        labels = self.fit(X, sample_weight=sample_weight).labels_
        return self.predict(X) if labels is None else arrays.like(X, labels)

    @in_users_words
    def predict(self, X) -> Any:
        """Return the index of the nearest center of each row of X.

        Args:
            X: (n, d) points.

        Returns:
            (n,) int32 labels, from the library that X comes from.

        Raises:
            NotFittedError: There was no fit yet.
            ValueError: X has another width or values that are not finite.
            TypeError: X has a wrong type.
            RuntimeError: The named backend cannot be used here.

        Examples:
            >>> import tfkm
            >>> model = tfkm.MiniBatchKMeans(2, random_state=0).fit([[0.0], [1.0], [9.0]])
            >>> nearest = model.predict([[8.0]])
            >>> model.cluster_centers_[nearest]
            array([[9.]])
        """
        points = self._checked(X, reset=False)
        if is_tensor(points) and (arrays.in_graph() or arrays.is_on_card(points)):
            return self._assigned_tensors(points).labels
        return arrays.like(X, self._labels_of(points))

    def _labels_of(self, points) -> np.ndarray:
        """Return the labels (n,) int32 of points that have been checked."""
        data, backend = Points(points), backends.select(self.backend)
        centers = self._centers_for(data.dtype)
        parts = []
        for start, block in self._blocks(data, backend):
            labels = self._nearest(block, centers, backend)
            parts.append(checks.labels(block, labels, centers.dtype, start))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _blocks(self, data: Points, backend: Backend) -> Iterable:
        """Return the blocks in which the points are assigned."""
        return backend.blocks(data)

    def _centers_for(self, dtype: np.dtype) -> np.ndarray:
        """Return the centers, checked, in the dtype to compute in with points of this dtype."""
        own = self._centers
        compute = checks.compute_dtype(dtype, own.dtype)
        centers = checks.packed(own, compute)
        return checks.finite_rows("cluster_centers_", centers, compute)

    def _nearest(self, points: Any, centers: np.ndarray, backend: Backend) -> np.ndarray:
        """Return the labels of a block of points; the label of a row that is not finite is −1."""
        return backend.labels(points, centers)

    def _assigned_tensors(self, points) -> Assignment:
        """Return the assignment of a tensor of points, as tensors."""
        from tfkm.ops import tensors

        return tensors.assign(points, self._centers, backend=self.backend)

    @in_users_words
    def transform(self, X) -> Any:
        """Return the distance of each row of X to each center.

        Args:
            X: (n, d) points.

        Returns:
            (n, k) Euclidean distances, not squared, in the unit of X; cosine distances in [0, 2]
            with metric="cosine". They are float64 if X or the centers are, else float32, and come
            from the library that X comes from.

        Raises:
            NotFittedError: There was no fit yet.
            ValueError: As for `predict`.
            TypeError: X has a wrong type.
            RuntimeError: The named backend cannot be used here.

        Examples:
            >>> import tfkm
            >>> model = tfkm.KMeans(2, random_state=0).fit([[0.0], [1.0], [9.0]])
            >>> sorted(model.transform([[8.0]])[0].tolist())
            [1.0, 7.5]
        """
        points = self._checked(X, reset=False)
        if is_tensor(points):
            return self._distances_tensors(points)
        data, backend = Points(points), backends.select(self.backend)
        centers = self._centers_for(data.dtype)
        distances = np.empty((data.n, len(centers)), centers.dtype)
        rows = max(1, _BLOCK_BYTES // (len(centers) * centers.itemsize))
        for start, block in data.blocks(rows):
            here = self._distances(block, centers, backend)
            # A bad row shows at any center, so one column is enough.
            checks.distances(block, here[:, 0], start)
            distances[start : start + len(block)] = here
        return arrays.like(X, distances)

    def _distances(self, points: np.ndarray, centers: np.ndarray, backend: Backend) -> np.ndarray:
        """Return the distances (n, k) that `transform` gives for a block."""
        return np.sqrt(backend.sq_distances(points, centers))

    def _distances_tensors(self, points):
        """Return the distances (n, k) that `transform` gives for a tensor."""
        from tfkm.ops import tensors

        distances = tensors.sq_distances(points, self._centers, backend=self.backend)
        return self._in_metric(distances)

    def _in_metric(self, sq_distances):
        """Return the distances that `transform` gives, from a tensor of squared distances."""
        import tensorflow as tf

        return tf.sqrt(sq_distances)

    def fit_transform(self, X, y=None, sample_weight=None) -> Any:
        """Cluster X and return the distance of each row to each center.

        Args:
            X: (n, d) points, as for `fit`.
            y: Ignored; scikit-learn's pipelines pass it.
            sample_weight: (n,) real numbers, finite and not negative; None for ones.

        Returns:
            (n, k) distances, as `transform` returns them.

        Raises:
            ValueError: As for `fit`.
            TypeError: As for `fit`.
            RuntimeError: The named backend cannot be used here.

        Examples:
            >>> import tfkm
            >>> tfkm.KMeans(2, random_state=0).fit_transform([[0.0], [1.0], [9.0]]).shape
            (3, 2)
        """
        return self.fit(X, sample_weight=sample_weight).transform(X)

    @in_users_words
    def score(self, X, y=None, sample_weight=None) -> float:
        """Return minus the inertia of X around the centers; −`inertia_` for the training points.

        Args:
            X: (n, d) points.
            y: Ignored; scikit-learn's pipelines pass it.
            sample_weight: (n,) real numbers, finite and not negative; None for ones.

        Returns:
            A float, in the unit of X squared; the greater the better.

        Raises:
            NotFittedError: There was no fit yet.
            ValueError: As for `predict`, or sample_weight is not as above.
            TypeError: X has a wrong type.
            RuntimeError: The named backend cannot be used here.

        Examples:
            >>> import tfkm
            >>> model = tfkm.KMeans(2, random_state=0).fit([[0.0], [1.0], [9.0]])
            >>> model.score([[0.5], [8.0]]), model.inertia_
            (-1.0, 0.5)
        """
        points = self._checked(X, reset=False)
        weights = self._checked_weight(sample_weight, points)
        return -self._inertia_of(points, weights)

    def _inertia_of(self, points, weights: np.ndarray | None) -> float:
        """Return the inertia of checked points."""
        fixed = centers.finite(self._centers)
        return inertia(points, fixed, weights, backends.select(self.backend))

    def _checked_for_fit(
        self, X, sample_weight, further: bool = False
    ) -> tuple[Any, np.ndarray | None]:
        """Return points and weights, checked.

        Args:
            X: (n, d) points.
            sample_weight: (n,) or None.
            further: Whether the model has seen points before. Then X may have fewer than k.
        """
        points = self._checked(X, reset=not further)
        if is_tensor(points):
            points = arrays.taken("X", points)  # an array, unless it is on a card
        weights = self._checked_weight(sample_weight, points)
        if not further and points.shape[0] < self.n_clusters:
            n = points.shape[0]
            raise ValueError(f"n_samples={n} should be >= n_clusters={self.n_clusters}.")
        return points, weights

    def _checked(self, X, reset: bool):
        """Return X as an array or CSR matrix in a dtype to compute with, or as a tensor if it is one.

        Args:
            X: (n, d) points.
            reset: Whether to take the number and names of the features from X, as `fit` does, or to
                check them.
        """
        known = vars(self)
        if not reset and "cluster_centers_" not in known:
            check_is_fitted(self)
        plain = type(X) is np.ndarray and X.ndim == 2 and X.dtype in FRAME_DTYPES and len(X)
        if plain and not reset and "feature_names_in_" not in known:
            if X.shape[1] != known.get("n_features_in_"):
                self._check_width(X.shape[1])
            return X  # scikit-learn's check takes 0.1 ms and would check nothing more
        if arrays.is_dataset(X):
            raise TypeError(
                "X: a tf.data.Dataset; only `fit` of KMeans and MiniBatchKMeans and `predict` of KMeans "
                "take one. For its batches use dataset.map(model.predict)"
            )
        if not is_tensor(X) and not hasattr(X, "columns"):  # the names of columns are read below
            X = arrays.taken("X", X)
        if not is_tensor(X):
            checks.refuse_masked("X", X)
            bits = X
            # scikit-learn takes bfloat16 for text.
            if isinstance(X, np.ndarray) and X.dtype.name == "bfloat16":
                bits = X.view(np.int16)
            elif isinstance(X, np.ndarray) and not X.dtype.isnative:
                # scikit-learn takes another byte order for another dtype.
                native = X.dtype.newbyteorder("=")
                bits = X.view(native) if native in FRAME_DTYPES else X
            with checks.named("X"):
                array = validate_data(
                    self,
                    bits,
                    reset=reset,
                    dtype=None if bits is not X else FRAME_DTYPES,
                    accept_sparse="csr",
                    ensure_all_finite=False,
                )
            X = array if bits is X else X
        else:
            from tfkm.ops import validate

            X = validate.matrix("X", X, validate.POINT_DTYPES)
            if reset:
                self._take_width(X.shape[1])
        if not reset:
            self._check_width(X.shape[1])
        return X

    def _check_width(self, d: int) -> None:
        """Check that X has as many features as the model."""
        wanted = self._centers.shape[1]
        if d != wanted:
            raise ValueError(
                f"X has {d} features, but {type(self).__name__} is expecting {wanted} features as input."
            )

    def _take_width(self, d: int) -> None:
        """Set the number of features, for points whose features have no names."""
        self.n_features_in_ = d
        self.__dict__.pop("feature_names_in_", None)

    def _checked_weight(self, sample_weight, points) -> np.ndarray | None:
        if sample_weight is None:
            return None
        with checks.named("sample_weight"):
            weights = _check_sample_weight(sample_weight, points, dtype=np.float64)
        checks.check_weights(weights, "sample_weight")
        return weights

    def _checked_init(self, d: int):
        """Return `init`; an array or a user's callable comes with a check of the centers' shape."""
        if seeding.is_own(self.init):
            return self.init
        if not callable(self.init):
            return _checked_centers(self.init, self.n_clusters, d)
        seeding.check_callable(self.init)
        copy = getattr(self, "copy_x", False)

        def init(X, n_clusters, random_state):
            X = _as_scikit_learns(X, copy)
            centers = self.init(X, n_clusters, random_state=random_state)
            return _checked_centers(centers, n_clusters, d)

        return init

    def _starts(self, auto: int) -> int:
        """Return the number of restarts.

        Args:
            auto: The number for `n_init="auto"` if a restart is likely to be worse than k-means++.
        """
        given = seeding.is_array(self.init)
        if self.n_init == "auto":
            return 1 if given or seeding.default_starts(self.init) == 1 else auto
        if given and self.n_init != 1:
            warnings.warn(
                "Explicit initial center position passed: performing only one init in "
                f"{type(self).__name__} instead of n_init={self.n_init}.",
                RuntimeWarning,
                stacklevel=4,
            )
        return 1 if given else self.n_init

    def _warn_of_fewer_clusters(self) -> None:
        distinct = np.unique(self.labels_).size
        if distinct < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=4,
            )

    @property
    def _centers(self) -> Any:
        """Return `cluster_centers_` (k, d) float32 or float64, whether set by fit or by hand.

        In a graph they are a variable.
        """
        if is_tensor(self.cluster_centers_):
            return self.cluster_centers_
        return centers.checked(self.cluster_centers_, vars(self).get("n_features_in_"))

    @property
    def _n_features_out(self):
        return len(self._centers)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _as_scikit_learns(X, copy: bool):
    """Return X as a user's callable gets it: float64, or float32 if X is.

    If a copy is asked for, the callable cannot write to the caller's memory.
    """
    if is_tensor(X):
        X = np.asarray(X)
    if X.dtype not in (np.float32, np.float64):
        return X.astype(np.float64)
    return X.copy() if copy and (sparse.issparse(X) or X.flags.writeable) else X


def _checked_centers(centers, k: int, d: int):
    """Return the centers, checked to be (k, d)."""
    centers = arrays.taken("init", centers)
    if not is_tensor(centers):
        centers = check_array(centers, dtype=[np.float64, np.float32])
    shape = np.shape(centers)
    if len(shape) == 2 and shape[0] != k:
        raise ValueError(
            f"The shape of the initial centers {shape} does not match the number of clusters {k}."
        )
    if len(shape) == 2 and shape[1] != d:
        raise ValueError(
            f"The shape of the initial centers {shape} does not match the number of features of the "
            f"data {d}."
        )
    return centers
