"""What this machine is and what it can do at most: every time is judged by limits measured with it."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from threadpoolctl import threadpool_info

KINDS = ("CPU", "GPU")
READ_BYTES = 2**29  # beyond any cache
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Limits(NamedTuple):
    """Per second: flops of a large float32 matrix product, bytes read, flops of multiply-adds alone.

    fma: None where it cannot be measured (a GPU, no C compiler).
    """

    flops: float
    bandwidth: float
    how: str
    fma: float | None = None

    def best(self, other: Limits) -> Limits:
        fma = None if self.fma is None or other.fma is None else max(self.fma, other.fma)
        best = max(self.flops, other.flops), max(self.bandwidth, other.bandwidth)
        return Limits(*best, self.how, fma)

    def seconds(self, flops: float, bytes: float) -> float:
        """The least time for this work, were arithmetic and memory both at their limit (roofline)."""
        return max(flops / self.flops, bytes / self.bandwidth)


def devices() -> list[str]:
    """Every logical device of the known kinds, as tf.device takes it: "CPU:0", "GPU:0" …"""
    found = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    return [name for name in found if name.split(":")[0] in KINDS]


def absent() -> dict[str, str]:
    """Kinds of device that TensorFlow does not find here, and so what the report cannot tell."""
    kinds = {name.split(":")[0] for name in devices()}
    return {kind: "TensorFlow finds none on this machine" for kind in KINDS if kind not in kinds}


def limits(device: str, quick: bool = False) -> Limits:
    """The best of several runs. A short measurement, and so one that others' load can spoil."""
    side, repeats = (1024, 3) if quick else (4096, 8)
    if device.startswith("CPU"):
        return _cpu_limits(side, repeats)
    return _tensorflow_limits(device, side, repeats)


def _cpu_limits(side: int, repeats: int) -> Limits:
    square = np.ones((side, side), np.float32)
    memory = np.ones(READ_BYTES // 4, np.float32)
    parts = np.split(memory, 16 * CORES if len(memory) % (16 * CORES) == 0 else 16)
    product = _least_seconds(lambda: square @ square, repeats)
    # Of NumPy's reductions the maximum came nearest to the memory's speed; it releases the GIL.
    with ThreadPoolExecutor(CORES) as threads:
        read = _least_seconds(lambda: list(threads.map(np.max, parts)), repeats)
    how = f"NumPy's matrix product of {side}² float32; its maximum over 512 MB, {CORES} threads"
    return Limits(2 * side**3 / product, READ_BYTES / read, how, _multiply_adds(repeats))


@functools.cache
def _fma_library() -> ctypes.CDLL | None:
    """fma.c, compiled for this processor; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "fma.so")
        source = os.path.join(os.path.dirname(__file__), "fma.c")
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
        done = subprocess.run([compiler, *flags, source, "-o", library], capture_output=True)
        return None if done.returncode else ctypes.CDLL(library)


def _multiply_adds(repeats: int) -> float | None:
    """Operations per second on all cores."""
    if (library := _fma_library()) is None:
        return None
    run = library.multiply_add
    run.argtypes, run.restype = [ctypes.c_int64, ctypes.c_void_p], ctypes.c_int64
    counts: list[int] = []

    def all_cores() -> None:
        sums = [ctypes.c_float() for _ in range(CORES)]
        counts[:] = threads.map(lambda sum_: run(2_000_000, ctypes.byref(sum_)), sums)

    with ThreadPoolExecutor(CORES) as threads:
        seconds = _least_seconds(all_cores, repeats)
    return sum(counts) / seconds


def _tensorflow_limits(device: str, side: int, repeats: int) -> Limits:
    def waits(op: Callable) -> Callable:
        def run():
            op()
            tf.test.experimental.sync_devices()

        return run

    with tf.device(device):
        square = tf.ones((2 * side, 2 * side))
        memory = tf.ones(READ_BYTES // 4)
        product = _least_seconds(waits(lambda: tf.matmul(square, square)), repeats)
        read = _least_seconds(waits(lambda: tf.reduce_max(memory)), repeats)
    tensor_float = tf.config.experimental.tensor_float_32_execution_enabled()
    how = (
        f"TensorFlow's matrix product of {2 * side}² float32 "
        f"(TensorFloat-32 {'allowed' if tensor_float else 'off'}); its maximum over 512 MB"
    )
    return Limits(2 * (2 * side) ** 3 / product, READ_BYTES / read, how)


def _least_seconds(op: Callable, repeats: int) -> float:
    op()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        op()
        times.append(time.perf_counter() - start)
    return min(times)


def commit() -> str | None:
    """Of the source tree that the benchmarks lie in, with a + if it has been changed since."""
    git = [
        "git",
        "-C",
        os.path.dirname(__file__),
        "describe",
        "--always",
        "--exclude=*",
        "--dirty=+",
    ]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, or no repository


def processor() -> str:
    """Its name, where the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    return platform.machine()


def versions() -> dict[str, str]:
    """Of Python and of all that computes here."""
    names = (
        "tensorflow",
        "tensorflow-cpu",
        "numpy",
        "scipy",
        "scikit-learn",
        "faiss-cpu",
        "scikit-learn-intelex",
        "pytest-benchmark",
    )
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def blas() -> list[str]:
    """Each BLAS loaded, with the kernel that it chose for this processor."""
    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return [
        f"{library['internal_api']} {library['version']} ({library['prefix']}), "
        f"kernel {library.get('architecture', 'unknown')}, {library['num_threads']} threads"
        for library in loaded
    ]


def threads() -> dict[str, int]:
    """How many each side computes with."""
    ours = tf.config.threading.get_intra_op_parallelism_threads() or CORES  # 0: all cores
    return {"tfkm": ours, "scikit-learn": _openmp_effective_n_threads()}
