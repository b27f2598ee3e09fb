"""`tfkm.checks` for tensors, whose values a graph tells only when it runs."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfkm import checks
from tfkm.data import arrays
from tfkm.ops.backend import Given
from tfkm.tensorflow_private import in_xla_context
from tfkm.types import ExactStatistics

# Computed in float64 if float64, else in float32; none is first copied whole to another dtype.
POINT_DTYPES, CENTROID_DTYPES = (
    tuple(map(tf.as_dtype, names)) for names in (checks.POINT_DTYPES, checks.CENTROID_DTYPES)
)


def matrix(
    name: str, value: Given, allowed: tuple[tf.DType, ...], leading: bool = False
) -> tf.Tensor:
    """`value` as a tensor (rows, features ≥ 1) of an allowed dtype; or (…, rows, features). Other integers
    and truth values become float64."""
    tensor = _tensor(name, value)
    if tensor.dtype not in allowed and (tensor.dtype.is_integer or tensor.dtype.is_bool):
        tensor = tf.cast(tensor, tf.float32 if tensor.dtype in POINT_DTYPES else tf.float64)
    if tensor.dtype not in allowed:
        names = ", ".join(dtype.name for dtype in allowed)
        raise TypeError(f"{name}: dtype {tensor.dtype.name}; allowed are {names}")
    rank = tensor.shape.rank
    if rank != 2 and not (leading and rank is not None and rank > 2):
        more = " or more" if leading else ""
        raise ValueError(f"{name}: shape {tensor.shape}; it needs rank 2{more}, (rows, features)")
    if tensor.shape[-1] is None or tensor.shape[-1] < 1:
        raise ValueError(f"{name}: shape {tensor.shape}; it needs a known number ≥ 1 of features")
    return tensor


def points_and_centroids(
    points: Given, centroids: Given, leading: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """points as they are, centroids in the dtype to compute in; widths agree, centroids finite.

    leading: whether they may have leading dimensions, which have to broadcast.
    """
    points = matrix("points", points, POINT_DTYPES, leading)
    centroids = matrix("centroids", centroids, CENTROID_DTYPES, leading)
    k, d = centroids.shape[-2:]
    if k is None or k < 1:
        raise ValueError(f"centroids: shape {centroids.shape}; it needs a known number ≥ 1 of rows")
    if points.shape[-1] != d:
        raise ValueError(
            f"centroids: shape {centroids.shape}; points have {points.shape[-1]} features, "
            f"so it needs shape (k, {points.shape[-1]})"
        )
    _broadcast("centroids", centroids, centroids.shape[:-2], points.shape[:-2])
    wide = tf.float64 in (points.dtype, centroids.dtype)
    centroids = tf.cast(centroids, tf.float64 if wide else tf.float32)
    return points, finite_rows("centroids", centroids, centroids.dtype)


def _broadcast(
    name: str, tensor: tf.Tensor, mine: tf.TensorShape, others: tf.TensorShape
) -> tf.TensorShape:
    """The shape to which these leading dimensions broadcast, as far as it is known."""
    try:
        return tf.broadcast_static_shape(mine, others) if mine.rank or others.rank else mine
    except ValueError as error:
        raise ValueError(
            f"{name}: shape {tensor.shape}; its leading dimensions {mine} do not broadcast "
            f"with {others}, those before it"
        ) from error


def _of_problems(
    name: str, given: tf.TensorShape, tensor: tf.Tensor, together: tf.TensorShape
) -> None:
    """Raises if these leading dimensions of a tensor do not broadcast to those of the problems."""
    if not _broadcast(name, tensor, given, together).is_compatible_with(together):
        raise ValueError(
            f"{name}: shape {tensor.shape}; points and centroids have leading dimensions {together}"
        )


def counts_of(points: tf.Tensor, n_points: Given, centroids: tf.Tensor) -> tf.Tensor | None:
    """(…) int64, from 0 to n; None for None. Inside XLA what is beyond these is taken as they are."""
    if n_points is None:
        return None
    tensor = _tensor("n_points", n_points)
    if not tensor.dtype.is_integer:
        raise TypeError(f"n_points: dtype {tensor.dtype.name}; it needs integers")
    together = _broadcast("centroids", centroids, centroids.shape[:-2], points.shape[:-2])
    _of_problems("n_points", tensor.shape, tensor, together)
    tensor, n = tf.cast(tensor, tf.int64), tf.shape(points, out_type=tf.int64)[-2]
    if inside_xla():
        return tf.clip_by_value(tensor, 0, n)
    wrong = (tensor < 0) | (tensor > n)
    if not tf.executing_eagerly():
        return _if(~wrong, tensor, "n_points: not from 0 to n")
    if np.any(wrong):
        index = np.argwhere(wrong)[0].tolist()
        found = f"n_points{index or ''} is {tensor.numpy()[tuple(index)]}"
        raise ValueError(f"n_points: {found}; allowed is 0 … {int(n)}")
    return tensor


def weights_of(
    points: tf.Tensor, weights: Given, centroids: tf.Tensor, counted: tf.Tensor | None = None
) -> tf.Tensor:
    """(…, n) float64; finite, none negative, in no problem all zero. 0 for those not counted (…, n)."""
    n = points.shape[-2]
    tensor = real_numbers("weights", weights)
    together = _broadcast("centroids", centroids, centroids.shape[:-2], points.shape[:-2])
    rank = tensor.shape.rank
    if rank in (None, 0) or rank - 1 > together.rank or (n and tensor.shape[-1] not in (None, n)):
        leading = "…, " if together.rank else ""
        raise ValueError(
            f"weights: shape {tensor.shape}; it needs shape ({leading}{n or 'n'}{',' * (not leading)})"
        )
    _of_problems("weights", tensor.shape[:-1], tensor, together)
    tensor = tf.cast(tensor, tf.float64)
    if counted is not None:
        tensor = tf.where(counted, tensor, tf.zeros([], tf.float64))
    if not tf.executing_eagerly():
        fine = tf.reduce_all((tensor >= 0) & tf.math.is_finite(tensor), axis=-1)
        return _if(fine, tensor, "weights: not finite and ≥ 0")
    checks.check_weights(tensor.numpy(), all_zero=counted is not None and ~np.any(counted, axis=-1))
    return tensor


def finite_rows(name: str, rows: tf.Tensor, compute: tf.DType, *offset: int) -> tf.Tensor:
    """rows (…, m, d), if all values are finite and all squared norms below the largest `compute`.

    offset: the number of the first row, behind that of its problem if it has one.
    """
    if (
        tf.executing_eagerly()
        and is_numpys(rows)
        and checks.surely_fine(rows.numpy(), compute.as_numpy_dtype)
    ):
        return rows
    norms = tf.reduce_sum(tf.square(tf.cast(rows, tf.float64)), axis=-1)
    fine = tf.reduce_all(norms <= largest_sq_norm(compute), axis=-1)
    if not tf.executing_eagerly():
        return _if(fine, rows, f"{name}: {checks.NOT_FINITE}")
    if not np.all(fine):
        values = np.asarray(tf.cast(rows, tf.float64))
        raise checks.first_bad_row(name, values, np.dtype(compute.as_numpy_dtype), offset or (0,))
    return rows


def statistics(
    statistics: ExactStatistics, distances: tf.Tensor, weights: tf.Tensor | None
) -> ExactStatistics:
    """As they are; where nothing can raise, NaN if a distance or weight of the problem is not finite."""
    if not inside_xla():
        return statistics
    fine = tf.reduce_all(tf.math.is_finite(distances), axis=-1)
    if weights is not None:
        fine &= tf.reduce_all(tf.math.is_finite(weights), axis=-1)
    marked: ExactStatistics = tf.nest.map_structure(lambda part: _if(fine, part, ""), statistics)
    return marked


def inside_xla() -> bool:
    """Whether the graph being built is one that XLA compiles whole.

    A graph traced elsewhere and called from such a one cannot be told apart here.
    """
    return not tf.executing_eagerly() and in_xla_context(tf.compat.v1.get_default_graph())


def _if(fine: tf.Tensor, tensor: tf.Tensor, message: str) -> tf.Tensor:
    """`tensor`, if `fine` when the graph runs. XLA leaves assertions out: there, NaN if not.

    fine has the leading dimensions of `tensor`, or fewer.
    """
    if inside_xla():
        for _ in range(tensor.shape.rank - fine.shape.rank):
            fine = fine[..., None]
        return tf.where(fine, tensor, tf.constant(np.nan, tensor.dtype))
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(fine), [message])]):
        return tf.identity(tensor)


def largest_sq_norm(compute: tf.DType) -> float:
    """As `checks.largest_sq_norm`."""
    return checks.largest_sq_norm(np.dtype(compute.as_numpy_dtype))


def is_numpys(tensor: tf.Tensor) -> bool:
    """Whether NumPy reads an eager tensor in place, in a dtype that it knows."""
    return tensor.dtype in (tf.float32, tf.float64) and "CPU" in tensor.device


def distances(points: tf.Tensor, centroids: tf.Tensor, sq_distances: tf.Tensor) -> tf.Tensor:
    """sq_distances, if no row of points was marked as bad by a NaN there (see `reference`)."""
    if inside_xla():  # the marks remain; of bad centroids nothing else does
        fine = tf.math.is_finite(centroids[..., 0, 0])[..., None]
        return tf.where(fine, sq_distances, tf.constant(np.nan, sq_distances.dtype))
    if not tf.executing_eagerly():
        fine = tf.reduce_all(tf.math.is_finite(sq_distances))
        return _if(fine, sq_distances, f"points: {checks.NOT_FINITE}")
    if is_numpys(sq_distances):  # 2 µs at n = 1, by ops 19
        fine = np.max(sq_distances, initial=0.0) < np.inf
    else:
        fine = tf.reduce_all(tf.math.is_finite(sq_distances))
    if not fine:
        index = np.argwhere(~np.isfinite(sq_distances.numpy()))[0]
        *problem, row = index[len(index) + 1 - points.shape.rank :]
        problem = [i if size > 1 else 0 for i, size in zip(problem, points.shape, strict=False)]
        place = (*problem, slice(row, row + 1))
        values = np.asarray(tf.cast(points[place], tf.float64))
        compute = np.dtype(sq_distances.dtype.as_numpy_dtype)
        raise checks.first_bad_row("points", values, compute, (*problem, row))
    return sq_distances


def real_numbers(name: str, value: Given) -> tf.Tensor:
    """`value` as a tensor, if it holds floats, integers or truth values."""
    tensor = _tensor(name, value)
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
        raise TypeError(f"{name}: dtype {tensor.dtype.name}; it needs real numbers")
    return tensor


def _tensor(name: str, value: Given) -> tf.Tensor:
    if said := arrays.remedy(value):
        raise TypeError(f"{name}: {said}")
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TypeError(f"{name}: {type(value).__name__} is not an array ({reason})") from error
