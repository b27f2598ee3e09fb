"""A card by the CUDA driver, and the kernels on it, by ctypes alone: for `check`, CuPy and the tests.

TensorFlow is not needed, and where it is used this is not: XLA calls the same launcher with its own memory.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfkm.cuda import nvrtc

_DTYPES = tuple(nvrtc.TYPES)  # in the order of `tfkm::Dtype`


class DeviceWords(ctypes.Structure):
    """`tfkm::cuda::Words`."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("sums", "weights")]


# Of the inertia, 64-bit integers, and behind them whether a term was no number (kernels/cuda/sums.h).
DIGITS = 66 + 1


class Call(ctypes.Structure):
    """`tfkm::cuda::Call` of kernels/cuda/launch.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n", "k", "d")),
        ("points", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("dtype", ctypes.c_int32),
        ("wide", ctypes.c_int32),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "centroids", "weights", "grid_sums", "grid", "labels", "sq_distances",
            )
        ),
        ("high", DeviceWords),
        ("low", DeviceWords),
        ("inertia", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("tile", ctypes.c_char_p),
    ]  # fmt: skip


class Answer(NamedTuple):
    """labels (n,), sq_distances (n,), high and low words of the sums, (k, d) and (k,), the inertia."""

    labels: np.ndarray
    sq_distances: np.ndarray
    high: tuple[np.ndarray, ...] | None
    low: tuple[np.ndarray, ...] | None
    inertia: float | None


class Card:
    """A card that the driver shows, with memory of its own and the kernels that were loaded for it.

    Any thread may use it, one at a time. library: the launcher, if not the installed one.

    Raises:
      RuntimeError: there is no driver, no card, or no launcher (`tfkm/_cuda.so`).
    """

    _PROCESSORS, _MAJOR, _MINOR = 16, 75, 76

    def __init__(self, number: int = 0, library: ctypes.CDLL | None = None) -> None:
        self._driver = _library()
        self.launcher = library or launcher()
        self._device, self._context = ctypes.c_int(), ctypes.c_void_p()
        self._do("cuInit", 0)
        self._do("cuDeviceGet", ctypes.byref(self._device), number)
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self._kernels: dict[tuple[str, bool], ctypes.c_void_p] = {}

    @functools.cached_property
    def processors(self) -> int:
        return self._attribute(self._PROCESSORS)

    @property
    def arch(self) -> str:
        """ "sm_90" and the like."""
        return f"sm_{self._attribute(self._MAJOR)}{self._attribute(self._MINOR)}"

    @property
    def name(self) -> str:
        name = ctypes.create_string_buffer(256)
        self._do("cuDeviceGetName", name, len(name), self._device)
        return name.value.decode()

    def load(self, points: str, wide: bool, image: bytes) -> None:
        """Takes the kernels for a dtype of points, computed in float64 if `wide`."""
        kernels = ctypes.c_void_p()
        why = self.launcher.tfkm_cuda_load(image, ctypes.byref(kernels))
        if why:
            raise RuntimeError(why.decode())
        self._kernels[points, wide] = kernels

    def accumulate(self, call: Call, stream: int | None = None) -> None:
        """Launches, on pointers of the card and with scratch of `scratch_bytes`; does not wait.

        stream: a CUstream, as CuPy's `stream.ptr`; None for the one that all others wait for.
        """
        kernels = self._kernels[_DTYPES[call.dtype], bool(call.wide)]
        self.enter()
        why = self.launcher.tfkm_cuda_accumulate(
            kernels, ctypes.c_void_p(stream), ctypes.byref(call), self.processors
        )
        if why:
            raise RuntimeError(why.decode())

    def scratch_bytes(self, call: Call) -> int:
        size = self.launcher.tfkm_cuda_scratch_bytes(ctypes.byref(call), self.processors)
        if size < 0:
            raise ValueError(f"sizes that the kernels do not take: {call.n}, {call.k}, {call.d}")
        return size

    # --- memory
    # ---------------------------------------------------------------------------

    def allocate(self, size: int) -> DeviceMemory:
        return DeviceMemory(self, size)

    def copy(self, array: np.ndarray) -> DeviceMemory:
        memory = self.allocate(array.nbytes)
        self.fill(memory, array)
        return memory

    def fill(self, memory: DeviceMemory, array: np.ndarray) -> None:
        array = np.ascontiguousarray(array)
        size = ctypes.c_size_t(array.nbytes)
        self._do("cuMemcpyHtoD_v2", memory.at, ctypes.c_void_p(array.ctypes.data), size)

    def fetch(self, memory: DeviceMemory, shape: tuple[int, ...], dtype) -> np.ndarray:
        array = np.empty(shape, dtype)
        size = ctypes.c_size_t(array.nbytes)
        self._do("cuMemcpyDtoH_v2", ctypes.c_void_p(array.ctypes.data), memory.at, size)
        return array

    def wait(self) -> None:
        self._do("cuStreamSynchronize", None)

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._do("cuDeviceGetAttribute", ctypes.byref(value), number, self._device)
        return value.value

    def enter(self) -> None:
        """Makes this thread's calls of the driver go to this card."""
        if self._context:
            self._driver.cuCtxSetCurrent(self._context)

    def _do(self, name: str, *arguments) -> None:
        self.enter()
        if status := getattr(self._driver, name)(*arguments):
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(status, ctypes.byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'unknown').decode()}")


