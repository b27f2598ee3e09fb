"""Labels of a stream, written as they come: .npy, Parquet or TFRecord."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tfkm import checks
from tfkm.data import arrays, files


def check_target(path: str | os.PathLike) -> Path:
    """Raises ValueError or OSError, if labels cannot be written there; an existing file is replaced."""
    path = checks.path("out", path)
    if path.suffix.lower() not in _WRITERS:
        allowed = ", ".join(_WRITERS)
        raise ValueError(
            f"out: {path}: labels cannot be written as {path.suffix!r}; allowed are {allowed}"
        )
    files.check_target(path, force=True)
    if path.suffix.lower() == ".parquet":
        with files.wanting_pyarrow():
            import pyarrow  # noqa: F401
    return path


def write(path: Path, blocks: Iterable[np.ndarray]) -> None:
    """int32 labels (rows,) to a file that `check_target` let pass: whole or not at all.

    Raises: OSError naming the file if it cannot be written; what a block raises.
    """
    with files.replacing(path, force=True) as file:
        _WRITERS[path.suffix.lower()](file, blocks)


def _npy(file: files.Target, blocks: Iterable[np.ndarray]) -> None:
    def header(n: int) -> None:
        file.seek(0)
        fields = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.int32)), "fortran_order": False}
        # NumPy leaves room for n to grow.
        np.lib.format.write_array_header_1_0(file, {**fields, "shape": (n,)})

    n = 0
    header(n)
    for labels in blocks:
        file.write(np.ascontiguousarray(labels, np.int32).data)
        n += len(labels)
    header(n)


def _parquet(file: files.Target, blocks: Iterable[np.ndarray]) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([("label", pyarrow.int32())])
    with parquet.ParquetWriter(file, schema) as writer:
        for labels in blocks:
            writer.write_table(pyarrow.table([pyarrow.array(labels, pyarrow.int32())], schema))


def _tfrecord(file: files.Target, blocks: Iterable[np.ndarray]) -> None:
    tf = arrays.tensorflow_for("out: a TFRecord file")
    writer = tf.io.TFRecordWriter(file.name)
    try:
        for labels in blocks:
            records = [_record(tf, label) for label in labels.tolist()]
            with files.writing(file.path, tf.errors.OpError):
                for record in records:
                    writer.write(record)
    finally:
        with files.writing(file.path, tf.errors.OpError):
            writer.close()


def _record(tf: Any, label: int) -> bytes:
    value = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    example = tf.train.Example(features=tf.train.Features(feature={"label": value}))
    return example.SerializeToString()


_WRITERS: dict[str, Callable[[files.Target, Iterable[np.ndarray]], None]] = {
    ".npy": _npy,
    ".parquet": _parquet,
    ".tfrecord": _tfrecord,
    ".tfrecords": _tfrecord,
}
