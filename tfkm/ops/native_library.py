"""Loads the library of the compiled kernels, and has the structs of kernels/core/core.h by ctypes.

The library knows nothing of TensorFlow; the ops are another, which is linked to it.
"""

from __future__ import annotations

import contextvars
import ctypes
import enum
import functools
import importlib.metadata
import importlib.util
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tfkm import threads

# --- structs ----------------------------------------------------------------------------------------


class Wanted(enum.IntEnum):
    """`tfkm::Wanted`: what a pass writes beside labels."""

    DISTANCES = 0
    DISTANCES_AND_SUMS = 1
    SUMS_AND_BOUNDS = 2
    LABELS = 3


class Before(enum.IntEnum):
    """`tfkm::Before`: what a pass goes on from."""

    NOTHING = 0
    LABELS = 1
    BOUNDS = 2


class StridedPoints(ctypes.Structure):
    """`tfkm::Points`."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("row", ctypes.c_int64), ("feature", ctypes.c_int64),
        ("dtype", ctypes.c_int32),
    ]  # fmt: skip


class WordPointers(ctypes.Structure):
    """`tfkm::Words`."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("sums", "weights")]


class Batch(ctypes.Structure):
    """`tfkm::Batch`."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("count", "n", "k", "d")),
        ("points", StridedPoints),
        ("next", ctypes.c_int64),
        ("centroids", ctypes.c_void_p),
        ("wide", ctypes.c_bool),
        ("wanted", ctypes.c_int32),
        ("before", ctypes.c_int32),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "weights", "grid_sums", "grid", "problems", "rows", "labels", "sq_distances",
            )
        ),
        ("high", WordPointers),
        ("low", WordPointers),
        *(
            (name, ctypes.c_void_p)
            for name in ("inertia", "changed", "margins", "spent", "moved_from")
        ),
    ]  # fmt: skip


class Passes(ctypes.Structure):
    """`tfkm::Passes`."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ("thresholds", "most", "centroids", "done", "sq_distances")
    ]


class Distances(ctypes.Structure):
    """`tfkm::Distances`."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n", "k", "d")),
        ("points", StridedPoints),
        ("centroids", ctypes.c_void_p),
        ("wide", ctypes.c_bool),
        ("out", ctypes.c_void_p),
    ]


class Magnitudes(ctypes.Structure):
    """`tfkm::Magnitudes`."""

    _fields_ = [
        ("n", ctypes.c_int64), ("d", ctypes.c_int64), ("points", StridedPoints), ("out", ctypes.c_void_p),
    ]  # fmt: skip


# `tfkm::Points` and `tfkm::Seeding` as rows of arrays.
_POINTS = np.dtype([("data", "u8"), ("row", "i8"), ("feature", "i8"), ("dtype", "i4")], align=True)
SEEDING = np.dtype(
    [
        ("n", "i8"), ("k", "i8"), ("d", "i8"), ("points", _POINTS), ("wide", "?"), ("weights", "u8"),
        ("sq_distances", "u8"), ("first", "i8"), ("trials", "i4"), ("uniforms", "u8"),
        ("chosen", "u8"),
    ],
    align=True,
)  # fmt: skip


_DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "uint8")  # `tfkm::Dtype`


@functools.cache
def dtype_number(dtype: np.dtype) -> int:
    """The number that `tfkm::Dtype` has for one of the dtypes above."""
    return _DTYPES.index(dtype.name)


def address_of(array: np.ndarray) -> int:
    """Where its first element lies: `array.ctypes.data`, for most arrays in a third of the time."""
    if array.flags.carray:  # contiguous, and may be written to
        try:
            return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
        except ValueError:  # bfloat16, or no elements
            pass
    return array.ctypes.data


def points_of(array: np.ndarray) -> StridedPoints:
    """Points (…, n, d) where they lie in memory, of a dtype above in this machine's byte order."""
    row, feature = array.strides[-2:]
    return StridedPoints(address_of(array), row, feature, dtype_number(array.dtype))


# --- calls ------------------------------------------------------------------------------------------


