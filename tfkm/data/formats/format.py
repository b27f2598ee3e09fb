"""What a format is: how its files are read whole, read in parts, and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np


class TableOptions(NamedTuple):
    """How to read a file; which of these a format has is in its `Format.options`.

    columns: of a table, the features, by name or by number from 0, in this order; None for all but the id
    column. id_column: one that names the points, by name or number. header: whether the first line of a
    .csv holds names; None decides by `csv.has_header`. delimiter: what parts the columns of a .csv; None
    for a comma. array: the name of an array in an .npz; None for its only one, or one of a usual name.
    """

    columns: Sequence[str | int] | None = None
    id_column: str | int | None = None
    header: bool | None = None
    delimiter: str | None = None
    array: str | None = None


class File(Protocol):
    """A file that is read in parts. It can be pickled, so that workers can read their own.

    path; d: features. dtype: of the points, one that is computed with. rows: how many there are; None if
    only reading tells, and then it is always read from its first row.
    """

    path: Path
    d: int
    dtype: np.dtype

    @property
    def rows(self) -> int | None: ...

    def read(self, start: int, rows: int) -> Iterator[np.ndarray]:
        """Points (m, d), in order, from row `start` on; best `rows` at a time, which is a block."""


@dataclass(frozen=True)
class Format:
    """A kind of file. What is None cannot be done with it.

    name: what a message calls it. suffixes: in lower case, with the dot.

    read: of a path and options, all points as they are stored, an array (n, …) of numbers, and a pyarrow
    table (n, 1) of the id column, or None. What it raises becomes one sentence with the file's name.

    stream: of paths, a `File` for each. It raises ValueError naming the file that is wrong.

    write_labels: of a `whole_files.Target` and blocks of labels (rows,) int32, writes all of them, one
    block after the other. A format with the option `id_column` also takes `ids`, a table as from `read`.

    options: the names of the `TableOptions` that it has. needs: raises ImportError, with the remedy, if a
    package is not installed that it needs.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, TableOptions], tuple[np.ndarray, Any]] | None = None
    stream: Callable[[Sequence[Path]], Sequence[File]] | None = None
    write_labels: Callable[..., None] | None = None
    options: tuple[str, ...] = ()
    needs: Callable[[], object] = lambda: None


def check_points(path: Path, points: np.ndarray) -> None:
    """Raises: ValueError naming the file, if an array is not n points of d numbers, n and d ≥ 1."""
    if points.ndim < 2:
        raise ValueError(
            f"{path}: shape {points.shape}; it needs (n, d), one point a row; "
            "n numbers are n points as x.reshape(-1, 1), one point as x.reshape(1, -1)"
        )
    if 0 in points.shape:
        raise ValueError(f"{path}: shape {points.shape} is empty; it needs a point and a feature")
    if points.dtype.kind not in "fiub" or points.dtype.itemsize > 8:
        raise ValueError(f"{path}: dtype {points.dtype}; allowed are numbers of at most 64 bits")


@contextmanager
def as_one_sentence(path: Path, kind: str) -> Iterator[None]:
    """Whatever a library raises over a broken file becomes one sentence with the file's name.

    Each has errors of its own: of its parser, of the system, of a size that cannot be. A ValueError that
    begins with the name is one already.
    """
    try:
        yield
    except ImportError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such file") from error
    except Exception as error:
        if type(error) is ValueError and str(error).startswith(f"{path}: "):
            raise
        reason = " ".join(str(error).split()).partition(". ")[0] or type(error).__name__
        raise ValueError(f"{path}: cannot be read as {kind}: {reason}") from error
