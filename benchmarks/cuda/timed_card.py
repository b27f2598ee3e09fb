"""A card that measures time and runs kernels of any source, for `bench` and `limits`."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tfkm.cuda import driver

KERNELS = Path(__file__).parents[2] / "kernels"


class TimedCard(driver.Card):
    """A card that can be timed. Where no launcher is installed, a C++ compiler makes it first.

    Raises:
      RuntimeError: there is no driver or no card, or there is no launcher and no compiler for it.
    """

    def __init__(self, number: int = 0) -> None:
        try:
            library = driver.launcher()
        except RuntimeError:
            library = compiled_launcher()
        super().__init__(number, library)

    def free_bytes(self) -> int:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._do("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def milliseconds(self, work: Callable[[], None], times: int = 1) -> float:
        """Return how long the card takes for what `work` launches, the mean of so many times.

        The host launches ahead, so that only what is shorter than its launches is timed with them.
        """
        events = [ctypes.c_void_p() for _ in range(2)]
        for event in events:
            self._do("cuEventCreate", ctypes.byref(event), 0)
        self._do("cuEventRecord", events[0], None)
        for _ in range(times):
            work()
        self._do("cuEventRecord", events[1], None)
        self._do("cuEventSynchronize", events[1])
        taken = ctypes.c_float()
        self._do("cuEventElapsedTime", ctypes.byref(taken), *events)
        for event in events:
            self._do("cuEventDestroy_v2", event)
        return taken.value / times

    def function(self, image: bytes, name: str) -> Callable[..., None]:
        """Return a kernel of an image, as function(blocks, threads, *arguments of ctypes)."""
        module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
        self._do("cuModuleLoadData", ctypes.byref(module), image)
        self._do("cuModuleGetFunction", ctypes.byref(kernel), module, name.encode())

        def launch(blocks: int, threads: int, *arguments) -> None:
            at = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
            self._do("cuLaunchKernel", kernel, blocks, 1, 1, threads, 1, 1, 0, None, at, None)

        return launch


def compiled_launcher() -> ctypes.CDLL:
    """Compile the launcher of the source tree as CMakeLists.txt does; takes some seconds."""
    missing = "the launcher of the CUDA kernels, tfkm/_cuda.so, was not built"
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise RuntimeError(f"{missing}, and there is no C++ compiler")
    files = [str(KERNELS / name) for name in ("cuda/by_ctypes.cc", "xla/cuda_handlers.cc")]
    include = (f"-I{KERNELS / folder}" for folder in ("core", "cuda"))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "_cuda.so")
        flags = ["-std=c++17", "-O2", "-shared", "-fPIC", *include]
        command = [compiler, *flags, *files, "-ldl", "-o", path]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{missing}, and {compiler} fails: {done.stderr}")
        return driver.declared(ctypes.CDLL(path))
