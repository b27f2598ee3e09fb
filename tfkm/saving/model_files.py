"""The file of a fitted model: version 2. No TensorFlow, and nothing in a file is ever run.

An uncompressed .npz archive. Its member `header.npy` is one string: the line `FORMAT`, then JSON with

- `kind`: "KMeans", "MiniBatchKMeans" or "BisectingKMeans";
- `parameters`: those of the constructor; `learnt`: what fit has set, by name;
- `tfkm`: the version that wrote it, which nothing depends on.

A value that JSON has no form for is an object of one entry: {"array": NAME} is the member NAME.npy,
{"dtype": NAME} a NumPy dtype, {"texts": […]} an array of strings, {"random_state": […]} the state of a
`numpy.random.RandomState`, {"seeding": NAME, "settings": {…}} a seeding of this package, {"fields": {…}}
a record. Arrays are of floats or integers, in NumPy's own format.

Of an untrusted file nothing is believed: no pickles, no compression (so that a small file cannot become
large), each array has to be as long as its member is, and zip's checksums have to agree.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from typing import IO, Any, NamedTuple

import numpy as np

from tfkm import checks
from tfkm.data import whole_files

FORMAT = "tfkm k-means model, version 2"
_HEADER = "header"


class Model(NamedTuple):
    """kind, parameters, learnt: as above, still in JSON's forms. arrays: by their names."""

    kind: str
    parameters: dict[str, Any]
    learnt: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write(path: str | os.PathLike, model: Model, *, version: str = "", force: bool = False) -> None:
    """Whatever the name's suffix; whole or not at all.

    Raises: FileExistsError, unless `force`; FileNotFoundError: no such folder.
    """
    values: dict[str, Any] = {"kind": model.kind, "tfkm": version}
    values |= {"parameters": model.parameters, "learnt": model.learnt}
    header = f"{FORMAT}\n{json.dumps(values)}"
    with whole_files.replacing(checks.path("path", path), force=force) as file:
        members: dict[str, Any] = {_HEADER: np.array(header), **model.arrays}
        np.savez(file, **members)


def read(path: str | os.PathLike) -> Model:
    """What `write` wrote.

    Raises:
      FileNotFoundError: there is no such file. ValueError: it is another thing, or damaged.
    """
    path = whole_files.existing(checks.path("path", path))
    try:
        with open(path, "rb") as file:
            arrays = read_arrays(file, path.stat().st_size)
        form, _, text = str(arrays.pop(_HEADER)[()]).partition("\n")
    except Exception as error:  # of zip, of NumPy's header, of the system: each has its own
        raise ValueError(f"{path}: not a tfkm model, or damaged ({_first_line(error)})") from error
    if form != FORMAT:
        raise ValueError(f"{path}: format {form[:80]!r}; this tfkm reads {FORMAT!r}")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{path}: {name}: dtype {array.dtype}; it needs floats or integers")
    try:
        values = json.loads(text)
        model = Model(values["kind"], dict(values["parameters"]), dict(values["learnt"]), arrays)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: damaged: its header cannot be read") from error
    return model


def read_arrays(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    """Return the arrays of an uncompressed .npz of so many bytes, by name; they may be written to.

    Raises: whatever zipfile and NumPy raise, if it is another thing or damaged.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > size:
            raise ValueError("its members are longer than the file")
        return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One member; nothing is allocated that the file does not hold."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{member.filename} is compressed")
    content = archive.read(member)  # compares the checksum
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{member.filename} is not .npy 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    plain = dtype.kind in "fiuUb" and dtype.isnative and dtype.itemsize > 0
    if not plain or fortran or min(shape, default=1) < 0:
        raise ValueError(f"{member.filename} has dtype {dtype}, shape {shape}")
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"{member.filename} is not as long as its shape {shape} says")
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape).copy()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
