"""The types that the layers exchange, for n points, k clusters and d features."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tfkm import exact
from tfkm.reprs import brief


@brief(labels="n", sq_distances="n")
class Assignment(NamedTuple):
    """Where each point belongs.

    Attributes:
        labels: (n,) int32, the index of the nearest centroid, the lowest one among exact ties.
        sq_distances: (n,) squared Euclidean distance to that centroid; float64 if the points or the
            centroids are, else float32.

    Examples:
        >>> import tfkm
        >>> labels, sq_distances = tfkm.assign([[0.0], [9.0]], [[1.0], [7.0]])
        >>> labels, sq_distances
        (array([0, 1], dtype=int32), array([1., 4.]))
    """

    labels: Any
    sq_distances: Any


@brief(sums="k d", weights="k")
class Statistics(NamedTuple):
    """What one pass over some points adds up. Statistics of disjoint points can be added.

    Attributes:
        sums: (k, d) float64, the weighted sum of the points of each cluster.
        weights: (k,) float64, the weight of each cluster; its number of points if they have no
            weights.
        inertia: () float64, the weighted sum of the squared distances to the nearest centroid.

    Examples:
        >>> import tfkm
        >>> centroids = [[0.0], [8.0]]
        >>> one, other = (tfkm.accumulate(x, centroids)[1] for x in ([[0.0], [9.0]], [[1.0]]))
        >>> both = one + other  # the same as of all three points
        >>> (both.sums / both.weights[:, None]).ravel(), float(both.inertia)
        (array([0.5, 9. ]), 2.0)
    """

    sums: Any
    weights: Any
    inertia: Any

    def __add__(self, other: Statistics) -> Statistics:  # type: ignore[override]
        return Statistics(*(a + b for a, b in zip(self, other, strict=True)))


class Words(NamedTuple):
    """One of the two words of exact sums.

    Attributes:
        sums: (…, k, d).
        weights: (…, k).
    """

    sums: Any
    weights: Any


class ExactStatistics(NamedTuple):
    """A `Statistics` in which additions never round; `tfkm.exact` explains how.

    Sums and weights are high + low, and inertia (…, 66) is in digits. `rounded()` gives the same
    bits in whatever order and grouping the parts were added.
    """

    high: Words
    low: Words
    inertia: Any

    def __add__(self, other: ExactStatistics) -> ExactStatistics:  # type: ignore[override]
        high, low = (
            Words(*(a + b for a, b in zip(mine, others, strict=True)))
            for mine, others in ((self.high, other.high), (self.low, other.low))
        )
        return ExactStatistics(high, low, self.inertia + other.inertia)

    def rounded(self) -> Statistics:
        """Return the nearest float64 `Statistics`, of arrays; `tfkm.ops.sums.rounded` is for tensors."""
        sums, weights = (high + low for high, low in zip(self.high, self.low, strict=True))
        return Statistics(sums, weights, exact.total(self.inertia))


class Ahead(NamedTuple):
    """Permission to make several passes in one call, each from the means of the one before.

    The passes stop where the loop has a decision to make. This is after a pass in which a cluster
    has no weight, no label changes (the inertia is then summed up, too), or Σ‖shift‖² is not
    clearly above its threshold.

    Attributes:
        thresholds: (B,) float64, the threshold of each problem.
        most: (B,) int64, the most passes in all, ≥ 1.
    """

    thresholds: np.ndarray
    most: np.ndarray


class Made(NamedTuple):
    """The last pass of each of `a` runs; all arrays have a leading axis of length a.

    Attributes:
        assignment: Labels and distances (a, n); None if they are not held.
        statistics: The sums.
        changed: (a,) How many labels differ from those of the pass before.
        centroids: (a, k, d), the centroids that the pass began with.
        passes: (a,) int64, how many passes each run made; None for one each.
    """

    assignment: Assignment | None
    statistics: Statistics
    changed: np.ndarray
    centroids: np.ndarray
    passes: np.ndarray | None = None


class Status(enum.Enum):
    """Why the iteration ended; the value says it in words.

    Examples:
        >>> import tfkm
        >>> status = tfkm.kmeans([[0.0], [1.0], [9.0]], 2, max_iter=1, random_state=0).status
        >>> status is tfkm.Status.MAX_ITER, status.value
        (True, 'max_iter passes were done; raise max_iter to go on')
    """

    LABELS_UNCHANGED = "no label changed in the last pass"
    WITHIN_TOL = "the centroids moved by no more than tol"
    MAX_ITER = "max_iter passes were done; raise max_iter to go on"
    STOPPED = "a callback asked to stop"


# Called with the progress: how much is done, how much there is (None if not known), and the unit.
Tell = Callable[[int, int | None, str], None]


@brief()
class Pass(NamedTuple):
    """What a callback is told after each pass of Lloyd's iteration.

    Attributes:
        start: The number of the restart, from 0 to n_init − 1.
        iteration: How many passes this restart has made, from 1.
        inertia: The weighted sum of squared distances, or of cosine distances, to the centroids
            that the pass began with.
        shift: The squared distance that each centroid then moved, summed over the clusters; `tol`
            limits it.
        seconds: Wall time of the pass. Restarts that make a pass together share it equally.
        empty: How many clusters had no point of positive weight, before they were given one.
        points: How many points the pass read.
        threshold: The restart ends when `shift` is not above this.
        status: Why the restart ends with this pass; None if it goes on.

    Examples:
        >>> import tfkm
        >>> passes = []
        >>> result = tfkm.kmeans([[0.0], [1.0], [9.0]], 2, random_state=0, on_pass=passes.append)
        >>> len(passes) == result.n_iter, passes[-1].shift, passes[-1].points
        (True, 0.0, 3)
    """

    start: int
    iteration: int
    inertia: float
    shift: float
    seconds: float
    empty: int
    points: int
    threshold: float
    status: Status | None


@brief(centroids="k d", indices="k")
class Seeds(NamedTuple):
    """Chosen points to start a k-means from.

    Attributes:
        centroids: (k, d) float32 or float64.
        indices: (k,) int64, the row of each centroid among the points; −1 for a centroid that was
            given.

    Examples:
        >>> import tfkm
        >>> seeds = tfkm.random_points([[0.0], [1.0], [9.0]], 2, random_state=0)
        >>> seeds.centroids.shape, seeds.indices.shape
        ((2, 1), (2,))
    """

    centroids: Any
    indices: Any


@brief(centroids="k d", labels="n")
class Result(NamedTuple):
    """A finished k-means. All fields belong to the same centroids.

    Attributes:
        centroids: (k, d) float32 or float64.
        labels: (n,) int32; None for a stream, whose labels are not held.
        inertia: The weighted sum of squared distances (or of cosine distances) to the own centroid.
        n_iter: How many passes were made.
        status: Why the iteration ended.

    Examples:
        >>> import tfkm
        >>> result = tfkm.kmeans([[0.0], [1.0], [9.0]], 2, random_state=0)
        >>> result
        Result(k=2, d=1, n=3, inertia=0.5, n_iter=2, status=LABELS_UNCHANGED)
        >>> result.inertia, result.status.name, sorted(result.labels.tolist())[1]
        (0.5, 'LABELS_UNCHANGED', 0)
    """

    centroids: Any
    labels: Any | None
    inertia: float
    n_iter: int
    status: Status


@brief(centroids="B k d", labels="B n")
class BatchResult(NamedTuple):
    """The results of B problems of n points each.

    Attributes:
        centroids: (B, k, d) float32 or float64.
        labels: (B, n) int32; −1 for rows that are padding.
        inertia: (B,) float64 array.
        n_iter: (B,) int64 array, the passes that each problem took.
        status: A list of B, why each problem ended.

    Examples:
        >>> import numpy as np, tfkm
        >>> points = np.float32([[[0], [1], [9]], [[5], [5], [8]]])
        >>> result = tfkm.kmeans_batch(points, 2, random_state=0)
        >>> result.labels.shape, result.inertia, len(result.status)
        ((2, 3), array([0.5, 0. ]), 2)
    """

    centroids: Any
    labels: Any
    inertia: np.ndarray
    n_iter: np.ndarray
    status: list[Status]
