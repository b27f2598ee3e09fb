"""Sums that do not depend on order, because no addition rounds.

A float64 sum depends on the order of its terms only through the rounding of each addition. So every
term t is first cut into two words, t ≈ high + low, with high a multiple of a coarse power of two
and low a multiple of a fine one. Let `bound` be a power of two above the sum of all |t|:

    high = t rounded to multiples of  q = bound · 2⁻⁵²
    low  = t − high, with t first rounded to multiples of  q · count · 2⁻⁵³

All partial sums of the highs are multiples of q below 2⁵³·q, and likewise for the lows, so each is
a float64 and each addition is exact: chunks, threads, batches and workers may add in any order and
any grouping. The error of a term is below count² · 2⁻¹⁰⁵ of the largest term. For float32 data it
is zero, and up to count = 2²⁶ it is below float64's own rounding of the sum.

This is the pre-rounding of Rump, Ogita & Oishi (2008, AccSum) and of Demmel & Nguyen (2013, "Fast
reproducible floating-point summation") with the bound known beforehand.

No close bound is known for the inertia: far from the origin the squares of magnitudes say nothing
about distances. Its terms are ≥ 0 and few, one for each point. So they are summed in 66 digits of
32 bits that span all of float64 (a superaccumulator, Kulisch 1971, Neal 2015). This is exact
whatever their sizes.

This module works on arrays; `tfkm.ops.sums` does the same on tensors.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

# Bounds stay above 2⁻⁹⁰⁰, so that no step of the grid is subnormal (TensorFlow flushes those).
SMALLEST = 2.0**-900

# The digits of kernels/core/core.h: Σ digits[i] · 2^(32·i − 1074).
DIGITS = 66
DIGIT_BITS, LEAST_EXPONENT = 32, -1074


class Grid(NamedTuple):
    """The powers of two, float64, that every part of one sum must share; arrays or tensors.

    Leading dimensions hold one grid for each problem.

    Attributes:
        sums: (…, d), each above count times the largest weighted value of its feature.
        others: (…, 2). The first is above count times the largest weight. The second is count, a
            power of two above the number of all terms.
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
    """Return the grid for at most `count` points.

    Args:
        count: () or (…) number of points.
        points_max: (…, d) float64, the largest absolute value of each feature.
        weights_max: () or (…) the largest weight.
    """
    count, weights_max = (
        x if isinstance(x, int | float) else np.asarray(x, np.float64) for x in (count, weights_max)
    )
    count = power_of_two_above(count)
    weights = count * power_of_two_above(weights_max)
    leading = np.broadcast_shapes(points_max.shape[:-1], np.shape(weights))
    others = np.empty((*leading, 2))  # np.stack would take 10 µs
    others[..., 0], others[..., 1] = weights, count
    each = weights if isinstance(weights, float) else weights[..., None]
    return Grid(each * power_of_two_above(points_max), others)


def grids(runs: int, count, points_max: np.ndarray, weights_max=1.0) -> Grid:
    """Return the same grid `runs` times, along a leading axis."""
    one = grid(count, points_max, weights_max)
    return Grid(*(np.repeat(part[None], runs, axis=0) for part in one))


def power_of_two_above(x):
    """Return the least power of two > x, for x ≥ 0; exact, unlike 2**ceil(log2)."""
    if isinstance(x, int | float) and x < 2.0**1000:  # NumPy would take 4 µs
        return math.ldexp(1.0, math.frexp(max(x, SMALLEST))[1])
    return np.ldexp(1.0, np.frexp(np.maximum(x, SMALLEST))[1])


def split(terms: np.ndarray, bound: Any, count: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (high, low) of float64 `terms`.

    `bound` is above the sum of all magnitudes, and broadcasts against `terms`.
    """
    coarse = bound * 2.0**-52
    fine = coarse * count * 2.0**-53
    terms = np.rint(terms / fine) * fine
    high = np.rint(terms / coarse) * coarse
    return high, terms - high


def total(digits: np.ndarray) -> np.ndarray:
    """Return (…,) float64, the number nearest to the sum of digits (…, DIGITS)."""
    base = 2.0**DIGIT_BITS
    if np.abs(digits).max(initial=0) > base / 2:
        digits = digits.copy()
        for _ in range(2):  # then each has 32 bits, a sign and a little more
            over = np.round(digits / base)
            digits -= over * base
            digits[..., 1:] += over[..., :-1]
    # The highest digit that is not zero, and the three below it.
    top = DIGITS - 1 - (digits[..., ::-1] != 0).argmax(axis=-1)
    padded = np.concatenate([np.zeros((*digits.shape[:-1], 3)), digits], axis=-1)
    places = top[..., None] + np.arange(3, -1, -1)
    a, b, c, d = np.moveaxis(np.take_along_axis(padded, places, axis=-1), -1, 0)
    first = a * base
    nearest = first + b
    value = nearest + ((b - (nearest - first)) + (c / base + d / base**2))
    # The first digit is NaN if no sum was made; adding it makes the result NaN.
    return np.ldexp(value, DIGIT_BITS * (top - 1) + LEAST_EXPONENT) + 0 * digits[..., 0]
