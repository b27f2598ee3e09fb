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
from tfkm.ops.batched import Problems
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
        labels, distances, *words = xla_call.call("tfkm_accumulate", arguments, results)
    else:
        with tf.device("CPU"):
            labels, distances, *words = _ops().tfkm_accumulate(*arguments, threads=_threads())
    statistics = ExactStatistics(Statistics(*words[:3]), Statistics(*words[3:]))
    return Assignment(labels, distances), statistics


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
        labels, distances, *words = _ops().tfkm_accumulate_batch(*arguments, threads=_threads())
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


class _Seeding(ctypes.Structure):
    """`tfkm::Seeding` of kernels/core/core.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n", "k", "d")),
        ("points", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("dtype", ctypes.c_int32),
        ("wide", ctypes.c_bool),
        ("weights", ctypes.c_void_p),
        ("first", ctypes.c_int64),
        ("trials", ctypes.c_int),
        ("uniforms", ctypes.c_void_p),
        ("chosen", ctypes.c_void_p),
    ]


_MOST_TRIALS = 64  # `tfkm::kMostTrials`

# In the order of `tfkm::Dtype`.
_DTYPES = (tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.uint8)


def kmeans_plusplus(
    points: np.ndarray, weights: np.ndarray | None, first: int, uniforms: np.ndarray
) -> np.ndarray | None:
    """(k,) indices by greedy k-means++, from `first` and (k − 1, trials) uniform numbers.

    −1 from where on every point coincides with one that was chosen. None if the points lie in a way that
    the kernel cannot read, or for more than 64 trials.
    """
    n, d = points.shape
    size, (row, column) = points.itemsize, points.strides
    if column != size or row % size or row < 0 or points.ctypes.data % size:
        return None
    k, trials = len(uniforms) + 1, uniforms.shape[1]
    if trials > _MOST_TRIALS:
        return None
    chosen = np.empty(k, np.int64)
    uniforms = np.ascontiguousarray(uniforms, np.float64)
    if weights is not None:
        weights = np.ascontiguousarray(weights, np.float64)
    seeding = _Seeding(
        n=n, k=k, d=d, points=points.ctypes.data, stride=row // size,
        dtype=_DTYPES.index(tf.as_dtype(points.dtype)), wide=points.dtype == np.float64,
        weights=None if weights is None else weights.ctypes.data, first=first, trials=trials,
        uniforms=uniforms.ctypes.data, chosen=chosen.ctypes.data,
    )  # fmt: skip
    if _library().tfkm_seed(ctypes.byref(seeding), _threads()):
        raise MemoryError(f"points: no memory for k-means++ of {n} points")
    return chosen


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
    return tf.load_op_library(_library_path())


@functools.cache
def _library() -> ctypes.CDLL:
    """For what is not an op; ctypes lets other Python threads run meanwhile."""
    _ops()  # first: TensorFlow finds no new ops in a library that is already open
    return ctypes.CDLL(_library_path())


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
        "the native kernels were not built; install from source with a C++17 compiler: "
        "pip install --force-reinstall --no-deps . (in its folder)"
    )


def _installed_files() -> list[importlib.metadata.PackagePath]:
    try:
        return importlib.metadata.files("tfkm") or []
    except importlib.metadata.PackageNotFoundError:
        return []
