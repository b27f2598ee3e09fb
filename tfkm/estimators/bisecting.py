"""BisectingKMeans with scikit-learn's parameters, attributes and methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from tfkm.data import arrays
from tfkm.data.points import Points
from tfkm.estimators.base import CentroidEstimator, all_or_nothing
from tfkm.estimators.kmeans import PassPrinter
from tfkm.fits import bisecting
from tfkm.ops import backends
from tfkm.ops.backend import Backend
from tfkm.options import FitOptions
from tfkm.saving import fields
from tfkm.types import Assignment

if TYPE_CHECKING:
    from typing_extensions import Self


class BisectingKMeans(CentroidEstimator):
    """Bisecting k-means, in place of `sklearn.cluster.BisectingKMeans`.

    It splits one cluster in two by k-means until there are k.

    `predict` goes down the tree of splits, each time to the nearer center of two, so for the
    training points it equals `labels_`. `inertia_` and `score` go by these labels too. The label
    need not be the nearest of all centers; `transform(X).argmin(1)` is. Once centers are set by
    hand, all methods go by the nearest of them.

    Args:
        n_clusters: k, 1 ≤ k ≤ n.
        init: "random", "k-means++" (greedy), or a callable (X, n_clusters, random_state) -> (2, d),
            which is given the points of one cluster and n_clusters=2.
        n_init: How often each split is tried; the try of least inertia is kept.
        random_state: None, an int or a `numpy.random.RandomState`.
        max_iter: The most iterations of a try.
        verbose: 1 prints the inertia of each iteration, and the centers of each split.
        tol: A try ends when Σ‖shift‖² ≤ tol · mean variance of the features of the cluster that is
            split.
        copy_x: Whether points that cannot be read in place may be copied once, if below 256 MB. X
            itself is never changed. Beside it there is a copy of the points of one cluster at a
            time.
        algorithm: "lloyd" or "elkan". Both are exact, so both do the same here.
        bisecting_strategy: "biggest_inertia" splits the cluster of most inertia, "largest_cluster"
            that of most weight (of most points, if there are no weights).
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Attributes:
        cluster_centers_: (k, d), of the dtypes of `KMeans`.
        labels_: (n,) int32.
        inertia_: The weighted sum of squared distances to the own center, in the unit of X squared.
        n_features_in_: d, the number of features.
        feature_names_in_: (d,) the names of the columns, if X has names that are strings.

    References:
        Steinbach, Karypis & Kumar (2000), "A comparison of document clustering techniques".

    Examples:
        >>> import numpy as np
        >>> from tfkm import BisectingKMeans
        >>> x = np.array([[1, 1], [3, 1], [10, 0], [10, 2], [10, 8], [10, 10]], np.float64)
        >>> model = BisectingKMeans(n_clusters=3, n_init=3, random_state=0).fit(x)
        >>> sorted(model.cluster_centers_.tolist())
        [[2.0, 1.0], [10.0, 1.0], [10.0, 9.0]]
        >>> bool((model.predict(x) == model.labels_).all())
        True
    """

    _parameter_constraints = CentroidEstimator._parameter_constraints | {
        "init": [StrOptions({"k-means++", "random"}), callable],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "copy_x": ["boolean"],
        "algorithm": [StrOptions({"lloyd", "elkan"})],
        "bisecting_strategy": [StrOptions(set(bisecting.STRATEGIES))],
    }

    _LEARNT = CentroidEstimator._LEARNT | {"_tree": bisecting.Tree}

    def __init__(  # noqa: PLR0913 - a user's arguments
        self,
        n_clusters: int = 8,
        *,
        init: str | Callable = "random",
        n_init: int | str = 1,
        random_state: int | np.random.RandomState | None = None,
        max_iter: int = 300,
        verbose: int = 0,
        tol: float = 1e-4,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        bisecting_strategy: str = "biggest_inertia",
        backend: str | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.random_state = random_state
        self.max_iter = max_iter
        self.verbose = verbose
        self.tol = tol
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.bisecting_strategy = bisecting_strategy
        self.backend = backend

    @all_or_nothing
    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Cluster X by repeated splits.

        Args:
            X: (n, d) points.
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
            >>> tfkm.BisectingKMeans(2, random_state=0).fit([[0.0], [1.0], [9.0]]).inertia_
            0.5
        """
        self._validate_params()
        points, weights = self._checked_for_fit(X, sample_weight)
        if arrays.is_tensor(points):
            points = np.asarray(points)
        if weights is not None and (n := np.count_nonzero(weights)) < self.n_clusters:
            raise ValueError(
                f"n_samples={n} of positive weight should be >= n_clusters={self.n_clusters}."
            )
        options = FitOptions(
            self.n_clusters,
            self._checked_init(points.shape[1]),
            self.n_init,
            self.max_iter,
            self.tol,
            check_random_state(self.random_state),
            backend=self.backend,
            copy=self.copy_x,
            on_pass=PassPrinter() if self.verbose else None,
        )
        on_split = _print_split if self.verbose else None
        tree, labels = bisecting.grow(points, weights, options, self.bisecting_strategy, on_split)
        self._tree, self.labels_ = tree, labels
        self.cluster_centers_ = tree.centroids.copy()  # a copy, which a user may edit
        self.inertia_ = self._inertia_of(points, weights)
        return self

    def _tree_of_centers(self) -> bisecting.Tree | None:
        """Return the tree, or None if the centers are no longer the tree's but were set by hand."""
        tree = vars(self).get("_tree")
        if tree is None or tree.centroids is self.cluster_centers_:
            return tree
        return tree if np.array_equal(tree.centroids, self._centers) else None

    def _nearest(self, points: Any, centers: np.ndarray, backend: Backend) -> np.ndarray:
        tree = self._tree_of_centers()
        if tree is None:
            return super()._nearest(points, centers, backend)
        return bisecting.labels(points, tree, backend)

    def _blocks(self, data: Points, backend: Backend) -> Iterable:
        if self._tree_of_centers() is None:
            return super()._blocks(data, backend)
        return data.blocks(bisecting.rows_of_a_block(data))

    def _assigned_tensors(self, points) -> Assignment:
        tree = self._tree_of_centers()
        if tree is None:
            return super()._assigned_tensors(points)
        from tfkm.estimators import in_tensors

        return in_tensors.assign_leaves(points, tree, self.backend)

    def _convert(self, path, format, dtype, backend):
        raise ValueError(f"format: {format!r}; a BisectingKMeans is exported as 'saved_model' only")

    def _settled(self) -> Self:
        settled: Any = super()._settled()
        settled._tree = self._tree_of_centers()
        return settled

    def _hold_variables(self) -> dict[str, Any]:
        import tensorflow as tf

        variables = super()._hold_variables()
        if self._tree is None:
            return variables
        pairs = tf.Variable(self._tree.pairs, trainable=False)
        self._tree = self._tree._replace(pairs=pairs, centroids=self.cluster_centers_)
        return variables | {"splits": pairs}

    def _check_learnt(self) -> None:
        super()._check_learnt()
        tree, (k, d) = self._tree, self.cluster_centers_.shape
        if tree is None:
            return
        fields.check(isinstance(tree, bisecting.Tree), "_tree", "the splits of a tree")
        dtype = self.cluster_centers_.dtype.name
        fields.rows("_tree.pairs", tree.pairs, dtype, k - 1, 2 if k > 1 else 1, d)
        children = fields.array("_tree.children", tree.children, "int64", k - 1, 2)
        # Each cluster, and each split but the first, is the child of exactly one earlier split.
        behind = [*range(-k, 0), *range(1, k - 1)] if k > 1 else []
        late = (children > 0) & (children <= np.arange(k - 1)[:, None])
        fields.check(
            np.array_equal(np.sort(children, axis=None), behind) and not late.any(),
            "_tree.children",
            "each cluster, and each split but the first, behind one earlier split",
        )
        same = np.array_equal(tree.centroids, self.cluster_centers_)
        fields.check(same, "_tree.centroids", "the values of cluster_centers_")

    def _inertia_of(self, points, weights: np.ndarray | None) -> float:
        tree = self._tree_of_centers()
        if tree is None:
            return super()._inertia_of(points, weights)
        return bisecting.inertia(points, tree, weights, backends.select(self.backend))


def _print_split(pair: np.ndarray) -> None:
    print(f"New centroids from bisection: {pair}")
