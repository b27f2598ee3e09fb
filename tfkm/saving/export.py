"""Fitted models in the formats of others: SavedModel, ONNX, TFLite. No arithmetic."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from tfkm.data import whole_files
from tfkm.ops import tensor_backends, validate

Function = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def saved_model(
    path: str | os.PathLike,
    functions: Mapping[str, Function],
    variables: Mapping[str, tf.Variable],
    dtypes: Sequence[str],
    backend: str,
) -> None:
    """Writes functions of points (n, d), n unknown, each traced once for each dtype.

    Args:
      functions: by the names of their signatures, to which all dtypes but the first are appended; the first
        function is `serving_default`, too.
      variables: by name; all that the functions read, of which the first is (k, d).
      dtypes: of points, at least one. backend: what the functions compute with; only checked here.
    """
    dtypes = _checked(dtypes)
    tensor_backends.select(backend)
    d = next(iter(variables.values())).shape[1]
    module, signatures = tf.Module(), {}
    for name, variable in variables.items():
        setattr(module, name, variable)
    for name, function in functions.items():
        traced = tf.function(function, autograph=False)
        setattr(module, name, traced)
        for dtype in dtypes:
            points = tf.TensorSpec([None, d], dtype, name="points")
            key = name if dtype == dtypes[0] else f"{name}_{dtype}"
            signatures[key] = traced.get_concrete_function(points)
    serving = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    signatures[serving] = signatures[next(iter(functions))]
    if "://" in os.fspath(path):  # of a file system that only TensorFlow knows
        tf.saved_model.save(module, path, signatures=signatures)
        return
    with _filled(Path(path)) as folder:
        tf.saved_model.save(module, os.fspath(folder), signatures=signatures)


@contextmanager
def _filled(path: Path) -> Iterator[Path]:
    """A new folder whose files become those of `path` when the block ends well; what else is there stays.

    Raises: OSError naming `path` if it cannot be written; what was there before stays.
    """
    with whole_files.writing(path, tf.errors.OpError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as temporary:
            yield Path(temporary)
            written = [file for file in Path(temporary).rglob("*") if file.is_file()]
            for file in sorted(written, key=lambda file: file.name == "saved_model.pb"):  # last
                target = path / file.relative_to(temporary)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)


def onnx(path: str | os.PathLike, function: Function, d: int, dtype: str) -> None:
    """Writes function of points (n, d), n unknown, by tf2onnx, in ONNX's operator set 18.

    Raises: ImportError: tf2onnx is not installed.
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise ImportError("format='onnx' needs tf2onnx: pip install 'tfkm[onnx]'") from error
    points = tf.TensorSpec([None, d], dtype, name="points")
    traced = tf.function(function, autograph=False)
    model, _ = tf2onnx.convert.from_function(traced, [points], opset=18)
    with whole_files.replacing(Path(path), force=True) as file:
        file.write(model.SerializeToString())


def tflite(path: str | os.PathLike, function: Function, d: int, dtype: str) -> None:
    """Writes function of points (n, d), n unknown, with TFLite's own ops only."""
    points = tf.TensorSpec([None, d], dtype, name="points")
    module = tf.Module()
    module.predict = tf.function(function, autograph=False)
    concrete = module.predict.get_concrete_function(points)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    content = converter.convert()
    with whole_files.replacing(Path(path), force=True) as file:
        file.write(content)


def one_dtype(dtypes: Sequence[str] | None, format: str) -> str:
    """The dtype of points of a format that has but one; None is float32."""
    dtypes = _checked(["float32"] if dtypes is None else dtypes)
    allowed = {
        "onnx": ("float32", "float64", "uint8", "int8"),
        "tflite": ("float32", "uint8", "int8"),
    }
    if len(dtypes) != 1 or dtypes[0] not in allowed[format]:
        names = ", ".join(allowed[format])
        raise ValueError(f"dtypes: {dtypes!r}; format={format!r} takes one of {names}")
    return dtypes[0]


def _checked(dtypes: Sequence[str]) -> list[str]:
    names = [dtype.name for dtype in validate.POINT_DTYPES]
    if isinstance(dtypes, str) or not dtypes or not set(dtypes) <= set(names):
        raise ValueError(
            f"dtypes: {dtypes!r}; it needs a list, with at least one, of {', '.join(names)}"
        )
    return list(dict.fromkeys(dtypes))
