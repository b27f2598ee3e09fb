"""Arrays that outlive the process: written whole or not at all, checked on reading, the last two kept."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfkm import checks
from tfkm.data import whole_files
from tfkm.saving import model_files
from tfkm.traces import traced

_FORMAT = "tfkm checkpoint, version 1"
_KEPT = 2
_DIGEST = 32  # bytes at the end of a file
Arrays = dict[str, np.ndarray]


class Loaded(NamedTuple):
    """path: of the file. arrays: what it holds, beside the name of the fit."""

    path: str
    arrays: Arrays


class Checkpoints:
    """Of one fit, in a folder of their own: `checkpoint-00000007.tfkm` is the seventh.

    A file is an .npz with the fit's name among its arrays, and behind it the SHA-256 of all that.
    """

    def __init__(self, folder: str | os.PathLike, fit: dict[str, str | int | float]) -> None:
        """fit: what tells it from other fits."""
        self._folder = checks.path("checkpoint_dir", folder)
        self._fit = {"format": _FORMAT, **fit}
        self._number = 0

    def load(self) -> Loaded | None:
        """The newest that is sound; None if there is none. A damaged one is named in a warning.

        Makes the folder if there is none; has to be called before `save`.

        Raises: ValueError if it is of another fit.
        """
        if self._folder.exists() and not self._folder.is_dir():
            raise ValueError(f"checkpoint_dir: {self._folder} is not a folder")
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(".checkpoint-*.tmp"):  # of a writer that was killed
            leftover.unlink(missing_ok=True)
        self._number = max((_number(path) for path in self._all()), default=0)
        for before, path in reversed(list(enumerate(sorted(self._all())))):
            try:
                arrays = _read(path)
                fit = dict(json.loads(str(arrays.pop("fit"))))
            except Exception as error:  # of zip, of NumPy's header, of the system: each has its own
                then = (
                    "the one before it is used"
                    if before
                    else "with none before it, all begins anew"
                )
                warnings.warn(
                    f"checkpoint {path}: damaged ({error}); {then}", RuntimeWarning, stacklevel=6
                )
                continue
            for name, value in self._fit.items():
                if fit.get(name) != value:
                    raise ValueError(
                        f"checkpoint_dir: {path} is of a fit with {name} {fit.get(name)!r}; this one has "
                        f"{value!r}. Give the same arguments and data, or another folder"
                    )
            return Loaded(str(path), arrays)
        return None

    @traced("tfkm: checkpoint")
    def save(self, arrays: Arrays) -> None:
        """Raises: OSError if it cannot be written; those before it stay."""
        buffer = io.BytesIO()
        members = {name: np.require(array, requirements="C") for name, array in arrays.items()}
        np.savez(buffer, fit=np.array(json.dumps(self._fit)), **members)  # type: ignore[arg-type]
        content = buffer.getvalue()
        path = self._folder / f"checkpoint-{self._number + 1:08}.tfkm"
        with whole_files.replacing(path, force=True) as file:
            file.write(content)
            file.write(hashlib.sha256(content).digest())
        self._number += 1
        for old in sorted(self._all())[:-_KEPT]:
            old.unlink(missing_ok=True)

    def _all(self) -> list[Path]:
        return list(self._folder.glob("checkpoint-*.tfkm"))


def _read(path: Path) -> Arrays:
    content = path.read_bytes()
    content, digest = content[:-_DIGEST], content[-_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its SHA-256 is another")
    return model_files.read_arrays(io.BytesIO(content), len(content))


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0
