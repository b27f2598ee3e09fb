"""Checkpoints: arrays in files that are written whole or not at all, and checked when read."""

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
_DIGEST = 32  # bytes of the SHA-256 at the end of a file
Arrays = dict[str, np.ndarray]


class Loaded(NamedTuple):
    """A checkpoint that was read.

    Attributes:
        path: Path of the file.
        arrays: All arrays in it but the name of the fit.
    """

    path: str
    arrays: Arrays


class Checkpoints:
    """The checkpoints of one fit, in a folder of their own.

    `checkpoint-00000007.tfkm` is the seventh; the last two are kept. A file is an .npz that has the
    name of the fit among its arrays, followed by the SHA-256 of the .npz.
    """

    def __init__(self, folder: str | os.PathLike, fit: dict[str, str | int | float]) -> None:
        """Name the folder and the fit.

        Args:
            folder: The folder.
            fit: Values that tell this fit from others.
        """
        self._folder = checks.path("checkpoint_dir", folder)
        self._fit = {"format": _FORMAT, **fit}
        self._number = 0

    def load(self) -> Loaded | None:
        """Return the newest intact checkpoint, or None; warn of each damaged one.

        The folder is made if it does not exist. Call this before `save`.

        Raises:
            ValueError: The checkpoint belongs to another fit.
        """
        if self._folder.exists() and not self._folder.is_dir():
            raise ValueError(f"checkpoint_dir: {self._folder} is not a folder")
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(".checkpoint-*.tmp"):  # left by a writer that was killed
            leftover.unlink(missing_ok=True)
        self._number = max((_number(path) for path in self._all()), default=0)
        for before, path in reversed(list(enumerate(sorted(self._all())))):
            try:
                arrays = _read(path)
                fit = dict(json.loads(str(arrays.pop("fit"))))
            # The zip module, NumPy and the system raise errors of different classes.
            except Exception as error:
                then = (
                    "the one before it is used"
                    if before
                    else "there is none before it, so the fit starts again"
                )
                warnings.warn(
                    f"checkpoint {path}: damaged ({error}); {then}", RuntimeWarning, stacklevel=6
                )
                continue
            for name, value in self._fit.items():
                if fit.get(name) != value:
                    raise ValueError(
                        f"checkpoint_dir: {path} belongs to a fit with {name} {fit.get(name)!r}; this one "
                        f"has {value!r}. Give the same arguments and data, or another folder"
                    )
            return Loaded(str(path), arrays)
        return None

    @traced("tfkm: checkpoint")
    def save(self, arrays: Arrays) -> None:
        """Write a new checkpoint, and delete all but the last two.

        Raises:
            OSError: It cannot be written; the earlier ones are kept.
        """
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
        raise ValueError("its SHA-256 does not match")
    return model_files.read_arrays(io.BytesIO(content), len(content))


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0
