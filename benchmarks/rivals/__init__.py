"""Other implementations of the same ops, one module for each library that has them.

A rival is a class with a name, a version, the dtypes it takes and a method for each op that it has. A
method prepares all that can be prepared and returns a call to be timed, which returns an `Outcome`;
`why_not` says why it does not take part, or nothing. To add one: such a class in a module of this folder,
and its place in `_PLACES`.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, NamedTuple

# Name: module and class, in the order of the report.
_PLACES = {
    "scikit-learn": ("scikit_learn", "ScikitLearn"),
    "scikit-learn (Elkan)": ("scikit_learn", "Elkan"),
    "Faiss": ("faiss", "Faiss"),
    "scikit-learn-intelex": ("intelex", "Intelex"),
    "TensorFlow NearestNeighbors": ("tensorflow", "NearestNeighbors"),
    "NumPy": ("numpy", "NumPy"),
    "PyTorch": ("pytorch", "PyTorch"),
    # By their documentation; untried, for want of a GPU.
    "PyTorch (GPU)": ("pytorch_gpu", "PyTorchGPU"),
    "cuML": ("cuml", "CuML"),
    "Faiss (GPU)": ("faiss_gpu", "FaissGPU"),
    "flash-kmeans": ("flash_kmeans", "FlashKMeans"),
}
NAMES = tuple(_PLACES)
ON_GPU = NAMES[-4:]


class Outcome(NamedTuple):
    """What one run found, in arrays or what NumPy makes arrays of; None for what it does not tell.

    labels: (n,). centroids: (k, d), those that the labels mean. updated: (k, d), the means of the clusters.
    """

    labels: Any
    centroids: Any
    inertia: float | None = None
    n_iter: int | None = None
    updated: Any = None


class Seed:
    """What fits draw with: a new number in each round, the same for all contenders and all their calls."""

    value = 0


def get(name: str) -> type:
    """The class of a rival. Raises ImportError, with the reason, if it cannot be had here."""
    module, kind = _PLACES[name]
    return getattr(importlib.import_module(f"benchmarks.rivals.{module}"), kind)


@functools.cache
def absent() -> dict[str, str]:
    """Those that cannot be had here, and why."""
    why = {}
    for name in NAMES:
        try:
            get(name)
        except Exception as error:  # a broken library may raise anything
            why[name] = str(error) or type(error).__name__
    return why
