"""Exact k-means for TensorFlow and NumPy, at the hardware's limit."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING

from tfkm._version import __version__ as __version__

if TYPE_CHECKING:
    from tfkm import callbacks as callbacks
    from tfkm import datasets as datasets
    from tfkm import layers as layers
    from tfkm import metrics as metrics
    from tfkm import plot as plot
    from tfkm import streams as streams
    from tfkm import tensorboard as tensorboard
    from tfkm.callbacks import Callback as Callback
    from tfkm.callbacks import Progress as Progress
    from tfkm.engines import Mirrored as Mirrored
    from tfkm.engines import MultiWorker as MultiWorker
    from tfkm.engines import Ray as Ray
    from tfkm.estimators import BisectingKMeans as BisectingKMeans
    from tfkm.estimators import KMeans as KMeans
    from tfkm.estimators import MiniBatchKMeans as MiniBatchKMeans
    from tfkm.estimators import load as load
    from tfkm.fits.kmeans import kmeans as kmeans
    from tfkm.fits.kmeans_batch import kmeans_batch as kmeans_batch
    from tfkm.ops import accumulate as accumulate
    from tfkm.ops import assign as assign
    from tfkm.ops.backends import backends as backends
    from tfkm.ops.xla import set_xla_precision as set_xla_precision
    from tfkm.seeding import afk_mc2 as afk_mc2
    from tfkm.seeding import kmeans_parallel as kmeans_parallel
    from tfkm.seeding import kmeans_plusplus as kmeans_plusplus
    from tfkm.seeding import random_points as random_points
    from tfkm.types import Assignment as Assignment
    from tfkm.types import BatchResult as BatchResult
    from tfkm.types import Pass as Pass
    from tfkm.types import Result as Result
    from tfkm.types import Seeds as Seeds
    from tfkm.types import Statistics as Statistics
    from tfkm.types import Status as Status

# Where each public name lives. Imported on first use, and TensorFlow only by what needs it.
_HOMES = {
    "Callback": "tfkm.callbacks",
    "Progress": "tfkm.callbacks",
    "BisectingKMeans": "tfkm.estimators",
    "Mirrored": "tfkm.engines",
    "MultiWorker": "tfkm.engines",
    "Ray": "tfkm.engines",
    "KMeans": "tfkm.estimators",
    "MiniBatchKMeans": "tfkm.estimators",
    "load": "tfkm.estimators",
    "kmeans": "tfkm.fits.kmeans",
    "kmeans_batch": "tfkm.fits.kmeans_batch",
    "accumulate": "tfkm.ops",
    "assign": "tfkm.ops",
    "backends": "tfkm.ops.backends",
    "set_xla_precision": "tfkm.ops.xla",
    "afk_mc2": "tfkm.seeding",
    "kmeans_parallel": "tfkm.seeding",
    "kmeans_plusplus": "tfkm.seeding",
    "random_points": "tfkm.seeding",
    "Assignment": "tfkm.types",
    "BatchResult": "tfkm.types",
    "Pass": "tfkm.types",
    "Result": "tfkm.types",
    "Seeds": "tfkm.types",
    "Statistics": "tfkm.types",
    "Status": "tfkm.types",
}
_MODULES = ("callbacks", "datasets", "layers", "metrics", "plot", "streams", "tensorboard")
__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str):
    if name not in __all__:
        module = sys.modules[__name__]  # from whose names Python suggests the nearest
        raise AttributeError(f"module 'tfkm' has no attribute {name!r}", name=name, obj=module)
    try:
        home = importlib.import_module(_HOMES.get(name, f"tfkm.{name}"))
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("tensorflow", "keras"):
            raise
        from tfkm.data.arrays import INSTALL_TENSORFLOW

        raise ImportError(f"tfkm.{name} needs TensorFlow: {INSTALL_TENSORFLOW}") from error
    value = home if name in _MODULES else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, whatever else has been imported by now."""
    return sorted([*__all__, "__version__"])


def _load_ops(tensorflow) -> None:
    """Register the ops with TensorFlow, so that a SavedModel that has them can be loaded."""
    from tfkm.ops import native_library

    try:
        native_library.ops()
    except Exception:  # whatever it is, `tfkm.backends` says it, and only the ops are missing
        return


class _AfterTensorflow:
    """Finds TensorFlow as everybody does, and has the ops registered when it is imported.

    wrapt's hooks do that, too, but take 0.13 s to import, a tenth of a first fit.
    """

    _asking = False

    def find_spec(self, name: str, path=None, target=None):
        if name != "tensorflow" or self._asking:
            return None
        self._asking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def executed(module) -> None:
                execute(module)
                _load_ops(module)

            spec.loader.exec_module = executed  # type: ignore[method-assign]
        return spec


if sys.modules.get("tensorflow") is not None:
    _load_ops(sys.modules["tensorflow"])
else:
    sys.meta_path.insert(0, _AfterTensorflow())
