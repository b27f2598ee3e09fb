"""Short `repr` texts of records with arrays, which show sizes instead of numbers."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
_SHOWN = 4  # vectors up to this length are shown whole


def brief(**axes: str) -> Callable[[type[T]], type[T]]:
    """Return a decorator that gives a NamedTuple a short `repr`: `Result(k=3, d=2, inertia=0.5, …)`.

    Args:
        **axes: For each field that is an array, the names of its last axes, as in centroids="k d".
            Each size is shown once, in place of the first array that has it. The arrays themselves
            are not shown.

    Examples:
        >>> from typing import NamedTuple
        >>> @brief(points="n d")
        ... class Some(NamedTuple):
        ...     points: np.ndarray
        ...     weight: float
        >>> Some(np.zeros((3, 2)), 0.5)
        Some(n=3, d=2, weight=0.5)
    """

    def __repr__(self) -> str:
        shown: dict[str, str] = {}
        for field, value in zip(self._fields, self, strict=True):
            names = axes.get(field, "").split()
            shape = tuple(getattr(value, "shape", ()))
            if not names or len(shape) < len(names):
                shown[field] = text(value)
                continue
            if leading := shape[: -len(names)]:
                shown.setdefault("leading", str(leading))
            for name, size in zip(names, shape[-len(names) :], strict=True):
                shown.setdefault(name, str(size))
        inside = ", ".join(f"{name}={value}" for name, value in shown.items())
        return f"{type(self).__name__}({inside})"

    def given(kind: type[T]) -> type[T]:
        kind.__repr__ = __repr__  # type: ignore[method-assign]
        return kind

    return given


def text(value: Any) -> str:
    """Return a short text for one value."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    if isinstance(value, list | tuple) and value and not isinstance(value[0], int | float | str):
        counts = Counter(v.name if isinstance(v, enum.Enum) else type(v).__name__ for v in value)
        return ", ".join(f"{count} × {kind}" for kind, count in counts.items())
    shape = getattr(value, "shape", None)
    if shape is None:
        return repr(value)
    try:
        array = np.asarray(value) if len(shape) < 2 else None
    except NotImplementedError:  # a tensor in a graph has no value yet
        array = None
    if array is None:
        return f"{getattr(value.dtype, 'name', value.dtype)}{tuple(shape)}"
    numbers = [text(number) for number in array.reshape(-1).tolist()]
    if not len(shape):
        return numbers[0]
    if len(numbers) > _SHOWN:
        numbers[2:-1] = ["…"]
    return f"[{', '.join(numbers)}]"
