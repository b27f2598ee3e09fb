"""Sums that do not depend on order, because no addition rounds.

A float64 sum depends on the order of its terms only through the rounding of each addition. So every
term t is first cut into two words, t ≈ high + low, with high a multiple of a coarse power of two
and low a multiple of a fine one. With `bound` a power of two above the sum of all |t|:

    high = t rounded to multiples of  q = bound · 2⁻⁵²
    low  = t − high, with t first rounded to multiples of  q · count · 2⁻⁵³

All partial sums of the highs are multiples of q below 2⁵³·q, and likewise for the lows, so each is a
float64 and each addition is exact: chunks, threads, batches and workers may add in any order and
any grouping. What is lost per term is below count² · 2⁻¹⁰⁵ of the largest one: nothing for float32
data, and below float64's own rounding of the sum up to count = 2²⁶.

This is the pre-rounding of Rump, Ogita & Oishi (2008, AccSum) and of Demmel & Nguyen (2013,
"Fast reproducible floating-point summation") with the bound known beforehand.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Bounds stay above 2⁻⁸⁰⁰, so that no step of the grid is subnormal (TensorFlow flushes those).
_SMALLEST = 2.0**-800


class Grid(NamedTuple):
    """What every part of one sum must agree on: powers of two, float64.

    sums: (d,), and in others (3,): weights, inertia; each above count times its largest term. The
    third is count, above the number of terms in all. Leading dimensions: a grid for each problem.
    """

    sums: tf.Tensor
    others: tf.Tensor

    @property
    def weights(self) -> tf.Tensor:
        return self.others[..., 0]

    @property
    def inertia(self) -> tf.Tensor:
        return self.others[..., 1]

    @property
    def count(self) -> tf.Tensor:
        return self.others[..., 2]


def grid(count, points_max, centroids_max, weights_max=1.0) -> Grid:
    """The grid for at most `count` points, () or (…).

    points_max, centroids_max: (…, d) float64, largest absolute value of each feature.
    weights_max: () or (…) largest weight. If points_max is a NumPy array, all is done by NumPy: a fit of
    few points would be over before TensorFlow has done these small ops.
    """
    tensors = isinstance(points_max, tf.Tensor)
    count, weights_max, centroids_max = (
        tf.cast(x, tf.float64)
        if tensors and isinstance(x, tf.Tensor)
        else x
        if isinstance(x, int | float)
        else np.asarray(x, np.float64)
        for x in (count, weights_max, centroids_max)
    )
    count = power_of_two_above(count)
    weights = count * power_of_two_above(weights_max)
    with np.errstate(over="ignore"):  # of points that are refused for it elsewhere
        reach = points_max + centroids_max
        total = tf.reduce_sum(reach * reach, axis=-1) if tensors else (reach * reach).sum(axis=-1)
        inertia = weights * power_of_two_above(total)
    if tensors:
        ones = tf.ones_like(inertia)
        others = tf.stack([weights * ones, inertia, count * ones], axis=-1)
    else:  # np.stack takes 10 µs
        others = np.empty((*np.shape(inertia), 3))
        others[..., 0], others[..., 1], others[..., 2] = weights, inertia, count
    each = weights if isinstance(weights, float) else weights[..., None]
    return Grid(each * power_of_two_above(points_max), others)


def grids(count, points_max, centroids, weights_max=1.0) -> Grid:
    """With r in front: one for all passes of each run that begins with centroids (r, k, d), in NumPy. Means
    never leave the hull of points and centroids."""
    largest = np.maximum(points_max, np.abs(centroids).max(axis=1).astype(np.float64))
    sums, others = grid(count, points_max, largest, weights_max)
    return Grid(np.repeat(sums[None], len(largest), axis=0), others)


def power_of_two_above(x):
    """The least power of two > x, for x ≥ 0, by its exponent bits: exact, unlike 2**ceil(log2)."""
    if isinstance(x, int | float) and x < 2.0**1000:  # NumPy takes 4 µs for it
        return math.ldexp(1.0, math.frexp(max(x, _SMALLEST))[1])
    if not isinstance(x, tf.Tensor):
        return np.ldexp(1.0, np.frexp(np.maximum(x, _SMALLEST))[1])
    bits = tf.bitcast(tf.maximum(tf.cast(x, tf.float64), _SMALLEST), tf.int64)
    exponent = tf.bitwise.right_shift(bits, tf.constant(52, tf.int64))
    return tf.bitcast(tf.bitwise.left_shift(exponent + 1, tf.constant(52, tf.int64)), tf.float64)


def split(terms: tf.Tensor, bound: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(high, low) of float64 `terms`; `bound` broadcasts against them. Any shape."""
    coarse = bound * 2.0**-52
    fine = coarse * count * 2.0**-53
    # A compiler may fuse a product into the sum or difference that takes it, without rounding it
    # (XLA on the CPU does: w·x − high came out otherwise in one kernel than in another). Behind
    # a rounding there is none to fuse, and products with powers of two are exact either way.
    terms = tf.round(terms / fine) * fine
    high = tf.round(terms / coarse) * coarse
    return high, terms - high
