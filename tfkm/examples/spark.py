"""Exact k-means of a Spark DataFrame, whose partitions give statistics that add up: docs/spark.md.

    python -m tfkm.examples.spark                     # needs Java 17 and Spark: pip install 'tfkm[spark]'

or spark-submit spark.py clusters points that are made up here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import click
import numpy as np
import tensorflow as tf

from tfkm import cli, exact
from tfkm.lloyd import update
from tfkm.ops import tensors
from tfkm.types import ExactStatistics, Statistics, Words

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import DataFrame

    Batches = Iterable[pyarrow.RecordBatch]

PROGRAM = "python -m tfkm.examples.spark"


def kmeans(points: DataFrame, centroids: np.ndarray, max_iter: int) -> tuple[np.ndarray, float]:
    """Lloyd's algorithm: the bits of `tfkm.kmeans(x, k, init=centroids, tol=0)`, unless a cluster is empty.

    points: a column `features` of lists of d float32. centroids: (k, d) float32. Returns the centroids, and
    the inertia of those before the last move.
    """
    measured = _folded(points, measure, lambda a, b: np.append(a[:1] + b[:1], np.maximum(a, b)[1:]))
    n, largest = int(measured[0]), measured[1:]
    grid = exact.grid(n, largest)
    for _ in range(max_iter):
        words = _folded(points, partial(sums, centroids=centroids, grid=grid), np.add)
        statistics = _statistics(words, *centroids.shape).rounded()
        means = update.means(Statistics(*(part[None] for part in statistics)), centroids[None])
        before, centroids = centroids, means[0].astype(np.float32)
        if (centroids == before).all():
            break
    return centroids, float(statistics.inertia)


def measure(batches: Batches) -> Iterator[pyarrow.RecordBatch]:
    """Of a partition: how many points there are, and the largest magnitude of each feature."""
    found = [(len(x), *np.abs(x).max(axis=0)) for x in map(_array, batches) if len(x)]
    if found:
        table = np.array(found)
        yield _row(np.append(table[:, 0].sum(), table[:, 1:].max(axis=0)))


def sums(
    batches: Batches, centroids: np.ndarray, grid: exact.Grid
) -> Iterator[pyarrow.RecordBatch]:
    """Of a partition: the words of its exact statistics, which add up in any order without rounding."""
    total: np.ndarray | None = None
    for x in map(_array, batches):
        if len(x):
            _, words = tensors.partial(tf.constant(x), tf.constant(centroids), None, grid)
            here = np.concatenate(
                [np.ravel(part) for part in (*words.high, *words.low, words.inertia)]
            )
            total = here if total is None else total + here
    if total is not None:
        yield _row(total)


def _array(batch: pyarrow.RecordBatch) -> np.ndarray:
    return np.array(batch["features"].flatten(), np.float32).reshape(len(batch), -1)


def _row(words: np.ndarray) -> pyarrow.RecordBatch:
    import pyarrow

    return pyarrow.RecordBatch.from_pydict({"words": pyarrow.array([words.tobytes()])})


def _folded(points: DataFrame, task: Callable, fold: Callable) -> np.ndarray:
    """What the partitions give, a row each, on the driver."""
    total = None
    for row in points.mapInArrow(task, "words binary").toLocalIterator(prefetchPartitions=True):
        words = np.frombuffer(row.words)
        total = words if total is None else fold(total, words)
    assert total is not None, "no points"
    return total


def _statistics(words: np.ndarray, k: int, d: int) -> ExactStatistics:
    high, high_weights, low, low_weights, inertia = np.split(words, np.cumsum([k * d, k, k * d, k]))
    return ExactStatistics(
        Words(high.reshape(k, d), high_weights), Words(low.reshape(k, d), low_weights), inertia
    )


@click.command()
def command() -> None:
    """Cluster a DataFrame of Spark, made up here."""
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ImportError(
            f"needs Java 17 and Spark: pip install 'tfkm[spark]' ({error})"
        ) from error

    spark = SparkSession.builder.getOrCreate()
    x = np.random.default_rng(0).standard_normal((20_000, 8)).astype(np.float32)
    rows = [(row.tolist(),) for row in x]
    points = spark.createDataFrame(rows, "features array<float>").repartition(4).cache()
    centroids, inertia = kmeans(points, x[:10], max_iter=20)
    click.echo(f"10 clusters of {points.count():,} points, inertia {inertia:,.1f}")
    spark.stop()


if __name__ == "__main__":
    cli.run(command, PROGRAM)
