"""Metrics to choose the number of clusters and judge a clustering, affordable for many points.

The silhouette of a sample is scikit-learn's (`silhouette_score` with `sample_size`). The functions
here exist because of measurements with 10⁶ float32 points of 32 features and scikit-learn 1.9.1. Its
`calinski_harabasz_score` copies all points to float64 (268 MB more for 122 MB). Its
`davies_bouldin_score` adds in float32, which is off by 7 % at 10⁴ times the spread from the origin.
It has no simplified silhouette.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from tfkm import checks, seeding
from tfkm.data.points import Points
from tfkm.fits.kmeans import kmeans
from tfkm.lloyd import by_label
from tfkm.ops import backends
from tfkm.ops.magnitudes import largest_magnitudes
from tfkm.reprs import brief
from tfkm.types import Result

_BLOCK = 2**17  # rows sorted by label at a time


@brief()
class InertiaCurve(NamedTuple):
    """Fits with more and more clusters.

    Attributes:
        n_clusters: (m,) int64, rising.
        inertias: (m,) float64, never rising.
        results: A list of m `tfkm.Result`.

    Examples:
        >>> from tfkm import metrics
        >>> curve = metrics.inertia_curve([[0.0], [1.0], [9.0]], [1, 2], random_state=0)
        >>> curve.n_clusters, curve.inertias, curve.results[1].status.name
        (array([1, 2]), array([48.66666667,  0.5       ]), 'LABELS_UNCHANGED')
    """

    n_clusters: np.ndarray
    inertias: np.ndarray
    results: tuple[Result, ...]


def inertia_curve(
    points,
    n_clusters: Iterable[int],
    *,
    weights=None,
    max_iter: int = 300,
    tol: float = 1e-4,
    random_state=None,
    backend: str | None = None,
) -> InertiaCurve:
    """Run k-means for each number of clusters, each begun where the one before ended.

    The centroids of k clusters are kept, and greedy k-means++ adds those that the next k needs;
    Lloyd's iteration then goes on from there. So the curve never rises, and has less noise than
    separate fits. The best of several restarts may lie below it.

    Args:
        points: (n, d) array or tensor, as for `tfkm.kmeans`.
        n_clusters: The numbers of clusters, rising; a `range`, for example.
        weights: (n,) real numbers, finite and not negative; None for ones.
        max_iter: The most passes of each fit.
        tol: When a fit ends, as for `tfkm.kmeans`.
        random_state: None, an int or a `numpy.random.RandomState`.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Returns:
        `InertiaCurve`, whose results hold n labels each.

    Raises:
        ValueError: An argument has a value that is not allowed; before any work.
        TypeError: An argument has a wrong type; before any work.

    References:
        Thorndike (1953), "Who belongs in the family?", for the curve.

        Likas, Vlassis & Verbeek (2003), "The global k-means clustering algorithm", adds centroids
        to those found, too; here they are drawn.

    Examples:
        >>> import numpy as np
        >>> from tfkm import metrics
        >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
        >>> metrics.inertia_curve(x, range(1, 5), random_state=0).inertias
        array([101. ,   1. ,   0.5,   0. ])
    """
    ks = _checked_range(n_clusters)
    data = Points(points)
    weights = checks.weights_array(weights, data.n)
    checks.check_clusters(ks[-1], data.n)
    rng = check_random_state(random_state)
    init: seeding.Init = "k-means++"
    results: list[Result] = []
    for k in ks:
        result = kmeans(
            points, k, weights=weights, init=init, max_iter=max_iter, tol=tol, random_state=rng,
            backend=backend,
        )  # fmt: skip
        results.append(result)
        init = partial(seeding.kmeans_plusplus, given=result.centroids)
    inertias = np.array([result.inertia for result in results])
    return InertiaCurve(np.array(ks), inertias, tuple(results))


def simplified_silhouette_samples(
    points, centroids, labels=None, *, backend: str | None = None
) -> np.ndarray:
    """Tell how much nearer each point is to its own centroid than to the nearest other one.

    The value is (b − a) / max(a, b), where a is the distance to the own centroid and b that to the
    nearest other one. It is 1 at the own centroid, 0 between two, and negative where another is
    nearer. It is 0 for the only point of a cluster, and where a = b = 0. The work is n·k·d instead
    of the silhouette's n²·d, and no n×k numbers are held.

    Args:
        points: (n, d) array or tensor, as for `tfkm.kmeans`.
        centroids: (k, d), k ≥ 2.
        labels: (n,) integers in [0, k); None for the nearest centroid.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Returns:
        (n,) float64 in [−1, 1].

    Raises:
        ValueError: An argument has a value that is not allowed.
        TypeError: An argument has a wrong type.

    References:
        Hruschka, Campello & de Castro (2004), "Evolutionary algorithms for clustering
        gene-expression data".

        Vendramin, Campello & Hruschka (2010), "Relative clustering validity criteria: a comparative
        overview".

    Examples:
        >>> from tfkm import metrics
        >>> x = [[0.0], [2.0], [9.0], [11.0]]
        >>> metrics.simplified_silhouette_samples(x, [[1.0], [10.0]])
        array([0.9  , 0.875, 0.875, 0.9  ])
    """
    data = Points(points, copy=False)
    centroids = _checked_centroids(centroids, data)
    k = len(centroids)
    if labels is None:
        labels, own = _assign(data, centroids, backend)
    else:
        labels = _checked_labels(labels, data.n)
        if labels.dtype.kind not in "iu":
            raise TypeError(f"labels: dtype {labels.dtype}; it needs integers")
        if labels.min() < 0 or labels.max() >= k:
            raise ValueError(
                f"labels: from {labels.min()} to {labels.max()}; they need to be in [0, {k})"
            )
        own = by_label.sq_distances(data, labels, centroids)
    own, other = np.sqrt(own), np.sqrt(_sq_distances_to_others(data, labels, centroids, backend))
    greater = np.maximum(own, other)
    defined = (greater > 0) & (np.bincount(labels, minlength=k)[labels] > 1)
    return np.divide(other - own, greater, out=np.zeros(data.n), where=defined)


def simplified_silhouette_score(
    points, centroids, labels=None, *, backend: str | None = None
) -> float:
    """Return the mean of `simplified_silhouette_samples`; the greater the better.

    Args:
        points: (n, d) array or tensor, as for `tfkm.kmeans`.
        centroids: (k, d), k ≥ 2.
        labels: (n,) integers in [0, k); None for the nearest centroid.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Returns:
        A float in [−1, 1].

    Raises:
        ValueError: An argument has a value that is not allowed.
        TypeError: An argument has a wrong type.

    References:
        As for `simplified_silhouette_samples`.

    Examples:
        >>> from tfkm import metrics
        >>> x = [[0.0], [2.0], [9.0], [11.0]]
        >>> metrics.simplified_silhouette_score(x, [[1.0], [10.0]])
        0.8875
    """
    return float(simplified_silhouette_samples(points, centroids, labels, backend=backend).mean())


def calinski_harabasz_score(points, labels) -> float:
    """Return the variance between clusters over that within them; higher is better.

    Both variances are divided by their degrees of freedom. It is scikit-learn's score, from exact
    sums and without a copy of the points.

    Args:
        points: (n, d) array or tensor, as for `tfkm.kmeans`.
        labels: (n,) integers, strings or anything else that can be sorted, 2 to n − 1 different
            ones.

    Returns:
        A float ≥ 0; 1.0 if all points are at the mean of their cluster.

    Raises:
        ValueError: An argument has a value that is not allowed.
        TypeError: An argument has a wrong type.

    References:
        Caliński & Harabasz (1974), "A dendrite method for cluster analysis".

    Examples:
        >>> from tfkm import metrics
        >>> metrics.calinski_harabasz_score([[0.0], [1.0], [9.0], [10.0]], [0, 0, 1, 1])
        162.0
    """
    sizes, means, sq_distances, _ = _clusters(points, labels)
    n, k = len(sq_distances), len(sizes)
    within = sq_distances.sum()
    mean = sizes @ means / n
    between = sizes @ np.square(means - mean).sum(axis=1)
    return float(between * (n - k) / (within * (k - 1))) if within > 0 else 1.0


def davies_bouldin_score(points, labels) -> float:
    """Return how much a cluster overlaps its most similar one, on average; lower is better.

    The overlap of two clusters is the sum of their mean distances to their own means, over the
    distance between these means. It is scikit-learn's score, from exact sums.

    Args:
        points: (n, d) array or tensor, as for `tfkm.kmeans`.
        labels: (n,) integers, strings or anything else that can be sorted, 2 to n − 1 different
            ones.

    Returns:
        A float ≥ 0.

    Raises:
        ValueError: An argument has a value that is not allowed.
        TypeError: An argument has a wrong type.

    References:
        Davies & Bouldin (1979), "A cluster separation measure".

    Examples:
        >>> from tfkm import metrics
        >>> metrics.davies_bouldin_score([[0.0], [1.0], [9.0], [10.0]], [0, 0, 1, 1])
        0.111...
    """
    sizes, means, sq_distances, labels = _clusters(points, labels)
    spreads = np.bincount(labels, np.sqrt(sq_distances)) / sizes
    worst = np.empty(len(means))
    for i, mean in enumerate(means):
        between = np.linalg.norm(means - mean, axis=1)
        # The cluster itself, and clusters of equal means as in scikit-learn.
        between[between == 0] = np.inf
        worst[i] = ((spreads[i] + spreads) / between).max()
    return float(worst.mean())


def _clusters(points, labels) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return sizes (k,), means (k, d), squared distances to the own mean (n,), and labels (n,) below k."""
    data = Points(points, copy=False)
    different, labels = np.unique(_checked_labels(labels, data.n), return_inverse=True)
    k = len(different)
    if not 2 <= k < data.n:
        raise ValueError(
            f"labels: {k} different of {data.n} points; there need to be from 2 to n − 1"
        )
    sizes = np.bincount(labels)
    means = by_label.sums(data, labels, k, largest_magnitudes(data)) / sizes[:, None]
    return sizes, means, by_label.sq_distances(data, labels, means), labels


