"""examples.spark: what a DataFrame gives has the bits of the same points in memory, however it is cut."""

import os
import sys

import numpy as np
import pytest

import tfkm
from tfkm.examples import spark as example

X = np.random.default_rng(0).standard_normal((3000, 5)).astype(np.float32)


def test_partitions_do_not_show(monkeypatch):
    sql = pytest.importorskip(
        "pyspark.sql", reason="needs Spark and Java: pip install 'tfkm[spark]'"
    )
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    spark = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    try:
        rows = [(row.tolist(),) for row in X]
        points = spark.createDataFrame(rows, "features array<float>")
        expected = tfkm.kmeans(X, 7, init=X[:7], max_iter=4, tol=0)
        for partitions in 1, 3:
            found, _ = example.kmeans(points.repartition(partitions), X[:7], max_iter=4)
            np.testing.assert_array_equal(found, expected.centroids)
    finally:
        spark.stop()


def test_statistics_of_batches():
    """As a partition works them out, without Spark."""
    pyarrow = pytest.importorskip("pyarrow")
    from tfkm import exact

    def batch(x):
        lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(x.ravel()), x.shape[1])
        return pyarrow.RecordBatch.from_pydict({"features": lists})

    (row,) = example.measure([batch(X[:1000]), batch(X[1000:])])
    measured = np.frombuffer(row["words"][0].as_py())
    assert measured[0] == len(X) and (measured[1:] == np.abs(X).max(axis=0)).all()
    grid = exact.grid(len(X), measured[1:])
    found = [
        example._statistics(np.frombuffer(row["words"][0].as_py()), 7, 5).rounded()
        for cuts in ([0, 1000, 3000], [0, 1, 2999, 3000])
        for row in example.sums(
            [batch(X[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)], X[:7], grid
        )
    ]
    _, (sums, weights, inertia) = tfkm.accumulate(X, X[:7])
    for statistics in found:
        np.testing.assert_array_equal(statistics.sums, sums)
        np.testing.assert_array_equal(statistics.weights, weights)
        assert statistics.inertia == float(inertia)
