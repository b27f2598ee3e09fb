"""exact: the two words hold what a term was, and adding them never rounds."""

from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf

from tfkm import exact

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("x", [1.0, 0.75, 2.0, 3.0, 1e-300, 1e300, 2.0**-799, np.nextafter(4, 0)])
def test_power_of_two_above(x):
    power = float(exact.power_of_two_above(x))
    assert power > x >= power / 2 or x < 2.0**-800
    assert np.frexp(power)[0] == 0.5


def test_power_of_two_above_zero_is_normal():
    assert float(exact.power_of_two_above(0.0)) > 2.0**-802


@pytest.mark.parametrize("count", [1, 1000, 2**26])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_split_loses_nothing_that_matters(count, scale):
    rng = np.random.default_rng(0)
    terms = rng.standard_normal(1000) * 10.0 ** rng.uniform(-8, 0, 1000) * scale
    largest = exact.power_of_two_above(np.abs(terms).max())
    power = exact.power_of_two_above(count)
    high, low = exact.split(tf.constant(terms), largest * power, power)
    lost = np.array([
        abs(Fraction(t) - Fraction(h) - Fraction(v))
        for t, h, v in zip(terms, high.numpy(), low.numpy(), strict=True)
    ])  # fmt: skip
    assert (lost <= Fraction(float(largest)) * Fraction(float(power)) ** 2 / 2**104).all()


def test_no_addition_rounds():
    """Sums of the words in float64 are those in rational arithmetic."""
    rng = np.random.default_rng(1)
    terms = rng.standard_normal(4096) * 10.0 ** rng.uniform(-12, 0, 4096)
    power = exact.power_of_two_above(4096)
    bound = power * exact.power_of_two_above(np.abs(terms).max())
    for word in exact.split(tf.constant(terms), bound, power):
        word = word.numpy()
        total = sum(Fraction(w) for w in word)
        for order in (word, word[::-1], np.sort(word), rng.permutation(word)):
            assert Fraction(float(np.cumsum(order)[-1])) == total
    assert float(np.cumsum(terms)[-1]) != float(np.cumsum(np.sort(terms))[-1])  # plain sums differ
