"""The loop over blocks of `xla.py` where XLA compiles it too: in a user's jit_compile=True.

There n is known when it is compiled, and no size may vary while it runs. So a last block that is not
full begins earlier, over rows that are already done, and as many rows are rescued at a time as one
rescue takes, unclear or not.

Blocks run one after the other: (200000, 256, 64) took 164 ms on 2 cores, 87 in `xla.py`'s loop, and
4.7 s by the reference.
"""

from __future__ import annotations

import tensorflow as tf

from tfkm import exact
from tfkm.ops import sums
from tfkm.ops import xla_kernels as kernels
from tfkm.ops.xla_kernels import Frame, Plan
from tfkm.tensorflow_private import tf2xla
from tfkm.types import Assignment, ExactStatistics


def fold(
    sizes: Plan,
    points: tf.Tensor,
    centroids: tf.Tensor,
    grid: exact.Grid | None = None,
    weights: tf.Tensor | None = None,
) -> tuple[Assignment, ExactStatistics]:
    """Assignment of all blocks and, with a grid, the sum of their statistics."""
    k, d = centroids.shape
    n = tf.shape(points, out_type=tf.int64)[0]
    padding = tf.maximum(sizes.block - n, 0)
    points = tf.pad(points, [[0, padding], [0, 0]])
    if weights is not None:
        weights = tf.pad(weights, [[0, padding]])
    exactly = tf.cast(centroids, tf.float64)
    frame, exact_frame = kernels.frame(centroids, sizes), kernels.frame(exactly, sizes)
    rows = tf.cast(tf.minimum(n, sizes.block), tf.int32)

    def step(
        i: tf.Tensor, labels: tf.Tensor, distances: tf.Tensor, total: ExactStatistics
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, ExactStatistics]:
        done = i * sizes.block
        start = tf.maximum(tf.minimum(done, n - sizes.block), 0)
        x = tf.ensure_shape(tf.slice(points, [start, 0], [sizes.block, d]), [sizes.block, d])
        label, distance, unclear = kernels.screen(x, exactly, frame, rows, sizes)
        label, distance = _rescue(x, exactly, exact_frame, label, distance, unclear, sizes)
        if grid is not None:
            w = tf.ones([sizes.block], tf.float64)
            if weights is not None:
                w = tf.ensure_shape(tf.slice(weights, [start], [sizes.block]), [sizes.block])
            new = start + tf.range(sizes.block, dtype=tf.int64) >= done
            w = tf.where(new, w, tf.zeros_like(w))
            total = total + kernels.sums(x, label, distance, w, rows, grid, k, sizes)
        labels = tf2xla.dynamic_update_slice(labels, label, [start])
        distances = tf2xla.dynamic_update_slice(distances, distance, [start])
        return i + 1, labels, distances, total

    zeros = tf.zeros_like(points[:, 0], tf.int32)
    blocks = -(-n // sizes.block)
    _, labels, distances, total = tf.while_loop(
        lambda i, *_: i < blocks,
        step,
        (tf.constant(0, tf.int64), zeros, tf.cast(zeros, tf.float64), sums.zeros(k, d)),
    )
    return Assignment(labels[:n], tf.cast(distances[:n], centroids.dtype)), total


def _rescue(
    x: tf.Tensor,
    centroids: tf.Tensor,
    frame: Frame,
    labels: tf.Tensor,
    distances: tf.Tensor,
    unclear: tf.Tensor,
    sizes: Plan,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decides the unclear rows anew, a fixed number at a time; most blocks have a handful."""

    def step(
        unclear: tf.Tensor, labels: tf.Tensor, distances: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # The first of the unclear ones, and others if there are not as many; those stay as they are.
        _, rows = tf.math.top_k(tf.cast(unclear, tf.int32), min(sizes.rescue, sizes.block))
        real = tf.gather(unclear, rows)
        picked = tf.pad(tf.gather(x, rows), [[0, max(sizes.rescue - sizes.block, 0)], [0, 0]])

        def put(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
            new = tf.where(real, new[: rows.shape[0]], tf.gather(old, rows))
            return tf.tensor_scatter_nd_update(old, rows[:, None], new)

        label, distance = kernels.rescue(picked, centroids, frame)
        return put(unclear, tf.zeros_like(real)), put(labels, label), put(distances, distance)

    _, labels, distances = tf.while_loop(
        lambda unclear, *_: tf.reduce_any(unclear), step, (unclear, labels, distances)
    )
    return labels, distances


def sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """(n, k) in the direct form; XLA fuses it, so that there is no (n, k, d)."""
    x = tf.cast(points, centroids.dtype)
    return tf.reduce_sum(tf.square(x[:, None] - centroids), axis=2)
