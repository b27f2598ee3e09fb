"""The CUDA kernels as a backend: XLA calls them on its own stream (kernels/xla/cuda_handlers.cc).

They are compiled by NVRTC for the card that there is, at first use, and kept (tfkm/cuda/nvrtc.py): some
seconds for each dtype of points, once. Then they prove themselves (tfkm/cuda/check.py); kernels that fail
are not used.
"""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.cuda import check, driver, nvrtc
from tfkm.ops import xla, xla_call
from tfkm.types import Assignment, ExactStatistics, Statistics


def assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    """As `reference.assign`."""
    _prepare(points.dtype.name, centroids.dtype == tf.float64)
    return _assign(points, centroids)


def accumulate(
    points: tf.Tensor, centroids: tf.Tensor, weights: tf.Tensor | None, grid: exact.Grid
) -> tuple[Assignment, ExactStatistics]:
    """As `reference.accumulate`."""
    _prepare(points.dtype.name, centroids.dtype == tf.float64)
    if weights is None:
        weights = tf.constant(np.empty([0], np.float64))
    k, d = centroids.shape
    word = [xla_call.Value(tf.float64, shape) for shape in ([k, d], [k], [])]
    results = [*_per_point(points, centroids), *word, *word]
    labels, distances, *words = _call(
        "tfkm_accumulate", [points, centroids, weights, *grid], results
    )
    statistics = ExactStatistics(Statistics(*words[:3]), Statistics(*words[3:]))
    return Assignment(labels, distances), statistics


def sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """As `reference.sq_distances`; the form of `xla`, there is no other yet but for one
    centroid."""
    if centroids.shape[0] == 1:
        return assign(points, centroids).sq_distances[:, None]
    return xla.sq_distances(points, centroids)


def _assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    return Assignment(*_call("tfkm_assign", [points, centroids], _per_point(points, centroids)))


def _per_point(points: tf.Tensor, centroids: tf.Tensor) -> list[xla_call.Value]:
    """Labels and distances."""
    return [xla_call.Value(dtype, [points.shape[0]]) for dtype in (tf.int32, centroids.dtype)]


def _call(target: str, arguments: list[tf.Tensor], results: list[xla_call.Value]):
    with tf.device("GPU"):
        return xla_call.call(target, arguments, results, platform="CUDA")


@functools.cache
def _prepare(points: str, wide: bool) -> None:
    """Compiles, loads and checks the kernels for a dtype of points. Raises RuntimeError, with what
    is in the way."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise RuntimeError("TensorFlow shows no GPU")
    library = driver.launcher()
    if why := xla_call.why_not(library, "tfkm_register_cuda"):
        raise RuntimeError(why)
    for device, gpu in enumerate(gpus):
        major, minor = tf.config.experimental.get_device_details(gpu)["compute_capability"]
        kernels = ctypes.c_void_p()
        image = nvrtc.cached(f"sm_{major}{minor}", points, wide)
        if refusal := library.tfkm_cuda_load(image, ctypes.byref(kernels)):
            raise RuntimeError(refusal.decode())
        library.tfkm_cuda_use(device, list(nvrtc.TYPES).index(points), wide, kernels)

    def solve(x: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answer = _assign(tf.cast(x, points), tf.constant(c))
        return answer.labels.numpy(), answer.sq_distances.numpy()

    with tf.init_scope():
        if wrong := check.run(solve, points, wide):
            raise RuntimeError(wrong)
