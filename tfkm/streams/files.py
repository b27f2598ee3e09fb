"""Points in files, which are read in parts: .npy, Parquet and TFRecord."""

from __future__ import annotations

import glob
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from tfkm.checks import point_dtype
from tfkm.data import arrays, files
from tfkm.seeding.draws import chunk_rows
from tfkm.streams.blocks import Memory, Part

_PART_BYTES = 2**23  # read at a time
_TFRECORD = (".tfrecord", ".tfrecords")
_FEATURE = "points"  # of an Example with several features


class File(Protocol):
    """path; rows, d: sizes; dtype: of the points, one that is computed with."""

    path: Path
    rows: int
    d: int
    dtype: np.dtype

    def read(self, start: int) -> Iterator[np.ndarray]:
        """Points (m, d), in order, from row `start` on."""


class Files:
    """A `Source` of .npy or Parquet files, one behind the other; workers can read from its middle."""

    weighted = False

    def __init__(self, paths: list[Path], name: str) -> None:
        """Raises: ValueError if they differ in features or dtype, or what is wrong with one of them."""
        self._files = [_KINDS[path.suffix.lower()](path) for path in paths]
        first = self._files[0]
        for file in self._files:
            if (file.d, file.dtype) != (first.d, first.dtype):
                raise ValueError(
                    f"{file.path}: {file.d} features of {file.dtype}; {first.path} has {first.d} of "
                    f"{first.dtype}"
                )
        self.name, self.d, self.dtype = name, first.d, first.dtype
        self.rows: int | None = sum(file.rows for file in self._files)

    def read(self, start: int) -> Iterator[Part]:
        """As `Source.read`. Raises: ValueError, if a file is not as it was when it was opened."""
        for file in self._files:
            if start < file.rows:
                read = 0
                for points in file.read(start):
                    if (points.shape[1], points.dtype) != (self.d, self.dtype):
                        raise ValueError(
                            f"{file.path}: from row {start + read:,} on {points.shape[1]} features of "
                            f"{points.dtype}; before it had {self.d} of {self.dtype}"
                        )
                    read += len(points)
                    yield Part(points, None)
                if start + read != file.rows:
                    raise ValueError(
                        f"{file.path}: {start + read:,} points, where there were {file.rows:,}"
                    )
            start = max(0, start - file.rows)


class Npy:
    """An .npy file."""

    def __init__(self, path: Path) -> None:
        array = files.read_header(path)
        self.path, self.rows, self.d = path, len(array), int(np.prod(array.shape[1:]))
        self.stored, self.dtype = array.dtype, point_dtype(array.dtype)
        self._offset = array.offset if array.flags.c_contiguous else None

    def read(self, start: int) -> Iterator[np.ndarray]:
        with files.as_one_sentence(self.path, ".npy"):
            yield from self._read(start)

    def _read(self, start: int) -> Iterator[np.ndarray]:
        width = self.d * self.stored.itemsize
        rows = chunk_rows(self.d, self.dtype.itemsize)  # so that a part is a block and not copied
        if self._offset is None:  # Fortran's order: rows are not beside each other
            array = files.read_header(self.path)
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


