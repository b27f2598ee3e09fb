"""exact: words and digits hold what a term was, and adding them never rounds."""

from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf

from tfkm import exact
from tfkm.ops import sums

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("x", [1.0, 0.75, 2.0, 3.0, 1e-300, 1e300, 2.0**-899, np.nextafter(4, 0)])
def test_power_of_two_above(x):
    power = float(exact.power_of_two_above(x))
    assert power > x >= power / 2 or x < 2.0**-900
    assert np.frexp(power)[0] == 0.5


def test_power_of_two_above_zero_is_normal():
    assert float(exact.power_of_two_above(0.0)) > 2.0**-902


@pytest.mark.parametrize("count", [1, 1000, 2**26])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_split_loses_nothing_that_matters(count, scale):
    rng = np.random.default_rng(0)
    terms = rng.standard_normal(1000) * 10.0 ** rng.uniform(-8, 0, 1000) * scale
    largest = exact.power_of_two_above(np.abs(terms).max())
    power = exact.power_of_two_above(count)
    high, low = sums.split(tf.constant(terms), largest * power, power)
    lost = np.array([
        abs(Fraction(t) - Fraction(h) - Fraction(v))
        for t, h, v in zip(terms, np.asarray(high), np.asarray(low), strict=True)
    ])  # fmt: skip
    assert (lost <= Fraction(float(largest)) * Fraction(float(power)) ** 2 / 2**104).all()


def test_no_addition_rounds():
    """Sums of the words in float64 are those in rational arithmetic."""
    rng = np.random.default_rng(1)
    terms = rng.standard_normal(4096) * 10.0 ** rng.uniform(-12, 0, 4096)
    power = exact.power_of_two_above(4096)
    bound = power * exact.power_of_two_above(np.abs(terms).max())
    for word in sums.split(tf.constant(terms), bound, power):
        word = np.asarray(word)
        total = sum(Fraction(w) for w in word)
        for order in (word, word[::-1], np.sort(word), rng.permutation(word)):
            assert Fraction(float(np.cumsum(order)[-1])) == total
    assert float(np.cumsum(terms)[-1]) != float(np.cumsum(np.sort(terms))[-1])  # plain sums differ


TERMS = {
    "alike": lambda rng: rng.random(3000),
    "of any size": lambda rng: rng.random(500) * 10.0 ** rng.uniform(-280, 280, 500),
    "one far above the others": lambda rng: np.append(rng.random(5000), 1e30),
    "zeros": lambda rng: np.zeros(9),
    "none": lambda rng: np.zeros(0),
    "multiples of a power of two": lambda rng: rng.integers(0, 2**40, 300) * 2.0**-500,
}


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("in_graph", [False, True])
def test_digits_hold_the_whole_sum(name, in_graph):
    terms = TERMS[name](np.random.default_rng(0))
    true = sum(map(Fraction, terms), Fraction(0))
    function = tf.function(sums.digits, jit_compile=True) if in_graph else sums.digits
    digits = np.asarray(function(tf.constant(terms)))
    assert (
        sum(int(digit) * Fraction(2) ** (32 * i - 1074) for i, digit in enumerate(digits)) == true
    )
    assert exact.total(digits) == float(sums.total(tf.constant(digits))) == float(true)
    parts = [np.asarray(sums.digits(tf.constant(part))) for part in np.array_split(terms[::-1], 7)]
    assert exact.total(sum(parts)) == float(true)
    both = exact.total(np.stack([digits, sum(parts)]))
    assert both.tolist() == [float(true)] * 2


def test_an_unmade_sum_is_nan():
    digits = np.zeros((2, exact.DIGITS))
    digits[0, 0] = np.nan
    np.testing.assert_array_equal(exact.total(digits), [np.nan, 0])
