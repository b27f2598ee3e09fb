"""The backends' functions on tensors: which module has them, and whether they can run in this context."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, cast

import numpy as np
import tensorflow as tf

from tfkm.ops import backends, devices, validate
from tfkm.ops.backend import BatchBackend, TensorBackend
from tfkm.types import Assignment

# To add one: a module of this package with `assign`, `accumulate` and `sq_distances` as in `reference`,
# a line here and one in `backends`.
_MODULES = {
    "native": "native_ops",
    "cuda": "cuda",
    "xla": "xla",
    "portable": "portable",
    "reference": "reference",
}
ON_GPU = ("cuda", "xla")

if TYPE_CHECKING:  # that each has the functions that it should have
    from tfkm.ops import cuda, native_ops, portable, reference, xla

    _all: tuple[TensorBackend, ...] = (native_ops, cuda, xla, portable, reference)
    _of_batches: tuple[BatchBackend, ...] = (native_ops,)


def select(name: str | None) -> TensorBackend:
    """Return the named backend's module, or for None the first usable one. A named one never falls back.

    Raises:
        ValueError: No backend has that name.
        RuntimeError: It has, and cannot be used here.
    """
    if name is None:
        names = fastest_first()
        name = next(n for n in names if not _why_not_here(n))
        if names[0] == "native" and (why := why_not("native")):
            backends.warn_of_missing_kernels(why)
    backends.check_name(name)
    if why := _why_not_here(name):
        raise RuntimeError(f"backend: {name!r} cannot be used here: {why}")
    return module(name)


@functools.cache
def module(name: str) -> TensorBackend:
    """Return the module of this backend, whether or not it can be used."""
    return cast(TensorBackend, importlib.import_module(f"tfkm.ops.{_MODULES[name]}"))


def card_of(name: str) -> devices.Gpu | None:
    """Return the card that this backend computes on, None for the processor."""
    return devices.card() if name in ON_GPU else None


def fastest_first() -> list[str]:
    """Return the names; with a GPU, those first that run on it."""
    with_gpu = bool(tf.config.list_logical_devices("GPU"))
    return sorted(_MODULES, key=lambda name: with_gpu and name not in ON_GPU)


def _why_not_here(name: str) -> str:
    """Why a backend is unusable in the graph being built, or eagerly; empty if it is usable."""
    return why_not(name) or (why_not_in_xla(name) if validate.inside_xla() else "")


def why_not_in_xla(name: str) -> str:
    """Return why a usable backend is not so in a program that XLA compiles; empty if it is."""
    why = module(name).why_not_in_xla()
    return why and f"not inside tf.function(jit_compile=True): {why}"


@functools.cache
def why_not(name: str) -> str:
    """Return why a backend is unusable; empty if it is usable. Tried once per process."""
    if name == "reference":
        return ""

    def assign(points: np.ndarray, centroids: np.ndarray) -> Assignment:
        with tf.init_scope():  # eagerly, in whatever context the caller is
            return module(name).assign(tf.constant(points), tf.constant(centroids))

    return backends.why_wrong(assign)
