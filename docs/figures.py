"""Draws docs/images/*.svg from scikit-learn's digits; `benchmarks.results write` draws ratios.svg."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

import tfkm
from tfkm import datasets

IMAGES = Path(__file__).parent / "images"
# On a transparent ground, in colours that can be seen on white and on black.
GREY = "#808080"
STYLE = {
    "svg.hashsalt": "tfkm", "savefig.dpi": 150, "savefig.transparent": True, "figure.figsize": (6, 3.4),
    "text.color": GREY, "axes.labelcolor": GREY, "axes.edgecolor": GREY, "xtick.color": GREY,
    "ytick.color": GREY, "axes.prop_cycle": matplotlib.cycler(color=["#2a8fbd", "#e0702a"]),
}  # fmt: skip


def digits_centroids(points: np.ndarray, model: tfkm.KMeans) -> Figure:
    figure, axes = pyplot.subplots(2, 5, figsize=(6, 2.6), layout="constrained")
    for ax, center in zip(axes.flat, model.cluster_centers_, strict=True):
        ax.imshow(center.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    return figure


def elbow(points: np.ndarray, model: tfkm.KMeans) -> Figure:
    curve = tfkm.metrics.inertia_curve(points, range(1, 21), random_state=0)
    return tfkm.plot.inertia_curve(curve).figure


def silhouettes(points: np.ndarray, model: tfkm.KMeans) -> Figure:
    values = tfkm.metrics.simplified_silhouette_samples(points, model.cluster_centers_)
    ax = tfkm.plot.silhouettes(values, model.labels_)
    for bars in ax.collections:
        bars.set_rasterized(True)
    for line in ax.lines:
        line.set_color(GREY)
    return ax.figure


def far_from_origin(points: np.ndarray, model: tfkm.KMeans) -> Figure:
    """Labels by float32 products, and ours, against float64's, of points and centroids moved together."""
    distances = np.logspace(0, 5, 16)
    wrong: dict[str, list[float]] = {"‖c‖² − 2c·x in float32": [], "tfkm": []}
    for distance in distances:
        move = distance * points.std()
        x, c = np.float32(points + move), np.float32(model.cluster_centers_ + move)
        wide, centers = x.astype(float), c.astype(float)
        true = np.stack([((wide - center) ** 2).sum(1) for center in centers], 1).argmin(1)
        quick = ((c**2).sum(1) - 2 * x @ c.T).argmin(1)
        ours = tfkm.assign(x, c).labels
        for name, labels in zip(wrong, (quick, ours), strict=True):
            wrong[name].append(100 * (labels != true).mean())
    figure, ax = pyplot.subplots(layout="constrained")
    for (name, shares), marker in zip(wrong.items(), "os", strict=True):
        ax.plot(distances, shares, marker=marker, markersize=4, label=name)
    ax.set(xscale="log", xlabel="distance from the origin, in spreads", ylabel="wrong labels, %")
    ax.legend(frameon=False)
    return figure


def main() -> None:
    points = datasets.load("digits").points
    model = tfkm.KMeans(n_clusters=10, random_state=0).fit(points)
    with matplotlib.rc_context(STYLE):
        for make in (digits_centroids, elbow, silhouettes, far_from_origin):
            figure = make(points, model)
            figure.savefig(IMAGES / f"{make.__name__}.svg", metadata={"Date": None})
            pyplot.close(figure)


if __name__ == "__main__":
    main()
