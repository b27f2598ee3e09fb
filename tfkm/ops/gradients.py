"""Derivatives of squared distances, the same for every backend.

A label is a step function of points and centroids: its derivative is 0 where it has one, so none is
defined. The distance to the nearest centroid has that of ‖x − cⱼ‖² with j held fixed, which is its
derivative wherever only one centroid is nearest; at a tie it is one of its subgradients.

What a backend does is hidden from TensorFlow's tapes. Where none listens all of this can be left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf

from tfkm.tensorflow_private import should_record_backprop

_Gradient: TypeAlias = Callable[[tf.Tensor], "tf.Tensor | list[tf.Tensor]"]


def of_nearest(
    points: tf.Tensor,
    centroids: tf.Tensor,
    labels: tf.Tensor,
    value: tf.Tensor,
    padded: bool = False,
) -> tf.Tensor:
    """`value` (…, n), the squared distances to the centroids of these labels (…, n), with derivatives.

    points (…, n, d), centroids (…, k, d) in the dtype computed in; leading dimensions broadcast.
    padded: whether labels may be −1, for rows without derivatives.
    """

    def distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
        shape = tf.concat([tf.shape(labels)[:-1], tf.shape(centroids)[-2:]], axis=0)
        every = tf.broadcast_to(centroids, shape)
        known = tf.maximum(labels, 0) if padded else labels
        nearest = tf.gather(every, known, batch_dims=labels.shape.rank - 1)
        apart = tf.cast(points, value.dtype) - nearest
        if padded:
            apart = tf.where(labels[..., None] < 0, tf.zeros_like(apart), apart)
        return tf.reduce_sum(tf.square(apart), axis=-1)

    def gradient(upstream: tf.Tensor, points: tf.Tensor, centroids: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([points, centroids])
            again = distances(points, centroids)
        both: list[tf.Tensor] = tape.gradient(again, [points, centroids], upstream)
        return both

    return _with_gradient(points, centroids, value, gradient)


def of_all(points: tf.Tensor, centroids: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """`value` (n, k), the squared distances of all points to all centroids, with derivatives."""

    def gradient(upstream: tf.Tensor, points: tf.Tensor, centroids: tf.Tensor) -> list[tf.Tensor]:
        # In float64, since a GPU may round the factors of a float32 product to TF32; and around the mean,
        # since far from the origin the two terms nearly cancel.
        up, x, c = (tf.cast(tensor, tf.float64) for tensor in (upstream, points, centroids))
        origin = tf.stop_gradient(tf.reduce_mean(c, axis=0))
        x, c = x - origin, c - origin
        to_points = tf.reduce_sum(up, axis=1)[:, None] * x - tf.matmul(up, c)
        to_centroids = tf.reduce_sum(up, axis=0)[:, None] * c - tf.matmul(up, x, transpose_a=True)
        return [tf.cast(2 * to_points, points.dtype), tf.cast(2 * to_centroids, centroids.dtype)]

    return _with_gradient(points, centroids, value, gradient)


def hidden(listened: bool, *tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """As they are, but if `listened_to` no derivative goes through; for what is given to a backend."""
    return tuple(tf.stop_gradient(tensor) for tensor in tensors) if listened else tensors


def listened_to(*tensors: tf.Tensor) -> bool:
    """Whether a derivative may be asked for. In a graph nobody knows; eagerly it takes 1 µs to tell."""
    return not tf.executing_eagerly() or should_record_backprop(tensors)


def _with_gradient(
    points: tf.Tensor,
    centroids: tf.Tensor,
    value: tf.Tensor,
    gradient: Callable[..., list[tf.Tensor]],
) -> tf.Tensor:
    """`value`; gradient(upstream, points, centroids) -> those of points and centroids."""

    def of_floats(points: tf.Tensor, centroids: tf.Tensor) -> tuple[tf.Tensor, _Gradient]:
        return tf.identity(value), lambda upstream: gradient(upstream, points, centroids)

    def of_integers(centroids: tf.Tensor) -> tuple[tf.Tensor, _Gradient]:
        return tf.identity(value), lambda upstream: gradient(upstream, points, centroids)[1]

    if points.dtype.is_floating:
        return tf.custom_gradient(of_floats)(points, centroids)
    return tf.custom_gradient(of_integers)(centroids)
