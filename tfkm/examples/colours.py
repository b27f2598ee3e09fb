"""Paints a photograph with few colours.

    python -m tfkm.examples.colours --colours 16 --picture colours.png

Each pixel takes the nearest of the k colours that k-means finds. Many pixels are of one colour, so what is
clustered is each colour once, with its number of pixels as its weight: the same sums, of fewer points.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import tfkm
from tfkm import cli, files
from tfkm.examples import pictures

PROGRAM = "python -m tfkm.examples.colours"


@click.command()
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A photograph.  [default: scikit-learn's china.jpg]",
)
@click.option("--colours", type=click.IntRange(1), default=16, show_default=True)
@click.option("--picture", type=click.Path(path_type=Path), help="Draw before and after as a PNG.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
def command(image, colours, picture, seed) -> None:
    """Paint a photograph with few colours."""
    cli.import_quietly()
    if picture is not None:
        pictures.pyplot()
        files.check_target(picture, force=True)
    before = load(image)
    palette, labels = quantised(before, colours, seed)
    after = palette[labels]
    height, width = labels.shape
    distinct = len(np.unique(before.reshape(-1, 3), axis=0))
    click.echo(f"{width}×{height} pixels of {distinct:,} colours, painted with {len(palette)}")
    click.echo(f"signal to noise  {psnr(before, after):.1f} dB")
    if picture is not None:
        draw(picture, before, after, len(palette))
        click.echo(f"picture          {picture}")


def load(path: Path | None) -> np.ndarray:
    """(height, width, 3) uint8."""
    if path is None:
        from sklearn.datasets import load_sample_image

        return load_sample_image("china.jpg")
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def quantised(image: np.ndarray, colours: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The palette (k, 3) uint8, and for each pixel its colour there, (height, width) int32."""
    points, inverse, counts = np.unique(
        image.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    if colours > len(points):
        raise ValueError(f"--colours: {colours}; the image has only {len(points)}")
    model = tfkm.KMeans(colours, random_state=seed).fit(points, sample_weight=counts)
    palette = model.cluster_centers_.round().astype(np.uint8)
    # What is seen is the rounded palette, so that is what pixels are assigned to.
    labels = np.asarray(tfkm.assign(points, palette.astype(np.float32)).labels)
    return palette, labels[inverse.ravel()].reshape(image.shape[:2])


def psnr(before: np.ndarray, after: np.ndarray) -> float:
    """The peak signal-to-noise ratio of two images of uint8, in decibels.

    >>> round(psnr(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)), 1)
    0.0
    """
    error = np.mean((before.astype(np.float64) - after) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def draw(path: Path, before: np.ndarray, after: np.ndarray, colours: int) -> None:
    """A PNG of both, side by side."""
    figure, axes = pictures.pyplot().subplots(1, 2, figsize=(10, 3.7), layout="constrained")
    for axis, image, title in zip(
        axes, (before, after), ("before", f"{colours} colours"), strict=True
    ):
        axis.imshow(image)
        axis.set_title(title)
        axis.set_axis_off()
    with files.replacing(path, force=True) as file:
        figure.savefig(file, format="png", dpi=110)


if __name__ == "__main__":
    cli.run(command, PROGRAM)
