"""Points and labels out of files, and files written whole or not at all. No TensorFlow, no pickles."""

from __future__ import annotations

import csv
import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np

_NAMES = ("points", "images", "X")  # of the array to take from an .npz of several
# What libraries raise over a broken file.
BROKEN = (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def read_points(path: str | os.PathLike, array: str | None = None) -> np.ndarray:
    """The points (n, d) of a .npy, .npz, .csv or .parquet file, n and d ≥ 1.

    A .npy is memory-mapped, read-only. Points of several axes, as images (n, height, width), are
    flattened. float16, float32, float64, int8 and uint8 stay as they are; bool and the other integers
    are copied to float32 if that holds all values of their dtype, else to float64. A .csv or
    .parquet file becomes one array of the dtype that holds all its columns. The first line of a .csv
    is a header unless all of it is numbers.

    Args:
      array: the name of the array in an .npz; None for its only one, else `points`, `images` or `X`.

    Raises:
      FileNotFoundError: there is no such file. ValueError: it is not as above. ImportError: .csv and
        .parquet need pyarrow, which comes with the extra `files`.

    >>> import numpy as np, tempfile
    >>> path = tempfile.mkdtemp() + "/points.npy"
    >>> np.save(path, np.zeros((5, 2), np.uint8))
    >>> read_points(path).shape
    (5, 2)
    """
    path = existing(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: {path.suffix!r} cannot be read; allowed are {_suffixes()}")
    if array is not None and reader is not _read_npz:
        raise ValueError(f"{path}: array {array!r} is asked for; only an .npz has named arrays")
    points = reader(path) if array is None else reader(path, array)
    _checked(path, points)
    return points.reshape(len(points), -1).astype(computable(points.dtype), copy=False)


def read_header(path: str | os.PathLike) -> np.memmap:
    """An .npy file of points (n, …), n and d ≥ 1, of numbers, mapped and not read.

    Raises: FileNotFoundError, ValueError: as `read_points`.
    """
    path = existing(path)
    array = _read_npy(path)
    _checked(path, array)
    return array


def read_labels(path: str | os.PathLike, array: str = "labels") -> np.ndarray:
    """The array of integers (n,) of that name in an .npz file.

    Raises:
      FileNotFoundError, ValueError: as `read_points`.
    """
    path = existing(path)
    labels = _read_npz(path, array)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: {array!r} has shape {labels.shape}, dtype {labels.dtype}; "
            "it needs integers of shape (n,)"
        )
    return labels


def check_target(path: Path, *, force: bool = False) -> None:
    """Raises OSError where `replacing` could not write: better before long work than after."""
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {str(folder)!r}")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path}: is not a regular file")
    if path.exists() and not force:
        raise FileExistsError(
            f"{path}: exists already; --force (in Python force=True) overwrites it"
        )
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path}: the folder {str(folder)!r} cannot be written to")


@contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[IO[bytes]]:
    """A binary file that becomes `path` when the block ends well, and else leaves no trace."""
    check_target(path, force=force)
    # Of the same folder, so that the replacement is one rename; `tempfile` would make it mode 0600. No two
    # threads of a host have one id at once, and what a killed one with this id has left is overwritten.
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check_target(path, force=force)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """So that a name that was changed outlives a loss of power, where the file system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _checked(path: Path, points: np.ndarray) -> None:
    if points.ndim < 2:
        raise ValueError(
            f"{path}: shape {points.shape}; it needs (n, d), one point a row; "
            "n numbers are n points as x.reshape(-1, 1), one point as x.reshape(1, -1)"
        )
    if 0 in points.shape:
        raise ValueError(f"{path}: shape {points.shape} is empty; it needs a point and a feature")
    if points.dtype.kind not in "fiub" or points.dtype.itemsize > 8:
        raise ValueError(f"{path}: dtype {points.dtype}; allowed are numbers of at most 64 bits")


def _read_npy(path: Path) -> np.memmap:
    with as_one_sentence(path, ".npy"):
        # Unlike np.load it reads nothing but this format, and maps files of any size.
        return np.lib.format.open_memmap(path, mode="r")


def _read_npz(path: Path, array: str | None = None) -> np.ndarray:
    with as_one_sentence(path, ".npz"):
        archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError(f"{path}: a single array; it needs an .npz archive")
    with archive:
        names = archive.files
        candidates = [array] if array is not None else [n for n in _NAMES if n in names][:1]
        if array is None and len(names) == 1:
            candidates = names
        if not candidates or candidates[0] not in names:
            what = f"no array {array!r}" if array is not None else "several arrays"
            listed = ", ".join(names) or "none"
            raise ValueError(f"{path}: {what}; choose by name (--array) one of: {listed}")
        with as_one_sentence(path, ".npz"):
            return archive[candidates[0]]


def _read_csv(path: Path) -> np.ndarray:
    with wanting_pyarrow():
        from pyarrow import csv as arrow_csv
    with as_one_sentence(path, ".csv"):
        options = arrow_csv.ReadOptions(autogenerate_column_names=not _has_header(path))
        return columns(arrow_csv.read_csv(path, read_options=options))


def _read_parquet(path: Path) -> np.ndarray:
    with wanting_pyarrow():
        from pyarrow import parquet
    with as_one_sentence(path, ".parquet"):
        return columns(parquet.read_table(path))


_READERS: dict[str, Callable[..., np.ndarray]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _has_header(path: Path) -> bool:
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        fields = next(csv.reader(file), [])
    try:
        [float(field or "nan") for field in fields]
    except ValueError:
        return True
    return False


def columns(table) -> np.ndarray:
    """A pyarrow table of numbers -> (n, d), C-contiguous; one column at a time, no second table."""
    import pyarrow

    types = pyarrow.types
    if table.num_columns == 1 and is_list(table.schema.types[0]):
        return _lists(table.schema.names[0], table.column(0).combine_chunks())
    for field, column in zip(table.schema, table.columns, strict=True):
        kind = field.type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise ValueError(f"column {field.name!r} is {kind}; all columns have to be numbers")
        if column.null_count:
            raise ValueError(f"column {field.name!r} has {column.null_count} missing values")
    dtypes = [field.type.to_pandas_dtype() for field in table.schema]
    dtype = computable(np.result_type(*dtypes or [np.float64]))
    points = np.empty((table.num_rows, table.num_columns), dtype)
    for i, column in enumerate(table.columns):
        points[:, i] = column.to_numpy()
    return points


def is_list(kind) -> bool:
    """Whether values of this pyarrow type are lists."""
    import pyarrow

    types = pyarrow.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _lists(name: str, column) -> np.ndarray:
    """Lists of one length, as of embeddings -> (n, d)."""
    import pyarrow

    values = column.flatten()
    n, dtype = len(column), computable(np.dtype(values.type.to_pandas_dtype()))
    if column.null_count or values.null_count:
        raise ValueError(f"column {name!r} has missing values")
    if n == 0:
        return np.empty((0, 0), dtype)
    lengths = pyarrow.compute.list_value_length(column).to_numpy(zero_copy_only=False)
    if lengths.min() != lengths.max() or not lengths.min():
        raise ValueError(f"column {name!r} has lists of {lengths.min()} to {lengths.max()} numbers")
    return values.to_numpy(zero_copy_only=False).astype(dtype, copy=False).reshape(n, -1)


def computable(dtype: np.dtype) -> np.dtype:
    """The dtype that holds the same numbers and that k-means computes with."""
    if dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize > 1):
        dtype = np.result_type(dtype, np.float32)
    return dtype.newbyteorder("=")


def existing(path: str | os.PathLike) -> Path:
    """The path of a regular file; raises FileNotFoundError or ValueError if it is none."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not path.is_file():
        kind = "a folder, " if path.is_dir() else ""
        raise ValueError(f"{path}: {kind}not a regular file")
    return path


def _suffixes() -> str:
    return ", ".join(_READERS)


@contextmanager
def as_one_sentence(path: Path, kind: str) -> Iterator[None]:
    """What a library raises over a broken file becomes one sentence with the file's name."""
    try:
        yield
    except BROKEN as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise ValueError(f"{path}: cannot be read as {kind}: {reason}") from error


@contextmanager
def wanting_pyarrow() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ImportError(
            ".csv and .parquet files need pyarrow: pip install 'tfkm[files]'"
        ) from error
