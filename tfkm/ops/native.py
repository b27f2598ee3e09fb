"""The compiled kernels, as ops on tensors and by ctypes on arrays. kernels/core has what they do."""

from __future__ import annotations

import ctypes
from functools import partial

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.ops import native_library, validate, xla, xla_call
from tfkm.ops.batched import Problems, Sweep
from tfkm.ops.native_library import SEEDING, Batch, Passes, WordPointers, dtype_number, points_of
from tfkm.types import Ahead, Assignment, ExactStatistics, Tell, Words


def assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    """As `reference.assign`."""
    if validate.inside_xla():
        results = _per_point(points, centroids)
        labels, distances = xla_call.call("tfkm_assign", [points, centroids], results)
    else:
        with tf.device("CPU"):
            labels, distances = native_library.ops().tfkm_assign(
                points, centroids, threads=native_library.threads()
            )
    return Assignment(labels, distances)


def accumulate(
    points: tf.Tensor, centroids: tf.Tensor, weights: tf.Tensor | None, grid: exact.Grid
) -> tuple[Assignment, ExactStatistics]:
    """As `reference.accumulate`."""
    if weights is None:
        weights = _none(tf.float64, 1)
    arguments = [points, centroids, weights, *grid]
    if validate.inside_xla():
        k, d = centroids.shape
        word = [xla_call.Value(tf.float64, shape) for shape in ([k, d], [k])]
        digits = xla_call.Value(tf.float64, [exact.DIGITS])
        results = [*_per_point(points, centroids), *word, *word, digits]
        return _accumulated(*xla_call.call("tfkm_accumulate", arguments, results))
    with tf.device("CPU"):
        return _accumulated(
            *native_library.ops().tfkm_accumulate(*arguments, threads=native_library.threads())
        )


def assign_batch(points: tf.Tensor, centroids: tf.Tensor, problems: Problems) -> Assignment:
    """Problems in one call, see `batched.assign`; kernels/core/batch.cc shares them out to the threads."""
    with tf.device("CPU"):
        labels, distances = native_library.ops().tfkm_assign_batch(
            points, centroids, *_table(problems), threads=native_library.threads()
        )
    return Assignment(labels, distances)


def accumulate_batch(
    points: tf.Tensor,
    centroids: tf.Tensor,
    weights: tf.Tensor | None,
    grid: exact.Grid,
    problems: Problems,
) -> tuple[Assignment, ExactStatistics]:
    """As `assign_batch`, for `batched.accumulate`."""
    if weights is None:
        weights = _none(tf.float64, 2)
    arguments = [points, centroids, *_table(problems), weights, *grid]
    with tf.device("CPU"):
        return _accumulated(
            *native_library.ops().tfkm_accumulate_batch(
                *arguments, threads=native_library.threads()
            )
        )


def _accumulated(labels, distances, *parts) -> tuple[Assignment, ExactStatistics]:
    """The outputs of an op that accumulates."""
    sums, weights, low_sums, low_weights, inertia = parts
    statistics = ExactStatistics(Words(sums, weights), Words(low_sums, low_weights), inertia)
    return Assignment(labels, distances), statistics


def _none(dtype: tf.DType, rank: int) -> tf.Tensor:
    """What an op takes for an argument that is not given. By tf.zeros it would take 40 µs."""
    return tf.constant(np.empty([0] * rank, dtype.as_numpy_dtype))


def _table(problems: Problems) -> tuple[tf.Tensor, tf.Tensor]:
    rows = _none(tf.int64, 1) if problems.rows is None else problems.rows
    return problems.table, rows


def sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """As `reference.sq_distances`; the form of `xla`, there is no native one yet but for one centroid."""
    if centroids.shape[0] == 1:
        return assign(points, centroids).sq_distances[:, None]
    return xla.sq_distances(points, centroids)


# --- on arrays, by ctypes ---------------------------------------------------------------------------


