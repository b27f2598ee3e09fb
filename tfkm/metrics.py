"""How many clusters, and how good they are: figures that stay affordable for many points.

Where scikit-learn's own do well they are called (`sampled_silhouette_score`). Others are here for what
was measured with 10⁶ float32 points of 32 features and scikit-learn 1.9.1: its `calinski_harabasz_score`
copies all points to float64 (+268 MB for 122), and its `davies_bouldin_score` adds in float32, which is
off by 7 % at 10⁴ times the spread from the origin. The simplified silhouette it does not have.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from numbers import Integral
from typing import NamedTuple

import numpy as np
import sklearn
from sklearn.metrics import silhouette_score
from sklearn.utils import check_random_state

from tfkm import checks, seeding
from tfkm.data import arrays
from tfkm.data.points import Points
from tfkm.fits.kmeans import kmeans
from tfkm.lloyd import by_label
from tfkm.ops import backends
from tfkm.ops.magnitudes import largest_magnitudes
from tfkm.reprs import brief
from tfkm.types import Result

_BLOCK = 2**17  # rows sorted by label at a time
_MEBIBYTES = 64  # of distances at a time in scikit-learn's silhouette


@brief()
class InertiaCurve(NamedTuple):
    """Fits with more and more clusters.

    n_clusters: (m,) int64, rising. inertias: (m,) float64, never rising. results: m `Result`s.

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
    """K-means for each number of clusters, each begun where the one before ended.

    The centroids of k clusters are kept and the rest of the next k seeded around them by greedy
    k-means++; then Lloyd's iteration goes on from there. So the curve never rises, and its noise is
    less than that of separate fits, of which the best of some restarts may lie below it.

    Args:
      points, weights, max_iter, tol, random_state, backend: as for `tfkm.kmeans`.
      n_clusters: the numbers of clusters, rising; a `range`, say.

    Returns: `InertiaCurve`; its results hold n labels each.

    Raises: ValueError, TypeError: an argument is not as above; before any work.

    Sources: Thorndike (1953), "Who belongs in the family?", for the curve; centroids are added to those
      found as in Likas, Vlassis & Verbeek (2003), "The global k-means clustering algorithm", but drawn.

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
    """How much nearer each point is to its own centroid than to the nearest other one.

    (b − a) / max(a, b) with a the distance to the own centroid and b that to the nearest other: from 1
    (at its centroid) over 0 (between two) to −1 (wrong). For the only point of a cluster, and where a = b =
    0, it is 0. n·k·d of work instead of the silhouette's n²·d, and no n×k in memory.

    Args:
      points: (n, d) as for `tfkm.kmeans`.
      centroids: (k, d), k ≥ 2.
      labels: (n,) integers in [0, k); None for the nearest centroid.
      backend: a name from `tfkm.backends()`, None for the fastest usable one.

    Returns: (n,) float64 in [−1, 1].

    Raises: ValueError, TypeError: an argument is not as above.

    Source: Hruschka, Campello & de Castro (2004), "Evolutionary algorithms for clustering gene-expression
      data"; compared with others by Vendramin, Campello & Hruschka (2010).

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
    """The mean of `tfkm.metrics.simplified_silhouette_samples`; the greater the better.

    Args: points (n, d), centroids (k, d), labels (n,), backend: as there.

    Returns: float in [−1, 1].

    Raises: ValueError, TypeError: an argument is not as there.

    Source: as there.

    >>> from tfkm import metrics
    >>> x = [[0.0], [2.0], [9.0], [11.0]]
    >>> metrics.simplified_silhouette_score(x, [[1.0], [10.0]])
    0.8875
    """
    return float(simplified_silhouette_samples(points, centroids, labels, backend=backend).mean())


def sampled_silhouette_score(
    points, labels, *, sample_size: int = 10_000, random_state=None
) -> float:
    """scikit-learn's `silhouette_score` of a random sample; the greater the better.

    Only the sample is read (of a memory map too), and of its distances at most 64 MB are held at a
    time. The same seed draws scikit-learn's sample.

    Args:
      points: (n, d) as for `tfkm.kmeans`. labels: (n,) integers, strings or what else can be sorted.
      sample_size: points drawn without replacement, all if there are no more; m² · d of work.
      random_state: None, an int or a `numpy.random.RandomState`.

    Returns: float in [−1, 1].

    Raises: ValueError, TypeError: an argument is not as above, or the sample has one label, or as many as
      it has points.

    Source: Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of
      cluster analysis".

    >>> from tfkm import metrics
    >>> metrics.sampled_silhouette_score([[0.0], [1.0], [9.0], [10.0]], [0, 0, 1, 1], random_state=0)
    0.888...
    """
    checks.check_number("sample_size", sample_size, Integral, 2)
    data = Points(points, copy=False)
    labels = _checked_labels(labels, data.n)
    chosen = check_random_state(random_state).permutation(data.n)[:sample_size]
    chosen.sort()
    sample = arrays.taken("points", points)[chosen] if data.is_sparse else data[chosen]
    with sklearn.config_context(working_memory=_MEBIBYTES):
        return float(silhouette_score(sample, labels[chosen]))


def calinski_harabasz_score(points, labels) -> float:
    """Variance between clusters over that within, each per degree of freedom; the greater the better.

    As scikit-learn's, from exact sums, without a copy of the points.

    Args:
      points: (n, d) as for `tfkm.kmeans`.
      labels: (n,) integers, strings or what else can be sorted, 2 to n − 1 different ones.

    Returns: float ≥ 0; 1.0 if all points are at their cluster's mean.

    Raises: ValueError, TypeError: an argument is not as above.

    Source: Caliński & Harabasz (1974), "A dendrite method for cluster analysis".

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
    """How much a cluster overlaps the one it overlaps most, on average; the less the better.

    As scikit-learn's, from exact sums: overlap is the mean distances to the means of the two clusters,
    added, over the distance between those means.

    Args:
      points: (n, d) as for `tfkm.kmeans`.
      labels: (n,) integers, strings or what else can be sorted, 2 to n − 1 different ones.

    Returns: float ≥ 0.

    Raises: ValueError, TypeError: an argument is not as above.

    Source: Davies & Bouldin (1979), "A cluster separation measure".

    >>> from tfkm import metrics
    >>> metrics.davies_bouldin_score([[0.0], [1.0], [9.0], [10.0]], [0, 0, 1, 1])
    0.111...
    """
    sizes, means, sq_distances, labels = _clusters(points, labels)
    spreads = np.bincount(labels, np.sqrt(sq_distances)) / sizes
    worst = np.empty(len(means))
    for i, mean in enumerate(means):
        between = np.linalg.norm(means - mean, axis=1)
        between[between == 0] = np.inf  # itself, and as in scikit-learn equal means
        worst[i] = ((spreads[i] + spreads) / between).max()
    return float(worst.mean())


def _clusters(points, labels) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sizes (k,), means (k, d), squared distances to the own mean (n,), labels from 0 to k − 1 (n,)."""
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
    """Labels and squared distances, (n,) each."""
    module, parts = backends.select(backend), []
    for start, block in module.blocks(points):
        parts.append(module.assign(block, centroids))
        checks.distances(block, parts[-1].sq_distances, start)
    labels, distances = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return labels, distances.astype(np.float64)


def _sq_distances_to_others(
    points: Points, labels: np.ndarray, centroids: np.ndarray, backend: str | None
) -> np.ndarray:
    """(n,) float64, the squared distance to the nearest centroid but that of the own label.

    By an assignment of each cluster to the centroids of the others: for (131072, 1024, 128) 0.5 s on 2
    cores, where all distances, in the direct form, take 3.6.
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
