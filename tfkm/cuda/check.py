"""Whether the kernels do on a card what they promise: nasty points against float64 on the processor.

`run` takes some milliseconds; kernels that fail it are not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

# (n, k, d) for which the rules of kernels/cuda/tuning.h take each of the tiles, with tails in all
# three.
SHAPES = {
    "wide": (4200, 150, 9),
    "even": (200, 60, 33),
    "slim": (600, 17, 50),
    "halves": (300, 300, 40),
}


class Case(NamedTuple):
    """points (n, d), whose values the dtype of points has, and centroids (k, d)."""

    name: str
    points: np.ndarray
    centroids: np.ndarray


# points and centroids -> labels, sq_distances.
Solve = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def run(solve: Solve, points: str = "float32", wide: bool = False) -> str:
    """What is wrong with `solve` for a dtype of points, in float64 if `wide`; empty if nothing is."""
    for case in cases(points, wide):
        if wrong := _judge(case, *solve(case.points, case.centroids)):
            return f"a self-check ({case.name}) gave {wrong}"
    return ""


def cases(points: str, wide: bool) -> Iterator[Case]:
    """For every tile noise, exact ties and, where the dtype has them, groups far from each other."""
    rng = np.random.default_rng(0)
    real = np.float64 if wide else np.float32
    for tile, (n, k, d) in SHAPES.items():
        for name in ("noise", "ties", "far groups"):
            if name == "far groups" and points not in ("float32", "float64"):
                continue
            x, centroids = (_some(name, rng, shape) for shape in ((n, d), (k, d)))
            x = _in_dtype(x, points)
            yield Case(f"{name}, {tile}", x.astype(real), centroids.astype(real))


def _in_dtype(x: np.ndarray, points: str) -> np.ndarray:
    """Values that the dtype has: sixteenths fit in the narrow floats, naturals in all integers."""
    if points in ("float32", "float64"):
        return x.astype(points)
    return np.abs(np.rint(x * 16)) / (16 if "float" in points else 1)


def _some(name: str, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    if name == "ties":
        return rng.integers(-1, 2, shape).astype(np.float64)
    far = np.where(np.arange(shape[0]) % 2, 1e3, -1e3)[:, None] if name == "far groups" else 0.0
    return far + rng.standard_normal(shape)


def _judge(case: Case, labels: np.ndarray, sq_distances: np.ndarray) -> str:
    points, centroids = case.points.astype(np.float64), case.centroids.astype(np.float64)
    exact = np.stack([np.square(points - c).sum(1) for c in centroids], axis=1)
    rows = np.arange(len(points))
    if labels.min() < 0 or labels.max() >= len(centroids):
        return "labels outside 0 … k − 1"
    # NumPy adds in another order, so what is equal up to rounding may be either; sums of small
    # integers are exact.
    best = exact.min(1)
    near = exact <= best[:, None] * (1 + 1e-12)
    clear = near.sum(1) == 1 if not case.name.startswith("ties") else np.full(len(points), True)
    wrong = np.where(clear, labels != exact.argmin(1), ~near[rows, labels])
    if wrong.any():
        i = int(wrong.argmax())
        return f"label {labels[i]} instead of {exact[i].argmin()} for row {i}"
    if not np.allclose(sq_distances, best, rtol=1e-6, atol=1e-30):
        return "wrong distances"
    return ""
