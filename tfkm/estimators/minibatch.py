"""MiniBatchKMeans with scikit-learn's parameters, attributes and methods."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from tfkm import seeding
from tfkm.data import arrays
from tfkm.data.batches import Batches, Weighted
from tfkm.estimators import centers
from tfkm.estimators.base import CentroidEstimator, all_or_nothing
from tfkm.fits import minibatch
from tfkm.lloyd.one_pass import one_pass
from tfkm.ops import backends
from tfkm.options import FitOptions
from tfkm.saving import fields

if TYPE_CHECKING:
    from typing_extensions import Self


class MiniBatchKMeans(CentroidEstimator):
    """Mini-batch k-means, in place of `sklearn.cluster.MiniBatchKMeans`.

    `fit` draws batches at random, with probability proportional to sample_weight. It also takes a
    `tf.data.Dataset` of batches (rows, d), or of pairs of such a batch and its weights (rows,); the
    last batch may be smaller. The elements of a dataset are used in their order, so shuffle it, and
    each is used once in a pass. Its first init_size points are those that are seeded from, and
    `tol` refers to their variance. `labels_` have the order of one more pass: if a dataset shuffles
    differently each time, call `predict` on batches instead.

    Each step is computed exactly and the means are kept in float64, so the same input, seed and
    backend give the same bits.

    Args:
        n_clusters: k, 1 ≤ k ≤ n.
        init: Where the first centers come from: "k-means++" (greedy), "random", an array (k, d), or
            a callable (X, n_clusters, random_state) -> (k, d), whose X is the sample that is seeded
            from.
        max_iter: The most passes over X; of an endless dataset, the most batches.
        batch_size: How many points are drawn for a step. A dataset has batches of its own.
        verbose: 1 prints the inertia of each batch.
        compute_labels: Whether `fit` ends with a pass that sets `labels_` and the exact `inertia_`.
        random_state: None, an int or a `numpy.random.RandomState`.
        tol: The fit ends when the means move by Σ‖shift‖² ≤ tol · mean variance of the features in
            a step; with 0 it never does.
        max_no_improvement: The fit ends after so many batches without a new least smoothed inertia;
            None for never.
        init_size: How many points are seeded from; None for 3 · batch_size, or 3 · k if that is
            below k.
        n_init: How many seedings to try; the best one is taken. "auto" is 1 for "k-means++" and an
            array, else 3.
        reassignment_ratio: Clusters that were given less than this share of the weight of the
            largest one are moved to random points of the batch, about every 10 · k points; 0 for
            never.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Attributes:
        cluster_centers_: (k, d), of the dtypes of `KMeans`.
        labels_: (n,) int32, if they are computed; after `partial_fit` those of the batch.
        inertia_: The weighted sum of squared distances; smoothed over the batches if labels are not
            computed.
        n_iter_: How many passes were begun.
        n_steps_: How many batches were used.
        n_features_in_: d, the number of features.
        feature_names_in_: (d,) the names of the columns, if X has names that are strings.

    References:
        Sculley (2010), "Web-scale k-means clustering".

    Examples:
        >>> import numpy as np
        >>> from tfkm import MiniBatchKMeans
        >>> x = np.concatenate([np.zeros((50, 2)), np.full((50, 2), 9.0)])
        >>> model = MiniBatchKMeans(n_clusters=2, batch_size=20, random_state=0).fit(x)
        >>> sorted(model.cluster_centers_.tolist())
        [[0.0, 0.0], [9.0, 9.0]]
        >>> model = MiniBatchKMeans(n_clusters=2, random_state=0)
        >>> for batch in np.split(x[::-1], 4):
        ...     model = model.partial_fit(batch)
        >>> model.n_steps_
        4
    """

    _parameter_constraints = CentroidEstimator._parameter_constraints | {
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "compute_labels": ["boolean"],
        "max_no_improvement": [Interval(Integral, 0, None, closed="left"), None],
        "init_size": [Interval(Integral, 1, None, closed="left"), None],
        "reassignment_ratio": [Interval(Real, 0, None, closed="left")],
    }

    _LEARNT = CentroidEstimator._LEARNT | {
        "n_iter_": None,
        "n_steps_": None,
        "_state": minibatch.MiniBatchState,
        "_random_state": None,
    }

    def __init__(  # noqa: PLR0913 - a user's arguments
        self,
        n_clusters: int = 8,
        *,
        init: seeding.Init = "k-means++",
        max_iter: int = 100,
        batch_size: int = 1024,
        verbose: int = 0,
        compute_labels: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 0.0,
        max_no_improvement: int | None = 10,
        init_size: int | None = None,
        n_init: int | str = "auto",
        reassignment_ratio: float = 0.01,
        backend: str | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.verbose = verbose
        self.compute_labels = compute_labels
        self.random_state = random_state
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.init_size = init_size
        self.n_init = n_init
        self.reassignment_ratio = reassignment_ratio
        self.backend = backend

    @all_or_nothing
    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Cluster X by batches.

        Args:
            X: (n, d) points, or a `tf.data.Dataset` of batches.
            y: Ignored; scikit-learn's pipelines pass it.
            sample_weight: (n,) real numbers, finite and not negative; None for ones.

        Returns:
            The fitted estimator itself.

        Raises:
            ValueError: A parameter or argument has a value that is not allowed; for arrays before
                any work.
            TypeError: A parameter or argument has a wrong type; for arrays before any work.
            RuntimeError: The named backend cannot be used here.

        Examples:
            >>> import tfkm
            >>> model = tfkm.MiniBatchKMeans(2, random_state=0).fit([[0.0], [0.0], [9.0]])
            >>> sorted(model.cluster_centers_.ravel().tolist())
            [0.0, 9.0]
        """
        self._validate_params()
        rng = check_random_state(self.random_state)
        if arrays.is_dataset(X):
            return self._fit_batches(X, sample_weight, rng)
        points, weights = self._checked_for_fit(X, sample_weight)
        if arrays.is_tensor(points):
            points = np.asarray(points)
        n, d = points.shape
        batch_size = min(self.batch_size, n)
        options = self._options(n, d, self._starts(3))
        self._end(minibatch.fit_points(points, weights, batch_size, rng, options))
        if self.compute_labels:
            self._label(points, weights)
        return self

    def _fit_batches(self, dataset, sample_weight, rng):
        if sample_weight is not None:
            raise ValueError(
                "sample_weight: given together with a dataset; let the dataset's elements be pairs of "
                "points and weights"
            )
        batches = Batches(dataset)
        if batches.infinite and self.compute_labels:
            raise ValueError(
                "compute_labels: True; X is a dataset without an end, for which it has to be False"
            )
        options = self._options(None, batches.d, self._starts(3))
        self._end(minibatch.fit_batches(batches, rng, options))
        self._take_width(batches.d)
        if self.compute_labels:
            self.labels_, self.inertia_ = minibatch.label_batches(
                batches, self.cluster_centers_, options.fit.selected
            )
        return self

    @all_or_nothing
    def partial_fit(self, X, y=None, sample_weight=None) -> Self:
        """Learn from one more batch.

        The first batch is seeded from, so it needs n_clusters points. If `cluster_centers_` was set
        or edited by hand, the means go on from there, each with the weight that its cluster had. If
        there was none before, or the number of clusters has changed, each has the weight of one
        point.

        Args:
            X: (n, d) points of the batch.
            y: Ignored; scikit-learn's pipelines pass it.
            sample_weight: (n,) real numbers, finite and not negative; None for ones.

        Returns:
            The estimator itself.

        Raises:
            ValueError: As for `fit`, or X has another width than the batches before; before any
                work.
            TypeError: As for `fit`; before any work.
            RuntimeError: The named backend cannot be used here.

        Examples:
            >>> import tfkm
            >>> model = tfkm.MiniBatchKMeans(2, random_state=0)
            >>> for batch in [[0.0], [9.0]], [[1.0], [8.0]]:
            ...     model = model.partial_fit(batch)
            >>> sorted(model.cluster_centers_.ravel().tolist())
            [0.5, 8.5]
        """
        self._validate_params()
        state = self._state_of_centers()
        batch = Weighted(*self._checked_for_fit(X, sample_weight, further=state is not None))
        if not hasattr(self, "_random_state"):
            self._random_state = check_random_state(self.random_state)
        n, d = batch.points.shape
        options = self._options(n, d, self._starts(3) if state is None else None)
        rng = self._random_state
        if state is None:
            state = minibatch.begin(batch, rng, options)
        state = minibatch.partial_fit(state, batch, rng, options)
        self._take(state)
        self.n_steps_ = getattr(self, "n_steps_", 0) + 1
        if self.compute_labels:
            self._label(*batch)
        return self

    def _state_of_centers(self) -> minibatch.MiniBatchState | None:
        """Return the state with the centers as they are now, which may have been set by hand.

        It is None before the first centers.
        """
        if not hasattr(self, "cluster_centers_"):
            return None
        own, state = centers.finite(self._centers), getattr(self, "_state", None)
        if state is None or state.means.shape != own.shape:  # each center counts as one point
            return minibatch.MiniBatchState(own.astype(np.float64), np.ones(len(own)), own.dtype)
        edited = (state.centroids != own).any(axis=1, keepdims=True)
        return state._replace(means=np.where(edited, own, state.means), dtype=own.dtype)

    def _settled(self) -> Self:
        settled: Any = super()._settled()
        settled._state = self._state_of_centers()
        return settled

    def _check_learnt(self) -> None:
        super()._check_learnt()
        state, own = self._state, self.cluster_centers_
        fields.check(isinstance(state, minibatch.MiniBatchState), "_state", "what a batch leaves")
        means = fields.array("_state.means", state.means, "float64", *own.shape)
        counts = fields.array("_state.counts", state.counts, "float64", len(own))
        with np.errstate(over="ignore"):
            largest = float(np.abs(means).max() * counts.sum())
        fields.check(
            counts.min() >= 0 and np.isfinite(largest),
            "_state.counts",
            "weights ≥ 0, whose products with the means are finite",
        )
        fields.count("_state.since", state.since)
        same = isinstance(state.dtype, np.dtype) and state.dtype == own.dtype
        fields.check(same, "_state.dtype", f"{own.dtype}, that of cluster_centers_")
        same = np.array_equal(state.centroids, own)
        fields.check(same, "_state.means", "the values of cluster_centers_")
        random = vars(self).get("_random_state")
        is_one = random is None or isinstance(random, np.random.RandomState)
        fields.check(is_one, "_random_state", "the state of a generator")

    def _options(self, n: int | None, d: int, starts: int | None) -> minibatch.MiniBatchOptions:
        """Return the options of a fit.

        Args:
            n: Number of points; None if it is not known.
            d: Number of features.
            starts: Number of seedings; None if no seeding is made.
        """
        size, k = self.init_size, self.n_clusters
        if size is None:
            size = 3 * (self.batch_size if n is None else min(self.batch_size, n))
        elif size < k and starts is not None:
            warnings.warn(
                f"init_size={size} should be larger than n_clusters={k}. "
                "Setting it to min(3*n_clusters, n_samples)",
                RuntimeWarning,
                stacklevel=4,
            )
        init = "random" if starts is None else self._checked_init(d)
        fit = FitOptions(k, init, starts or 1, self.max_iter, self.tol, backend=self.backend)
        return minibatch.MiniBatchOptions(
            fit,
            size if size >= k else 3 * k,
            self.max_no_improvement,
            self.reassignment_ratio,
            *([print] if self.verbose else []),
        )

    def _end(self, ended: minibatch.Ended) -> None:
        """Take the result of a fit."""
        # A later `partial_fit` starts with a new generator.
        self.__dict__.pop("_random_state", None)
        self._take(ended.state)
        _, self.n_steps_, self.n_iter_, self.inertia_ = ended

    def _take(self, state: minibatch.MiniBatchState) -> None:
        """Take the state and its centers, and drop what belonged to the old centers."""
        self._state, self.cluster_centers_ = state, state.centroids
        for name in ("labels_", "inertia_"):  # they belong to the old centers
            self.__dict__.pop(name, None)

    def _label(self, points, weights: np.ndarray | None) -> None:
        """Set `labels_` and `inertia_` of these points."""
        backend = backends.select(self.backend)
        assignment, statistics = one_pass(points, self.cluster_centers_, weights, backend)
        self.labels_, self.inertia_ = assignment.labels, float(statistics.inertia)
