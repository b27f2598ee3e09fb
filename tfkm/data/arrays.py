"""Arrays of other libraries: taken without a copy, by DLPack, and results given back in kind.

NumPy, pandas and TensorFlow need none of this, SciPy's sparse matrices only one form. An array on a GPU
is taken by TensorFlow on that GPU, if it has been built for it; none was at hand to run this on.
TensorFlow is asked only where it is loaded: what is of its kind cannot be there before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Set
from types import ModuleType
from typing import Any

import numpy as np
from scipy import sparse

# Of DLDeviceType, the memory that a CPU can read: its own, and pinned or managed by CUDA or ROCm.
_HOST = (1, 3, 11, 13)
_REFUSALS = (BufferError, RuntimeError, TypeError, ValueError)


# As scikit-learn's checks take them: of another dtype, points become float64, the first.
FRAME_DTYPES = [*map(np.dtype, ("f8", "f4", "f2", "i1", "u1"))]
INSTALL_TENSORFLOW = (
    "pip install 'tfkm[cpu]' (x86-64 without a GPU), 'tfkm[gpu]' (NVIDIA) or 'tfkm[tensorflow]' "
    "(any other)"
)


def tensorflow_for(what: str) -> ModuleType:
    """Return TensorFlow. Raises ImportError with the remedy, for what needs it."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(f"{what} needs TensorFlow: {INSTALL_TENSORFLOW}") from error
    return tf


def is_tensor(value: Any) -> bool:
    """Return whether it is a tensor or a variable of TensorFlow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(value, (tf.Tensor, tf.Variable))


def is_dataset(value: Any) -> bool:
    """Return whether it is a `tf.data.Dataset`."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(value, tf.data.Dataset)


def in_graph() -> bool:
    """Return whether TensorFlow is building a graph, in which values are not known yet."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and not tf.executing_eagerly()


def is_on_card(value: Any) -> bool:
    """Return whether it is a tensor in the memory of a GPU."""
    return is_tensor(value) and "GPU" in (value.device or "")


def taken(name: str, array: Any) -> Any:
    """Return what NumPy reads in place: a NumPy array of the same memory, CSR of a sparse matrix.

    A tensor stays one if it is on a card.

    Raises:
        TypeError: It is nothing that is an array, with what makes one of it; or its library or TensorFlow
            refuses, or its values are not known yet.
    """
    if sparse.issparse(array):
        return array.tocsr()
    if isinstance(array, np.ndarray):
        return array
    if said := remedy(array):
        raise TypeError(f"{name}: {said}")
    if hasattr(array, "columns") and hasattr(array, "dtypes"):
        return of_frame(array)
    if is_tensor(array):
        return array if is_on_card(array) else host_array(name, array)
    if not hasattr(array, "__dlpack_device__"):
        return array
    try:
        return _in_host_memory(array) if _on_host(array) else as_tensor(array)
    except Exception as error:
        if not isinstance(error, _REFUSALS) and not type(error).__module__.startswith("tensorflow"):
            raise
        kind = f"{type(array).__module__}.{type(array).__name__}"
        reason = str(error).splitlines()[0]
        raise TypeError(f"{name}: cannot read this {kind} by DLPack: {reason}") from error


def of_frame(frame: Any) -> np.ndarray:
    """Return a frame of numbers, of pandas' own, nullable or Arrow's dtypes, as estimators read it."""
    from sklearn.utils import check_array

    return check_array(frame, dtype=FRAME_DTYPES, ensure_all_finite=False, ensure_min_samples=0)


def host_array(name: str, tensor: Any) -> np.ndarray:
    """Return the values of a tensor, in place where they are in host memory.

    Raises:
        ValueError: It is symbolic: a graph is being built.
    """
    if not hasattr(tensor, "numpy") or in_graph():
        raise ValueError(
            f"{name}: a tensor inside tf.function, or a map of tf.data, which has no value yet; call it "
            "outside, or through tf.py_function. In a graph there are tfkm.assign and tfkm.accumulate"
        )
    return np.asarray(tensor)


def remedy(value: Any) -> str:
    """What to do with a value that is no array though a user may take it for one; empty for any other."""
    if isinstance(value, np.ndarray) or is_tensor(value):
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
    if is_dataset(value):
        return "a tf.data.Dataset; it needs an array (n, d), for which dataset.map can be used on batches"
    tf = sys.modules.get("tensorflow")
    if tf is not None and isinstance(value, tf.RaggedTensor):
        return "a ragged tensor; it needs rows of one length, as its to_tensor() has"
    if tf is not None and isinstance(value, tf.SparseTensor):
        return "a SparseTensor; it needs SciPy's sparse matrix, or tf.sparse.to_dense of it"
    paths = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(path, str | os.PathLike) for path in paths[:1]):
        return f"{paths[0]!r}, which is text; it needs an array (n, d); files are read by `fit` of KMeans"
    return ""


def like(array: Any, result: Any) -> Any:
    """Return `result` as the kind of array that `array` is; NumPy's for what is no array."""
    if result is None:
        return None
    if is_tensor(array):
        import tensorflow as tf

        return tf.convert_to_tensor(result)
    library = _library(array)
    if library is None:
        return np.asarray(result)
    if not _on_host(array):
        import tensorflow as tf

        with tf.device(as_tensor(array).device):
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
        return np.asarray(as_tensor(array))


def as_tensor(array: Any) -> Any:
    """Return an array of another library as a tensor of the same memory.

    In host memory it is not for an op: one on memory that is not aligned aborts the process.
    """
    import tensorflow as tf

    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
