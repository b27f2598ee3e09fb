"""A model as one matrix product without loops or branches: for converters, which know few ops.

It holds n×k distances. In float64 it decides as `tfkm.assign` does, but that centroids whose distances
float64 cannot tell apart count as tied; in float32 it errs where two distances differ by float32's
rounding of them, around the centroids' mean.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfkm.ops import error_bound


def predict(
    centroids: np.ndarray, metric: str, wide: tf.DType
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """A function of points (n, d) -> labels (n,) int32 and distances (n,) float32 to their centroids.

    centroids: (k, d), of length 1 for metric="cosine". wide: float32 or float64, what is computed in.
    """
    exactly = centroids.astype(np.float64)
    origin = exactly.mean(axis=0)
    around = exactly - origin
    sq_norms = np.square(around).sum(axis=1)

    def function(points: tf.Tensor) -> dict[str, tf.Tensor]:
        # Made here, so that they are constants of the graph and not inputs to it.
        c, factors, norms, o = (
            tf.constant(part, wide) for part in (exactly, -2 * around, sq_norms, origin)
        )
        x, zeros = tf.cast(points, wide), None
        if metric == "cosine":
            sq_lengths = tf.reduce_sum(tf.square(x), axis=1, keepdims=True)
            zeros = tf.cast(tf.equal(sq_lengths, 0), wide)
            x = x / tf.sqrt(sq_lengths + zeros)
        values = norms + tf.matmul(x - o, factors, transpose_b=True)
        labels = _first_least(values, x - o, sq_norms.max())
        distances = tf.reduce_sum(tf.square(x - tf.gather(c, labels)), axis=1)
        if zeros is None:
            distances = tf.sqrt(distances)
        else:
            zero = tf.squeeze(zeros, 1)
            labels = labels * tf.cast(1 - zero, tf.int32)
            distances = zero + (1 - zero) * distances / 2
        return {"labels": labels, "distances": tf.cast(distances, tf.float32)}

    return function


def _first_least(values: tf.Tensor, x: tf.Tensor, largest_sq_norm: float) -> tf.Tensor:
    """(n,) int32, the first of the least (n, k); in float64, of what its rounding cannot tell from it."""
    if values.dtype == tf.float32:  # where that would be too much
        return tf.argmin(values, axis=1, output_type=tf.int32)
    norms = tf.sqrt(tf.reduce_sum(tf.square(x), axis=1, keepdims=True))
    margin = error_bound.wide_margin(norms, largest_sq_norm**0.5, x.shape[1], direct=False)
    least = values <= tf.reduce_min(values, axis=1, keepdims=True) + margin
    return tf.argmax(tf.cast(least, tf.int32), axis=1, output_type=tf.int32)
