"""Formats of files: which there are, and which of them a path has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tfkm.data.formats import csv, npy, npz, parquet, tfrecord
from tfkm.data.formats.format import File as File
from tfkm.data.formats.format import Format as Format
from tfkm.data.formats.format import TableOptions as TableOptions

Use = Literal["read", "stream", "write_labels"]

# To add one: a module with a `Format`, and its place here.
FORMATS: tuple[Format, ...] = (npy.FORMAT, npz.FORMAT, csv.FORMAT, parquet.FORMAT, tfrecord.FORMAT)


def of(path: Path, use: Use) -> Format | None:
    """The format that has this path's suffix and can be used so; None if there is none."""
    suffix = path.suffix.lower()
    able = (format for format in FORMATS if getattr(format, use) is not None)
    return next((format for format in able if suffix in format.suffixes), None)


def for_use(path: Path, use: Use, refusal: str) -> Format:
    """As `of`, of what can be used here.

    Raises: ValueError: there is none; it says the refusal and which suffixes are allowed. ImportError: it
      needs a package that is not installed.
    """
    format = of(path, use)
    if format is None:
        raise ValueError(f"{refusal}; allowed are {', '.join(suffixes(use))}")
    format.needs()
    return format


def suffixes(use: Use) -> list[str]:
    """Those of all files that can be used so."""
    able = (format for format in FORMATS if getattr(format, use) is not None)
    return [suffix for format in able for suffix in format.suffixes]


def with_option(name: str) -> list[str]:
    """The suffixes of all files that are read with this one of `TableOptions`."""
    return [suffix for format in FORMATS if name in format.options for suffix in format.suffixes]
