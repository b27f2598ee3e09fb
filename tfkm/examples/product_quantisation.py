"""Packs vectors into a few bytes each, and searches them there.

    python -m tfkm.examples.product_quantisation

Each vector is cut into m parts, and each part is clustered on its own: m codebooks of 256 centroids, found
in one call of `tfkm.kmeans_batch`. A vector is then m bytes, one for each part. A query is compared with
all vectors by m tables of its distances to the centroids (Jégou, Douze & Schmid 2011, "Product Quantization
for Nearest Neighbor Search").
"""

from __future__ import annotations

import click
import numpy as np

import tfkm
from tfkm import cli
from tfkm.data import files
from tfkm.examples import ivf

PROGRAM = "python -m tfkm.examples.product_quantisation"
QUERIES, NEIGHBOURS = 100, 10


@click.command()
@click.option(
    "--data",
    metavar="FILE",
    help="Vectors in a .npy, .npz, .csv or .parquet.  [default: made, 20,000 of 32 numbers]",
)
@click.option("--codes", type=click.IntRange(1, 256), default=256, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
def command(data, codes, seed) -> None:
    """Pack vectors into a few bytes each, and search them there."""
    cli.import_quietly()
    points = ivf.made(20_000, 32, seed) if data is None else files.read_points(data)
    points = np.random.default_rng(seed).permutation(np.asarray(points, np.float32))
    if len(points) < QUERIES + max(codes, NEIGHBOURS):
        raise ValueError(f"--data: {len(points)} vectors are too few for {codes} codes")
    queries, points = points[:QUERIES], points[QUERIES:]
    n, d = points.shape
    truth = np.stack([nearest(((points - q) ** 2).sum(axis=1)) for q in queries])
    variance = points.var(axis=0, dtype=np.float64).sum()
    click.echo(f"{n:,} vectors of {d} numbers, {4 * d} bytes each; {QUERIES} queries\n")
    click.echo("bytes   lost variance   true 10 nearest among the nearest 10    100")
    for parts in (m for m in (2, 4, 8, 16) if d % m == 0):
        codebooks, packed = train(points, parts, codes, seed)
        lost = ((points - unpacked(codebooks, packed)) ** 2).sum(axis=1).mean() / variance
        recalls = []
        for most in NEIGHBOURS, 10 * NEIGHBOURS:
            found = [nearest(distances(codebooks, packed, q), most) for q in queries]
            hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True))
            recalls.append(hits / truth.size)
        click.echo(f"{parts:5}{lost:16.1%}{recalls[0]:40.1%}{recalls[1]:7.1%}")


def train(points: np.ndarray, parts: int, codes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codebooks (parts, codes, d / parts) float32, and the points' codes (n, parts) uint8."""
    n, d = points.shape
    cut = np.ascontiguousarray(points.reshape(n, parts, d // parts).swapaxes(0, 1))
    result = tfkm.kmeans_batch(cut, codes, random_state=seed, max_iter=25)
    return np.asarray(result.centroids), np.asarray(result.labels).T.astype(np.uint8)


def unpacked(codebooks: np.ndarray, packed: np.ndarray) -> np.ndarray:
    """The vectors (n, d) that the codes (n, parts) stand for."""
    return np.concatenate([book[code] for book, code in zip(codebooks, packed.T, strict=True)], 1)


def distances(codebooks: np.ndarray, packed: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(n,) squared distances of the query (d,) to what the codes (n, parts) stand for."""
    parts = query.reshape(len(codebooks), 1, -1)
    tables = ((codebooks - parts) ** 2).sum(axis=2)
    return np.take_along_axis(tables.T, packed.astype(np.intp), axis=0).sum(axis=1)


def nearest(sq_distances: np.ndarray, most: int = NEIGHBOURS) -> np.ndarray:
    """The indices of the least.

    >>> nearest(np.array([3.0, 1.0, 2.0]), 2).tolist()
    [1, 2]
    """
    return np.argsort(sq_distances, kind="stable")[:most]


if __name__ == "__main__":
    cli.run(command, PROGRAM)
