"""TFRecord files of `tf.train.Example`s."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfkm.data import arrays
from tfkm.data.formats.format import Format, as_one_sentence
from tfkm.data.whole_files import Target, writing

_NAME = "TFRecord"
_FEATURE = "points"  # of an Example with several features


class RecordFile:
    """A file that is read in parts; a point is this feature, d floats. Nobody knows how many there are."""

    dtype, rows = np.dtype(np.float32), None

    def __init__(self, path: Path, feature: str, d: int) -> None:
        self.path, self._feature, self.d = path, feature, d

    def read(self, start: int, rows: int) -> Iterator[np.ndarray]:
        """As `File.read`; `start` is 0."""
        import tensorflow as tf

        description = {self._feature: tf.io.FixedLenFeature([self.d], tf.float32)}
        for some in tf.data.TFRecordDataset(os.fspath(self.path)).batch(rows):
            yield tf.io.parse_example(some, description)[self._feature].numpy()


def _stream(paths: Sequence[Path]) -> list[RecordFile]:
    """All of the feature of the first one's first record: `points`, or its only one."""
    tf = _tensorflow()
    with as_one_sentence(paths[0], _NAME):
        first = next(iter(tf.data.TFRecordDataset(os.fspath(paths[0]))), None)
        if first is None:
            raise ValueError("no records; it needs at least one")
        features = tf.train.Example.FromString(first.numpy()).features.feature
    feature = next(iter(features)) if len(features) == 1 else _FEATURE
    d = len(features[feature].float_list.value) if feature in features else 0
    if not d:
        listed = ", ".join(sorted(features)) or "none"
        raise ValueError(
            f"{paths[0]}: it has features {listed}; it needs floats in {_FEATURE!r}, or in the only one"
        )
    return [RecordFile(path, feature, d) for path in paths]


def _write_labels(file: Target, blocks: Iterable[np.ndarray]) -> None:
    tf = _tensorflow()
    writer = tf.io.TFRecordWriter(file.name)
    try:
        for labels in blocks:
            records = [_record(tf, label) for label in labels.tolist()]
            with writing(file.path, tf.errors.OpError):
                for record in records:
                    writer.write(record)
    finally:
        with writing(file.path, tf.errors.OpError):
            writer.close()


def _record(tf: Any, label: int) -> bytes:
    value = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    example = tf.train.Example(features=tf.train.Features(feature={"label": value}))
    return example.SerializeToString()


def _tensorflow() -> Any:
    return arrays.tensorflow_for("a TFRecord file")


FORMAT = Format(
    name=_NAME,
    suffixes=(".tfrecord", ".tfrecords"),
    stream=_stream,
    write_labels=_write_labels,
    needs=_tensorflow,
)
