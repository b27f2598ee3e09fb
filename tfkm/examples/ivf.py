"""Trains the codebook of an inverted-file index, which Faiss then fills and searches.

    python -m tfkm.examples.ivf                       # needs Faiss: pip install faiss-cpu

An IVF index keeps its vectors in nlist lists, one for each centroid, and a query looks through the nprobe
lists whose centroids are nearest. Any centroids do: they are put into the index's quantizer, and training
is skipped. Beside it, the same index with the centroids of Faiss' own training. Recall is the share of the
true ten nearest neighbours that is found.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np

import tfkm
from tfkm import cli
from tfkm.data import files

PROGRAM = "python -m tfkm.examples.ivf"
QUERIES, NEIGHBOURS, PROBES = 1000, 10, (1, 4, 16)


@click.command()
@click.option(
    "--data",
    metavar="FILE",
    help="Vectors in a .npy, .npz, .csv or .parquet, 1000 of which become the queries.  "
    "[default: made, 50,000 of 32 numbers]",
)
@click.option("--lists", type=click.IntRange(1), default=256, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
def command(data, lists, seed) -> None:
    """Train the codebook of an IVF index for Faiss."""
    faiss = _faiss()
    cli.import_quietly()
    points = made(50_000, 32, seed) if data is None else files.read_points(data)
    points = np.random.default_rng(seed).permutation(np.asarray(points, np.float32))
    if len(points) < QUERIES + max(lists, NEIGHBOURS):
        raise ValueError(f"--data: {len(points)} vectors are too few for {lists} lists")
    queries, points = points[:QUERIES], points[QUERIES:]
    n, d = points.shape
    click.echo(f"{n:,} vectors of {d} numbers in {lists} lists, {QUERIES:,} queries\n")
    model = tfkm.KMeans(lists, random_state=seed).fit(points)
    truth = faiss.knn(queries, points, NEIGHBOURS)[1]
    click.echo("centroids of    inertia per vector" + "".join(f"{p:>10} probed" for p in PROBES))
    theirs = trained(faiss, points, lists, seed)
    for name, index in ("tfkm", filled(faiss, model.cluster_centers_, points)), ("Faiss", theirs):
        inertia = float(index.quantizer.search(points, 1)[0].mean())
        recalls = (recall(index, queries, truth, probes) for probes in PROBES)
        click.echo(f"{name:<12}{inertia:22.4f}" + "".join(f"{r:17.3f}" for r in recalls))


def made(n: int, d: int, seed: int) -> np.ndarray:
    """(n, d) float32 of overlapping groups of different sizes and widths."""
    rng = np.random.default_rng(seed)
    groups = n // 100
    places = rng.standard_normal((groups, d))
    widths = rng.uniform(0.2, 0.8, groups)
    of = rng.choice(groups, n, p=rng.dirichlet(np.ones(groups)))
    noise = rng.standard_normal((n, d)) * widths[of, None]
    return (places[of] + noise).astype(np.float32)


def filled(faiss: Any, centroids: np.ndarray, points: np.ndarray) -> Any:
    """An IndexIVFFlat of the points (n, d) with these centroids (nlist, d)."""
    lists, d = centroids.shape
    quantizer = faiss.IndexFlatL2(d)
    quantizer.add(centroids.astype(np.float32))
    index = faiss.IndexIVFFlat(quantizer, d, lists)
    index.train(points)  # of a quantizer that is full already it only notes that it is trained
    index.add(points)
    return index


def trained(faiss: Any, points: np.ndarray, lists: int, seed: int) -> Any:
    """The same, trained by Faiss."""
    d = points.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, lists)
    index.cp.seed = seed
    index.train(points)
    index.add(points)
    return index


def recall(index: Any, queries: np.ndarray, truth: np.ndarray, probes: int) -> float:
    """The share of the true neighbours (q, NEIGHBOURS) that a search of so many lists finds."""
    index.nprobe = probes
    found = index.search(queries, truth.shape[1])[1]
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True))
    return hits / truth.size


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError("this example needs Faiss: pip install faiss-cpu") from error
    return faiss


if __name__ == "__main__":
    cli.run(command, PROGRAM)
