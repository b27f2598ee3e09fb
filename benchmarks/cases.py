"""The one table of what is measured: which shapes, data, dtypes, threads, backends and devices meet."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

import tfkm
from benchmarks import machine
from tfkm.testing import SHAPES, SWEEPS, Shape, noise

REFERENCE_BYTES = 1e9  # of the n×k distances that `reference` holds in float64


class Case(NamedTuple):
    """A row of the report: some points, and what runs on them.

    data: "noise" or the name of a data set. sweep: the one quantity in which its neighbours differ, "n",
    "k", "d", "dtype" or "threads"; None for a row that stands alone. threads: None for a core each.
    """

    name: str
    shape: Shape
    backend: str
    device: str
    sweep: str | None = None
    data: str = "noise"
    dtype: str = "float32"
    threads: int | None = None

    def __str__(self) -> str:
        return f"{self.name}-{self.backend}-{self.device}"

    def why_not(self) -> str:
        """Why it cannot be measured here; empty if it can."""
        state = tfkm.backends()[self.backend]
        gigabytes = self.shape.n * self.shape.k * 8 / 1e9
        if not state.usable:
            return f"the backend is unusable: {state.why}"
        if self.backend == "reference" and gigabytes > REFERENCE_BYTES / 1e9:
            return f"reference would hold {gigabytes:.1f} GB of float64 distances; the bound is 1"
        return ""


def table(quick: bool) -> dict[str, list[Case]]:
    """The cases by the fixture that asks for them."""
    return {"named": _named(quick), "swept": _swept(quick)}


def _named(quick: bool) -> list[Case]:
    return [
        Case(name, shape.cut() if quick else shape, backend, device)
        for name, shape in SHAPES.items()
        for backend in tfkm.backends()
        for device in machine.devices()
    ]


def _swept(quick: bool) -> list[Case]:
    rows = [
        (axis, value, base._replace(**{axis: value}))
        for axis, (base, values) in SWEEPS.items()
        for value in values
    ]
    if quick:  # of the values those that stay what their name says
        rows = [(a, v, s.cut()) for a, v, s in rows if getattr(s.cut(), a) == v]
    return [
        Case(f"{axis}={value}", shape, backend, device, sweep=axis)
        for axis, value, shape in rows
        for backend in tfkm.backends()
        if backend != "reference"
        for device in machine.devices()
    ]


@functools.lru_cache(maxsize=1)  # the cases of one shape follow each other
def points_and_centroids(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Noise in float32: no cluster to be found, which is the hardest input."""
    case = noise(*shape)
    return case.points, case.centroids
