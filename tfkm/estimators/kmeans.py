"""KMeans with scikit-learn's parameters, attributes and methods."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from tfkm import seeding, streams
from tfkm.callbacks import Callback
from tfkm.data import files
from tfkm.data.arrays import is_tensor
from tfkm.data.points import Points
from tfkm.estimators import centers
from tfkm.estimators.base import CentroidEstimator, all_or_nothing, in_users_words
from tfkm.fits import kmeans
from tfkm.lloyd import spherical
from tfkm.lloyd.one_pass import inertia
from tfkm.ops import backends
from tfkm.ops.backend import Backend
from tfkm.options import FitOptions
from tfkm.types import Assignment, Pass, Status

if TYPE_CHECKING:
    from typing_extensions import Self


class KMeans(CentroidEstimator):
    """Exact k-means, in place of `sklearn.cluster.KMeans`.

    `predict(X)` of the training points equals `labels_`, unless sizes are limited. Centers, labels,
    inertia and score always belong together. X may be what NumPy takes, a memory map (read in
    blocks), a pandas frame, a sparse matrix or a `tf.Tensor`; `predict` and `transform` of a tensor
    return a tensor.

    Args:
        n_clusters: k, 1 ≤ k ≤ n.
        init: Where the first centers come from: "k-means++" (greedy), "k-means||", "afk-mc2",
            "random", an array (k, d), a function of this package with settings, such as
            `functools.partial(tfkm.kmeans_plusplus, n_local_trials=1)`, or a callable (X,
            n_clusters, random_state) -> (k, d).
        n_init: How many restarts to make; the one of least inertia is kept. "auto" is 10 for
            "random" and for a callable of your own, else 1.
        max_iter: The most iterations of a restart.
        tol: A restart ends when Σ‖shift‖² ≤ tol · mean variance of the features. With 0 it ends
            when nothing moves.
        verbose: 1 prints the inertia of each iteration, and why the restart ended.
        random_state: None, an int or a `numpy.random.RandomState`.
        copy_x: Whether points that cannot be read in place may be copied once, if below 256 MB, and
            whether a callable `init` gets a copy. X itself is never changed. Datasets and files are
            never copied.
        algorithm: "lloyd" or "elkan". Both are exact, so both do the same here.
        metric: "euclidean", or "cosine" for spherical k-means: assignment, seeding and stopping go
            by cosine distance, `transform` returns it, `inertia_` is the sum of it, and centers
            have length 1. A row of zeros is at distance 1 from everything and has label 0.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.
        size_min: The least number of points of a cluster in `fit`, None for no limit; see
            `tfkm.kmeans`. With a limit `labels_` and `inertia_` keep it, while `predict` and
            `score` have none. Not with sample_weight.
        size_max: The most points of a cluster in `fit`, None for no limit; as `size_min`.
        checkpoint_dir: A folder from which the same fit goes on after it was killed; see
            `tfkm.kmeans`.
        engine: Who reads and computes, such as `tfkm.Ray`; None for this process.
        callbacks: A `tfkm.Callback`, such as `tfkm.Progress`, or a list of them.

    Attributes:
        cluster_centers_: (k, d), float64 if X is float64; float32 if X is float32, float16,
            bfloat16, int8 or uint8. Other numbers are taken as float64.
        labels_: (n,) int32; None after a fit of a dataset or of files.
        inertia_: The weighted sum of squared distances to the own center, in the unit of X squared.
        n_iter_: How many passes were made.
        n_features_in_: d, the number of features.
        feature_names_in_: (d,) the names of the columns, if X has names that are strings.

    References:
        As for `tfkm.kmeans`.

    Examples:
        >>> import numpy as np
        >>> from tfkm import KMeans
        >>> x = np.array([[1.0, 2.0], [1.0, 4.0], [10.0, 2.0], [10.0, 4.0]])
        >>> model = KMeans(n_clusters=2, random_state=0).fit(x)
        >>> sorted(model.cluster_centers_.tolist())
        [[1.0, 3.0], [10.0, 3.0]]
        >>> bool((model.predict(x) == model.labels_).all())
        True
    """

    _parameter_constraints = CentroidEstimator._parameter_constraints | {
        "copy_x": ["boolean"],
        "algorithm": [StrOptions({"lloyd", "elkan"})],
        "metric": [StrOptions(set(spherical.METRICS))],
        "size_min": [Interval(Integral, 0, None, closed="left"), None],
        "size_max": [Interval(Integral, 1, None, closed="left"), None],
        "checkpoint_dir": [str, os.PathLike, None],
        "engine": [callable, None],
        "callbacks": ["array-like", Callback, None],
    }

    _LEARNT = CentroidEstimator._LEARNT | {"n_iter_": None}

    # Without this scikit-learn adds a `set_predict_request`, as if `out` were metadata.
    __metadata_request__predict = {"out": UNUSED}

    def __init__(  # noqa: PLR0913 - a user's arguments
        self,
        n_clusters: int = 8,
        *,
        init: seeding.Init = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        metric: str = "euclidean",
        backend: str | None = None,
        size_min: int | None = None,
        size_max: int | None = None,
        checkpoint_dir: str | os.PathLike | None = None,
        engine: streams.Opener | None = None,
        callbacks: Sequence[Callback] | Callback | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.metric = metric
        self.backend = backend
        self.size_min = size_min
        self.size_max = size_max
        self.checkpoint_dir = checkpoint_dir
        self.engine = engine
        self.callbacks = callbacks

    @all_or_nothing
    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Cluster X.

        X may be larger than memory: a `tf.data.Dataset` of batches of points, or of pairs of points
        and weights; the path of a NumPy, Parquet or TFRecord file, a pattern such as
        `points/*.npy`, or a list of paths. It is read once in each pass, and the result is that of
        the same points in memory, to the bit. `labels_` is then None; `predict(X, out=…)` writes
        the labels to a file.

        Args:
            X: (n, d) points, or a stream as above.
            y: Ignored; scikit-learn's pipelines pass it.
            sample_weight: (n,) real numbers, finite and not negative; None for ones.

        Returns:
            The fitted estimator itself.

        Raises:
            ValueError: A parameter or argument has a value that is not allowed; before any work.
            TypeError: A parameter or argument has a wrong type; before any work.
            RuntimeError: The named backend cannot be used here.

        Examples:
            >>> import tfkm
            >>> model = tfkm.KMeans(2, random_state=0).fit([[0.0], [9.0]], sample_weight=[1.0, 2.0])
            >>> model.inertia_, model.n_iter_
            (0.0, 1)
        """
        self._validate_params()
        if streams.is_stream(X):
            if sample_weight is not None:
                raise ValueError(
                    "sample_weight: given together with a dataset or files; these have their own weights"
                )
            points: Any = streams.source_of(X, name="X")
            weights = None
            self._take_width(points.d)
        else:
            points, weights = self._checked_for_fit(X, sample_weight)
        if self.algorithm == "elkan" and self.n_clusters == 1:
            warnings.warn(
                "algorithm='elkan' doesn't make sense for a single cluster. Using 'lloyd' instead.",
                RuntimeWarning,
                stacklevel=3,
            )
        printer = PassPrinter("Initialization complete") if self.verbose else None
        # FitOptions refuses True and False, which scikit-learn takes for numbers.
        options = FitOptions(
            self.n_clusters, self._checked_init(self.n_features_in_), self._starts(10), self.max_iter,
            self.tol, self.random_state, self.metric, self.backend, self.copy_x, self.size_min,
            self.size_max, printer, self.callbacks or (), self.checkpoint_dir, self.engine,
        )  # fmt: skip
        end = kmeans.fit(points, weights, options)
        self.cluster_centers_, self.labels_ = end.centroids, end.labels
        self.inertia_, self.n_iter_ = end.inertia, end.n_iter
        if self.labels_ is not None:
            self._warn_of_fewer_clusters()
        if printer is not None:
            printer.rest()
        return self

    @in_users_words
    def predict(self, X, *, out: str | os.PathLike | None = None) -> Any:
        """Return the index of the nearest center of each row of X.

        Args:
            X: (n, d) points, or a stream as for `fit`.
            out: The path of a file, .npy, .csv, .parquet or .tfrecord, that the labels are written to
                as they come, so that they are not held. A file that exists is replaced.

        Returns:
            (n,) int32 labels, from the library that X comes from; None with `out`.

        Raises:
            NotFittedError: There was no fit yet.
            ValueError: X has another width or values that are not finite, or `out` has another
                suffix.
            TypeError: X has a wrong type.
            RuntimeError: The named backend cannot be used here.

        Examples:
            >>> import os, tempfile, tfkm
            >>> model = tfkm.KMeans(2, random_state=0).fit([[0.0], [1.0], [9.0]])
            >>> model.cluster_centers_[model.predict([[2.0], [8.0]])].tolist()
            [[0.5], [9.0]]
            >>> model.predict([[2.0], [8.0]], out=os.path.join(tempfile.mkdtemp(), "labels.npy"))
        """
        if not streams.is_stream(X) and out is None:
            return super().predict(X)
        path = None if out is None else files.check_labels(out)
        check_is_fitted(self)
        given = X if streams.is_stream(X) else self._checked(X, reset=False)
        source = streams.source_of(given, name="X")
        self._check_width(source.d)
        blocks = streams.labels_of(source, self._labels_of)
        if path is None:
            return np.concatenate([np.empty(0, np.int32), *blocks])
        return files.write_labels(path, blocks)

    @property
    def _centers(self) -> Any:
        """Return the centers, scaled to length 1 if metric="cosine"."""
        own = super()._centers
        if self.metric == "euclidean" or is_tensor(own):
            return own
        return centers.of_length_one(own)

    def _nearest(self, points: Any, centers: np.ndarray, backend: Backend) -> np.ndarray:
        """Return the labels; with metric="cosine" those of points scaled to length 1.

        For these ½‖x − c‖² is the cosine distance. Points of zeros are at distance 1 from everything.
        """
        if self.metric == "euclidean":
            return backend.labels(points, centers)
        unit, zeros = spherical.unit_rows(points, backend)
        return np.where(zeros, 0, backend.labels(unit, centers))

    def _distances(self, points: np.ndarray, centers: np.ndarray, backend: Backend) -> np.ndarray:
        if self.metric == "euclidean":
            return super()._distances(points, centers, backend)
        unit, zeros = spherical.unit_rows(points, backend)
        distances = backend.sq_distances(unit, centers) / 2
        distances[zeros] = 1
        return distances

    def _blocks(self, data: Points, backend: Backend) -> Iterable:
        return super()._blocks(data, backend) if self.metric == "euclidean" else data

    def _assigned_tensors(self, points) -> Assignment:
        if self.metric == "euclidean":
            return super()._assigned_tensors(points)
        from tfkm.estimators import in_tensors

        return in_tensors.assign_unit(points, self._centers, self.backend)

    def _distances_tensors(self, points):
        if self.metric == "euclidean":
            return super()._distances_tensors(points)
        from tfkm.estimators import in_tensors

        return in_tensors.cosine_distances(points, self._centers, self.backend)

    def _in_metric(self, sq_distances):
        return super()._in_metric(sq_distances) if self.metric == "euclidean" else sq_distances / 2

    def _inertia_of(self, points, weights: np.ndarray | None) -> float:
        fixed = centers.finite(self._centers)
        return inertia(points, fixed, weights, backends.select(self.backend), self.metric)


