"""The CUDA kernels as a backend: XLA calls them on its own stream (kernels/xla/cuda_handlers.cc).

They are compiled by NVRTC for the card that there is, at first use, and kept (tfkm/cuda/nvrtc.py). Then
they prove themselves (tfkm/cuda/check.py), those of every dtype of points on every card: who chooses a
backend knows neither yet. If any fails none is used.
"""

from __future__ import annotations

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.cuda import check, driver, nvrtc
from tfkm.ops import xla, xla_call
from tfkm.types import Assignment, ExactStatistics, Statistics


def assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    """As `reference.assign`."""
    _prepare()
    return _assign(points, centroids)


def accumulate(
    points: tf.Tensor, centroids: tf.Tensor, weights: tf.Tensor | None, grid: exact.Grid
) -> tuple[Assignment, ExactStatistics]:
    """As `reference.accumulate`."""
    _prepare()
    return _accumulate(points, centroids, weights, grid)


def _accumulate(
    points: tf.Tensor, centroids: tf.Tensor, weights: tf.Tensor | None, grid: exact.Grid
) -> tuple[Assignment, ExactStatistics]:
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
def _prepare() -> None:
    """Compiles, loads and checks the kernels. Raises RuntimeError, with what is in the way; ops/backends.py
    keeps that, too."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise RuntimeError("TensorFlow shows no GPU")
    library = driver.launcher()
    if why := xla_call.why_not(library, "tfkm_register_cuda"):
        raise RuntimeError(why)
    for device, gpu in enumerate(gpus):
        major, minor = tf.config.experimental.get_device_details(gpu)["compute_capability"]
        compiled = functools.partial(nvrtc.cached, f"sm_{major}{minor}")
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(compiled, *zip(*nvrtc.PAIRS, strict=True)))
        for (points, wide), image in zip(nvrtc.PAIRS, images, strict=True):
            kernels = ctypes.c_void_p()
            if refusal := library.tfkm_cuda_load(image, ctypes.byref(kernels)):
                raise RuntimeError(refusal.decode())
            library.tfkm_cuda_use(device, list(nvrtc.TYPES).index(points), wide, kernels)
    with tf.init_scope():
        for gpu in tf.config.list_logical_devices("GPU"):
            with tf.device(gpu.name):
                for points, wide in nvrtc.PAIRS:
                    if wrong := check.run(functools.partial(_solve, points), points, wide):
                        dtype = f"{points} in float64" if wide else points
                        raise RuntimeError(f"{gpu.name}, {dtype}: {wrong}")


def _solve(dtype: str, points, centroids, weights, grid) -> tuple:
    """As tfkm/cuda/check.py wants it."""
    x, c = tf.cast(points, dtype), tf.constant(centroids)
    if grid is None:
        return *(part.numpy() for part in _assign(x, c)), None, None
    w = None if weights is None else tf.constant(weights)
    assignment, sums = _accumulate(x, c, w, exact.Grid(*map(tf.constant, grid)))
    return tf.nest.map_structure(lambda part: part.numpy(), (*assignment, *sums))
