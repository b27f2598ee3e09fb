"""Arrays in .npy files: mapped, or read in parts."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfkm.checks import point_dtype
from tfkm.data.formats.format import Format, TableOptions, as_one_sentence, check_points
from tfkm.data.memory import Memory
from tfkm.data.whole_files import Target, existing


def read_header(path: Path) -> np.memmap:
    """A file of points (n, …), n and d ≥ 1, of numbers, mapped and not read.

    Raises: FileNotFoundError, ValueError: as `files.read_points`.
    """
    path = existing(path)
    with as_one_sentence(path, ".npy"):
        # Unlike np.load it reads nothing but this format, and maps files of any size.
        array = np.lib.format.open_memmap(path, mode="r")
    check_points(path, array)
    return array


def mapped(array: np.ndarray | None) -> Path | None:
    """The file of which this is a map, the whole of it and in its order."""
    whole = array
    while isinstance(whole, np.ndarray) and not isinstance(whole.base, mmap.mmap):
        whole = whole.base  # scikit-learn and NumPy make views
    if array is None or not isinstance(whole, np.memmap) or whole.mode == "c":
        return None
    if not (whole.filename and str(whole.filename).endswith(".npy") and array.flags.c_contiguous):
        return None
    path = Path(whole.filename)
    like = read_header(path)
    same = (array.shape, array.dtype, array.ctypes.data, whole.offset) == (
        like.shape, like.dtype, whole.ctypes.data, like.offset,
    )  # fmt: skip
    return path if same and like.flags.c_contiguous else None


class NpyFile:
    """A file that is read in parts."""

    def __init__(self, path: Path) -> None:
        array = read_header(path)
        self.path, self.rows, self.d = path, len(array), int(np.prod(array.shape[1:]))
        self.stored, self.dtype = array.dtype, point_dtype(array.dtype)
        self._offset = array.offset if array.flags.c_contiguous else None

    def read(self, start: int, rows: int) -> Iterator[np.ndarray]:
        """As `File.read`."""
        width = self.d * self.stored.itemsize
        if self._offset is None:  # Fortran's order: rows are not beside each other
            array = read_header(self.path)
            for first in range(start, self.rows, rows):
                yield np.array(array[first : first + rows], self.dtype).reshape(-1, self.d)
            return
        # Read and not mapped: the thread that reads ahead is to wait for the disk, not who computes.
        memory = Memory()
        with open(self.path, "rb") as file:
            file.seek(self._offset + start * width)
            for first in range(start, self.rows, rows):
                points = memory.array((rows, self.d), self.stored)[: self.rows - first]
                whole = file.readinto(points.view(np.uint8).data) // width
                yield points[:whole].astype(self.dtype, copy=False)
                if whole < len(points):
                    return
                del points  # so that its memory can be the next one's


def _read(path: Path, options: TableOptions) -> tuple[np.ndarray, Any]:
    return read_header(path), None


def _stream(paths: Sequence[Path]) -> list[NpyFile]:
    return [NpyFile(path) for path in paths]


def _write_labels(file: Target, blocks: Iterable[np.ndarray]) -> None:
    def header(n: int) -> None:
        file.seek(0)
        fields = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.int32)), "fortran_order": False}
        # NumPy leaves room for n to grow.
        np.lib.format.write_array_header_1_0(file, {**fields, "shape": (n,)})

    n = 0
    header(n)
    for labels in blocks:
        file.write(np.ascontiguousarray(labels, np.int32).data)
        n += len(labels)
    header(n)


FORMAT = Format(
    name=".npy",
    suffixes=(".npy",),
    read=_read,
    stream=_stream,
    write_labels=_write_labels,
)
