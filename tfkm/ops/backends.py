"""The only place that chooses a backend, and says why one cannot be had."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import NamedTuple

import tensorflow as tf

from tfkm.ops import devices, validate

# Fastest first on a CPU. To add one: a module of this package with `assign`, `accumulate` and
# `sq_distances` as in `reference`, its name here, and what it is good for below.
_NAMES = ("native", "cuda", "xla", "portable", "reference")
_ON_GPU = ("cuda", "xla")


class State(NamedTuple):
    """What `tfkm.backends` says of each.

    usable: whether it can run here. why: the reason if not; else what it is good for.

    >>> import tfkm
    >>> tfkm.backends()["reference"]
    State(usable=True, why='the specification: float64, holds n×k; for tests and small data')
    """

    usable: bool
    why: str


_GOOD_FOR = {
    "native": "compiled C++ for this processor; CPU",
    "cuda": "compiled CUDA for this card; GPU",
    "xla": "compiled, in bounded memory; CPU and GPU",
    "portable": "stock TensorFlow ops, in bounded memory; for exported models",
    "reference": "the specification: float64, holds n×k; for tests and small data",
}


def backends() -> dict[str, State]:
    """Every backend's `tfkm.ops.backends.State`, by name, the fastest first.

    >>> import tfkm
    >>> sorted(name for name, state in tfkm.backends().items() if state.usable and name != "cuda")
    ['native', 'portable', 'reference', 'xla']
    """
    return {name: _state(name) for name in _fastest_first()}


def _state(name: str) -> State:
    if why := _why_not(name):
        return State(False, why)
    return State(True, "; ".join(filter(None, [_GOOD_FOR[name], _why_not_in_xla(name)])))


def select(name: str | None) -> ModuleType:
    """The named backend's module, or for None the first usable one. A named one never falls back.

    Raises:
      ValueError: no backend has that name. RuntimeError: it has, and cannot be used here.
    """
    if name is None:
        name = next(n for n in _fastest_first() if not _why_not_here(n))
    check_name(name)
    if why := _why_not_here(name):
        raise RuntimeError(f"backend: {name!r} cannot be used here: {why}")
    return _module(name)


def check_name(name: str | None) -> None:
    """Raises: ValueError: no backend has that name."""
    if name not in (None, *_NAMES):
        raise ValueError(f"backend: {name!r}; allowed are None, {', '.join(map(repr, _NAMES))}")


@functools.cache
def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tfkm.ops.{name}")


def card_of(name: str | None) -> devices.Card | None:
    """The card that this backend computes on, None for the processor."""
    module = select(name).__name__.rpartition(".")[2]
    return devices.card() if module in _ON_GPU else None


def placed(points: tf.Tensor, name: str | None) -> tf.Tensor:
    """Where this thread computes: on its device, if the backend is one that computes on any."""
    module = select(name).__name__.rpartition(".")[2]
    return tf.identity(points) if module in _ON_GPU else points


def _why_not_here(name: str) -> str:
    """Why a backend is unusable in the graph being built, or eagerly; empty if it is usable."""
    return _why_not(name) or (_why_not_in_xla(name) if validate.inside_xla() else "")


def _fastest_first() -> list[str]:
    """The names; with a GPU, those first that run on it."""
    with_gpu = bool(tf.config.list_logical_devices("GPU"))
    return sorted(_NAMES, key=lambda name: with_gpu and name not in _ON_GPU)


def _why_not_in_xla(name: str) -> str:
    """Why a usable backend is not so in a program that XLA compiles; empty if it is."""
    module = _module(name)
    why = module.why_not_in_xla() if hasattr(module, "why_not_in_xla") else ""
    return why and f"not inside tf.function(jit_compile=True): {why}"


@functools.cache
def _why_not(name: str) -> str:
    """Why a backend is unusable; empty if it is usable. Tried once per process."""
    if name == "reference":
        return ""
    try:
        _try(importlib.import_module(f"tfkm.ops.{name}"))
    except Exception as error:  # whatever a foreign TensorFlow may raise is the reason
        said = str(error).partition("\n")[0]
        plain = said and type(error) in (RuntimeError, ImportError)  # made to be read
        return said if plain else f"{type(error).__name__}: {said}"
    return ""


def _try(backend: ModuleType) -> None:
    """Runs a tiny assignment, eagerly, in whatever context the caller is."""
    with tf.init_scope():
        points = tf.constant([[0.0], [1.0], [5.0]])
        labels = backend.assign(points, tf.constant([[0.0], [4.0]])).labels.numpy().tolist()
    if labels != [0, 0, 1]:
        raise RuntimeError(f"a self-check gave labels {labels} instead of [0, 0, 1]")
