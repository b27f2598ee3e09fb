"""Clusters handwritten digits and tells which digits each cluster holds.

    python -m tfkm.examples.mnist --picture centroids.png

Ten clusters of the 10,000 MNIST test images, until no label changes, the best of ten starts. Pixels
are scaled to [0, 1] by the greatest value there is, as is usual, so inertia compares with other reports.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import click
import numpy as np

import tfkm
from tfkm import cli, datasets
from tfkm.data import files, whole_files
from tfkm.examples import pictures

PROGRAM = "python -m tfkm.examples.mnist"
CLUSTERS, MAX_PASSES, SHOWN, MEMBERS = 10, 300, 3, 10


@click.command()
@click.option(
    "--data",
    metavar="FILE.npz|digits",
    help="Arrays `images` and `labels` of a file, or scikit-learn's digits, 1797 of 8×8.  "
    "[default: MNIST's test images, by tensorflow-datasets]",
)
@click.option("--download", is_flag=True, help="Let tensorflow-datasets fetch MNIST.")
@click.option(
    "--picture", type=click.Path(path_type=Path), help="Draw centroids and members as a PNG."
)
@click.option("--starts", type=click.IntRange(1), default=10, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--backend", metavar="NAME", help="One that `tfkm backends` lists.")
def command(data, download, picture, starts, seed, backend) -> None:
    """Cluster handwritten digits and tell which digits each cluster holds."""
    cli.import_quietly()
    if picture is not None:
        pictures.pyplot()  # what could fail, fails before the work
        whole_files.check_target(picture, force=True)
    digits = load(data, download)
    assert digits.labels is not None  # `load` sees to it
    images = scaled(digits.points)
    n, d = images.shape
    click.echo(f"{n:,} images of {d} pixels in [0, 1] from {digits.name}")

    began = time.perf_counter()
    result = tfkm.kmeans(
        images,
        CLUSTERS,
        n_init=starts,
        max_iter=MAX_PASSES,
        tol=0,
        random_state=seed,
        backend=backend,
        callbacks=[tfkm.Progress(leave=False)],
    )
    seconds = time.perf_counter() - began

    counts = contingency(np.asarray(result.labels), digits.labels)
    click.echo("\n" + table(counts) + "\n")
    click.echo(f"inertia  {result.inertia:,.1f}")
    purity = counts.max(axis=1).sum() / n
    click.echo(f"purity   {purity:.1%} of the images show the first digit of their cluster")
    click.echo(f"passes   {result.n_iter} in the best of {starts} starts")
    click.echo(f"stopped  {result.status.value}")
    click.echo(f"seconds  {seconds:.1f} for all starts")
    if picture is not None:
        draw(picture, images, result, digits.shape[:2], counts)
        click.echo(f"picture  {picture}")


def load(data: str | None, download: bool = False) -> datasets.Dataset:
    """The images, square and of one channel, and their digits from 0 to 9."""
    if data == "digits":
        return datasets.load("digits")
    if data is None:
        return _mnist(download)
    images, labels = files.read_points(data, "images"), files.read_labels(data)
    side = math.isqrt(images.shape[1])
    if side * side != images.shape[1]:
        raise ValueError(f"{data}: images of {images.shape[1]} pixels; they have to be square")
    if labels.shape != (len(images),) or not np.isin(labels, range(10)).all():
        raise ValueError(f"{data}: labels have to be {len(images):,} digits from 0 to 9")
    return datasets.Dataset(images, labels.astype(np.int64), data, (side, side))


def _mnist(download: bool) -> datasets.Dataset:
    try:
        return datasets.load("mnist", split="test", download=download)
    except (ImportError, FileNotFoundError, ConnectionError) as error:
        reason = str(error)
        if isinstance(error, FileNotFoundError):
            reason = "MNIST is not prepared on this machine, and only --download fetches it"
        raise RuntimeError(
            f"{reason}; give its images with --data FILE.npz, or take --data digits, which comes "
            "with scikit-learn and needs no network"
        ) from error


def scaled(points: np.ndarray) -> np.ndarray:
    """(n, d) float32 in [0, 1], of values from 0."""
    if points.min() < 0 or not points.max() > 0:
        raise ValueError("images: pixels have to be from 0, and not all 0")
    return points.astype(np.float32) / np.float32(points.max())


def contingency(clusters: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """(10, 10) int64: how many images of each cluster (rows) are of each digit (columns).

    >>> int(contingency(np.array([0, 0, 1]), np.array([7, 7, 3]))[0, 7])
    2
    """
    counts = np.zeros((CLUSTERS, 10), np.int64)
    np.add.at(counts, (clusters, digits), 1)
    return counts


def table(counts: np.ndarray) -> str:
    """A line per cluster: its size and its most frequent digits with their shares."""
    lines = ["cluster    size   most frequent digits"]
    for cluster, row in enumerate(counts):
        size = row.sum()
        top = np.argsort(-row, kind="stable")[:SHOWN]
        shares = "   ".join(f"{digit} {row[digit] / size:6.1%}" for digit in top if row[digit])
        lines.append(f"{cluster:7}{size:8,}   {shares}")
    return "\n".join(lines)


def draw(
    path: Path, images: np.ndarray, result: tfkm.Result, shape: tuple[int, ...], counts: np.ndarray
) -> None:
    """A PNG of each centroid and members of its cluster, under its most frequent digit."""
    pyplot = pictures.pyplot()
    figure, axes = pyplot.subplots(5, 2, figsize=(9.5, 4.8), layout="constrained")
    centroids, labels = np.asarray(result.centroids), np.asarray(result.labels)
    for cluster, (row, axis) in enumerate(zip(counts, axes.flat, strict=True)):
        shown = members(images, centroids[cluster], np.flatnonzero(labels == cluster))
        gap = np.zeros((shape[0], shape[1] // 2))
        cells = [image.reshape(shape) for image in (centroids[cluster], *images[shown])]
        axis.imshow(np.hstack([cells[0], gap, *cells[1:]]), cmap="gray_r", vmin=0, vmax=1)
        title = f"{row.argmax()}  ({row.max() / row.sum():.0%} of {row.sum():,})"
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_axis_off()
    figure.suptitle("Centroids, and members from the nearest to the farthest", fontsize=11)
    with whole_files.replacing(path, force=True) as file:
        figure.savefig(file, format="png", dpi=120)
    pyplot.close(figure)


def members(images: np.ndarray, centroid: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """At most MEMBERS indices out of a cluster, evenly from the nearest to its centroid to the farthest.

    >>> members(np.array([[3.0], [1.0], [9.0], [0.0]]), np.zeros(1), np.array([0, 1, 3])).tolist()
    [3, 1, 0]
    """
    distances = np.square(images[cluster] - centroid).sum(axis=1)
    order = cluster[np.argsort(distances, kind="stable")]
    shown = min(MEMBERS, len(order))
    return order[np.linspace(0, len(order) - 1, shown).round().astype(int)]


if __name__ == "__main__":
    cli.run(command, PROGRAM)
