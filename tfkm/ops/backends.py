"""The only place that chooses a backend, and says why one cannot be had."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import NamedTuple

import tensorflow as tf

# Fastest first. To add one: a module of this package with `assign`, `accumulate`, `sq_distances` as
# in `reference`, its name here, and its self-check in `_why_not`.
_NAMES = ("native", "xla", "reference")


class State(NamedTuple):
    """usable: whether it can run here. why: the reason if not; else what it is good for."""

    usable: bool
    why: str


_GOOD_FOR = {
    "native": "compiled C++ for this processor; CPU",
    "xla": "compiled, in bounded memory; CPU and GPU",
    "reference": "the specification: float64, holds n×k; for tests and small data",
}


def backends() -> dict[str, State]:
    """Every backend's state, the fastest first.

    >>> import tfkm
    >>> [name for name, state in tfkm.backends().items() if state.usable]
    ['native', 'xla', 'reference']
    """
    reasons = {name: _why_not(name) for name in _NAMES}
    return {name: State(not why, why or _GOOD_FOR[name]) for name, why in reasons.items()}


def select(name: str | None) -> ModuleType:
    """The named backend's module, or for None the first usable one. A named one never falls back.

    Raises:
      ValueError: no backend has that name. RuntimeError: it has, and cannot be used here.
    """
    if name is None:
        # With a GPU, the backend that runs on it.
        skipped = {"native"} if tf.config.list_logical_devices("GPU") else set()
        name = next(c for c in _NAMES if c not in skipped and not _why_not(c))
    if name not in _NAMES:
        raise ValueError(f"backend: {name!r}; allowed are None, {', '.join(map(repr, _NAMES))}")
    if why := _why_not(name):
        raise RuntimeError(f"backend: {name!r} cannot be used here: {why}")
    return importlib.import_module(f"tfkm.ops.{name}")


@functools.cache
def _why_not(name: str) -> str:
    """Why a backend is unusable; empty if it is usable. Tried once per process."""
    if name == "reference":
        return ""
    try:
        _try(importlib.import_module(f"tfkm.ops.{name}"))
    except Exception as error:  # whatever a foreign TensorFlow may raise is the reason
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""


def _try(backend: ModuleType) -> None:
    """Runs a tiny assignment, in whatever context the caller is."""
    with tf.init_scope():
        points = tf.constant([[0.0], [1.0], [5.0]])
        labels = backend.assign(points, tf.constant([[0.0], [4.0]])).labels.numpy().tolist()
    if labels != [0, 0, 1]:
        raise RuntimeError(f"a self-check gave labels {labels} instead of [0, 0, 1]")
