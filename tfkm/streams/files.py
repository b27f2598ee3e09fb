"""A source made of files, which are read in parts; formats of files are in `tfkm.data.formats`."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Generator, Iterator
from pathlib import Path

from tfkm.data import formats
from tfkm.data.formats.format import File, Format, as_one_sentence
from tfkm.data.whole_files import existing
from tfkm.seeding.draws import chunk_rows
from tfkm.streams.blocks import Part


class Files:
    """A `Source` of files, one behind the other; workers can read from its middle if it has `rows`."""

    weighted = False

    def __init__(self, paths: list[Path], name: str) -> None:
        """Raises: ValueError if they differ in features or dtype, or what is wrong with one of them."""
        self._files: list[tuple[File, str]] = []  # with the name of its format
        kinds = [_format_of(path, name) for path in paths]
        for kind, some in itertools.groupby(zip(kinds, paths, strict=True), lambda pair: pair[0]):
            assert kind.stream is not None
            self._files += [(file, kind.name) for file in kind.stream([path for _, path in some])]
        first, _ = self._files[0]
        for file, _ in self._files:
            if (file.d, file.dtype) != (first.d, first.dtype):
                raise ValueError(
                    f"{file.path}: {file.d} features of {file.dtype}; {first.path} has {first.d} of "
                    f"{first.dtype}"
                )
        self.name, self.d, self.dtype = name, first.d, first.dtype
        rows = [file.rows for file, _ in self._files]
        self.rows = None if None in rows else sum(n for n in rows if n is not None)

    def read(self, start: int) -> Iterator[Part]:
        """As `Source.read`. Raises: ValueError, if a file is not as it was when it was opened."""
        for file, kind in self._files:
            if file.rows is not None and start >= file.rows:
                start -= file.rows
                continue
            with as_one_sentence(file.path, kind):
                start = yield from self._parts(file, start)

    def _parts(self, file: File, start: int) -> Generator[Part, None, int]:
        """Those of one file from this row on; returns how many rows of the next are to be skipped."""
        # What does not know its length is read from its first row.
        at, left = (0, start) if file.rows is None else (start, 0)
        # So that a part is a block and not copied.
        for points in file.read(at, chunk_rows(self.d, self.dtype.itemsize)):
            if (points.shape[1], points.dtype) != (self.d, self.dtype):
                raise ValueError(
                    f"{file.path}: from row {at:,} on {points.shape[1]} features of {points.dtype}; "
                    f"before it had {self.d} of {self.dtype}"
                )
            at += len(points)
            skipped = min(left, len(points))
            left -= skipped
            if skipped < len(points):
                yield Part(points[skipped:], None)
        if file.rows is not None and at != file.rows:
            raise ValueError(f"{file.path}: {at:,} points, where there were {file.rows:,}")
        return left


def _format_of(path: Path, name: str) -> Format:
    refusal = f"{name}: {path.suffix.lower()!r} files cannot be read in parts"
    return formats.for_use(path, "stream", refusal)


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
        existing(path)
    return paths
