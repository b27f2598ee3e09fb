"""Bad arguments, named before any work. One sentence each: the argument, its value, what is allowed."""

from __future__ import annotations

import functools
from numbers import Integral
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops as tf_ops
from tensorflow.python.ops import control_flow_util

# Computed in float64 if float64, else in float32; none is first copied whole to another dtype.
POINT_DTYPES = (tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.uint8)
CENTROID_DTYPES = (tf.float32, tf.float64, tf.float16, tf.bfloat16)


def matrix(name: str, value, allowed: tuple[tf.DType, ...]) -> tf.Tensor:
    """`value` as a rank-2 tensor of an allowed dtype with at least one column."""
    tensor = _tensor(name, value)
    if tensor.dtype not in allowed:
        names = ", ".join(dtype.name for dtype in allowed)
        raise TypeError(f"{name}: dtype {tensor.dtype.name}; allowed are {names}")
    if tensor.shape.rank != 2:
        raise ValueError(f"{name}: shape {tensor.shape}; it needs rank 2, (rows, features)")
    if tensor.shape[1] is None or tensor.shape[1] < 1:
        raise ValueError(f"{name}: shape {tensor.shape}; it needs a known number ≥ 1 of features")
    return tensor


def real_matrix(name: str, value) -> tf.Tensor:
    """As `matrix`; truth values and integers that are not computed with become float64."""
    tensor = _tensor(name, value)
    if tensor.dtype not in POINT_DTYPES and (tensor.dtype.is_integer or tensor.dtype.is_bool):
        tensor = tf.cast(tensor, tf.float64)
    return matrix(name, tensor, POINT_DTYPES)


def points_and_centroids(points, centroids) -> tuple[tf.Tensor, tf.Tensor]:
    """points as they are, centroids in the dtype to compute in; widths agree, centroids finite."""
    points = matrix("points", points, POINT_DTYPES)
    centroids = matrix("centroids", centroids, CENTROID_DTYPES)
    k, d = centroids.shape
    if k is None or k < 1:
        raise ValueError(f"centroids: shape {centroids.shape}; it needs a known number ≥ 1 of rows")
    if points.shape[1] != d:
        raise ValueError(
            f"centroids: shape {centroids.shape}; points have {points.shape[1]} features, "
            f"so it needs shape (k, {points.shape[1]})"
        )
    wide = tf.float64 in (points.dtype, centroids.dtype)
    centroids = tf.cast(centroids, tf.float64 if wide else tf.float32)
    return points, finite_rows("centroids", centroids, centroids.dtype)


def weights_of(points: tf.Tensor, weights) -> tf.Tensor:
    """(n,) float64; finite, none negative, not all zero."""
    n = points.shape[0]
    tensor = real_numbers("weights", weights)
    if tensor.shape.rank != 1 or (n is not None and tensor.shape[0] not in (None, n)):
        raise ValueError(f"weights: shape {tensor.shape}; it needs shape ({n or 'n'},)")
    tensor = tf.cast(tensor, tf.float64)
    if not tf.executing_eagerly():
        fine = tf.reduce_all((tensor >= 0) & tf.math.is_finite(tensor))
        return _if(fine, tensor, "weights: not finite and ≥ 0")
    check_weights(tensor.numpy())
    return tensor


def weights_array(weights, n: int) -> np.ndarray | None:
    """(n,) float64, judged as `weights_of` does; None for None."""
    if weights is None:
        return None
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(f"weights: shape {weights.shape}; it needs shape ({n},)")
    check_weights(weights)
    return weights


def check_weights(weights: np.ndarray, name: str = "weights", all_zero: bool = False) -> None:
    """(n,) float64; raises as `weights_of` does. all_zero: whether all may be zero."""
    wrong = np.flatnonzero(~(weights >= 0) | np.isinf(weights))
    if wrong.size:
        raise ValueError(
            f"{name}: {name}[{wrong[0]}] is {weights[wrong[0]]}; "
            "each must be finite and not negative"
        )
    if weights.size and not all_zero and not weights.any():
        raise ValueError(f"{name}: all are zero; at least one must be positive")


def check_clusters(n_clusters: int, n: int, weights: np.ndarray | None) -> None:
    """Raises if there are fewer points, or points of positive weight, than clusters."""
    positive = n if weights is None else int(np.count_nonzero(weights))
    if n_clusters > positive:
        what = "points" if weights is None else "points of positive weight"
        raise ValueError(f"n_clusters: {n_clusters} is more than the {positive} {what}")


def check_number(name: str, value: Any, kind: Any, least: float, otherwise: str = "") -> None:
    """A `numbers.Integral` or finite `numbers.Real` from `least` on."""
    noun = "an integer" if kind is Integral else "a finite number"
    allowed = f"it needs {noun} ≥ {least}{otherwise}"
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{name}: {value!r} is of type {type(value).__name__}; {allowed}")
    if not least <= float(value) < np.inf:
        raise ValueError(f"{name}: {value!r}; {allowed}")


