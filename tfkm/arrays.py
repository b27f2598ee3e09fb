"""Arrays of other libraries: taken without a copy, by DLPack, and results given back in kind.

NumPy, pandas and TensorFlow need none of this, SciPy's sparse matrices only one form. An array on a GPU
is taken by TensorFlow on that GPU, if it has been built for it; none was at hand to run this on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Set
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf
from scipy import sparse

# Of DLDeviceType, the memory that a CPU can read: its own, and pinned or managed by CUDA or ROCm.
_HOST = (1, 3, 11, 13)


def taken(name: str, array: Any) -> Any:
    """A NumPy array or tf.Tensor of the same memory; CSR of a sparse matrix; anything else as it is.

    Raises: TypeError naming the argument, if it is nothing that is an array, saying how to make one of it;
      or if its library or TensorFlow refuses.
    """
    if sparse.issparse(array):
        return array.tocsr()
    if said := remedy(array):
        raise TypeError(f"{name}: {said}")
    if isinstance(array, np.ndarray | tf.Tensor | tf.Variable):
        return array
    if not hasattr(array, "__dlpack_device__"):
        return array
    try:
        return _in_host_memory(array) if _on_host(array) else _as_tensor(array)
    except (BufferError, RuntimeError, TypeError, ValueError, tf.errors.OpError) as error:
        kind = f"{type(array).__module__}.{type(array).__name__}"
        reason = str(error).splitlines()[0]
        raise TypeError(f"{name}: cannot read this {kind} by DLPack: {reason}") from error


def remedy(value: Any) -> str:
    """What to do with a value that is no array though a user may take it for one; empty for any other."""
    if isinstance(value, np.ndarray | tf.Tensor):
        return ""
    if value is None:
        return "None; it needs an array (n, d)"
    if isinstance(value, Mapping):
        return "a dict; it needs an array (n, d): pandas.DataFrame makes one of columns"
    if isinstance(value, Iterator):
        return (
            f"a {type(value).__name__}, which can be read but once; it needs an array (n, d), as "
            "np.stack(list(…)) makes of rows"
        )
    if isinstance(value, Set):
        return f"a {type(value).__name__}, which has no order; it needs an array (n, d)"
    if isinstance(value, tf.data.Dataset):
        return "a tf.data.Dataset; it needs an array (n, d), for which dataset.map can be used on batches"
    if isinstance(value, tf.RaggedTensor):
        return "a ragged tensor; it needs rows of one length, as its to_tensor() has"
    if isinstance(value, tf.SparseTensor):
        return "a SparseTensor; it needs SciPy's sparse matrix, or tf.sparse.to_dense of it"
    paths = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(path, str | os.PathLike) for path in paths[:1]):
        return f"{paths[0]!r}, which is text; it needs an array (n, d); files are read by `fit` of KMeans"
    return ""


def like(array: Any, result: np.ndarray | tf.Tensor) -> Any:
    """`result` as the kind of array that `array` is; NumPy's for what is no array."""
    if isinstance(array, tf.Tensor | tf.Variable):
        return tf.convert_to_tensor(result)
    library = _library(array)
    if library is None:
        return np.asarray(result)
    if not _on_host(array):
        with tf.device(_as_tensor(array).device):
            result = tf.identity(result)
    return library.from_dlpack(result)


def _library(array: Any) -> ModuleType | None:
    """The namespace of a library other than NumPy that knows DLPack."""
    if isinstance(array, np.ndarray) or not hasattr(array, "__dlpack_device__"):
        return None
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    return sys.modules[type(array).__module__.partition(".")[0]]  # PyTorch


def _on_host(array: Any) -> bool:
    return int(array.__dlpack_device__()[0]) in _HOST


def _in_host_memory(array: Any) -> np.ndarray:
    try:
        return np.from_dlpack(array)
    except RuntimeError:  # bfloat16, which NumPy does not know and TensorFlow hands on
        return np.asarray(_as_tensor(array))


def _as_tensor(array: Any) -> tf.Tensor:
    """In host memory not for an op: one on memory that is not aligned aborts the process."""
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
