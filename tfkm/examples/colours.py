"""Paints a photograph with 8, 16, 32 and 64 colours.

    python -m tfkm.examples.colours --picture colours.png

Each pixel takes the nearest of the k colours that k-means finds. Many pixels are of one colour, so what is
clustered is each colour once, with its number of pixels as its weight: the same sums, of fewer points.

In RGB most of 16 colours go to the shades of sky and trees; the red columns and teal eaves of the pagoda,
less than 1 % of the pixels each, turn brown and grey. So colours are clustered in Oklab (Ottosson 2020,
https://bottosson.github.io/posts/oklab/), where distances are as the eye sees them, and its two axes of hue
are stretched by 4: another hue then costs more than another shade. The red is there from 8 colours on, the
teal from 16. The signal to noise is measured in RGB, so that it falls from 27.4 dB to 24.9 at 16 colours.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import tfkm
from tfkm import cli
from tfkm.data import whole_files
from tfkm.examples import pictures

PROGRAM = "python -m tfkm.examples.colours"
HUE = 4.0  # what the two axes of hue are stretched by
# Oklab: linear RGB to the answers of three cones; their cube roots to lightness and two axes of hue.
CONES = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
AXES = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip
STRETCH = np.array([1.0, HUE, HUE])


@click.command()
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A photograph.  [default: scikit-learn's china.jpg]",
)
@click.option(
    "--colours",
    type=click.IntRange(1),
    multiple=True,
    default=(8, 16, 32, 64),
    show_default=True,
    help="How many; more than once for several.",
)
@click.option(
    "--picture", type=click.Path(path_type=Path), help="Draw before, after and palettes as a PNG."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
def command(image, colours, picture, seed) -> None:
    """Paint a photograph with few colours, and tell how near that comes."""
    cli.import_quietly()
    if picture is not None:
        pictures.pyplot()
        whole_files.check_target(picture, force=True)
    before = load(image)
    height, width = before.shape[:2]
    distinct = len(np.unique(before.reshape(-1, 3), axis=0))
    click.echo(f"{width}×{height} pixels of {distinct:,} colours\n")
    click.echo("colours  signal to noise")
    painted = []
    for k in colours:
        palette, labels = quantised(before, k, seed)
        painted.append((palette, palette[labels]))
        click.echo(f"{k:7}{psnr(before, palette[labels]):14.1f} dB")
    if picture is not None:
        draw(picture, before, painted)
        click.echo(f"\npicture  {picture}")


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
    seen = perceived(points)
    model = tfkm.KMeans(colours, random_state=seed).fit(seen, sample_weight=counts)
    palette = displayed(model.cluster_centers_)
    # What is seen is the rounded palette, so that is what pixels are assigned to.
    labels = np.asarray(tfkm.assign(seen, perceived(palette)).labels)
    return palette, labels[inverse.ravel()].reshape(image.shape[:2])


def perceived(colours: np.ndarray) -> np.ndarray:
    """(n, 3) uint8 of sRGB as (n, 3) float64 of Oklab, the hue stretched."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ CONES.T) @ AXES.T * STRETCH


def displayed(seen: np.ndarray) -> np.ndarray:
    """The way back, to the nearest colour that a screen has.

    >>> some = np.array([[178, 34, 34], [0, 128, 128]], np.uint8)
    >>> displayed(perceived(some)).tolist()
    [[178, 34, 34], [0, 128, 128]]
    """
    cones = (seen / STRETCH @ np.linalg.inv(AXES).T) ** 3
    linear = np.clip(cones @ np.linalg.inv(CONES).T, 0, 1)
    share = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * share).round().astype(np.uint8)


def psnr(before: np.ndarray, after: np.ndarray) -> float:
    """The peak signal-to-noise ratio of two images of uint8, in decibels.

    >>> round(psnr(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)), 1)
    0.0
    """
    error = np.mean((before.astype(np.float64) - after) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def draw(path: Path, before: np.ndarray, painted: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """A PNG of the photograph and of each palette (k, 3) with what is painted with it."""
    columns = min(3, 1 + len(painted))
    rows = -(-(1 + len(painted)) // columns)
    height = rows * (4.4 * before.shape[0] / before.shape[1] + 0.4)
    pyplot = pictures.pyplot()
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(4 * columns, height), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (palette, image) in zip(axes.flat, [(None, before), *painted], strict=False):
        title = "before" if palette is None else f"{len(palette)} colours"
        axis.imshow(with_strip(image, palette))
        axis.set_title(title)
    with whole_files.replacing(path, force=True) as file:
        figure.savefig(file, format="png", dpi=110)
    pyplot.close(figure)


def with_strip(image: np.ndarray, palette: np.ndarray | None) -> np.ndarray:
    """The image above its palette, dark to light; above white where there is none."""
    height, width = image.shape[:2]
    strip = np.full((height // 8, width, 3), 255, np.uint8)
    if palette is not None:
        order = np.argsort(perceived(palette)[:, 0], kind="stable")
        strip[height // 40 :] = palette[order[np.arange(width) * len(palette) // width]]
    return np.concatenate([image, strip])


if __name__ == "__main__":
    cli.run(command, PROGRAM)
