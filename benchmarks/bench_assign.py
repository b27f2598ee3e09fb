"""`tfkm.assign`: on the named shapes, and as n, k or d grows."""

import numpy as np
import tensorflow as tf

import tfkm
from benchmarks.duel import assign_work
from benchmarks.rivals import Outcome


def test_assign(duel, named):
    _assign(duel, named)


def test_assign_swept(duel, swept):
    _assign(duel, swept)


def _assign(duel, case):
    points, centroids = tf.constant(duel.points), tf.constant(duel.centroids)

    def outcome(found: tfkm.Assignment) -> Outcome:
        inertia = found.sq_distances.numpy().sum(dtype=np.float64)
        return Outcome(found.labels.numpy(), duel.centroids, float(inertia))

    duel(
        "assign",
        work=lambda _: assign_work(*case.shape),
        ours=lambda: tfkm.assign(points, centroids, backend=case.backend),
        outcome=outcome,
    )