class DeviceMemory:
    """Bytes of a card, given back with this object."""

    def __init__(self, card: Card, size: int):
        self._card, self.at = card, ctypes.c_void_p()
        card._do("cuMemAlloc_v2", ctypes.byref(self.at), ctypes.c_size_t(max(size, 1)))

    def __del__(self) -> None:
        if self.at:
            self._card.enter()
            self._card._driver.cuMemFree_v2(self.at)


class Prepared:
    """One problem on a card: `launch` as often as wanted, then `answer`.

    points (n, d), centroids (k, d) float32 or float64, weights (n,) float64 or None. grid: (sums
    (d,), others (2,)) as in
    tfkm.exact, or None for labels and distances only. tile: a name from kernels/cuda/tuning.h, or
    None.
    """

    def __init__(self, card: Card, points, centroids, weights=None, grid=None, tile=None):
        (n, d), k = points.shape, len(centroids)
        self.card, self.shape, self.dtype = card, (n, k, d), centroids.dtype
        self.grid = grid
        given = {"points": points, "centroids": centroids, "weights": weights}
        given["grid_sums"], given["grid"] = grid or (None, None)
        self.held = {name: card.copy(a) for name, a in given.items() if a is not None}
        self.held["labels"] = card.allocate(4 * n)
        self.held["sq_distances"] = card.allocate(centroids.itemsize * n)
        self._words = [[card.allocate(8 * size) for size in (k * d, k)] for _ in range(2)]
        self._digits = card.allocate(8 * DIGITS)
        self.call = Call(n=n, k=k, d=d, stride=d, dtype=_DTYPES.index(points.dtype.name))
        self.call.wide, self.call.tile = centroids.dtype == np.float64, tile and tile.encode()
        for name, memory in self.held.items():
            setattr(self.call, name, memory.at)
        if grid:
            self.call.high, self.call.low = (
                DeviceWords(*(m.at for m in word)) for word in self._words
            )
            self.call.inertia = self._digits.at
        self._scratch = card.allocate(card.scratch_bytes(self.call))
        self.call.scratch = self._scratch.at

    def launch(self) -> None:
        self.card.accumulate(self.call)

    def answer(self) -> Answer:
        self.card.wait()
        n, k, d = self.shape
        words = [
            tuple(
                self.card.fetch(memory, shape, np.float64)
                for memory, shape in zip(word, ((k, d), (k,)), strict=True)
            )
            for word in self._words
        ]
        digits = self.card.fetch(self._digits, (DIGITS,), np.int64)
        labels = self.card.fetch(self.held["labels"], (n,), np.int32)
        distances = self.card.fetch(self.held["sq_distances"], (n,), self.dtype)
        if not self.grid:
            return Answer(labels, distances, None, None, None)
        high, low = words
        return Answer(labels, distances, high, low, _total(digits))


def _total(digits: np.ndarray) -> float:
    """The number nearest to the sum of the digits."""
    whole = sum(int(digit) << (32 * i) for i, digit in enumerate(digits[:-1]))
    return math.nan if digits[-1] else whole / 2**1074


def load_compiled(card: Card, points: str, wide: bool = False) -> None:
    """`Card.load` of kernels that NVRTC makes for this card."""
    nvrtc.load(functools.partial(card.load, points, wide), card.arch, points, wide)


def solve(card: Card, dtype: str, points: np.ndarray, *others) -> Answer:
    """A problem that is asked once, as tfkm/cuda/check.py wants it: points as this dtype."""
    prepared = Prepared(card, points.astype(dtype), *others)
    prepared.launch()
    return prepared.answer()


def version() -> int:
    """That of CUDA which the driver speaks, as 12080."""
    number = ctypes.c_int()
    _library().cuDriverGetVersion(ctypes.byref(number))
    return number.value


def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise RuntimeError(f"no CUDA driver: {error}") from None


@functools.cache
def launcher() -> ctypes.CDLL:
    """The library of kernels/cuda/by_ctypes.h.

    Raises:
      RuntimeError: it was not built.
    """
    path = _launcher_path()
    if path is None:
        raise RuntimeError("the launcher of the CUDA kernels, tfkm/_cuda.so, was not built")
    return declared(ctypes.CDLL(path))


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """Return the launcher with the types of its results."""
    library.tfkm_cuda_load.restype = library.tfkm_cuda_accumulate.restype = ctypes.c_char_p
    library.tfkm_cuda_scratch_bytes.restype = ctypes.c_int64
    return library


def _launcher_path() -> str | None:
    spec = importlib.util.find_spec("tfkm._cuda")
    if spec is not None and spec.origin is not None:
        return spec.origin
    beside = Path(__file__).parents[1] / "_cuda.so"
    if beside.exists():
        return str(beside)
    try:
        files = importlib.metadata.files("tfkm") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    return next((str(file.locate()) for file in files if file.name == "_cuda.so"), None)
