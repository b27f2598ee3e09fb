"""Plots for choosing k, drawn by matplotlib: pip install 'tfkm[plot]'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfkm.reprs import text

if TYPE_CHECKING:
    from tfkm.metrics import InertiaCurve

_MOST_TICKS = 25  # if there are more clusters, only some are named


def inertia_curve(curve: InertiaCurve, *, ax=None) -> Any:
    """Draw the inertia over the number of clusters.

    Where the curve bends (its "elbow"), more clusters gain little.

    Args:
        curve: What `tfkm.metrics.inertia_curve` returns.
        ax: Axes of matplotlib to draw on; None for a new figure.

    Returns:
        The axes.

    Raises:
        TypeError: `curve` or `ax` has a wrong type.
        ImportError: matplotlib is not installed.

    Examples:
        >>> import numpy as np
        >>> from tfkm import metrics, plot
        >>> curve = metrics.inertia_curve(np.random.default_rng(0).random((99, 2)), range(1, 9))
        >>> ax = plot.inertia_curve(curve)
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('number of clusters', 'inertia')
        >>> ax.figure.savefig("elbow.png")  # doctest: +SKIP
    """
    if not all(hasattr(curve, name) for name in ("n_clusters", "inertias")):
        raise TypeError(f"curve: {curve!r}; it needs what tfkm.metrics.inertia_curve returns")
    ax = _axes(ax)
    ax.plot(curve.n_clusters, curve.inertias, marker="o", markersize=4)
    ax.set(xlabel="number of clusters", ylabel="inertia", ylim=(0, None))
    ax.xaxis.get_major_locator().set_params(integer=True)
    return ax


def silhouettes(values, labels, *, ax=None) -> Any:
    """Draw the silhouette of each point as a bar, sorted by cluster and value, and their mean.

    A cluster is as high as it has points. One whose bars are mostly short, or negative, overlaps
    others.

    Args:
        values: (n,) from `tfkm.metrics.simplified_silhouette_samples` or scikit-learn's
            `silhouette_samples`.
        labels: (n,) integers.
        ax: Axes of matplotlib to draw on; None for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: There is nothing to draw, or the shapes differ.
        TypeError: `ax` or another argument has a wrong type.
        ImportError: matplotlib is not installed.

    References:
        Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of
        cluster analysis".

    Examples:
        >>> from tfkm import metrics, plot
        >>> x, centroids, labels = [[0.0], [2.0], [9.0], [11.0]], [[1.0], [10.0]], [0, 0, 1, 1]
        >>> values = metrics.simplified_silhouette_samples(x, centroids, labels)
        >>> ax = plot.silhouettes(values, labels)
        >>> ax.get_xlabel()
        'silhouette (mean 0.89, dashed)'
        >>> ax.figure.savefig("silhouettes.png")  # doctest: +SKIP
    """
    values, labels = np.asarray(values), np.asarray(labels)
    if values.dtype.kind not in "fiu" or not values.size:
        raise TypeError(f"values: {text(values)}; it needs (n,) silhouettes, n ≥ 1")
    if values.ndim != 1 or values.shape != labels.shape:
        raise ValueError(
            f"labels: shape {labels.shape}; values have shape {values.shape}, both need (n,)"
        )
    ax = _axes(ax)
    different, sizes = np.unique(labels, return_counts=True)
    gap = len(values) / 50 / len(different) ** 0.5
    bottom, middles = 0.0, []
    for label, size in zip(different, sizes, strict=True):
        heights = np.sort(values[labels == label])
        edges = bottom + np.arange(size + 1)
        ax.fill_betweenx(edges, np.append(heights, heights[-1]), step="post", color="C0")
        middles.append(bottom + size / 2)
        bottom += size + gap
    mean = values.mean()
    ax.axvline(mean, color="black", linestyle="--", linewidth=1)
    ax.set(xlabel=f"silhouette (mean {mean:.2f}, dashed)", ylabel="cluster", ylim=(0, bottom - gap))
    shown = slice(None, None, -(-len(different) // _MOST_TICKS))
    ax.set_yticks(middles[shown], different[shown])
    return ax


def _axes(ax: Any) -> Any:
    """Return the given axes, or those of a new figure."""
    if ax is not None:
        if not hasattr(ax, "plot"):
            raise TypeError(f"ax: {ax!r}; it needs axes of matplotlib, or None")
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("tfkm.plot needs matplotlib: pip install 'tfkm[plot]'") from error
    return pyplot.subplots(layout="constrained")[1]
