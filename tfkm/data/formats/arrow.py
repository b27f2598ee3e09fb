"""Tables of pyarrow, as it reads them from files: which columns are points, and their array."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tfkm.checks import point_dtype
from tfkm.data.formats.format import TableOptions


def needed() -> None:
    """Raises: ImportError with the remedy, if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError(
            ".csv and .parquet files need pyarrow: pip install 'tfkm[files]'"
        ) from error


def read(table: Any, options: TableOptions) -> tuple[np.ndarray, Any]:
    """As `Format.read`, out of a table of all columns."""
    features, ids = chosen(table, options)
    return columns(features), ids


def chosen(table: Any, options: TableOptions) -> tuple[Any, Any]:
    """The table of the features, and that of the id column, or None.

    Raises:
        ValueError: There is no such column, or it is given twice.
    """
    names, given = table.column_names, options.columns
    own = None if options.id_column is None else _place("id_column", options.id_column, names)
    if given is None:
        places = [i for i in range(len(names)) if i != own]
    else:
        places = [_place("columns", column, names) for column in given]
        twice = [names[i] for i in places if i == own or places.count(i) > 1]
        if twice:
            raise ValueError(f"columns: {twice[0]!r} is given twice, or is the id column")
    return table.select(places), None if own is None else table.select([own])


def _place(argument: str, column: str | int, names: list[str]) -> int:
    """By number if it is one, or a text that is no name."""
    found = [i for i, name in enumerate(names) if name == column]
    if len(found) == 1:
        return found[0]
    if not found and str(column).isdecimal() and int(column) < len(names):
        return int(column)
    why = f"{len(found)} columns have this name" if found else "there is no such column"
    raise ValueError(
        f"{argument}: {column!r}; {why}; there are {shortened(names)}, or numbers from 0 to "
        f"{len(names) - 1}"
    )


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


def write_labels(writer: Any, file: Any, blocks: Iterable[np.ndarray], ids: Any) -> None:
    """Write blocks of labels (rows,) as a table, behind the column `ids` (n, 1) if it is not None.

    writer: a class of pyarrow, called with the file and the table's schema.
    """
    import pyarrow

    label = pyarrow.field("label", pyarrow.int32())
    schema, start = pyarrow.schema([label] if ids is None else [ids.schema.field(0), label]), 0
    with writer(file, schema) as table:
        for block in blocks:
            own = [] if ids is None else [ids.column(0).slice(start, len(block))]
            start += len(block)
            columns = [*own, pyarrow.array(block, pyarrow.int32())]
            table.write_table(pyarrow.table(columns, schema))


def shortened(fields: list[str]) -> str:
    """The first of these texts, for a message."""
    return ", ".join([*fields[:8], *["…"][: len(fields) > 8]])
