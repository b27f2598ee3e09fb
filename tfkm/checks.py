"""Checks of arguments before any work. Each error names the argument, its value and what is allowed."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

# float64 is computed in float64, the others in float32. None needs a copy of all points in another
# dtype.
POINT_DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "uint8")
CENTROID_DTYPES = POINT_DTYPES[:4]
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
NOT_FINITE = "a value is NaN or infinite, or a squared norm overflows; all must be finite"


class NotFiniteError(ValueError):
    """A value is NaN or infinite, or a squared norm overflows.

    Attributes:
        kind: What was found, in scikit-learn's words.
    """

    kind = ""


def point_dtype(dtype: Any) -> np.dtype:
    """Return the dtype in which points of this dtype are read, for arrays, tensors and files.

    It is the same dtype in this machine's byte order, or float64 for booleans and for integers
    other than int8 and uint8.
    """
    dtype = np.dtype(getattr(dtype, "as_numpy_dtype", dtype)).newbyteorder("=")
    if dtype.kind in "iub" and dtype.name not in POINT_DTYPES:
        return np.dtype(np.float64)
    return dtype


def compute_dtype(*dtypes: np.dtype) -> np.dtype:
    """Return the dtype to compute in: float64 if one of these is, else float32."""
    return _FLOAT64 if _FLOAT64 in dtypes else _FLOAT32


def matrix(name: str, value, allowed: tuple[str, ...], leading: bool = False) -> np.ndarray:
    """Return `value` as an array (rows, features ≥ 1) of an allowed dtype; or (…, rows, features).

    Other integers and booleans become float64.

    Raises:
        TypeError: It is no array, or has another dtype.
        ValueError: It has another shape, or masked values.
    """
    array = _array(name, value)
    if not _is_of(array.dtype, allowed) and array.dtype.kind in "iub":
        array = array.astype(np.float32 if _is_of(array.dtype, POINT_DTYPES) else np.float64)
    if not _is_of(array.dtype, allowed):
        raise TypeError(f"{name}: dtype {array.dtype.name}; allowed are {', '.join(allowed)}")
    if array.ndim != 2 and not (leading and array.ndim > 2):
        more = " or more" if leading else ""
        raise ValueError(f"{name}: shape {array.shape}; it needs rank 2{more}, (rows, features)")
    if array.shape[-1] < 1:
        raise ValueError(f"{name}: shape {array.shape}; it needs a known number ≥ 1 of features")
    return array


def packed(array: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Return the array in this dtype, contiguous and aligned, as kernels take all arrays but points."""
    if array.dtype == dtype and array.flags.carray:
        return array
    return np.require(array, dtype, ["C", "A"])


@functools.cache
def _is_of(dtype: np.dtype, names: tuple[str, ...]) -> bool:
    return dtype.name in names  # cached, because asking a dtype for its name takes 1 µs


@contextmanager
def named(name: str) -> Iterator[None]:
    """Have a ValueError of another library name the argument, if it does not."""
    try:
        yield
    except ValueError as error:
        if type(error) is not ValueError or re.search(rf"\b{re.escape(name)}\b", str(error)):
            raise
        raise ValueError(f"{name}: {error}") from error


