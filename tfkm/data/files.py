"""Points and labels out of files, and files written whole or not at all. No TensorFlow, no pickles."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from tfkm.checks import point_dtype
from tfkm.data import tables
from tfkm.data.tables import Options

_AS_IT_IS = Options()
_NAMES = ("points", "images", "X")  # of the array to take from an .npz of several


def read_points(
    path: str | os.PathLike,
    array: str | None = None,
    *,
    columns: Sequence[str | int] | None = None,
    id_column: str | int | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
) -> np.ndarray:
    """The points (n, d) of a .npy, .npz, .csv or .parquet file, n and d ≥ 1.

    A .npy is memory-mapped, read-only. Points of several axes, as images (n, height, width), are
    flattened. float16, float32, float64, int8 and uint8 stay as they are; bool and the other integers
    are copied to float64. A .csv or .parquet file becomes one array of the dtype that holds all its
    columns.

    Args:
      array: the name of the array in an .npz; None for its only one, else `points`, `images` or `X`.
      columns: of a .csv or .parquet, the features, by name or by number from 0, in this order; None for
        all but the id column.
      id_column: of a .csv or .parquet, a column that is left out since it names the points.
      header: of a .csv, whether its first line holds names. None: it does if a field is no number; or if
        its two numbers or more count the columns, 0, 1, 2, …, as pandas names them, and not all numbers
        of the second line are integers. What may be either is refused.
      delimiter: of a .csv, the character between columns; None for a comma.

    Raises:
      FileNotFoundError: there is no such file. ValueError: it is not as above, or an option is not for it.
        ImportError: .csv and .parquet need pyarrow, which comes with the extra `files`.

    >>> import numpy as np, tempfile
    >>> path = tempfile.mkdtemp() + "/points.npy"
    >>> np.save(path, np.zeros((5, 2), np.uint8))
    >>> read_points(path).shape
    (5, 2)
    """
    return read_named(path, array, Options(columns, id_column, header, delimiter))[0]


def read_named(
    path: str | os.PathLike, array: str | None = None, options: Options = _AS_IT_IS
) -> tuple[np.ndarray, Any]:
    """As `read_points`, and a pyarrow table (n, 1) of the id column, or None."""
    path = existing(path)
    kind = path.suffix.lower()
    if kind not in _READERS:
        raise ValueError(f"{path}: {path.suffix!r} cannot be read; allowed are {_suffixes()}")
    if array is not None and kind != ".npz":
        raise ValueError(f"{path}: array {array!r} is asked for; only an .npz has named arrays")
    for name, value in options._asdict().items():
        of = _TABLES if name in ("columns", "id_column") else (".csv",)
        if value is not None and kind not in of:
            raise ValueError(f"{path}: {name} {value!r} is given; only {' and '.join(of)} have it")
    ids = None
    if kind in _TABLES:
        with wanting_pyarrow():
            import pyarrow  # noqa: F401
        with as_one_sentence(path, kind):
            features, ids = tables.chosen(_READERS[kind](path, options), options)
            points = columns(features)
    else:
        points = _READERS[kind](path, array)
    _checked(path, points)
    return points.reshape(len(points), -1).astype(point_dtype(points.dtype), copy=False), ids


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


def write_labels(file: IO[bytes], labels: np.ndarray, ids: Any = None) -> None:
    """A .csv with a line for each point: what is in `ids`, as from `read_named`, and its label (n,)."""
    with wanting_pyarrow():
        import pyarrow
        from pyarrow import csv as arrow_csv
    table = pyarrow.table({"label": labels})
    if ids is not None:
        table = ids.append_column("label", table.column(0))
    arrow_csv.write_csv(table, file)


def check_target(path: Path, *, force: bool = False) -> None:
    """Raises OSError where `replacing` could not write: better before long work than after."""
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {str(folder)!r}")
    if path.exists() and not path.is_file():
        raise ValueError(
            f"{path}: a folder, not a file" if path.is_dir() else f"{path}: is no file"
        )
    if path.exists() and not force:
        raise FileExistsError(
            f"{path}: exists already; --force (in Python force=True) overwrites it"
        )
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path}: the folder {str(folder)!r} cannot be written to")


@contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[Target]:
    """A binary file that becomes `path` when the block ends well, and else leaves no trace.

    Raises: OSError naming `path` if it cannot be written; what was there before stays.
    """
    check_target(path, force=force)
    # Of the same folder, so that the replacement is one rename; `tempfile` would make it mode 0600. No two
    # threads of a host have one id at once, and what a killed one with this id has left is overwritten.
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}.tmp")
    try:
        with writing(path):
            file = Target(temporary, path)
        with file:
            yield file
            file.flush()
            with writing(path):
                os.fsync(file.fileno())
        check_target(path, force=force)
        with writing(path):
            os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, *more: type[Exception]) -> Iterator[None]:
    """What is raised over a full disk, an OSError or one of these, becomes an OSError naming the file."""
    kinds: tuple[type[Exception], ...] = (OSError, *more)
    try:
        yield
    except kinds as error:
        if str(path) in str(error):
            raise
        number, why = getattr(error, "errno", None), getattr(error, "strerror", None) or error
        told = f"{path}: could not be written ({why}); what was there before is whole"
        raise (OSError(told) if number is None else OSError(number, told)) from error


class Target(io.BufferedWriter):
    """A file under a temporary name, whose errors name `path`, which it is to become."""

    def __init__(self, temporary: Path, path: Path) -> None:
        super().__init__(_Raw(os.fspath(temporary), "w"))
        self.path = self.raw.path = path  # type: ignore[attr-defined]


class _Raw(io.FileIO):
    path: Path

    def write(self, data) -> int:
        with writing(self.path):
            return super().write(data)


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


def _read_parquet(path: Path, options: Options) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)


_READERS: dict[str, Callable[..., Any]] = {
    ".npy": lambda path, array: _read_npy(path),
    ".npz": _read_npz,
    ".csv": tables.read_csv,
    ".parquet": _read_parquet,
}
_TABLES = (".csv", ".parquet")


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
    dtype = point_dtype(np.result_type(*dtypes or [np.float64]))
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
    types = pyarrow.types
    if not (types.is_integer(values.type) or types.is_floating(values.type)):
        raise ValueError(
            f"column {name!r} is of lists of {values.type}; they have to be of numbers"
        )
    n, dtype = len(column), point_dtype(np.dtype(values.type.to_pandas_dtype()))
    if column.null_count or values.null_count:
        raise ValueError(f"column {name!r} has missing values")
    if n == 0:
        return np.empty((0, 0), dtype)
    lengths = pyarrow.compute.list_value_length(column).to_numpy(zero_copy_only=False)
    if lengths.min() != lengths.max() or not lengths.min():
        raise ValueError(f"column {name!r} has lists of {lengths.min()} to {lengths.max()} numbers")
    return values.to_numpy(zero_copy_only=False).astype(dtype, copy=False).reshape(n, -1)


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
    """Whatever a library raises over a broken file becomes one sentence with the file's name.

    Each has errors of its own: of its parser, of the system, of a size that cannot be.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such file") from error
    except Exception as error:
        reason = " ".join(str(error).split()).partition(". ")[0] or type(error).__name__
        raise ValueError(f"{path}: cannot be read as {kind}: {reason}") from error


@contextmanager
def wanting_pyarrow() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ImportError(
            ".csv and .parquet files need pyarrow: pip install 'tfkm[files]'"
        ) from error
