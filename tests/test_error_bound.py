"""The bound of what a screen errs by: at least what is proved, of use, and the compiled kernels' own."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tfkm.ops import error_bound

FRAME = Path(__file__).parents[1] / "kernels/core/frame.h"
UNITS = {"float32": 2.0**-24, "float64": 2.0**-53}
SIZES = [(0.0, 0.0), (0.0, 3.0), (3.0, 0.0), (1.0, 1.0), (1e4, 1.5), (1.5, 1e4)]


def gamma(m: int, unit: float) -> Fraction:
    return m * Fraction(unit) / (1 - m * Fraction(unit))


def proved(norm: float, largest: float, d: int, unit: float, direct: bool = True) -> Fraction:
    """M(x) of docs/exactness.md, in exact arithmetic; 2E(x) where no direct form follows."""
    x, c = Fraction(norm), Fraction(largest)
    twice = 2 * gamma(d + 8, unit) * c * (2 * x + c)
    return twice + direct * 4 * gamma(d + 8, 2.0**-53) * (x + c) ** 2


@pytest.mark.quick
@pytest.mark.parametrize("dtype", UNITS)
@pytest.mark.parametrize("d", [1, 100, 10_000])
def test_a_margin_is_what_is_proved_and_little_more(dtype, d):
    of = np.dtype(dtype)
    for norm, largest in SIZES:
        least = proved(norm, largest, d, UNITS[dtype])
        sizes = np.array([[norm], [largest]], of)
        (got,) = error_bound.margin(*sizes, d, of)
        assert got.dtype == of
        assert least < got < 1.1 * least + 1e-30
        for direct in True, False:
            wide = error_bound.wide_margin(norm, largest, d, direct)
            needed = proved(norm, largest, d, 2.0**-53, direct)
            assert wide > needed if norm + largest else wide == 0


def test_what_is_left_out_is_added_twice():
    one = error_bound.margin(1.0, 2.0, 10, np.dtype("float32"), lost=0.0)
    assert one > 4 * error_bound.margin(1.0, 2.0, 10, np.dtype("float32"))
    assert error_bound.margin(1.0, 2.0, 10, np.dtype("float32"), lost=1.0) - one > 2


@pytest.mark.parametrize("dtype", UNITS)
@pytest.mark.parametrize("d", [1, 100, 10_000])
def test_the_compiled_kernels_have_the_same(dtype, d):
    """By the formulas that stand in their source, worked out here."""
    source = FRAME.read_text()
    assert "return (d + 8) * unit / (1 - (d + 8) * unit);" in source
    used = "per_product_ * (2 * norm + largest_norm_) + per_square_ * (reach * reach)"
    assert source.count(used) == 1
    told = dict(re.findall(r"\b(slack|per_product_|per_square_|least_margin_) = (.+?);", source))
    in_python = {"T(": "(", "0x1p-53": "2.0**-53", "sizeof(T) == 4 ? FLT_MIN : DBL_MIN": "tiny"}
    for of, python in in_python.items():
        told = {name: formula.replace(of, python) for name, formula in told.items()}

    def growth(unit):
        return float(gamma(d + 8, unit))

    names = {"d": d, "growth": growth, "mine": growth(UNITS[dtype]), "tiny": np.finfo(dtype).tiny}
    for norm, largest in SIZES:
        names |= {"norm": norm, "largest_norm": largest, "largest_norm_": largest}
        names["reach"] = norm + largest
        for name in ("slack", "per_product_", "per_square_", "least_margin_"):
            names[name] = float(eval(told[name], {}, names))
        theirs = eval(f"{used} + least_margin_", {}, names)
        own = error_bound.margin(np.float64(norm), np.float64(largest), d, np.dtype(dtype))
        assert own == pytest.approx(theirs, rel=1e-12)
