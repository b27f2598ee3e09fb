"""Checks of what a source declares and yields, made before anything else uses it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any

import numpy as np

from tfkm import checks
from tfkm.streams.blocks import Block, Part

_HEAD = 2**16  # the first bytes of a chunk, all of which the CRC covers
_WORDS = 2**10  # words in a row of the sums behind these; sums read 22 GB/s, a CRC of all bytes 2.5


def declared(source: Any) -> np.dtype:
    """Return the dtype of a source's points, after checking all that the source declares.

    Raises:
        TypeError, ValueError: An attribute of the source is not allowed; the message names it.
    """
    name = source.name
    checks.check_number(f"d of {name}", source.d, Integral, 1)
    if source.rows is not None:
        checks.check_number(f"rows of {name}", source.rows, Integral, 0, " or None")
    if not isinstance(source.weighted, bool | np.bool_):
        raise TypeError(f"weighted of {name}: {source.weighted!r}; it needs True or False")
    try:
        dtype = np.dtype(getattr(source.dtype, "as_numpy_dtype", source.dtype)).newbyteorder("=")
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in checks.POINT_DTYPES:
        names = ", ".join(checks.POINT_DTYPES)
        raise TypeError(f"dtype of {name}: {source.dtype}; allowed are {names}")
    return dtype


def parts(source: Any, dtype: np.dtype, start: int, shard_rows: int) -> Iterator[Part]:
    """Yield the parts of the source from row `start` on, checked against what it declares.

    Raises:
        TypeError, ValueError: A part has another shape or dtype; the message names source, shard
            and row.
    """
    given = source.read(start)
    if not isinstance(given, Iterable):
        raise TypeError(f"{source.name}: read({start}) gives {type(given).__name__}, not parts")
    for part in given:
        where = f"{source.name}: part from row {start:,} on (shard {start // shard_rows})"
        if not isinstance(part, tuple) or len(part) != 2:
            kind = type(part).__name__
            raise TypeError(f"{where}: {kind}; it needs a Part of points and weights")
        points, weights = part
        _check_points(where, points, source.d, dtype)
        _check_weights(where, weights, len(points), source.weighted)
        yield Part(np.asarray(points), weights)
        start += len(points)


def _check_points(where: str, points: Any, d: int, dtype: np.dtype) -> None:
    if not isinstance(points, np.ndarray) or isinstance(points, np.ma.MaskedArray):
        kind = type(points).__name__
        raise TypeError(f"{where}: points are a {kind}; they have to be a NumPy array")
    if points.ndim != 2 or points.shape[1] != d:
        raise ValueError(f"{where}: points of shape {points.shape}; declared is (rows, {d})")
    if points.dtype != dtype:
        raise ValueError(f"{where}: points of {points.dtype}; declared is {dtype}")


def _check_weights(where: str, weights: Any, rows: int, weighted: bool) -> None:
    if (weights is not None) != weighted:
        has = "no weights" if weights is None else "weights"
        raise ValueError(f"{where}: {has}; declared is weighted = {weighted}")
    if weights is None:
        return
    if not isinstance(weights, np.ndarray) or isinstance(weights, np.ma.MaskedArray):
        kind = type(weights).__name__
        raise TypeError(f"{where}: weights are a {kind}; they have to be a NumPy array")
    if not np.can_cast(weights.dtype, np.float64, "same_kind"):
        raise TypeError(f"{where}: weights of {weights.dtype}; they have to be real numbers")
    if weights.shape != (rows,):
        raise ValueError(f"{where}: weights of shape {weights.shape}; it has {rows} points")


def weighed(name: str, block: Block) -> Block:
    """Return the block with its weights in float64.

    Raises:
        ValueError: A weight is negative or not finite.
    """
    if block.weights is None:
        return block
    weights = block.weights.astype(np.float64, copy=False)
    wrong = np.flatnonzero(~((weights >= 0) & (weights < np.inf)))
    if wrong.size:
        raise ValueError(
            f"weights of {name}: that of row {block.start + wrong[0]:,} is {weights[wrong[0]]}; each must "
            "be finite and not negative"
        )
    return block._replace(weights=weights)


def fingerprints(block: Block, chunk: int) -> list[int]:
    """Return a number for each chunk of the block, which changes when its points or weights change."""
    return [
        _fingerprint(block.points[at : at + chunk], block.weights, slice(at, at + chunk))
        for at in range(0, len(block.points), chunk)
    ]


def _fingerprint(points: np.ndarray, weights: np.ndarray | None, rows: slice) -> int:
    """Return a CRC of the first bytes, of the sums of columns of words, and of the remaining bytes."""
    found = 0
    for array in (points,) if weights is None else (points, weights[rows]):
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        summed = len(data) // (8 * _WORDS) * (8 * _WORDS)
        words = data[:summed].view(np.uint64).reshape(-1, _WORDS)
        for piece in data[:_HEAD], words.sum(axis=1), data[summed:]:
            found = zlib.crc32(piece.data, found)
    return found
