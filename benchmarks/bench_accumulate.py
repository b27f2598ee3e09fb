"""One pass of Lloyd's iteration as a fit makes it: `tfkm.accumulate` on a grid that is made once."""

import numpy as np
import tensorflow as tf

import tfkm
from benchmarks.duel import accumulate_work
from benchmarks.rivals import Outcome
from tfkm import exact, ops


def test_accumulate(duel, named):
    points, centroids = tf.constant(duel.points), tf.constant(duel.centroids)
    grid = exact.grid(
        len(points), ops.largest_magnitudes(points), ops.largest_magnitudes(centroids)
    )

    def ours() -> tuple[tfkm.Assignment, tfkm.Statistics]:
        assignment, statistics = ops.partial(points, centroids, None, grid, backend=named.backend)
        return assignment, statistics.rounded()

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
        ours=ours,
        outcome=outcome,
    )
