"""Files on disk: one that is there to be read, and one that is written whole or not at all."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def existing(path: str | os.PathLike) -> Path:
    """The path of a regular file; raises FileNotFoundError or ValueError if it is none."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not path.is_file():
        kind = "a folder, " if path.is_dir() else ""
        raise ValueError(f"{path}: {kind}not a regular file")
    return path


def check_target(path: Path, *, force: bool = False) -> None:
    """Raises OSError where `replacing` could not write: better before long work than after."""
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {str(folder)!r}")
    if path.exists() and not path.is_file():
        raise ValueError(
            f"{path}: a folder, not a file" if path.is_dir() else f"{path}: is no file"
        )
    if path.exists() and not force:
        raise FileExistsError(
            f"{path}: exists already; --force (in Python force=True) overwrites it"
        )
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path}: the folder {str(folder)!r} cannot be written to")


@contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[Target]:
    """A binary file that becomes `path` when the block ends well, and else leaves no trace.

    Raises: OSError naming `path` if it cannot be written; what was there before stays.
    """
    check_target(path, force=force)
    # Of the same folder, so that the replacement is one rename; `tempfile` would make it mode 0600. No two
    # threads of a host have one id at once, and what a killed one with this id has left is overwritten.
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}.tmp")
    try:
        with writing(path):
            file = Target(temporary, path)
        with file:
            yield file
            file.flush()
            with writing(path):
                os.fsync(file.fileno())
        check_target(path, force=force)
        with writing(path):
            os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, *more: type[Exception]) -> Iterator[None]:
    """What is raised over a full disk, an OSError or one of these, becomes an OSError naming the file."""
    kinds: tuple[type[Exception], ...] = (OSError, *more)
    try:
        yield
    except kinds as error:
        if str(path) in str(error):
            raise
        number, why = getattr(error, "errno", None), getattr(error, "strerror", None) or error
        told = f"{path}: could not be written ({why}); what was there before is whole"
        raise (OSError(told) if number is None else OSError(number, told)) from error


class Target(io.BufferedWriter):
    """A file under a temporary name, whose errors name `path`, which it is to become."""

    def __init__(self, temporary: Path, path: Path) -> None:
        super().__init__(_Raw(os.fspath(temporary), "w"))
        self.path = self.raw.path = path  # type: ignore[attr-defined]


class _Raw(io.FileIO):
    path: Path

    def write(self, data) -> int:
        with writing(self.path):
            return super().write(data)


def _sync(folder: Path) -> None:
    """So that a name that was changed outlives a loss of power, where the file system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