def path(name: str, value) -> Path:
    """Return `value` as a path; raises TypeError, or ValueError for an empty one."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name}: {value!r}; it needs a path, as text or pathlib.Path")
    if not os.fspath(value):
        raise ValueError(f"{name}: {value!r}; it needs a path")
    return Path(value)


def real_numbers(name: str, value) -> np.ndarray:
    """Return `value` as an array of real numbers in this machine's byte order.

    Raises:
        TypeError: It holds something else.
    """
    array = _array(name, value)
    if not is_real(array.dtype):
        raise TypeError(f"{name}: dtype {array.dtype.name}; it needs real numbers")
    return array


def _array(name: str, value) -> np.ndarray:
    refuse_masked(name, value)
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        reason = str(error).splitlines()[0]
        raise TypeError(f"{name}: {type(value).__name__} is not an array ({reason})") from error
    if array.dtype.kind == "O" and array.ndim == 0:
        raise TypeError(f"{name}: {type(value).__name__} is not an array")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def is_real(dtype: np.dtype) -> bool:
    """Return whether the dtype is one of floats, integers or booleans.

    bfloat16 is tested by name, since it is not one of NumPy's own.
    """
    return dtype.kind in "fiub" or dtype.name == "bfloat16"


def refuse_masked(name: str, value) -> None:
    """Check that an array has no masked values, which NumPy would pass on unmasked.

    Raises:
        ValueError: It has.
    """
    if isinstance(value, np.ma.MaskedArray) and (count := int(np.ma.count_masked(value))):
        raise ValueError(
            f"{name}: a masked array with {count} masked values; it needs a value everywhere. Leave their "
            "rows out, or fill them: X.filled(…)"
        )


def weights_array(weights, *shape: int) -> np.ndarray | None:
    """Return weights (n,) or (…, n) as float64; None for None.

    Raises:
        TypeError: They are not real numbers.
        ValueError: They have another shape, one is negative or not finite, or all of a problem are
            zero.
    """
    if weights is None:
        return None
    try:
        weights = packed(np.asarray(weights, np.float64), np.float64)
    except (TypeError, ValueError) as error:
        kind = type(weights).__name__
        raise TypeError(f"weights: {kind}; it needs real numbers ({error})") from error
    if weights.shape != shape:
        raise ValueError(f"weights: shape {weights.shape}; it needs shape {shape}")
    check_weights(weights)
    return weights


def check_weights(
    weights: np.ndarray, name: str = "weights", all_zero: bool | np.ndarray = False
) -> None:
    """Check weights (…, n) float64, with the errors of `weights_array`.

    Args:
        weights: (…, n) float64.
        name: The argument's name in the message.
        all_zero: () or (…) bool, the problems whose weights may all be zero.
    """
    wrong = np.argwhere(~(weights >= 0) | np.isinf(weights))
    if wrong.size:
        raise ValueError(
            f"{name}: {name}{wrong[0].tolist()} is {weights[tuple(wrong[0])]}; "
            "each must be finite and not negative"
        )
    none = ~weights.any(axis=-1) & ~np.asarray(all_zero)
    if weights.size and none.any():
        problem = np.argwhere(none)[0].tolist()
        which = f"of {name}{problem} " if problem else ""
        raise ValueError(f"{name}: all {which}are zero; at least one must be positive")


def check_clusters(n_clusters: int, n: int) -> None:
    """Check that there are at least as many points as clusters.

    Raises:
        ValueError: There are fewer.
    """
    if n_clusters > n:
        raise ValueError(f"n_clusters: {n_clusters} is more than the {n} points")


def check_number(name: str, value: Any, kind: Any, least: float, otherwise: str = "") -> None:
    """Check that `value` is a `numbers.Integral` or finite `numbers.Real`, at least `least`.

    Raises:
        TypeError: It has another type.
        ValueError: It is less, or not finite.
    """
    noun = "an integer" if kind is Integral else "a finite number"
    allowed = f"it needs {noun} ≥ {least}{otherwise}"
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{name}: {value!r} is of type {type(value).__name__}; {allowed}")
    # Python's numbers compare by value: an integer may be larger than any float.
    number = int(value) if isinstance(value, Integral) else float(value)
    most = float("inf") if kind is Integral else sys.float_info.max
    if not least <= number <= most:
        raise ValueError(f"{name}: {value!r}; {allowed}")


def check_broadcast(
    name: str, array: np.ndarray, own: int, together: tuple, exactly=False
) -> tuple:
    """Return the shape that the leading dimensions of `array` and others broadcast to.

    Args:
        name: The array's name in a message.
        array: (…, and `own` dimensions of its own).
        own: How many dimensions are its own.
        together: The broadcast leading dimensions of the arrays checked before.
        exactly: Whether `together` must not grow.
    """
    mine = array.shape[: array.ndim - own]
    if not mine and not together:
        return ()
    try:
        both = np.broadcast_shapes(mine, together)
    except ValueError:
        both = None
    if both is None or (exactly and both != together):
        raise ValueError(
            f"{name}: shape {array.shape}; its leading dimensions {mine} do not broadcast "
            f"with {together}, those of the arguments before it"
        )
    return both


def finite_rows(name: str, rows: np.ndarray, compute: np.dtype, *offset: int) -> np.ndarray:
    """Return rows (…, m, d), if all values are finite and all squared norms small enough for `compute`.

    Args:
        name: The argument's name in the message.
        rows: (…, m, d).
        compute: The dtype to compute in.
        offset: The number of the first row, after the number of its problem if there is one.

    Raises:
        NotFiniteError: A row is not; the message names it.
    """
    if not surely_fine(rows, compute):
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.square(rows.astype(np.float64)).sum(axis=-1)
        if not (norms <= largest_sq_norm(compute)).all():
            raise first_bad_row(name, rows.astype(np.float64), compute, offset or (0,))
    return rows


def surely_fine(rows: np.ndarray, compute: np.dtype) -> bool:
    """Return whether the largest magnitude alone shows that all rows are fine.

    It takes 4 µs for (10, 784). False means that each row has to be checked.
    """
    if not rows.size:
        return False
    largest = float(max(rows.max(), -rows.min().astype(np.float64)))  # NaN stays NaN
    return largest * largest * rows.shape[-1] <= largest_sq_norm(compute)


@functools.cache
def largest_sq_norm(compute: np.dtype) -> float:
    """Return the largest squared norm that is allowed in this dtype.

    Up to it, ‖c‖² + 2‖x‖‖c‖ does not overflow around any offset.
    """
    return float(np.finfo(np.float32).max) / 16 if compute == np.float32 else 2.0**900


def distances(points: np.ndarray, sq_distances: np.ndarray, start: int = 0) -> np.ndarray:
    """Return sq_distances (…, n), unless a NaN in it marks a bad row of points (…, n, d).

    Args:
        points: (…, n, d).
        sq_distances: (…, n).
        start: The number of the first row.

    Raises:
        NotFiniteError: A row is bad; the message names it.
    """
    if np.max(sq_distances, initial=0.0) < np.inf:
        return sq_distances
    index = np.argwhere(~np.isfinite(sq_distances))[0]
    *problem, row = index[len(index) + 1 - points.ndim :]
    problem = [i if size > 1 else 0 for i, size in zip(problem, points.shape, strict=False)]
    place = (*problem, slice(row, row + 1))
    values = np.asarray(points[place], np.float64)
    raise first_bad_row("points", values, sq_distances.dtype, (*problem, start + row))


def labels(points: np.ndarray, labels: np.ndarray, compute: np.dtype, start: int = 0) -> np.ndarray:
    """Return labels (n,), unless a −1 in it marks a bad row of points (n, d).

    Args:
        points: (n, d).
        labels: (n,) int32.
        compute: The dtype that was computed in.
        start: The number of the first row.

    Raises:
        NotFiniteError: A row is bad; the message names it.
    """
    if labels.min(initial=0) < 0:
        distances(points, np.where(labels < 0, np.nan, 0).astype(compute), start)
    return labels


def first_bad_row(
    name: str, rows: np.ndarray, compute: np.dtype, offset: tuple[int, ...] = (0,)
) -> NotFiniteError:
    """Return an error that names the first bad value or row.

    Args:
        name: The argument's name in the message.
        rows: (…, m, d) float64.
        compute: The dtype to compute in.
        offset: The first row is number offset[-1] of problem offset[:-1].
    """

    def text(index) -> str:
        *problem, row = index[: rows.ndim - 1]
        numbers = [*offset[:-1], *problem, offset[-1] + row, *index[rows.ndim - 1 :]]
        return f"{name}[{', '.join(map(str, numbers))}]"

    too_large = f"infinity or a value too large for dtype('{compute.name}')"
    bad = np.argwhere(~np.isfinite(rows))
    if bad.size:
        found = rows[tuple(bad[0])]
        value = "NaN" if np.isnan(found) else f"infinity ({found})"
        error = NotFiniteError(f"{name}: {text(bad[0])} is {value}; every value must be finite")
        error.kind = "NaN" if np.isnan(found) else too_large
        return error
    with np.errstate(over="ignore"):
        norms = np.square(rows, dtype=np.float64).sum(axis=-1)
    index = np.unravel_index(np.argmax(norms), norms.shape)
    error = NotFiniteError(
        f"{name}: the squared norm of {text(index)} is {norms[index]:.3g} and overflows; "
        f"in {compute.name} it may be at most {largest_sq_norm(compute):.3g}"
    )
    error.kind = too_large
    return error
