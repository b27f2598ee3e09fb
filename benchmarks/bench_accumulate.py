"""`tfkm.accumulate`: one pass of Lloyd's iteration."""

import numpy as np
import tensorflow as tf

import tfkm
from benchmarks.duel import accumulate_work
from benchmarks.rivals import Outcome


def test_accumulate(duel, named):
    points, centroids = tf.constant(duel.points), tf.constant(duel.centroids)

    def outcome(found: tuple[tfkm.Assignment, tfkm.Statistics]) -> Outcome:
        assignment, statistics = found
        labels = assignment.labels.numpy()
        np.testing.assert_array_equal(
            statistics.weights, np.bincount(labels, minlength=named.shape.k)
        )
        np.testing.assert_allclose(
            statistics.sums.numpy().sum(axis=0),
            duel.points.sum(axis=0, dtype=np.float64),
            rtol=1e-6,
        )
        return Outcome(labels, duel.centroids, float(statistics.inertia))

    duel(
        "accumulate",
        work=lambda _: accumulate_work(*named.shape),
        ours=lambda: tfkm.accumulate(points, centroids, backend=named.backend),
        outcome=outcome,
    )