def finite_rows(name: str, rows: tf.Tensor, compute: tf.DType, offset: int = 0) -> tf.Tensor:
    """rows (m, d), if every value is finite and every squared norm below the largest `compute`."""
    if tf.executing_eagerly() and _surely_fine(rows, compute):
        return rows
    norms = tf.reduce_sum(tf.square(tf.cast(rows, tf.float64)), axis=1)
    fine = tf.reduce_all(norms <= largest_sq_norm(compute))
    if not tf.executing_eagerly():
        return _if(fine, rows, f"{name}: {NOT_FINITE}")
    if not fine:
        raise ValueError(
            _first_bad_row(name, np.asarray(tf.cast(rows, tf.float64)), compute, offset)
        )
    return rows


def statistics(statistics, distances: tf.Tensor, weights: tf.Tensor | None):
    """As they are; where nothing can raise, all NaN if a distance or weight is not finite."""
    if not inside_xla():
        return statistics
    fine = tf.reduce_all(tf.math.is_finite(distances))
    if weights is not None:
        fine &= tf.reduce_all(tf.math.is_finite(weights))
    return tf.nest.map_structure(lambda part: _if(fine, part, ""), statistics)


def inside_xla() -> bool:
    """Whether the graph being built is one that XLA compiles whole.

    A graph traced elsewhere and called from such a one cannot be told apart here.
    """
    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(
        tf_ops.get_default_graph()
    )


def _if(fine: tf.Tensor, tensor: tf.Tensor, message: str) -> tf.Tensor:
    """`tensor`, if `fine` when the graph runs. XLA leaves assertions out: there, NaN if not."""
    if inside_xla():
        return tf.where(fine, tensor, tf.constant(np.nan, tensor.dtype))
    with tf.control_dependencies([tf.debugging.Assert(fine, [message])]):
        return tf.identity(tensor)


def _surely_fine(rows: tf.Tensor, compute: tf.DType) -> bool:
    """Whether the largest magnitude alone says that all rows are fine.

    One row against few centroids is a matter of µs: for (10, 784) this takes 4, the ops above 79.
    """
    if not _is_numpys(rows) or not (values := np.asarray(rows)).size:
        return False
    largest = float(max(values.max(), -values.min()))  # NaN stays NaN
    return largest * largest * values.shape[1] <= largest_sq_norm(compute)


def _is_numpys(tensor: tf.Tensor) -> bool:
    """Whether NumPy reads an eager tensor in place, in a dtype that it knows."""
    return tensor.dtype in (tf.float32, tf.float64) and "CPU" in tensor.device


NOT_FINITE = "a value is NaN or infinite, or a squared norm overflows; all must be finite"


@functools.cache
def largest_sq_norm(compute: tf.DType) -> float:
    """Squared norms up to this are safe: around any offset, ‖c‖² + 2‖x‖‖c‖ does not overflow."""
    return float(compute.max) / 16 if compute == tf.float32 else 2.0**900


def distances(points: tf.Tensor, centroids: tf.Tensor, sq_distances: tf.Tensor) -> tf.Tensor:
    """sq_distances, if no row of points was marked as bad by a NaN there (see `reference`)."""
    if inside_xla():  # the marks remain; of bad centroids nothing else does
        return _if(tf.math.is_finite(centroids[0, 0]), sq_distances, "")
    if not tf.executing_eagerly():
        fine = tf.reduce_all(tf.math.is_finite(sq_distances))
        return _if(fine, sq_distances, f"points: {NOT_FINITE}")
    if _is_numpys(sq_distances):  # 2 µs at n = 1, by ops 19
        fine = np.max(sq_distances, initial=0.0) < np.inf
    else:
        fine = tf.reduce_all(tf.math.is_finite(sq_distances))
    if not fine:
        row = int(np.flatnonzero(~np.isfinite(sq_distances.numpy()))[0])
        values = np.asarray(tf.cast(points[row : row + 1], tf.float64))
        raise ValueError(_first_bad_row("points", values, sq_distances.dtype, row))
    return sq_distances


def _first_bad_row(name: str, rows: np.ndarray, compute: tf.DType, offset: int = 0) -> str:
    bad = np.argwhere(~np.isfinite(rows))
    if bad.size:
        row, column = bad[0]
        value = "NaN" if np.isnan(rows[row, column]) else f"infinity ({rows[row, column]})"
        return f"{name}: {name}[{offset + row}, {column}] is {value}; every value must be finite"
    with np.errstate(over="ignore"):
        norms = np.square(rows, dtype=np.float64).sum(axis=1)
    row = int(np.argmax(norms))
    return (
        f"{name}: the squared norm of {name}[{offset + row}] is {norms[row]:.3g} and overflows; "
        f"in {compute.name} it may be at most {largest_sq_norm(compute):.3g}"
    )


def real_numbers(name: str, value) -> tf.Tensor:
    """`value` as a tensor, if it holds floats, integers or truth values."""
    tensor = _tensor(name, value)
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
        raise TypeError(f"{name}: dtype {tensor.dtype.name}; it needs real numbers")
    return tensor


def _tensor(name: str, value) -> tf.Tensor:
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TypeError(f"{name}: {type(value).__name__} is not an array ({reason})") from error