class Parquet:
    """A Parquet file: each column is a feature, or its only column holds lists of one length."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file, files.as_one_sentence(path, ".parquet"):
            self.rows, schema = file.metadata.num_rows, file.schema_arrow
            self._groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            first = files.columns(schema.empty_table())
            if self.rows and len(schema) == 1 and files.is_list(schema.types[0]):
                first = _array(next(file.iter_batches(1)))  # a list is as long as the first
        if self.rows == 0:
            raise ValueError(f"{path}: no rows; it needs at least one point")
        self.dtype, self.d = first.dtype, first.shape[1]

    def read(self, start: int) -> Iterator[np.ndarray]:
        group = 0
        while group < len(self._groups) and start >= self._groups[group]:
            start -= self._groups[group]
            group += 1
        rows = max(1, _PART_BYTES // (self.d * self.dtype.itemsize))
        with self._open() as file, files.as_one_sentence(self.path, ".parquet"):
            for batch in file.iter_batches(rows, row_groups=range(group, len(self._groups))):
                skipped = min(start, len(batch))
                start -= skipped
                if skipped < len(batch):
                    yield _array(batch[skipped:])

    def _open(self):
        with files.wanting_pyarrow():
            from pyarrow import parquet
        files.existing(self.path)
        with files.as_one_sentence(self.path, ".parquet"):
            return parquet.ParquetFile(self.path)


def _array(batch) -> np.ndarray:
    import pyarrow

    return files.columns(pyarrow.Table.from_batches([batch]))


_KINDS: dict[str, Callable[[Path], File]] = {".npy": Npy, ".parquet": Parquet}


def found(where: str | os.PathLike | list, name: str) -> list[Path]:
    """The files of a path, a pattern with * or ?, or a list of paths, in this order; patterns sorted.

    Raises: ValueError or FileNotFoundError naming what is wrong.
    """
    if isinstance(where, list | tuple):
        return [path for one in where for path in found(one, name)]
    text = os.fspath(where)
    if glob.has_magic(text) and not os.path.exists(text):
        paths = sorted(map(Path, glob.glob(text, recursive=True)))
        if not paths:
            raise FileNotFoundError(f"{name}: no file is named like {text!r}")
    else:
        paths = [Path(text)]
    for path in paths:
        if path.is_dir():
            raise ValueError(
                f"{name}: {path} is a folder, not a file; '{path}/*.npy' is all files of a kind in it"
            )
        files.existing(path)
    suffixes = {path.suffix.lower() for path in paths}
    if wrong := suffixes - {*_KINDS, *_TFRECORD}:
        raise ValueError(
            f"{name}: {sorted(wrong)[0]!r} files cannot be read in parts; allowed are "
            f"{', '.join((*_KINDS, *_TFRECORD))}"
        )
    return paths


def mapped(array: np.ndarray | None) -> Path | None:
    """The .npy file of which this is a map, the whole of it and in its order."""
    whole = array
    while isinstance(whole, np.ndarray) and not isinstance(whole.base, mmap.mmap):
        whole = whole.base  # scikit-learn and NumPy make views
    if array is None or not isinstance(whole, np.memmap) or whole.mode == "c":
        return None
    if not (whole.filename and str(whole.filename).endswith(".npy") and array.flags.c_contiguous):
        return None
    path = Path(whole.filename)
    like = files.read_header(path)
    same = (array.shape, array.dtype, array.ctypes.data, whole.offset) == (
        like.shape, like.dtype, whole.ctypes.data, like.offset,
    )  # fmt: skip
    return path if same and like.flags.c_contiguous else None


def are_records(paths: list[Path]) -> bool:
    """Whether they are TFRecord files. Raises: ValueError if only some are."""
    records = {path.suffix.lower() in _TFRECORD for path in paths}
    if len(records) == 2:
        raise ValueError(f"points: TFRecord files with others: {paths[0]}, …")
    return records.pop()


class Records:
    """A `Source` of TFRecord files of `tf.train.Example`s: a point is the feature `points`, or the only
    one."""

    dtype, weighted, rows = np.dtype(np.float32), False, None

    def __init__(self, paths: list[Path], name: str) -> None:
        """Raises: ValueError naming what is wrong with the first file."""
        tf = arrays.tensorflow_for(f"{name}: a TFRecord file")
        self.name, self._paths = name, paths
        with files.as_one_sentence(paths[0], "TFRecord"):
            first = next(iter(tf.data.TFRecordDataset(os.fspath(paths[0]))), None)
            if first is None:
                raise ValueError("no records; it needs at least one")
            features = tf.train.Example.FromString(first.numpy()).features.feature
        self._feature = next(iter(features)) if len(features) == 1 else _FEATURE
        self.d = len(features[self._feature].float_list.value) if self._feature in features else 0
        if not self.d:
            listed = ", ".join(sorted(features)) or "none"
            raise ValueError(
                f"{name}: {paths[0]} has features {listed}; it needs floats in {_FEATURE!r}, or in the "
                "only one"
            )

    def read(self, start: int) -> Iterator[Part]:
        """As `Source.read`. Raises: ValueError naming the file that is damaged."""
        import tensorflow as tf

        rows = max(1, _PART_BYTES // (4 * self.d))
        description = {self._feature: tf.io.FixedLenFeature([self.d], tf.float32)}
        for path in self._paths:
            with files.as_one_sentence(path, "TFRecord"):
                for some in tf.data.TFRecordDataset(os.fspath(path)).batch(rows):
                    points = tf.io.parse_example(some, description)[self._feature].numpy()
                    skipped = min(start, len(points))
                    start -= skipped
                    if skipped < len(points):
                        yield Part(points[skipped:], None)
