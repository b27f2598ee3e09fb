"""Compiles the CUDA kernels, by NVRTC: a library of CUDA that needs no card, no nvcc and no header.

It comes with CUDA, with `tensorflow[and-cuda]`, and alone as the package nvidia-cuda-nvrtc-cu12 (or
-cu13).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

# Points of one type, computed in another: the types of kernels/cuda/kernels.cu.
TYPES = {
    "float32": "float", "float64": "double", "float16": "Float16", "bfloat16": "Bfloat16",
    "int8": "int8_t", "uint8": "uint8_t",
}  # fmt: skip
# (dtype of points, whether computed in float64): each pair has kernels of its own.
PAIRS = [(t, wide) for wide in (False, True) for t in TYPES if wide or t != "float64"]

OLDEST = 80  # of compute capabilities, times ten: the first with bfloat16 in tensor cores
_OPTIONS = ("-std=c++17", "-default-device", "--ptxas-options=-v")


class Compiled(NamedTuple):
    """cubin: what the driver loads (PTX where NVRTC is older than the card). log: what the compiler
    says."""

    cubin: bytes
    log: str


def compile_kernels(arch: str, points: str, wide: bool) -> Compiled:
    """The kernels for points of a dtype, computed in float64 if `wide` else in float32.

    arch: "sm_90" and the like. One that this NVRTC does not know becomes PTX of the newest that it
    knows,
    which the driver compiles further.

    Raises:
      RuntimeError: there is no NVRTC, or it refuses the source, with what it says.
    """
    return compile_source(sources() / "kernels.cu", arch, definitions(points, wide))


def compile_source(source: Path, arch: str, definitions: Iterable[str] = ()) -> Compiled:
    """Another source, as `compile_kernels`; it may include what the kernels do."""
    return _Compiler(_library()).compile(_target(arch), source, definitions)


def cached(arch: str, points: str, wide: bool, anew: bool = False) -> bytes:
    """As `compile_kernels(…).cubin`, kept in `folder` for the next process; anew: whatever is there."""
    about = _target(arch), _OPTIONS, definitions(points, wide), version()
    key = hashlib.sha256(repr(about).encode())
    for path in sorted(sources().glob("*.*")):
        key.update(path.name.encode() + path.read_bytes())
    path = folder() / f"{key.hexdigest()[:32]}.cubin"
    if path.exists() and not anew:
        return path.read_bytes()
    cubin = compile_kernels(arch, points, wide).cubin
    keep(path, cubin)
    return cubin


def load(take: Callable[[bytes], None], arch: str, points: str, wide: bool) -> bytes:
    """The cubin that `take` has taken. One that it refuses, by RuntimeError, may be a damaged file: it is
    compiled once more."""
    cubin = cached(arch, points, wide)
    try:
        take(cubin)
    except RuntimeError:
        cubin = cached(arch, points, wide, anew=True)
        take(cubin)
    return cubin


def folder() -> Path:
    """Where files stay for the next process: $XDG_CACHE_HOME/tfkm, else ~/.cache/tfkm."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfkm"


def keep(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, for processes side by side."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError:
        pass  # a home that cannot be written: made again next time


def sources() -> Path:
    """The folder of the kernels: installed beside this file, or in the source tree."""
    here = Path(__file__).parent
    installed = here / "kernels"
    return installed if installed.exists() else here.parents[1] / "kernels" / "cuda"


def definitions(points: str, wide: bool) -> list[str]:
    """Of kernels.cu, as options."""
    real = "double" if wide else "float"
    return [f"-DTFKM_POINTS={TYPES[points]}", f"-DTFKM_REAL={real}", f"-DTFKM_WIDE={int(wide)}"]


def version() -> tuple[int, int]:
    """NVRTC's."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


# --- NVRTC
# -----------------------------------------------------------------------------------------


class _Compiler:
    def __init__(self, library: ctypes.CDLL):
        self.library = library
        self.program = ctypes.c_void_p()

    def compile(self, target: str, source: Path, definitions: Iterable[str]) -> Compiled:
        options = [f"-arch={target}", f"-I{sources()}", *_OPTIONS, *definitions]
        text, name = source.read_bytes(), source.name.encode()
        self._call("nvrtcCreateProgram", text, name, 0, None, None)
        try:
            given = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
            status = self.library.nvrtcCompileProgram(self.program, len(options), given)
            log = self._text("ProgramLog").decode()
            if status:
                raise RuntimeError(f"NVRTC refuses the kernels for {target}:\n{log}")
            return Compiled(self._text("CUBIN" if target.startswith("sm_") else "PTX"), log)
        finally:
            self.library.nvrtcDestroyProgram(ctypes.byref(self.program))

    def _call(self, name: str, *arguments) -> None:
        if status := getattr(self.library, name)(ctypes.byref(self.program), *arguments):
            raise RuntimeError(f"{name} failed with status {status}")

    def _text(self, what: str) -> bytes:
        size = ctypes.c_size_t()
        getattr(self.library, f"nvrtcGet{what}Size")(self.program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        getattr(self.library, f"nvrtcGet{what}")(self.program, text)
        return text.raw if what == "CUBIN" else text.value


def _target(arch: str) -> str:
    """The arch itself, or the newest PTX if NVRTC does not know it."""
    number = int(arch.removeprefix("sm_"))
    if number < OLDEST:
        raise RuntimeError(f"{arch} is older than Ampere (sm_{OLDEST})")
    count = ctypes.c_int()
    _library().nvrtcGetNumSupportedArchs(ctypes.byref(count))
    known = (ctypes.c_int * count.value)()
    _library().nvrtcGetSupportedArchs(known)
    return arch if number in list(known) else f"compute_{max(a for a in known if a <= number)}"


@functools.cache
def _library() -> ctypes.CDLL:
    tried = []
    for path in _candidates():
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            tried.append(str(error))
    raise RuntimeError(
        "no NVRTC: it comes with CUDA, with tensorflow[and-cuda], and as nvidia-cuda-nvrtc-cu12 "
        f"({'; '.join(tried)})"
    )


def _candidates() -> list[Path | str]:
    """Those of Python packages first, then what the system has."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    inside = [
        path
        for folder in folders
        for path in sorted(folder.glob("*/lib/libnvrtc.so.*"), reverse=True)
    ]
    return [*inside, "libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so"]
