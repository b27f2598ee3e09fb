"""The one table of what is measured: which shapes, data, dtypes, backends and devices meet."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tfkm
from benchmarks import data, machine
from tfkm.ops import devices
from tfkm.testing import DTYPES, SHAPES, SWEEPS, Shape, in_dtype, noise

REFERENCE_BYTES = 1e9  # of the n×k distances that `reference` holds in float64
DEFAULT_CLUSTERS = 100  # of a data set by --dataset that says no number
# Whole default fits. Of noise, since nothing there ends a fit early.
FITS = {
    "codebook": Shape(65536, 1024, 64),
    "embeddings": Shape(131072, 256, 128),
    "digits": Shape(65536, 10, 784),
    "narrow": Shape(1048576, 16, 8),
}
BY_DTYPE = Shape(100_000, 64, 128)
LATENCY = {f"n={n}": Shape(n, 256, 32) for n in (1, 100, 10_000)}
STREAM = Shape(262144, 64, 32)


class Case(NamedTuple):
    """A row of the report: some points, and what runs on them.

    data: "noise" or the name of a data set, of which only k is known until it is `loaded`.
    sweep: the one quantity in which its neighbours differ, "n", "k", "d", "dtype" or "threads"; None for
    a row that stands alone. threads: None for a core each.
    missing: why there are no points.
    """

    name: str
    shape: Shape
    backend: str
    device: str
    sweep: str | None = None
    data: str = "noise"
    dtype: str = "float32"
    threads: int | None = None
    missing: str = ""

    def __str__(self) -> str:
        return f"{self.name}-{self.backend}-{self.device}"

    def loaded(self, quick: bool) -> Case:
        """With its real shape, or why there is none; `quick` cuts it."""
        if self.data == "noise":
            return self
        try:
            n, d = _loaded(self.data).shape
        except (ImportError, ValueError, FileNotFoundError, ConnectionError) as error:
            return self._replace(missing=str(error))
        shape = Shape(n, min(self.shape.k, n), d)
        return self._replace(shape=shape.cut() if quick else shape)

    def why_not(self) -> str:
        """Why it cannot be measured here; empty if it can."""
        if self.missing:
            return self.missing
        state = tfkm.backends()[self.backend]
        gigabytes = self.shape.n * self.shape.k * 8 / 1e9
        if not state.usable:
            return f"the backend is unusable: {state.why}"
        if self.backend == "reference" and gigabytes > REFERENCE_BYTES / 1e9:
            return f"reference would hold {gigabytes:.1f} GB of float64 distances; the bound is 1"
        return ""


def table(quick: bool, datasets: tuple[str, ...] = ()) -> dict[str, list[Case]]:
    """The cases by the fixture that asks for them. datasets: further ones, NAME or NAME:CLUSTERS."""
    cut = Shape.cut if quick else lambda shape: shape
    fits = [_Row(f"{name} noise", cut(shape)) for name, shape in FITS.items()]
    fits += [_real(name, k) for name, k in {**data.CLUSTERS, **_asked(datasets)}.items()]
    named = [_Row(name, cut(shape)) for name, shape in SHAPES.items()]
    fast, every = fastest(), [name for name in _backends() if name != "reference"]
    return {
        "named": _crossed(named, _backends()),
        "copied": [case for case in _crossed(named, fast) if case.device.startswith("GPU")],
        "swept": _crossed(_swept(quick), every) + ([] if quick else _crossed(_large(), every)),
        "stepped": _crossed(named, fast),
        "seeded": _crossed([_Row(name, cut(shape)) for name, shape in FITS.items()], fast),
        "fitted": _crossed(fits, fast),
        "few": _crossed([_Row(name, shape) for name, shape in LATENCY.items()], fast),
        "curved": _crossed([_real("patches", data.CLUSTERS["patches"])], fast[:1]),
        "streamed": _crossed([_Row("stream", cut(STREAM))], fast),
    }


class _Row(NamedTuple):
    name: str
    shape: Shape
    sweep: str | None = None
    data: str = "noise"
    dtype: str = "float32"
    on: str = ""  # a kind of device; "" for all


# The backends that are for one kind of device.
_FOR = {"native": "CPU", "cuda": "GPU"}


def _crossed(rows: list[_Row], backends: list[str]) -> list[Case]:
    return [
        Case(row.name, row.shape, b, device, row.sweep, row.data, row.dtype)
        for row in rows
        for b in backends
        for device in machine.devices()
        if device.startswith(_FOR.get(b, "")) and device.startswith(row.on)
    ]


def _backends() -> list[str]:
    """Those that a fit may be left to; `portable` is for models that are exported."""
    return [name for name in tfkm.backends() if name != "portable"]


def fastest() -> list[str]:
    """The backend that a user gets; with a GPU, also the one that a user gets without."""
    usable = [name for name, state in tfkm.backends().items() if state.usable]
    return list(dict.fromkeys([usable[0], *(name for name in usable if name == "native")]))


def _large() -> list[_Row]:
    """On a card, n beyond the others, by fours to what half of its memory and a quarter of ours hold."""
    base, values = SWEEPS["n"]
    if (card := devices.card()) is None:
        return []
    ours = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most, n, rows = min(card.free // 2, ours // 4) // (4 * base.d), 4 * values[-1], []
    while n <= most:
        rows.append(_Row(f"n={n}", base._replace(n=n), "n", on="GPU"))
        n *= 4
    return rows


def _swept(quick: bool) -> list[_Row]:
    rows = [
        _Row(f"{axis}={value}", base._replace(**{axis: value}), axis)
        for axis, (base, values) in SWEEPS.items()
        for value in values
    ]
    if quick:  # of the values those that stay what their name says
        kept = [
            row
            for row in rows
            if getattr(row.shape.cut(), row.sweep or "") == getattr(row.shape, row.sweep or "")
        ]
        rows = [row._replace(shape=row.shape.cut()) for row in kept]
    shape = BY_DTYPE.cut() if quick else BY_DTYPE
    return rows + [_Row(dtype, shape, "dtype", dtype=dtype) for dtype in DTYPES]


def _asked(datasets: tuple[str, ...]) -> dict[str, int]:
    asked = {}
    for text in datasets:
        name, _, clusters = (
            text.rpartition(":") if text.rpartition(":")[2].isdigit() else (text, "", "")
        )
        asked[name] = int(clusters or DEFAULT_CLUSTERS)
    return asked


def _real(name: str, k: int) -> _Row:
    return _Row(Path(name).stem, Shape(0, k, 0), data=name)


@functools.lru_cache(maxsize=2)
def _loaded(name: str) -> np.ndarray:
    return data.load(name)


@functools.lru_cache(maxsize=1)  # the cases of one shape follow each other
def points_and_centroids(shape: Shape, name: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) and centroids (k, d). Noise has no cluster to be found, which is the hardest input.

    Centroids are points, as real seedings are: beside the data they leave thousands of clusters empty, for
    which tfkm and scikit-learn do not choose the same points.
    """
    n, k, d = shape
    if name != "noise":
        points = _loaded(name)[:n]
    elif n > SWEEPS["n"][1][-1]:  # float64 noise would take twice the room
        points = np.random.default_rng(0).standard_normal((n, d), np.float32)
    else:
        points = noise(max(n, k), 1, d).points
    points = in_dtype(points, dtype)
    centroids = points[:k].astype(np.float64 if dtype == "float64" else np.float32)
    return points[:n], centroids