def _assign(
    points: Points, centroids: np.ndarray, backend: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and the squared distances, (n,) each."""
    module, parts = backends.select(backend), []
    for start, block in module.blocks(points):
        parts.append(module.assign(block, centroids))
        checks.distances(block, parts[-1].sq_distances, start)
    labels, distances = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return labels, distances.astype(np.float64)


def _sq_distances_to_others(
    points: Points, labels: np.ndarray, centroids: np.ndarray, backend: str | None
) -> np.ndarray:
    """Return (n,) float64, the squared distance to the nearest centroid but that of the own label.

    The points of each cluster are assigned to the centroids of the others. For (131072, 1024, 128)
    this takes 0.5 s on 2 cores; computing all distances directly takes 3.6 s.
    """
    module, distances = backends.select(backend), np.empty(points.n)
    for start, block in points.blocks(_BLOCK):
        here = labels[start : start + len(block)]
        order = np.argsort(here, kind="stable")
        firsts = np.searchsorted(here[order], np.arange(len(centroids) + 1))
        block = block[order]
        for label in np.unique(here):
            own = slice(firsts[label], firsts[label + 1])
            others = np.delete(centroids, label, axis=0)
            nearest = module.assign(block[own], others)
            distances[start + order[own]] = nearest.sq_distances
    return distances


def _checked_range(n_clusters: Iterable[int]) -> list[int]:
    if not isinstance(n_clusters, Iterable):
        raise TypeError(f"n_clusters: {n_clusters!r}; it needs several numbers, as range(1, 11)")
    ks = list(n_clusters)
    for k in ks:
        checks.check_number("n_clusters", k, Integral, 1)
    if not ks or any(b <= a for a, b in pairwise(ks)):
        raise ValueError(f"n_clusters: {ks}; it needs at least one number, and each above the last")
    return ks


def _checked_centroids(centroids, points: Points) -> np.ndarray:
    k = np.shape(centroids)[0] if np.ndim(centroids) == 2 else 0
    if k < 2:
        raise ValueError(
            f"centroids: shape {np.shape(centroids)}; it needs shape (k, {points.d}) with k ≥ 2"
        )
    return seeding.array(centroids, points, k, "centroids")


def _checked_labels(labels, n: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise ValueError(f"labels: shape {labels.shape}; it needs shape ({n},)")
    return labels
