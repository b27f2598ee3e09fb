"""The CUDA kernels as a backend: XLA calls them on its own stream (kernels/xla/cuda_handlers.cc).

They are compiled by NVRTC for the card that there is, at first use, and kept (tfkm/cuda/nvrtc.py). Then
they prove themselves (tfkm/cuda/check.py), first in a process of their own, those of every dtype of points
on every card that can run them: who chooses a backend knows neither yet. If any fails none is used.
"""

from __future__ import annotations

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfkm import exact
from tfkm.cuda import check, driver, nvrtc
from tfkm.ops import xla, xla_call
from tfkm.types import Assignment, ExactStatistics, Words

TAKES_BATCHES = False


def why_not_in_xla() -> str:
    """Return nothing: it can be used there."""
    return ""


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
    word = [xla_call.Value(tf.float64, shape) for shape in ([k, d], [k])]
    digits = xla_call.Value(tf.int64, [driver.DIGITS])
    results = [*xla_call.per_point(points, centroids), *word, *word, digits]
    labels, distances, *words, digits = _call(
        "tfkm_accumulate", [points, centroids, weights, *grid], results
    )
    statistics = ExactStatistics(Words(*words[:2]), Words(*words[2:]), _inertia(digits))
    return Assignment(labels, distances), statistics


def _inertia(digits: tf.Tensor) -> tf.Tensor:
    """As `exact.total` takes them, of a card's: integers of 64 bits, of which the last is no digit."""
    base = 2**exact.DIGIT_BITS
    high = digits[:-1] // base
    low = tf.cast(digits[:-1] - high * base, tf.float64)
    return low + tf.concat([[0.0], tf.cast(high[:-1], tf.float64)], axis=0)


def sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """As `reference.sq_distances`; the form of `xla`, there is no other yet but for one
    centroid."""
    if centroids.shape[0] == 1:
        return assign(points, centroids).sq_distances[:, None]
    return xla.sq_distances(points, centroids)


def _assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    return Assignment(
        *_call("tfkm_assign", [points, centroids], xla_call.per_point(points, centroids))
    )


def _call(
    target: str, arguments: list[tf.Tensor], results: list[xla_call.Value]
) -> list[tf.Tensor]:
    with tf.device("GPU"):
        return xla_call.call(target, arguments, results, platform="CUDA")


@functools.cache
def _prepare() -> None:
    """Compiles, loads and checks the kernels. Raises RuntimeError, with what is in the way; ops/backends.py
    keeps that, too."""
    cards = _cards()
    library = driver.launcher()
    if why := xla_call.why_not(library, "tfkm_register_cuda"):
        raise RuntimeError(why)
    for card in cards:
        with ThreadPoolExecutor() as pool:
            loaded = list(pool.map(lambda pair, arch=card.arch: _load(arch, *pair), nvrtc.PAIRS))
        for (points, wide), (cubin, kernels) in zip(nvrtc.PAIRS, loaded, strict=True):
            _demand(card, points, wide, check.apart(points, wide, card.number, cubin, card.name))
            library.tfkm_cuda_use(card.number, list(nvrtc.TYPES).index(points), wide, kernels)
    with tf.init_scope():
        for card in cards:
            for device in card.devices:
                with tf.device(device):
                    for points, wide in nvrtc.PAIRS:
                        solve = functools.partial(_solve, points)
                        _demand(card, points, wide, check.run(solve, points, wide))


class _Card(NamedTuple):
    """number: the driver's. arch: "sm_90" and the like. devices: what TensorFlow calls it, or its parts."""

    number: int
    arch: str
    name: str
    devices: list[str]


def _cards() -> list[_Card]:
    """Those that TensorFlow uses and the kernels can run on."""
    logical = iter(tf.config.list_logical_devices("GPU"))  # in the order of the cards
    cards, found = [], []
    for gpu in tf.config.get_visible_devices("GPU"):
        parts = tf.config.get_logical_device_configuration(gpu) or [None]
        devices = [device.name for device in islice(logical, len(parts))]
        about = tf.config.experimental.get_device_details(gpu)
        major, minor = about.get("compute_capability", (0, 0))  # none if it is not NVIDIA's
        found.append(f"sm_{major}{minor}")
        if 10 * major + minor >= nvrtc.OLDEST:
            number = int(gpu.name.rpartition(":")[2])
            cards.append(_Card(number, found[-1], about["device_name"], devices))
    if not found:
        raise RuntimeError("TensorFlow shows no GPU")
    if not cards:
        raise RuntimeError(f"no GPU from sm_{nvrtc.OLDEST} on, but {', '.join(found)}")
    return cards


def _load(arch: str, points: str, wide: bool) -> tuple[bytes, ctypes.c_void_p]:
    """The cubin, and what the launcher has made of it."""
    kernels = ctypes.c_void_p()

    def take(cubin: bytes) -> None:
        if refusal := driver.launcher().tfkm_cuda_load(cubin, ctypes.byref(kernels)):
            raise RuntimeError(refusal.decode())

    return nvrtc.load(take, arch, points, wide), kernels


def _demand(card: _Card, points: str, wide: bool, wrong: str) -> None:
    if wrong:
        dtype = f"{points} in float64" if wide else points
        raise RuntimeError(f"GPU {card.number}, {dtype}: {wrong}")


def _solve(
    dtype: str,
    points: tf.Tensor,
    centroids: np.ndarray,
    weights: np.ndarray | None,
    grid: exact.Grid | None,
) -> tuple[Any, ...]:
    """As tfkm/cuda/check.py wants it."""
    x, c = tf.cast(points, dtype), tf.constant(centroids)
    if grid is None:
        return *(part.numpy() for part in _assign(x, c)), None, None, None
    w = None if weights is None else tf.constant(weights)
    assignment, sums = _accumulate(x, c, w, exact.Grid(*map(tf.constant, grid)))
    labels, distances, high, low, inertia = tf.nest.map_structure(
        lambda part: part.numpy(), (*assignment, *sums)
    )
    return labels, distances, high, low, float(exact.total(inertia))
