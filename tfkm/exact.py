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

Of the inertia no bound is known that is near: far from the origin the squares of magnitudes say nothing
about distances. Its terms are ≥ 0 and few, one for each point, so they are summed in 66 digits of 32 bits
that span all of float64 (a superaccumulator, Kulisch 1971, Neal 2015): exactly, whatever their sizes.

Here in arrays; `tfkm.ops.sums` has the same for tensors.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

# Bounds stay above 2⁻⁹⁰⁰, so that no step of the grid is subnormal (TensorFlow flushes those).
SMALLEST = 2.0**-900

# As kernels/core/core.h: Σ digits[i] · 2^(32·i − 1074).
DIGITS = 66
DIGIT_BITS, LEAST_EXPONENT = 32, -1074


class Grid(NamedTuple):
    """What every part of one sum must agree on: powers of two, float64, in arrays or in tensors.

    sums: (d,), and in others (2,): weights; each above count times its largest term. The second is count,
    above the number of terms in all. Leading dimensions: a grid for each problem.
    """

    sums: Any
    others: Any

    @property
    def weights(self) -> Any:
        return self.others[..., 0]

    @property
    def count(self) -> Any:
        return self.others[..., 1]


def grid(count, points_max: np.ndarray, weights_max=1.0) -> Grid:
    """The grid for at most `count` points, () or (…).

    points_max: (…, d) float64, largest absolute value of each feature. weights_max: () or (…) largest
    weight.
    """
    count, weights_max = (
        x if isinstance(x, int | float) else np.asarray(x, np.float64) for x in (count, weights_max)
    )
    count = power_of_two_above(count)
    weights = count * power_of_two_above(weights_max)
    leading = np.broadcast_shapes(points_max.shape[:-1], np.shape(weights))
    others = np.empty((*leading, 2))  # np.stack takes 10 µs
    others[..., 0], others[..., 1] = weights, count
    each = weights if isinstance(weights, float) else weights[..., None]
    return Grid(each * power_of_two_above(points_max), others)


def grids(runs: int, count, points_max: np.ndarray, weights_max=1.0) -> Grid:
    """With `runs` in front: the same for each."""
    one = grid(count, points_max, weights_max)
    return Grid(*(np.repeat(part[None], runs, axis=0) for part in one))


def power_of_two_above(x):
    """The least power of two > x, for x ≥ 0: exact, unlike 2**ceil(log2)."""
    if isinstance(x, int | float) and x < 2.0**1000:  # NumPy takes 4 µs for it
        return math.ldexp(1.0, math.frexp(max(x, SMALLEST))[1])
    return np.ldexp(1.0, np.frexp(np.maximum(x, SMALLEST))[1])


def split(terms: np.ndarray, bound: Any, count: float) -> tuple[np.ndarray, np.ndarray]:
    """(high, low) of float64 `terms`; `bound`, above the sum of all magnitudes, broadcasts against them."""
    coarse = bound * 2.0**-52
    fine = coarse * count * 2.0**-53
    terms = np.rint(terms / fine) * fine
    high = np.rint(terms / coarse) * coarse
    return high, terms - high


def total(digits: np.ndarray) -> np.ndarray:
    """(…,) float64, the number nearest to the sum of digits (…, DIGITS)."""
    base = 2.0**DIGIT_BITS
    if np.abs(digits).max(initial=0) > base / 2:
        digits = digits.copy()
        for _ in range(2):  # so that each is of 32 bits, a sign and a little
            over = np.round(digits / base)
            digits -= over * base
            digits[..., 1:] += over[..., :-1]
    # The highest digit, and three below it.
    top = DIGITS - 1 - (digits[..., ::-1] != 0).argmax(axis=-1)
    padded = np.concatenate([np.zeros((*digits.shape[:-1], 3)), digits], axis=-1)
    places = top[..., None] + np.arange(3, -1, -1)
    a, b, c, d = np.moveaxis(np.take_along_axis(padded, places, axis=-1), -1, 0)
    first = a * base
    nearest = first + b
    value = nearest + ((b - (nearest - first)) + (c / base + d / base**2))
    # NaN in the first digit is that of a sum that nobody has made.
    return np.ldexp(value, DIGIT_BITS * (top - 1) + LEAST_EXPONENT) + 0 * digits[..., 0]
