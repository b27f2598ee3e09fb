"""The only place that chooses a backend, and says why one cannot be had."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tfkm import tensorflow_private
from tfkm.data import arrays
from tfkm.ops.backend import Backend
from tfkm.types import Assignment

# Fastest first on a CPU. All but the first compute in TensorFlow.
NAMES = ("native", "cuda", "xla", "portable", "reference")


class BackendState(NamedTuple):
    """Whether a backend can be used here, as `tfkm.backends` tells.

    Attributes:
        usable: Whether it can run here.
        why: What it is good for; if it cannot run, the reason.

    Examples:
        >>> import tfkm
        >>> tfkm.backends()["reference"]
        BackendState(usable=True, why='the definition in float64; slow, and holds n × k ...')
    """

    usable: bool
    why: str


_GOOD_FOR = {
    "native": "C++ compiled for this processor",
    "cuda": "CUDA compiled for this GPU",
    "xla": "compiled by TensorFlow's XLA for the processor or a GPU",
    "portable": "TensorFlow's own operations; exported models are made of them",
    "reference": "the definition in float64; slow, and holds n × k distances; for tests",
}


def backends() -> dict[str, BackendState]:
    """Return the state of every backend by its name, the fastest first.

    Returns:
        A dictionary from names to `tfkm.ops.backends.BackendState`.

    Examples:
        >>> import tfkm
        >>> states = tfkm.backends()
        >>> sorted(name for name in states if states[name].usable and name != "cuda")
        ['native', 'portable', 'reference', 'xla']
    """
    if not _has_tensorflow():
        return {name: _state(name) for name in NAMES}
    from tfkm.ops import tensor_backends

    return {name: _state(name) for name in tensor_backends.fastest_first()}


def _state(name: str) -> BackendState:
    if why := why_not(name):
        return BackendState(False, why)
    in_xla = ""
    if _has_tensorflow():
        from tfkm.ops import tensor_backends

        in_xla = tensor_backends.why_not_in_xla(name)
    return BackendState(True, "; ".join(filter(None, [_GOOD_FOR[name], in_xla])))


def select(name: str | None) -> Backend:
    """Return the named backend; for None the native kernels, or where TensorFlow is loaded and shows a GPU,
    the fastest one on that. A named one never falls back.

    Raises:
        ValueError: No backend has that name.
        RuntimeError: It has, and cannot be used here; or for None, none can.
    """
    if name is None:
        return _best()
    check_name(name)
    if why := why_not(name):
        raise RuntimeError(f"backend: {name!r} cannot be used here: {why}")
    return _backend(name)


def _best() -> Backend:
    names: tuple[str, ...] = NAMES
    if sys.modules.get("tensorflow") is not None and not _forked:
        from tfkm.ops import tensor_backends

        names = tuple(tensor_backends.fastest_first())
    for name in names:
        if not why_not(name):
            if names[0] == "native" != name:
                warn_of_missing_kernels(why_not("native"))
            return _backend(name)
    raise RuntimeError(f"backend: none can be used here; native: {why_not('native')}")


def check_name(name: str | None) -> None:
    """Raises: ValueError: no backend has that name."""
    if name not in (None, *NAMES):
        raise ValueError(f"backend: {name!r}; allowed are None, {', '.join(map(repr, NAMES))}")


@functools.cache
def warn_of_missing_kernels(why: str) -> None:
    """Warn once that what is computed from now on takes many times as long."""
    warnings.warn(
        f"the compiled kernels cannot be used ({why}); fits take 6 to 29 times as long on TensorFlow's "
        "own ops",
        RuntimeWarning,
        stacklevel=5,
    )


@functools.cache
def _backend(name: str) -> Backend:
    if name == "native":
        from tfkm.ops.native import Native

        return Native()
    from tfkm.ops.on_tensors import OnTensors

    return OnTensors(name)


def why_not(name: str) -> str:
    """Return why a backend is unusable; empty if it is usable. Tried once per process."""
    if name == "native":
        return _why_not_native()
    if _forked:
        return (
            "this process was forked from one that had begun to compute in TensorFlow, whose threads it "
            "lacks, so that it would wait for ever; start it by multiprocessing's 'spawn' or "
            "'forkserver', or use backend='native'"
        )
    if not _has_tensorflow():
        return f"needs TensorFlow: {arrays.INSTALL_TENSORFLOW}"
    from tfkm.ops import tensor_backends

    return tensor_backends.why_not(name)


@functools.cache
def _why_not_native() -> str:
    def assign(points: np.ndarray, centroids: np.ndarray) -> Assignment:
        return _backend("native").assign(points, centroids)

    return why_wrong(assign)


def why_wrong(assign: Callable[[np.ndarray, np.ndarray], Assignment]) -> str:
    """Return why `assign` cannot assign a few points; empty if it does, and rightly."""
    points = np.array([[0.0], [1.0], [5.0]], np.float32)
    try:
        labels = np.asarray(assign(points, points[:2] * np.float32(4)).labels).tolist()
    except Exception as error:  # whatever a loader or a foreign TensorFlow may raise is the reason
        said = str(error).partition("\n")[0]
        plain = said and type(error) in (RuntimeError, ImportError)  # which are made to be read
        return said if plain else f"{type(error).__name__}: {said}"
    return "" if labels == [0, 0, 1] else f"a self-check gave labels {labels} instead of [0, 0, 1]"


def _has_tensorflow() -> bool:
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"] is not None  # None: a test forbids it
    return importlib.util.find_spec("tensorflow") is not None


# --- forked children --------------------------------------------------------------------------------

_forked = False  # from a process that had begun to compute in TensorFlow


def _after_fork() -> None:
    global _forked
    _forked = _forked or tensorflow_private.has_begun()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check_fork() -> None:
    """Raise RuntimeError in a forked child that cannot compute in TensorFlow."""
    if _forked:
        raise RuntimeError(f"tensors: {why_not('xla')}, and arrays in place of tensors")
