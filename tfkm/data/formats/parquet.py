"""Tables in .parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfkm.data.formats import arrow
from tfkm.data.formats.format import Format, TableOptions, as_one_sentence
from tfkm.data.whole_files import Target, existing


class ParquetFile:
    """A file that is read in parts: each column is a feature, or the only one holds lists of one length."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file, as_one_sentence(path, ".parquet"):
            self.rows, schema = file.metadata.num_rows, file.schema_arrow
            self._groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            first = arrow.columns(schema.empty_table())
            if self.rows and len(schema) == 1 and arrow.is_list(schema.types[0]):
                first = _array(next(file.iter_batches(1)))  # a list is as long as the first
        if self.rows == 0:
            raise ValueError(f"{path}: no rows; it needs at least one point")
        self.dtype, self.d = first.dtype, first.shape[1]

    def read(self, start: int, rows: int) -> Iterator[np.ndarray]:
        """As `File.read`."""
        group = 0
        while group < len(self._groups) and start >= self._groups[group]:
            start -= self._groups[group]
            group += 1
        with self._open() as file:
            for batch in file.iter_batches(rows, row_groups=range(group, len(self._groups))):
                skipped = min(start, len(batch))
                start -= skipped
                if skipped < len(batch):
                    yield _array(batch[skipped:])

    def _open(self) -> Any:
        arrow.needed()
        from pyarrow import parquet

        existing(self.path)
        with as_one_sentence(self.path, ".parquet"):
            return parquet.ParquetFile(self.path)


def _array(batch: Any) -> np.ndarray:
    import pyarrow

    return arrow.columns(pyarrow.Table.from_batches([batch]))


def _read(path: Path, options: TableOptions) -> tuple[np.ndarray, Any]:
    from pyarrow import parquet

    return arrow.read(parquet.read_table(path), options)


def _stream(paths: Sequence[Path]) -> list[ParquetFile]:
    return [ParquetFile(path) for path in paths]


def _write_labels(file: Target, blocks: Iterable[np.ndarray], ids: Any = None) -> None:
    from pyarrow import parquet

    arrow.write_labels(parquet.ParquetWriter, file, blocks, ids)


FORMAT = Format(
    name=".parquet",
    suffixes=(".parquet",),
    read=_read,
    stream=_stream,
    write_labels=_write_labels,
    options=("columns", "id_column"),
    needs=arrow.needed,
)