class _Signals(ctypes.Structure):
    """`tfkm::Signals`: Python's functions by which a call hears of Ctrl-C, and what its handler raised."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ("ensure", "release", "check", "fetch", "type", "value", "traceback")
    ]


_HEARING = [
    ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    for name in ("PyGILState_Ensure", "PyGILState_Release", "PyErr_CheckSignals", "PyErr_Fetch")
]
_restore = ctypes.pythonapi.PyErr_Restore
_restore.argtypes = [ctypes.c_void_p] * 3
_restore.restype = None


# Always true: in place of PyErr_CheckSignals it ends a call as a signal does.
_ENDS = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value
_TICK_SECONDS = 0.05


@contextmanager
def _ticking(tick: Callable[[], None], signals: _Signals) -> Iterator[list[BaseException]]:
    """Call `tick` during the block, on a thread of its own; what it raises is listed, and ends the call.

    Not on the thread of the call, as a callback of ctypes: there Python runs a signal's handler as the
    callback begins, and ctypes drops what the handler raises.
    """
    raised: list[BaseException] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_TICK_SECONDS):
            try:
                tick()
            except BaseException as error:
                raised.append(error)
                signals.check = _ENDS
                return

    # In this context, by which a notebook knows the cell that output is for.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(watch,), daemon=True)
    thread.start()
    try:
        yield raised
    finally:
        over.set()
        thread.join()


def call(name: str, *arguments: Any, memory: str, tick: Callable[[], None] | None = None) -> None:
    """Call a function of the library. Ctrl-C ends it within some 50 ms and leaves what it wrote half done.

    Args:
        name: That of kernels/core/c_api.cc.
        *arguments: Its own, without threads and signals.
        memory: What a MemoryError says.
        tick: Called every 50 ms or so, on another thread; what it raises ends the call.

    Raises:
        MemoryError: No memory for scratch.
        ValueError: It was told what cannot be.
        KeyboardInterrupt: Or what the handler of a signal raised.
    """
    signals = _Signals(*_HEARING)
    function = getattr(library(), name)
    function.restype = ctypes.c_char_p
    if tick is None:
        why = function(*arguments, threads.count(), ctypes.byref(signals))
    else:
        with _ticking(tick, signals) as raised:
            why = function(*arguments, threads.count(), ctypes.byref(signals))
        if raised and not signals.type:
            raise raised[0]
    if why is None:
        return
    if why == b"interrupted":
        _restore(signals.type, signals.value, signals.traceback)
        raise KeyboardInterrupt  # is not come to: ctypes raises what was restored
    if why == b"no memory":
        raise MemoryError(memory)
    raise ValueError(f"{name}: {why.decode()}")


def instruction_set() -> str:
    """The one in use: "base", "avx2", "avx512" or "avx512bf16"; TFKM_ISA in the environment forces one."""
    function = library().tfkm_instruction_set
    function.restype = ctypes.c_char_p
    name: bytes = function()
    return name.decode()


def instruction_sets() -> list[str]:
    """Those that this processor has and `instruction_set` may be, the best first."""
    function = library().tfkm_usable_instruction_set
    function.restype = ctypes.c_char_p
    return [name.decode() for name in iter(map(function, itertools.count()).__next__, None)]


# --- the libraries ----------------------------------------------------------------------------------


@functools.cache
def ops() -> Any:
    """The ops' library. A second copy under another path would make both unusable, so: once."""
    import tensorflow as tf

    library()  # which has the kernels that the ops call
    return tf.load_op_library(path("_ops"))


@functools.cache
def library() -> ctypes.CDLL:
    """The kernels' library; ctypes lets other Python threads run meanwhile.

    Raises:
        RuntimeError: It was not built, or from other sources and would misread what it is given.
    """
    loaded = ctypes.CDLL(path())
    batch, *others = map(ctypes.sizeof, (Batch, Distances, Magnitudes, Passes))
    ours = (_ABI, batch, SEEDING.itemsize, *others)
    theirs = (ctypes.c_int64 * len(ours))()
    if hasattr(loaded, "tfkm_abi"):
        loaded.tfkm_abi(theirs)
    if tuple(theirs) != ours:
        raise RuntimeError(
            f"{loaded._name} was built from other sources than this Python code; build it anew: {_INSTALL}"
        )
    return loaded


_ABI = 10  # `tfkm::kAbi`
_INSTALL = "pip install --force-reinstall --no-deps . (in its folder)"


def path(name: str = "_kernels") -> str:
    """The file of one of the two libraries."""
    # By the import system, which an editable install teaches where it is; it is never imported.
    spec = importlib.util.find_spec(f"tfkm.{name}")
    if spec is not None and spec.origin is not None:
        return spec.origin
    # In its own folder the source tree, which has none, hides the installed package.
    for file in _installed_files():
        if file.name == f"{name}.so":
            return str(file.locate())
    raise RuntimeError(
        f"the native kernels were not built; install from source with a C++17 compiler: {_INSTALL}"
    )


def _installed_files() -> list[importlib.metadata.PackagePath]:
    try:
        return importlib.metadata.files("tfkm") or []
    except importlib.metadata.PackageNotFoundError:
        return []
