"""Exact k-means for TensorFlow, at the hardware's limit."""

__version__ = "0.1.0"

try:
    import tensorflow  # noqa: F401
except ImportError as error:
    raise ImportError(
        "tfkm needs TensorFlow, which comes as several distributions; install the one for this "
        "machine: pip install 'tfkm[cpu]' (x86-64 without a GPU), 'tfkm[gpu]' (NVIDIA) or "
        f"'tfkm[tensorflow]' (any other). ({error})"
    ) from error

from tfkm.estimators import KMeans as KMeans
from tfkm.lloyd import kmeans as kmeans
from tfkm.ops import accumulate as accumulate
from tfkm.ops import assign as assign
from tfkm.ops.backends import backends as backends
from tfkm.types import Assignment as Assignment
from tfkm.types import Pass as Pass
from tfkm.types import Result as Result
from tfkm.types import Statistics as Statistics
from tfkm.types import Status as Status
