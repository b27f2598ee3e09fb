"""Points and labels out of files, and labels into them. No pickles."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfkm import checks
from tfkm.checks import point_dtype
from tfkm.data import formats
from tfkm.data.formats import npy, npz
from tfkm.data.formats.format import TableOptions as TableOptions
from tfkm.data.formats.format import as_one_sentence, check_points
from tfkm.data.whole_files import check_target, existing, replacing

_AS_IT_IS = TableOptions()


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
    return read_named(path, TableOptions(columns, id_column, header, delimiter, array))[0]


def read_named(
    path: str | os.PathLike, options: TableOptions = _AS_IT_IS
) -> tuple[np.ndarray, Any]:
    """As `read_points`, and a pyarrow table (n, 1) of the id column, or None."""
    path = existing(path)
    format = formats.for_use(path, "read", f"{path}: {path.suffix!r} cannot be read")
    for name, value in options._asdict().items():
        if value is not None and name not in format.options:
            allowed = formats.with_option(name)
            have = f"{' and '.join(allowed)} {'have' if len(allowed) > 1 else 'has'}"
            raise ValueError(f"{path}: {name} {value!r} is given; only {have} it")
    assert format.read is not None
    with as_one_sentence(path, format.name):
        points, ids = format.read(path, options)
    check_points(path, points)
    return points.reshape(len(points), -1).astype(point_dtype(points.dtype), copy=False), ids


def read_labels(path: str | os.PathLike, array: str = "labels") -> np.ndarray:
    """The array of integers (n,) of that name in an .npz file.

    Raises:
      FileNotFoundError, ValueError: as `read_points`.
    """
    path = existing(path)
    labels = npz.read_array(path, array)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: {array!r} has shape {labels.shape}, dtype {labels.dtype}; "
            "it needs integers of shape (n,)"
        )
    return labels


def check_labels(path: str | os.PathLike) -> Path:
    """Raises ValueError, ImportError or OSError, if `write_labels` could not write there by its suffix."""
    path = checks.path("out", path)
    refusal = f"out: {path}: labels cannot be written as {path.suffix!r}"
    formats.for_use(path, "write_labels", refusal)
    check_target(path, force=True)
    return path


def write_labels(
    path: Path, blocks: Iterable[np.ndarray], ids: Any = None, *, force: bool = True
) -> None:
    """Blocks of labels (rows,) int32 to a file, whole or not at all; an unknown suffix is taken for .npy.

    ids: as from `read_named`, beside the labels where the format has columns; None for labels alone.

    Raises: OSError naming the file if it cannot be written; what a block raises.
    """
    format = formats.of(path, "write_labels") or npy.FORMAT
    assert format.write_labels is not None
    named = {} if ids is None or "id_column" not in format.options else {"ids": ids}
    with replacing(path, force=force) as file:
        format.write_labels(file, blocks, **named)
