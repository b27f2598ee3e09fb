"""Loads the library of the compiled kernels, and has the structs of kernels/core/core.h by ctypes."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util

import numpy as np
import tensorflow as tf


class WordPointers(ctypes.Structure):
    """`tfkm::Words`."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("sums", "weights")]


class Batch(ctypes.Structure):
    """`tfkm::Batch`."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("count", "n", "k", "d")),
        ("points", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("stride", "next")),
        ("dtype", ctypes.c_int32),
        ("centroids", ctypes.c_void_p),
        ("wide", ctypes.c_bool),
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
        *(
            (name, ctypes.c_void_p)
            for name in ("thresholds", "most", "centroids", "done", "sq_distances")
        ),
        ("from_another", ctypes.c_bool),
    ]


# `tfkm::Seeding`.
SEEDING = np.dtype(
    [
        ("n", "i8"), ("k", "i8"), ("d", "i8"), ("points", "u8"), ("stride", "i8"), ("dtype", "i4"),
        ("wide", "?"), ("weights", "u8"), ("sq_distances", "u8"), ("first", "i8"), ("trials", "i4"),
        ("uniforms", "u8"), ("chosen", "u8"),
    ],
    align=True,
)  # fmt: skip


def instruction_set() -> str:
    """The one in use: "base", "avx2", "avx512" or "avx512bf16"; TFKM_ISA in the environment forces one."""
    function = library().tfkm_instruction_set
    function.restype = ctypes.c_char_p
    return function().decode()


@functools.cache
def threads() -> int:
    """TensorFlow's intra-op setting; 0 lets the kernel take one for each processor.

    Asked once (7 µs): it is fixed from TensorFlow's first op on, and there has been one by then.
    """
    return tf.config.threading.get_intra_op_parallelism_threads()


@functools.cache
def ops():
    """The library's ops. A second copy under another path would make both unusable, so: once."""
    at = path()
    loaded = tf.load_op_library(at)
    _check_abi(ctypes.CDLL(at))
    return loaded


_ABI = 6  # `tfkm::kAbi`


def _check_abi(library: ctypes.CDLL) -> None:
    """Raises RuntimeError for a library of other sources, which would misread what it is given."""
    ours, theirs = (_ABI, ctypes.sizeof(Batch), SEEDING.itemsize), (ctypes.c_int64 * 3)()
    if hasattr(library, "tfkm_abi"):
        library.tfkm_abi(theirs)
    if tuple(theirs) != ours:
        raise RuntimeError(
            f"{library._name} was built from other sources than this Python code; build it anew: {_INSTALL}"
        )


@functools.cache
def library() -> ctypes.CDLL:
    """For what is not an op; ctypes lets other Python threads run meanwhile."""
    ops()  # first: TensorFlow finds no new ops in a library that is already open
    return ctypes.CDLL(path())


_INSTALL = "pip install --force-reinstall --no-deps . (in its folder)"


def path() -> str:
    # By the import system, which an editable install teaches where it is; it is never imported.
    spec = importlib.util.find_spec("tfkm._kernels")
    if spec is not None and spec.origin is not None:
        return spec.origin
    # In its own folder the source tree, which has none, hides the installed package.
    for file in _installed_files():
        if file.name == "_kernels.so":
            return str(file.locate())
    raise RuntimeError(
        f"the native kernels were not built; install from source with a C++17 compiler: {_INSTALL}"
    )


def _installed_files() -> list[importlib.metadata.PackagePath]:
    try:
        return importlib.metadata.files("tfkm") or []
    except importlib.metadata.PackageNotFoundError:
        return []
