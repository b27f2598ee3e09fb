"""The number of threads of the kernels, from the most local limit that is set.

The order is:

1. `threadpoolctl.threadpool_limits` around the call, and the limit of an engine's workers;
2. TensorFlow's intra-op setting, where TensorFlow is loaded;
3. the environment variable OMP_NUM_THREADS, which joblib sets in its workers;
4. the processors that this process may use: its affinity, and the quota of its container.
"""

from __future__ import annotations

import functools
import os
import sys

import threadpoolctl

from tfkm import tensorflow_private

_limit: int | None = None


def count() -> int:
    """Return how many threads a call takes now, 1 at least."""
    return _limit or _without_limit()


def set_limit(limit: int | None) -> None:
    """Set the first limit above for this process; None removes it."""
    global _limit
    _limit = None if limit is None else max(1, int(limit))


def _without_limit() -> int:
    return _of_tensorflow() or _of_environment() or min(_processors(), _affinity())


def _of_tensorflow() -> int:
    """Return TensorFlow's setting, 0 for none.

    It is cached once TensorFlow's first op has fixed it, because asking takes 7 µs.
    """
    tf = sys.modules.get("tensorflow")
    if tf is None or not hasattr(tf, "config"):
        return 0
    return _fixed_of_tensorflow() if tensorflow_private.has_begun() else _asked_of_tensorflow()


def _asked_of_tensorflow() -> int:
    return sys.modules["tensorflow"].config.threading.get_intra_op_parallelism_threads()


_fixed_of_tensorflow = functools.cache(_asked_of_tensorflow)


def _of_environment() -> int:
    """Return the first number of OMP_NUM_THREADS, which is for the outermost level; 0 for none."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


@functools.cache
def _processors() -> int:
    import joblib

    return joblib.cpu_count()  # takes the quota of a container into account


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Controller(threadpoolctl.LibController):
    """The library of the kernels, in the form that threadpoolctl controls."""

    user_api = "tfkm"
    internal_api = "tfkm"
    filename_prefixes = ("_kernels",)
    check_symbols = ("tfkm_abi",)

    def get_num_threads(self) -> int:
        return count()

    def set_num_threads(self, num_threads: int) -> None:
        # At the end of a block threadpoolctl sets the number from before. If that was no limit, the
        # limit is removed.
        set_limit(None if num_threads == _without_limit() else num_threads)

    def get_version(self) -> str:
        from tfkm import __version__

        return __version__


threadpoolctl.register(_Controller)
