"""Tables in .csv files: which line is the header, and what parts the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tfkm.data.formats import arrow
from tfkm.data.formats.format import Format, TableOptions
from tfkm.data.whole_files import Target

_DELIMITERS = ";\t| "  # what is looked for where commas part no numbers


def read_csv(path: Path, options: TableOptions) -> Any:
    """A pyarrow table of all columns, named "0", "1", … where there is no header.

    Raises:
        ValueError: The header or the delimiter has to be told, or the file is broken.
    """
    from pyarrow import csv as arrow_csv

    delimiter = "," if options.delimiter is None else options.delimiter
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise ValueError(f"delimiter: {delimiter!r}; it needs one ASCII character, as ';'")
    first, second = _first_lines(path, delimiter)
    if options.delimiter is None:
        _check_delimiter(path, second or first)
    header = has_header(first, second) if options.header is None else options.header
    if header is None:
        raise ValueError(
            f"the first line, {arrow.shortened(first)}, may be a header or a point; say which by "
            "--header or --no-header (in Python header=True or False)"
        )
    table = arrow_csv.read_csv(
        path,
        read_options=arrow_csv.ReadOptions(autogenerate_column_names=not header),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
    )
    if not header:
        return table.rename_columns([str(i) for i in range(table.num_columns)])
    if first[0] == "" and options.columns is None and options.id_column is None:
        raise ValueError(
            "the first column has no name, as the index that pandas writes; --id-column '' leaves it out, "
            "--columns names the features (in Python id_column='' or columns=[…])"
        )
    return table


def has_header(first: list[str], second: list[str]) -> bool | None:
    """Whether the first line of a .csv holds names, by the second; None if these two cannot tell.

    A field that is no number is a name. Numbers are a point, but for two cases. Those that only count the
    columns, 0, 1, 2, …, as pandas names them, are names if there are several and not all numbers below are
    integers; else they may be either. So may integers that all differ, above a line without an integer.

    >>> has_header(["0", "1"], ["2.5", "7"]), has_header(["5.1", "3"], ["4.9", "3"])
    (True, False)
    >>> has_header(["2019", "2020"], ["0.5", "1.5"]) is None
    True
    """
    if first[:1] == [""] and _counts(first[1:]):
        return True  # the index of a table, whose column has no name
    if not all(map(_is_number, first)):
        return True
    below = [_is_integer(field) for field in second]
    if not below or not all(map(_is_integer, first)) or len(set(first)) < len(first):
        return False
    if _counts(first):
        return True if len(first) > 1 and not all(below) else None
    return False if any(below) else None


def _first_lines(path: Path, delimiter: str) -> tuple[list[str], list[str]]:
    """The fields of the first two lines that are not blank; no fields for a line that is not there."""
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        try:
            lines = list(islice(filter(None, csv.reader(file, delimiter=delimiter)), 2))
        except csv.Error as error:
            raise ValueError(str(error)) from error
    first, second = lines + [[]] * (2 - len(lines))
    return first, second


def _check_delimiter(path: Path, fields: list[str]) -> None:
    """Raises: ValueError naming the character that parts more numbers of this line than commas do."""
    text = ",".join(fields)

    def share(delimiter: str) -> float:
        """Of the fields, those that are numbers, be it with a decimal comma."""
        parts = text.split(delimiter)
        dots = [part if delimiter == "," else part.replace(",", ".", 1) for part in parts]
        return sum(map(_is_number, dots)) / len(parts) if len(parts) > 1 else 0.0

    best = max(_DELIMITERS, key=share)
    by_comma = sum(map(_is_number, fields)) / max(1, len(fields))
    if share(best) > by_comma:
        shown = {"\t": r"'\t'"}.get(best, f"'{best}'")
        raise ValueError(
            f"its columns are parted by {shown}, not by commas; say --delimiter {shown} "
            f"(in Python delimiter={shown})"
        )


def _is_number(field: str) -> bool:
    try:
        float(field or "nan")  # a missing value stands where a number should
    except ValueError:
        return False
    return True


def _is_integer(field: str) -> bool:
    return field.strip().removeprefix("-").isdecimal()


def _counts(fields: list[str]) -> bool:
    return bool(fields) and fields == [str(i) for i in range(len(fields))]


def _read(path: Path, options: TableOptions) -> tuple[np.ndarray, Any]:
    return arrow.read(read_csv(path, options), options)


def _write_labels(file: Target, blocks: Iterable[np.ndarray], ids: Any = None) -> None:
    from pyarrow import csv as arrow_csv

    arrow.write_labels(arrow_csv.CSVWriter, file, blocks, ids)


FORMAT = Format(
    name=".csv",
    suffixes=(".csv",),
    read=_read,
    write_labels=_write_labels,
    options=("columns", "id_column", "header", "delimiter"),
    needs=arrow.needed,
)
