"""The compiled kernels: loads the library and calls its ops. kernels/core has what they do."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.ops import validate, xla, xla_call
from tfkm.ops.batched import Problems, Sweep
from tfkm.types import Assignment, ExactStatistics, Statistics


def assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    """As `reference.assign`."""
    if validate.inside_xla():
        results = _per_point(points, centroids)
        labels, distances = xla_call.call("tfkm_assign", [points, centroids], results)
    else:
        with tf.device("CPU"):
            labels, distances = _ops().tfkm_assign(points, centroids, threads=_threads())
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
        word = [xla_call.Value(tf.float64, shape) for shape in ([k, d], [k], [])]
        results = _per_point(points, centroids) + word + word
        return _accumulated(*xla_call.call("tfkm_accumulate", arguments, results))
    with tf.device("CPU"):
        return _accumulated(*_ops().tfkm_accumulate(*arguments, threads=_threads()))


def assign_batch(points: tf.Tensor, centroids: tf.Tensor, problems: Problems) -> Assignment:
    """Problems in one call, see `batched.assign`; kernels/core/batch.cc shares them out to the threads."""
    with tf.device("CPU"):
        labels, distances = _ops().tfkm_assign_batch(
            points, centroids, *_table(problems), threads=_threads()
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
        return _accumulated(*_ops().tfkm_accumulate_batch(*arguments, threads=_threads()))


def _accumulated(labels, distances, *words) -> tuple[Assignment, ExactStatistics]:
    """The outputs of an op that accumulates."""
    statistics = ExactStatistics(Statistics(*words[:3]), Statistics(*words[3:]))
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
    """Whether the kernels read (…, n, d) points where they lie: features side by side, and aligned."""
    size = points.itemsize
    return (
        points.strides[-1] == size
        and points.strides[-2] >= 0
        and not any(stride % size for stride in points.strides)
        and points.ctypes.data % size == 0
    )


class _Words(ctypes.Structure):
    """`tfkm::Words` of kernels/core/core.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("sums", "weights", "inertia")]