class PassPrinter:
    """A printer of passes in scikit-learn's words.

    Restarts run together, but their lines are printed one restart after the other.
    """

    def __init__(self, begin: str | None = None) -> None:
        """Take the line that each restart begins with."""
        self._begin = begin
        self._waiting: dict[int, list[str]] = {}  # lines not yet printed, by restart
        self._ended: set[int] = set()
        self._current: int | None = None

    def __call__(self, done: Pass) -> None:
        at, start = done.iteration - 1, done.start
        lines = self._waiting.setdefault(start, [])
        if at == 0 and self._begin:
            lines.append(self._begin)
        lines.append(f"Iteration {at}, inertia {done.inertia}.")
        if done.status is Status.LABELS_UNCHANGED:
            lines.append(f"Converged at iteration {at}: strict convergence.")
        elif done.status is Status.WITHIN_TOL:
            within = f"center shift {done.shift} within tolerance {done.threshold}"
            lines.append(f"Converged at iteration {at}: {within}.")
        if done.status is not None:
            self._ended.add(start)
        if self._current is None:
            self._current = start
        while self._current in self._waiting:
            print(*self._waiting.pop(self._current), sep="\n")
            if self._current in self._ended:
                self._ended.remove(self._current)
                self._current = min(self._waiting, default=None)

    def rest(self) -> None:
        """Print the lines that are left, because a callback stopped an earlier restart."""
        for _, lines in sorted(self._waiting.items()):
            print(*lines, sep="\n")
