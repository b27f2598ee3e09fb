"""The compiled kernels: loads the library and calls its ops. kernels/core has what they do."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util

import tensorflow as tf

from tfkm import exact
from tfkm.ops import xla
from tfkm.types import Assignment, ExactStatistics, Statistics


def assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    """As `reference.assign`."""
    with tf.device("CPU"):
        labels, distances = _ops().tfkm_assign(points, centroids, threads=_threads())
    return Assignment(labels, distances)


def accumulate(
    points: tf.Tensor, centroids: tf.Tensor, weights: tf.Tensor | None, grid: exact.Grid
) -> tuple[Assignment, ExactStatistics]:
    """As `reference.accumulate`."""
    if weights is None:
        weights = tf.zeros([0], tf.float64)
    with tf.device("CPU"):
        labels, distances, *words = _ops().tfkm_accumulate(
            points, centroids, weights, grid.sums, tf.stack(grid[1:]), threads=_threads()
        )
    statistics = ExactStatistics(Statistics(*words[:3]), Statistics(*words[3:]))
    return Assignment(labels, distances), statistics


def sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """As `reference.sq_distances`; the form of `xla`, there is no native one yet."""
    return xla.sq_distances(points, centroids)


def instruction_set() -> str:
    """The one in use: "base", "avx2", "avx512" or "avx512bf16"; TFKM_ISA in the environment forces one."""
    function = ctypes.CDLL(_library_path()).tfkm_instruction_set
    function.restype = ctypes.c_char_p
    return function().decode()


def _threads() -> int:
    """TensorFlow's intra-op setting; 0 lets the kernel take one for each processor."""
    return tf.config.threading.get_intra_op_parallelism_threads()


@functools.cache
def _ops():
    """The library's ops. A second copy under another path would make both unusable, so: once."""
    return tf.load_op_library(_library_path())


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
