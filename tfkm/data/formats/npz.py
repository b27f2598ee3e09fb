"""Arrays in .npz archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfkm.data.formats.format import Format, TableOptions, as_one_sentence

_NAMES = ("points", "images", "X")  # of the array to take where there are several


def read_array(path: Path, array: str | None) -> np.ndarray:
    """The array of this name; of None the only one, or the first of a usual name.

    Raises: ValueError naming the file: it has none such, or is broken.
    """
    with as_one_sentence(path, ".npz"):
        archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError(f"{path}: a single array; it needs an .npz archive")
    with archive:
        names = archive.files
        candidates = [array] if array is not None else [n for n in _NAMES if n in names][:1]
        if array is None and len(names) == 1:
            candidates = names
        if not candidates or candidates[0] not in names:
            what = f"no array {array!r}" if array is not None else "several arrays"
            listed = ", ".join(names) or "none"
            raise ValueError(f"{path}: {what}; choose by name (--array) one of: {listed}")
        with as_one_sentence(path, ".npz"):
            return archive[candidates[0]]


def _read(path: Path, options: TableOptions) -> tuple[np.ndarray, Any]:
    return read_array(path, options.array), None


FORMAT = Format(name=".npz", suffixes=(".npz",), read=_read, options=("array",))
