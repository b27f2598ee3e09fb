"""`tfkm.exact` in tensors."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.exact import DIGIT_BITS, DIGITS, LEAST_EXPONENT, SMALLEST, Grid
from tfkm.types import ExactStatistics, Statistics, Words


def zeros(k: int, d: int) -> ExactStatistics:
    """Of no points."""
    zero = Words(tf.zeros([k, d], tf.float64), tf.zeros([k], tf.float64))
    return ExactStatistics(zero, zero, tf.zeros([DIGITS], tf.float64))


def rounded(statistics: ExactStatistics) -> Statistics:
    """As `ExactStatistics.rounded`."""
    sums, weights = (high + low for high, low in zip(statistics.high, statistics.low, strict=True))
    return Statistics(sums, weights, total(statistics.inertia))


def grid(count: tf.Tensor, points_max: tf.Tensor, weights_max: tf.Tensor | float = 1.0) -> Grid:
    """As `exact.grid`."""
    count = power_of_two_above(count)
    weights = count * power_of_two_above(weights_max)
    ones = tf.ones_like(points_max[..., 0] + weights)
    others = tf.stack([weights * ones, count * ones], axis=-1)
    return Grid(weights[..., None] * power_of_two_above(points_max), others)


def power_of_two_above(x: tf.Tensor | float) -> tf.Tensor:
    """As `exact.power_of_two_above`, by the exponent's bits."""
    return _above(tf.maximum(tf.cast(x, tf.float64), SMALLEST))


def _above(x: tf.Tensor) -> tf.Tensor:
    """The least power of two > x, of float64 that are not subnormal."""
    bits = tf.bitcast(x, tf.int64)
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


def digits(terms: tf.Tensor) -> tf.Tensor:
    """(DIGITS,) float64, the exact sum of terms (n,) float64 ≥ 0.

    Terms that are not finite count for nothing, and so may those below 2⁻¹⁰⁰⁰.
    """
    # Cut into multiples of ever finer steps, so that no addition rounds.
    count = power_of_two_above(tf.size(terms))
    finite = terms <= np.finfo(np.float64).max / 2.0**60

    def cut(left: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        largest = tf.reduce_max(tf.abs(left))
        step = tf.maximum(_above(largest) * count * 2.0**-52, 2.0**-1020)
        part = tf.round(left / step) * step
        return left - part, sums + _placed(tf.reduce_sum(part))

    _, sums = tf.while_loop(
        lambda left, _: tf.reduce_any(tf.abs(left) > 2.0**-1000),
        cut,
        (tf.where(finite, terms, tf.zeros_like(terms)), tf.zeros([DIGITS], tf.float64)),
    )
    return sums


def _placed(value: tf.Tensor) -> tf.Tensor:
    """(DIGITS,) of one float64."""
    bits = tf.bitcast(tf.abs(value), tf.int64)
    exponent = tf.bitwise.right_shift(bits, tf.constant(52, tf.int64))
    mantissa = tf.bitwise.bitwise_and(bits, tf.constant(2**52 - 1, tf.int64))
    mantissa += tf.where(exponent > 0, tf.constant(2**52, tf.int64), tf.constant(0, tf.int64))
    place = tf.maximum(exponent - 1, tf.constant(0, tf.int64))
    digit, shift = place // DIGIT_BITS, place % DIGIT_BITS
    mask, width = tf.constant(2**DIGIT_BITS - 1, tf.int64), tf.constant(DIGIT_BITS, tf.int64)
    low = tf.bitwise.left_shift(tf.bitwise.bitwise_and(mantissa, mask), shift)
    high = tf.bitwise.left_shift(tf.bitwise.right_shift(mantissa, width), shift)
    parts = (
        tf.bitwise.bitwise_and(low, mask),
        tf.bitwise.right_shift(low, width) + tf.bitwise.bitwise_and(high, mask),
        tf.bitwise.right_shift(high, width),
    )
    places = tf.range(DIGITS, dtype=tf.int64)
    spread = tf.add_n(
        [tf.where(places == digit + i, part, tf.zeros_like(part)) for i, part in enumerate(parts)]
    )
    return tf.sign(value) * tf.cast(spread, tf.float64)


def total(digits: tf.Tensor) -> tf.Tensor:
    """As `exact.total`."""
    if not tf.is_symbolic_tensor(digits):  # op by op it would take 5 ms
        return tf.constant(exact.total(digits.numpy()))
    base = 2.0**DIGIT_BITS
    for _ in range(2):
        over = tf.round(digits / base)
        digits -= over * base
        digits += tf.concat([tf.zeros_like(over[..., :1]), over[..., :-1]], axis=-1)
    top = DIGITS - 1 - tf.argmax(tf.reverse(tf.cast(digits != 0, tf.int32), [-1]), axis=-1)
    padded = tf.concat([tf.zeros_like(digits[..., :3]), digits], axis=-1)
    places = top[..., None] + tf.range(3, -1, -1, dtype=tf.int64)
    a, b, c, d = tf.unstack(tf.gather(padded, places, batch_dims=digits.shape.rank - 1), axis=-1)
    first = a * base
    nearest = first + b
    value = nearest + ((b - (nearest - first)) + (c / base + d / base**2))
    # In two steps, as 2 to the whole exponent may be no float64.
    exponent = DIGIT_BITS * (top - 1) + LEAST_EXPONENT
    half = exponent // 2
    return value * _power_of_two(half) * _power_of_two(exponent - half)


def _power_of_two(exponent: tf.Tensor) -> tf.Tensor:
    """2 to an int64 between −1022 and 1023."""
    return tf.bitcast(tf.bitwise.left_shift(exponent + 1023, tf.constant(52, tf.int64)), tf.float64)
