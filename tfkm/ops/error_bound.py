"""How much rounding moves what a screen compares: the one place in Python that says it.

A screen compares vⱼ ≈ ‖cⱼ‖² − 2cⱼ·x, for x and c around an offset, in a dtype of unit roundoff u. Let C be
the largest ‖cⱼ‖, and γₘ = m·u / (1 − m·u) what m roundings in a row come to at most (Higham 2002, §3.1).

* Centring x and c moves a value by at most 4u‖x‖C + 2uC². A product summed in any order errs by γ_d·2‖x‖C,
  the norm and the last addition by u(2‖x‖C + 2C²). All of it is below E(x) = γ_{d+8}·C·(2‖x‖ + C).
* The direct form Σ(x − c)², in float64, errs on two centroids together by less than
  4·γ_{d+8}(2⁻⁵³)·(‖x‖ + C)².

So if a value is greater than another by more than 2E(x) and the second of these, the direct form finds its
centroid farther, too: no tie, and no need to look. docs/exactness.md has the proofs; the compiled kernels
have the same bound in `Frame::set_margin` of kernels/core/frame.h.

Operators only, so each function takes numbers, arrays and tensors.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

# A number, an array or a tensor, in the dtype of the screen.
Numbers: TypeAlias = Any

_DOUBLE = np.dtype(np.float64)


def growth(roundings: int, dtype: np.dtype) -> float:
    """Return γ of so many roundings in a dtype."""
    moved = roundings * float(np.finfo(dtype).eps) / 2
    return moved / (1 - moved)


def margin(
    norm: Numbers, largest_norm: Numbers, d: int, dtype: np.dtype, lost: Numbers | None = None
) -> Numbers:
    """Return a gap above which two values of a screen in this dtype are in the direct form's order.

    Args:
        norm: ‖x‖ of a point around the offset, of any shape.
        largest_norm: C, over all centroids.
        d: Features.
        dtype: What the screen computes in.
        lost: What the products of cut factors leave out at most. Those are summed, up to three times d of
            them, as tensor cores may do it, whose additions are taken to err by 2⁻²² (docs/gpu.md).
    """
    mine = growth(d + 8, dtype) if lost is None else 4 * growth(3 * d + 8, dtype)
    reach = norm + largest_norm
    expanded = 2 * mine * largest_norm * (2 * norm + largest_norm)
    direct = 4 * growth(d + 8, _DOUBLE) * (reach * reach)
    slack = 1.05 + 4 * mine  # for the rounding of this very bound
    underflow = 8 * (d + 8) * float(np.finfo(dtype).tiny)
    room = slack * (expanded + direct) + underflow
    return room if lost is None else room + 2 * slack * lost


def wide_margin(norm: Numbers, largest_norm: Numbers, d: int, direct: bool) -> Numbers:
    """Return a margin of values in float64 by one product: for graphs that are to have few ops.

    2E(x) is at most 2γ(‖x‖ + C)², and with the direct form's error at most 6γ(‖x‖ + C)². Here 4 and 9 times
    (d + 8)·2⁻⁵³ stand for these: the rest is for second order and for the rounding of this very bound.

    Args:
        norm: As for `margin`.
        largest_norm: As for `margin`.
        d: As for `margin`.
        direct: Whether the direct form decides what is left. Else values are only told from ties.
    """
    reach = norm + largest_norm
    return (9 if direct else 4) * (d + 8) * 2.0**-53 * (reach * reach)


def is_unit(sq_norms: Numbers, dtype: np.dtype, more: float = 0.0) -> Numbers:
    """Return whether rows have length 1 up to rounding, as those have that were scaled in this dtype.

    Rounding them moves ‖x‖² by at most twice the unit roundoff, and a little.

    Args:
        sq_norms: ‖x‖² in float64, of any shape.
        dtype: That of the rows.
        more: What the sums themselves may err by, if not by the direct form.
    """
    return abs(sq_norms - 1) <= 4 * float(np.finfo(dtype).eps) + more
