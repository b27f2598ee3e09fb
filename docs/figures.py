"""Draws docs/images/*.svg, from scikit-learn's digits and the newest kept benchmark."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for benchmarks; the installed tfkm comes first

import matplotlib

matplotlib.use("svg")
import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

import tfkm
from benchmarks import results
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


def ratios(points: np.ndarray, model: tfkm.KMeans) -> Figure:
    """For each rival a bar for each case of the newest kept run, sorted; below 1 the rival is faster."""
    run = results.newest()
    taken = [row for row in run.rows if run.is_taken(row)]
    figure, grid = pyplot.subplots(
        -(-len(run.rivals) // 3), 3, sharey=True, squeeze=False, figsize=(7, 4.4),
        layout="constrained",
    )  # fmt: skip
    colours = {"faster": "C0", "level": GREY, "slower": "C1"}
    for rival, ax in zip(run.rivals, grid.flat, strict=False):
        met = [row.rivals[rival] for row in taken if rival in row.rivals]
        met.sort(key=lambda versus: versus.ratio)
        heights = [versus.ratio - 1 for versus in met]
        ax.bar(
            range(len(met)), heights, bottom=1, width=1,
            color=[colours[versus.verdict] for versus in met],
        )  # fmt: skip
        faster = sum(versus.verdict == "faster" for versus in met)
        ax.set_title(f"{rival}\nfaster in {faster} of {len(met)}", fontsize=9)
        ax.axhline(1, color=GREY, linewidth=1)
        ax.set(yscale="log", xticks=[], ylim=(0.03, 40), yticks=[0.1, 1, 10])
        ax.set_yticklabels(["0.1×", "1×", "10×"])
        ax.yaxis.set_minor_locator(NullLocator())
    for ax in grid.flat[len(run.rivals) :]:
        ax.set_axis_off()
    figure.legend(
        [Patch(color=color) for color in colours.values()],
        ["tfkm faster", "level", "tfkm slower"],
        loc="outside upper center", ncols=3, frameon=False,
    )  # fmt: skip
    figure.supylabel("the rival's time over tfkm's", fontsize=9)
    threads = run.about["threads"]["tfkm"]
    figure.supxlabel(
        f"cases, sorted; {threads} threads of {run.processor}, {run.date[:10]}", fontsize=9
    )
    return figure


def main() -> None:
    points = datasets.load("digits").points
    model = tfkm.KMeans(n_clusters=10, random_state=0).fit(points)
    with matplotlib.rc_context(STYLE):
        for make in (digits_centroids, elbow, silhouettes, far_from_origin, ratios):
            figure = make(points, model)
            figure.savefig(IMAGES / f"{make.__name__}.svg", metadata={"Date": None})
            pyplot.close(figure)


if __name__ == "__main__":
    main()
