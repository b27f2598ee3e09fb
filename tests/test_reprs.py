"""What a user sees who prints a record, or asks for the package's names."""

import numpy as np
import pytest
import tensorflow as tf

import tfkm

POINTS = np.float32([[0], [1], [9]])
PROBLEMS = np.stack([POINTS, POINTS[::-1]])
FITTED = dict(random_state=0, init=POINTS[[0, 2]])


def one_pass():
    passes = []
    tfkm.kmeans(POINTS, 2, on_pass=passes.append, **FITTED)
    return passes[-1]._replace(seconds=0.25)


@pytest.mark.parametrize(
    "make, text",
    [
        (
            lambda: tfkm.kmeans(POINTS, 2, **FITTED),
            "Result(k=2, d=1, n=3, inertia=0.5, n_iter=2, status=LABELS_UNCHANGED)",
        ),
        (
            lambda: tfkm.kmeans(tf.data.Dataset.from_tensors(POINTS), 2, **FITTED),
            "Result(k=2, d=1, labels=None, inertia=0.5, n_iter=2, status=LABELS_UNCHANGED)",
        ),
        (
            lambda: tfkm.kmeans_batch(PROBLEMS, 2, random_state=0, tol=0),
            "BatchResult(B=2, k=2, d=1, n=3, inertia=[0.5, 0.5], ",
        ),
        (
            one_pass,
            "Pass(start=0, iteration=2, inertia=0.5, shift=0, seconds=0.25, empty=0, points=3, ",
        ),
        (lambda: tfkm.assign(POINTS, POINTS[:2]), "Assignment(n=3)"),
        (lambda: tfkm.assign(PROBLEMS, POINTS[:2]), "Assignment(leading=(2,), n=3)"),
        (
            lambda: tfkm.accumulate(POINTS, POINTS[:2])[1],
            "Statistics(k=2, d=1, inertia=64)",
        ),
        (lambda: tfkm.random_points(POINTS, 2, random_state=0), "Seeds(k=2, d=1)"),
        (
            lambda: tfkm.metrics.InertiaCurve(np.arange(9), np.arange(9.0)[::-1], ()),
            "InertiaCurve(n_clusters=[0, 1, …, 8], inertias=[8, 7, …, 0], results=())",
        ),
        (
            lambda: tfkm.datasets.load("digits"),
            "Dataset(n=1797, d=64, name='digits', shape=(8, 8))",
        ),
        (lambda: tfkm.streams.Part(POINTS, None), "Part(rows=3, d=1, weights=None)"),
        (tfkm.Progress, "Progress()"),
    ],
)
def test_records_are_short(make, text):
    assert repr(make()).startswith(text) and len(repr(make())) < 150


def test_tensors_of_a_graph_are_named_by_their_shape():
    seen = []

    @tf.function(input_signature=[tf.TensorSpec([None, 1])])
    def traced(points):
        seen.append(repr(tfkm.accumulate(points, POINTS[:2])[1]))
        return points

    traced(POINTS)
    assert seen == ["Statistics(k=2, d=1, inertia=float64())"]


@pytest.mark.quick
def test_the_package_shows_its_public_names_only():
    tfkm.kmeans(POINTS, 2, random_state=0)  # which imports what is inside
    assert dir(tfkm) == sorted([*tfkm.__all__, "__version__"])
    assert all(hasattr(tfkm, name) for name in dir(tfkm))