class _Batch(ctypes.Structure):
    """`tfkm::Batch`."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("count", "n", "k", "d")),
        ("points", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("stride", "next")),
        ("dtype", ctypes.c_int32),
        ("centroids", ctypes.c_void_p),
        ("wide", ctypes.c_bool),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "weights", "grid_sums", "grid", "problems", "rows", "labels", "sq_distances",
            )
        ),
        ("high", _Words),
        ("low", _Words),
        *((name, ctypes.c_void_p) for name in ("changed", "margins", "spent", "moved_from")),
    ]  # fmt: skip


def accumulate_arrays(
    points: np.ndarray,
    centroids: np.ndarray,
    weights: np.ndarray | None,
    grid: exact.Grid,
    problems: Problems,
    before: Sweep | None,
    measured: bool,
) -> Sweep:
    """As `accumulate_batch`, of arrays and to arrays; points such as it `reads`.

    What `before` holds is written over. Points whose label is still the same are not added again: sums are
    exact, so no bit tells. Without distances, points whose bounds tell their label are not even read.
    """
    (count, k, d), n, size = centroids.shape, points.shape[1], points.itemsize
    if before is None:
        labels = np.empty((count, n), np.int32)
        sums = [(np.zeros((count, k, d)), np.zeros((count, k))) for _ in range(2)]
    else:
        labels, sums = before.labels, [word[:2] for word in before.statistics]
    inertia = 0.0 if measured else np.nan
    words = [Statistics(*word, np.full(count, inertia)) for word in sums]
    changed = np.full(count, n if before is None else 0)
    distances = margins = spent = moved_from = None
    if measured:
        distances = np.empty((count, n), centroids.dtype)
    elif before is None or before.bounds is None:
        margins, spent = np.empty((count, n), centroids.dtype), np.zeros((count, k))
    else:
        (margins, spent), moved_from = before.bounds, before.centroids
    batch = _Batch(
        count, n, k, d, points.ctypes.data, points.strides[1] // size, points.strides[0] // size,
        _number_of(points.dtype), centroids.ctypes.data, centroids.dtype == np.float64,
        _address(weights), grid.sums.ctypes.data, grid.others.ctypes.data,
        problems.table.ctypes.data, _address(problems.rows), labels.ctypes.data, _address(distances),
        *(_Words(*(part.ctypes.data for part in word)) for word in words),
        None if before is None else changed.ctypes.data,
        _address(margins), _address(spent), _address(moved_from),
    )  # fmt: skip
    if _library().tfkm_accumulate(ctypes.byref(batch), _threads()):
        raise MemoryError(f"centroids: no memory for scratch of {k} × {d} numbers")
    bounds = None if margins is None or spent is None else (margins, spent)
    return Sweep(centroids, labels, distances, ExactStatistics(*words), changed, bounds)


def _address(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


_MOST_TRIALS = 64  # `tfkm::kMostTrials`

# `tfkm::Seeding`.
_SEEDING = np.dtype(
    [
        ("n", "i8"), ("k", "i8"), ("d", "i8"), ("points", "u8"), ("stride", "i8"), ("dtype", "i4"),
        ("wide", "?"), ("weights", "u8"), ("first", "i8"), ("trials", "i4"), ("uniforms", "u8"),
        ("chosen", "u8"),
    ],
    align=True,
)  # fmt: skip


def kmeans_plusplus(
    points: np.ndarray, weights: np.ndarray | None, first: int, uniforms: np.ndarray
) -> np.ndarray | None:
    """(k,) indices for points (n, d), weights (n,) or None, uniforms (k − 1, trials); as below."""
    w = None if weights is None else weights[None]
    counts, firsts = np.array([len(points)]), np.array([first])
    chosen = kmeans_plusplus_batch(points[None], counts, w, firsts, uniforms[None])
    return None if chosen is None else chosen[0]


def kmeans_plusplus_batch(
    points: np.ndarray,
    counts: np.ndarray,
    weights: np.ndarray | None,
    firsts: np.ndarray,
    uniforms: np.ndarray,
) -> np.ndarray | None:
    """(B, k) indices by greedy k-means++, from `firsts` (B,) and (B, k − 1, trials) uniform numbers.

    points (B, n, d), of which the first counts (B,) count; weights (B, n) or None. −1 from where on every
    point coincides with one that was chosen. None if the points lie in a way that the kernel cannot read,
    or for more than 64 trials.
    """
    count, rounds, trials = uniforms.shape
    if not reads(points) or trials > _MOST_TRIALS:
        return None
    chosen = np.empty((count, rounds + 1), np.int64)
    uniforms = np.ascontiguousarray(uniforms, np.float64)
    if weights is not None:
        weights = np.ascontiguousarray(weights, np.float64)

    def own(array: np.ndarray) -> np.ndarray:
        return array.ctypes.data + array.strides[0] * np.arange(count)

    seedings = np.zeros(count, _SEEDING)
    seedings["n"], seedings["k"], seedings["d"] = counts, rounds + 1, points.shape[2]
    seedings["points"], seedings["stride"] = own(points), points.strides[1] // points.itemsize
    seedings["dtype"], seedings["wide"] = _number_of(points.dtype), points.dtype == np.float64
    seedings["weights"] = 0 if weights is None else own(weights)
    seedings["first"], seedings["trials"] = firsts, trials
    seedings["uniforms"], seedings["chosen"] = own(uniforms), own(chosen)
    at = ctypes.c_void_p(seedings.ctypes.data)
    if _library().tfkm_seed(at, ctypes.c_int64(count), _threads()):
        raise MemoryError(f"points: no memory for k-means++ of {points.shape[1]} points")
    return chosen


@functools.cache
def _number_of(dtype: np.dtype) -> int:
    """That of `tfkm::Dtype`."""
    order = (tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.uint8)
    return order.index(tf.as_dtype(dtype))


# --- the library -----------------------------------------------------------------------------------


def why_not_in_xla() -> str:
    """Why the kernels cannot be called in a program that XLA compiles; empty if they can."""
    return xla_call.why_not(_library())


def _per_point(points: tf.Tensor, centroids: tf.Tensor) -> list[xla_call.Value]:
    """Labels and distances."""
    return [xla_call.Value(dtype, [points.shape[0]]) for dtype in (tf.int32, centroids.dtype)]


def instruction_set() -> str:
    """The one in use: "base", "avx2", "avx512" or "avx512bf16"; TFKM_ISA in the environment forces one."""
    function = _library().tfkm_instruction_set
    function.restype = ctypes.c_char_p
    return function().decode()


@functools.cache
def _threads() -> int:
    """TensorFlow's intra-op setting; 0 lets the kernel take one for each processor.

    Asked once (7 µs): it is fixed from TensorFlow's first op on, and there has been one by then.
    """
    return tf.config.threading.get_intra_op_parallelism_threads()


@functools.cache
def _ops():
    """The library's ops. A second copy under another path would make both unusable, so: once."""
    path = _library_path()
    ops = tf.load_op_library(path)
    _check_abi(ctypes.CDLL(path))
    return ops


_ABI = 1  # `tfkm::kAbi`


def _check_abi(library: ctypes.CDLL) -> None:
    """Raises RuntimeError for a library of other sources, which would misread what it is given."""
    ours, theirs = (_ABI, ctypes.sizeof(_Batch), _SEEDING.itemsize), (ctypes.c_int64 * 3)()
    if hasattr(library, "tfkm_abi"):
        library.tfkm_abi(theirs)
    if tuple(theirs) != ours:
        raise RuntimeError(
            f"{library._name} was built from other sources than this Python code; build it anew: {_INSTALL}"
        )


@functools.cache
def _library() -> ctypes.CDLL:
    """For what is not an op; ctypes lets other Python threads run meanwhile."""
    _ops()  # first: TensorFlow finds no new ops in a library that is already open
    return ctypes.CDLL(_library_path())


_INSTALL = "pip install --force-reinstall --no-deps . (in its folder)"


def _library_path() -> str:
    # By the import system, which an editable install teaches where it is; it is never imported.
    spec = importlib.util.find_spec("tfkm._kernels")
    if spec is not None and spec.origin is not None:
        return spec.origin
    # In its own folder the source tree, which has none, hides the installed package.
    for file in _installed_files():
        if file.name == "_kernels.so":
            return str(file.locate())
    raise RuntimeError(
        f"the native kernels were not built; install from source with a C++17 compiler: {_INSTALL}"
    )


def _installed_files() -> list[importlib.metadata.PackagePath]:
    try:
        return importlib.metadata.files("tfkm") or []
    except importlib.metadata.PackageNotFoundError:
        return []
