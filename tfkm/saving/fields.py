"""Checks of what comes out of a file, before it is used: each names the field, and what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tfkm import checks

_RANDOM = "MT19937"
_KEYS = 624  # words of its state
_LARGEST_COUNT = 2**63 - 1


def check(condition: Any, name: str, allowed: str) -> None:
    """Raises ValueError unless the condition holds."""
    if not condition:
        raise ValueError(f"{name}: it needs {allowed}")


@contextmanager
def of(place: str) -> Iterator[None]:
    """Put this before the name in each ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}{error}") from error


def names(known: Mapping[str, Any], *wanted: str, others: bool = False) -> None:
    """Raises ValueError if a field is missing, or there is one that is not among these."""
    for name in wanted:
        check(name in known, name, "to be there")
    for name in [] if others else known:
        check(name in wanted, name, "not to be there")


def count(name: str, value: Any, least: int = 0, most: int = _LARGEST_COUNT) -> int:
    """Return an integer within these bounds; a NumPy scalar or an array of shape () counts as one."""
    if (
        isinstance(value, np.ndarray | np.generic)
        and value.shape == ()
        and value.dtype.kind in "iu"
    ):
        value = value.item()
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    most_said = "" if most == _LARGEST_COUNT else f" and ≤ {most}"
    check(is_integer and least <= value <= most, name, f"an integer ≥ {least}{most_said}")
    return value


def array(name: str, value: Any, dtypes: str, *shape: int | None) -> np.ndarray:
    """Return a finite array of one of these dtypes and of a shape in which None is any size."""
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    allowed = f"an array of {' or '.join(dtypes.split())} of shape ({sizes}), finite"
    fits = (
        isinstance(value, np.ndarray)
        and value.dtype.name in dtypes.split()
        and value.ndim == len(shape)
        and all(given in (None, size) for given, size in zip(shape, value.shape, strict=True))
    )
    check(fits and np.isfinite(value).all(), name, allowed)
    return value


def rows(name: str, value: Any, dtypes: str, *shape: int | None) -> np.ndarray:
    """Return as `array` points (…, d), also not too large to compute with."""
    value = array(name, value, dtypes, *shape)
    checks.finite_rows(name, value.reshape(-1, value.shape[-1]), value.dtype)
    return value


def within(name: str, value: np.ndarray, least: Any, most: Any, said: str) -> np.ndarray:
    """Return the array if all of it lies within these bounds, which `said` puts in words."""
    check(bool(((value >= least) & (value <= most)).all()), name, said)
    return value


def random_state(name: str, keys: Any, at: Any, has_normal: Any, normal: Any) -> tuple:
    """Return what `RandomState.set_state` takes, which reads wherever a position points."""
    array(f"{name}.keys", keys, "uint32", _KEYS)
    check(
        keys.any(), f"{name}.keys", "one that is not 0"
    )  # else all that is drawn is 0, or never ends
    at = count(f"{name}.position", at, 0, _KEYS)
    has_normal = count(f"{name}.has_normal", has_normal, 0, 1)
    check(isinstance(normal, float) and np.isfinite(normal), f"{name}.normal", "a finite number")
    return _RANDOM, keys, at, has_normal, float(normal)
