"""Tables out of .csv files: which line is the header, what parts the columns, which of them are points."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

_DELIMITERS = ";\t| "  # what is looked for where commas part no numbers


class Options(NamedTuple):
    """How to read a table.

    columns: the features, by name or by number from 0, in this order; None for all but the id column.
    id_column: one that names the points, by name or number. header: whether the first line of a .csv holds
    names; None decides by `has_header`. delimiter: what parts the columns of a .csv; None for a comma.
    """

    columns: Sequence[str | int] | None = None
    id_column: str | int | None = None
    header: bool | None = None
    delimiter: str | None = None


def read_csv(path: Path, options: Options) -> Any:
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
            f"the first line, {_shortened(first)}, may be a header or a point; say which by "
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


def chosen(table: Any, options: Options) -> tuple[Any, Any]:
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
        f"{argument}: {column!r}; {why}; there are {_shortened(names)}, or numbers from 0 to "
        f"{len(names) - 1}"
    )


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


def _shortened(fields: list[str]) -> str:
    return ", ".join([*fields[:8], *["…"][: len(fields) > 8]])