def reads(points: np.ndarray) -> bool:
    """Whether the kernels read (…, n, d) points where they lie: in any way but in another byte order."""
    return points.dtype.isnative


_ALONE = np.zeros((1, 3), np.int64)  # the table of one problem


def assign_arrays(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and squared distances (n,) of points (n, d) such as it `reads`; centroids contiguous."""
    n, (k, d) = len(points), centroids.shape
    labels, distances = np.empty(n, np.int32), np.empty(n, centroids.dtype)
    batch = Batch(
        1, n, k, d, points_of(points), 0, centroids.ctypes.data, centroids.dtype == np.float64,
        problems=_ALONE.ctypes.data, labels=labels.ctypes.data, sq_distances=distances.ctypes.data,
    )  # fmt: skip
    _run("tfkm_accumulate", batch, k, d)
    return labels, distances


# Multiplications that a call may take for several passes, some 20 ms: an interrupt waits so long.
_AHEAD = 2**29


def accumulate_arrays(
    points: np.ndarray,
    centroids: np.ndarray,
    weights: np.ndarray | None,
    grid: exact.Grid,
    problems: Problems,
    before: Sweep | None,
    measured: bool,
    ahead: Ahead | None = None,
) -> Sweep:
    """As `accumulate_batch`, of arrays and to arrays; points such as it `reads`.

    What `before` holds is written over. Points whose label is still the same are not added again: sums are
    exact, so no bit tells. Without distances, points whose bounds tell their label are not even read.
    """
    (count, k, d), n = centroids.shape, points.shape[1]
    if before is None:
        labels = np.empty((count, n), np.int32)
        words = [Words(np.zeros((count, k, d)), np.zeros((count, k))) for _ in range(2)]
    else:
        labels, words = before.labels, list(before.statistics[:2])
    inertia = np.zeros((count, exact.DIGITS))
    if not measured:
        inertia[:, 0] = np.nan
    changed = np.zeros(count, np.int64) + (n if before is None else 0)
    if measured:
        ahead = None
    distances = margins = spent = moved_from = None
    if measured:
        distances = np.empty((count, n), centroids.dtype)
    elif before is None or before.bounds is None:
        margins, spent = np.empty((count, n), centroids.dtype), np.zeros((count, k))
    else:
        (margins, spent), moved_from = before.bounds, before.centroids
    batch = Batch(
        count, n, k, d, points_of(points), points.strides[0],
        centroids.ctypes.data, centroids.dtype == np.float64,
        _address(weights), grid.sums.ctypes.data, grid.others.ctypes.data,
        problems.table.ctypes.data, _address(problems.rows), _own(labels), _own(distances),
        *(WordPointers(*map(_own, word)) for word in words), _own(inertia),
        None if before is None and ahead is None else _own(changed),
        _own(margins), _own(spent), _address(moved_from),
    )  # fmt: skip
    passes = None
    if ahead is None:
        _run("tfkm_accumulate", batch, k, d)
    else:
        most = np.minimum(ahead.most, max(1, _AHEAD // (count * n * k * d)))
        moved, passes = np.empty((2, count, k, d), centroids.dtype), np.empty(count, np.int64)
        spare = np.empty((count, n), centroids.dtype)
        arrays = ahead.thresholds, most, moved, passes, spare
        further = Passes(*map(_address, arrays), before is not None)
        _run("tfkm_passes", batch, k, d, ctypes.byref(further))
        centroids = moved[0]
    bounds = None if margins is None or spent is None else (margins, spent)
    high, low = words
    statistics = ExactStatistics(high, low, inertia)
    return Sweep(centroids, labels, distances, statistics, changed, bounds, passes)


def _run(name: str, batch: Batch, k: int, d: int, *more) -> None:
    memory = f"centroids: no memory for scratch of {k} × {d} numbers"
    native_library.call(name, ctypes.byref(batch), *more, memory=memory)


def _address(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


def _own(array: np.ndarray | None) -> int | None:
    """The address of a contiguous array to write to, in a third of the time that `_address` takes."""
    if array is None or not array.size:
        return None
    return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]


_MOST_TRIALS = 64  # `tfkm::kMostTrials`


def kmeans_plusplus(
    points: np.ndarray,
    weights: np.ndarray | None,
    first: int | None,
    uniforms: np.ndarray,
    sq_distances: np.ndarray | None = None,
    tell: Tell | None = None,
) -> np.ndarray | None:
    """As below for one problem, points (n, d) and so on; or, with sq_distances (n,), (k,) indices around
    the centroids that these are to, uniforms (k, trials)."""
    w = None if weights is None else weights[None]
    counts, firsts = np.array([len(points)]), np.array([first or 0])
    sq = None if sq_distances is None else sq_distances[None]
    chosen = kmeans_plusplus_batch(points[None], counts, w, firsts, uniforms[None], sq, tell)
    return None if chosen is None else chosen[0]


def kmeans_plusplus_batch(
    points: np.ndarray,
    counts: np.ndarray,
    weights: np.ndarray | None,
    firsts: np.ndarray,
    uniforms: np.ndarray,
    sq_distances: np.ndarray | None = None,
    tell: Tell | None = None,
) -> np.ndarray | None:
    """(B, k) indices by greedy k-means++, from `firsts` (B,) and (B, k − 1, trials) uniform numbers.

    points (B, n, d), of which the first counts (B,) count; weights (B, n) or None. −1 from where on every
    point coincides with one that was chosen. None if the points lie in a way that the kernel cannot read,
    or for more than 64 trials.
    """
    count, rounds, trials = uniforms.shape
    k = rounds + (sq_distances is None)
    if not reads(points) or trials > _MOST_TRIALS:
        return None
    chosen = np.full((count, k), -1, np.int64)
    uniforms = np.ascontiguousarray(uniforms, np.float64)
    if weights is not None:
        weights = np.ascontiguousarray(weights, np.float64)

    def own(array: np.ndarray) -> np.ndarray:
        return array.ctypes.data + array.strides[0] * np.arange(count)

    seedings = np.zeros(count, SEEDING)
    seedings["n"], seedings["k"], seedings["d"] = counts, k, points.shape[2]
    lying = seedings["points"]
    lying["data"], (lying["row"], lying["feature"]) = own(points), points.strides[1:]
    lying["dtype"], seedings["wide"] = dtype_number(points.dtype), points.dtype == np.float64
    seedings["weights"] = 0 if weights is None else own(weights)
    seedings["sq_distances"] = 0 if sq_distances is None else own(sq_distances)
    seedings["first"], seedings["trials"] = firsts, trials
    seedings["uniforms"], seedings["chosen"] = own(uniforms), own(chosen)
    at = ctypes.c_void_p(seedings.ctypes.data)
    memory = f"points: no memory for k-means++ of {points.shape[1]} points"
    tick = None
    if tell is not None:  # the kernel writes each as it chooses it
        tick = partial(_tell_chosen, tell, chosen)
    native_library.call("tfkm_seed", at, ctypes.c_int64(count), memory=memory, tick=tick)
    return chosen


def _tell_chosen(tell: Tell, chosen: np.ndarray) -> None:
    tell(int(np.count_nonzero(chosen >= 0)), chosen.size, "centroids")


# --- the library -----------------------------------------------------------------------------------


def why_not_in_xla() -> str:
    """Why the kernels cannot be called in a program that XLA compiles; empty if they can."""
    return xla_call.why_not(native_library.library())


def _per_point(points: tf.Tensor, centroids: tf.Tensor) -> list[xla_call.Value]:
    """Labels and distances."""
    return [xla_call.Value(dtype, [points.shape[0]]) for dtype in (tf.int32, centroids.dtype)]
