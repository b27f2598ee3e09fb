"""Named sizes, data makers and the judge of an assignment: shared by tests and benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tfkm.shapes import SHAPES as SHAPES
from tfkm.shapes import Shape as Shape
from tfkm.types import Assignment

DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "uint8")  # of points

# What changes from row to row, the shape in which it does, and its values.
SWEEPS: dict[str, tuple[Shape, tuple[int, ...]]] = {
    "n": (Shape(1, 256, 32), (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 4_000_000)),
    "k": (Shape(100_000, 1, 32), (2, 8, 32, 128, 512, 2048)),
    "d": (Shape(100_000, 64, 1), (2, 8, 32, 128, 512)),
}


class Case(NamedTuple):
    """A test input. points (n, d), centroids (k, d); weights (n,) or None."""

    points: np.ndarray
    centroids: np.ndarray
    weights: np.ndarray | None = None


def noise(n: int, k: int, d: int, dtype=np.float32, seed: int = 0, offset: float = 0.0) -> Case:
    """Standard normal points, moved by `offset` in each feature; centroids of the same kind."""
    rng = np.random.default_rng([seed, n, k, d])
    points = rng.standard_normal((n, d)) + offset
    centroids = rng.standard_normal((k, d)) + offset
    return Case(points.astype(dtype), centroids.astype(dtype))


def in_dtype(normal: np.ndarray, dtype: str) -> np.ndarray:
    """Standard normal numbers in a dtype of points; as integers 32 times as large, uint8 around 128."""
    if dtype not in ("int8", "uint8"):
        return normal.astype(dtype)
    limits = np.iinfo(dtype)
    middle = 128 if dtype == "uint8" else 0
    return np.rint(32 * normal + middle).clip(limits.min, limits.max).astype(dtype)


def per_feature_offsets(n: int, k: int, d: int, dtype=np.float32) -> Case:
    """Noise in which feature j stands 10^(j mod 5) away from 0, alternating in sign."""
    case = noise(n, k, d, np.float64)
    offsets = 10.0 ** (np.arange(d) % 5) * (-1.0) ** np.arange(d)
    return Case((case.points + offsets).astype(dtype), (case.centroids + offsets).astype(dtype))


def along_a_line(n: int, k: int, d: int) -> Case:
    """Points and centroids far along one direction and close together across it: coarse products tell
    few centroids apart unless neighbours are put together."""
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(d)

    def some(count: int) -> np.ndarray:
        at = rng.uniform(-100, 100, (count, 1))
        return (at * direction + rng.standard_normal((count, d))).astype(np.float32)

    return Case(some(n), some(k))


def two_far_groups(n: int, k: int, d: int, dtype=np.float32, distance: float = 1e3) -> Case:
    """Half of the points and centroids at +distance, half at −distance: no one centre suits both."""
    case = noise(n, k, d, np.float64)
    side = lambda count: np.where(np.arange(count) % 2, distance, -distance)[:, None]  # noqa: E731
    return Case((case.points + side(n)).astype(dtype), (case.centroids + side(k)).astype(dtype))


def ties(n: int, k: int, d: int, dtype=np.float32) -> Case:
    """Small integers, so that distances tie exactly and often; every second centroid is a copy."""
    rng = np.random.default_rng([1, n, k, d])
    centroids = rng.integers(-2, 3, (k, d))
    centroids[k // 2 :] = centroids[: k - k // 2]
    return Case(rng.integers(-2, 3, (n, d)).astype(dtype), centroids.astype(dtype))


def duplicates(n: int, k: int, d: int, dtype=np.float32) -> Case:
    """Five distinct points, far from 0, many times over; centroids among them."""
    rng = np.random.default_rng([2, n, k, d])
    distinct = (rng.standard_normal((5, d)) + 100).astype(dtype)
    return Case(distinct[rng.integers(0, 5, n)], distinct[rng.integers(0, 5, k)])


def weighted(n: int, k: int, d: int, dtype=np.float32) -> Case:
    """Noise with weights over six orders of magnitude and some zeros."""
    case = noise(n, k, d, dtype)
    rng = np.random.default_rng(3)
    return case._replace(weights=10.0 ** rng.uniform(-3, 3, n) * (rng.uniform(size=n) > 0.1))


def seen_from_afar() -> Case:
    """At either end two centroids that differ by a rounding of float32, one among the first of 32 and one
    among the last; points so far beyond them that an index in the last bits of a value changes it by more
    than they differ."""
    rng = np.random.default_rng(6)
    between, ends = rng.uniform(-0.9, 0.9, 28), np.array([1, -1])
    centroids = np.concatenate([ends, between, -ends * (1 - 2.0**-23)])
    points = rng.choice(ends, 500) * 10 ** rng.uniform(1, 5, 500)
    return Case(*(a[:, None].astype(np.float32) for a in (points, centroids)))


def few_bits(n: int, k: int, d: int, dtype: str, scale: float) -> Case:
    """Points in a narrow dtype, centroids float32."""
    case = noise(n, k, d, np.float64)
    return Case((case.points * scale).astype(dtype), (case.centroids * scale).astype(np.float32))


CASES: dict[str, Callable[[], Case]] = {
    "one point": lambda: noise(1, 1, 1),
    "one feature": lambda: noise(300, 7, 1),
    "one cluster": lambda: noise(300, 1, 5),
    "k = n": lambda: Case(*[noise(65, 65, 3).points] * 2),
    "more centroids than points": lambda: noise(3, 20, 4),
    "tail of one": lambda: noise(4097, 33, 17),
    "wide": lambda: noise(130, 9, 513),
    "many centroids": lambda: noise(70, 5000, 6),
    "float64": lambda: noise(1000, 31, 9, np.float64),
    "offset 1e2": lambda: noise(2000, 8, 16, offset=1e2),
    "offset 1e3": lambda: noise(2000, 8, 16, offset=1e3),
    "offset 1e4": lambda: noise(2000, 8, 16, offset=1e4),
    "offset 1e4, one feature": lambda: noise(2000, 8, 1, offset=1e4),
    "per-feature offsets": lambda: per_feature_offsets(2000, 8, 15),
    "two far groups": lambda: two_far_groups(2000, 8, 16),
    "two far groups in float64": lambda: two_far_groups(500, 8, 16, np.float64, 1e7),
    "along a line": lambda: along_a_line(3200, 260, 16),
    "ties": lambda: ties(3000, 24, 3),
    "ties over tiles": lambda: ties(200, 9000, 4),
    # Around the centroids' mean ‖c‖² − 2c·x is 0 for many points: subnormal with an index in its last bits.
    "values of zero": lambda: Case(
        noise(2000, 1, 2).points.round() / 2, np.array([[0, 0], [1, 1]], np.float32)
    ),
    "seen from afar": seen_from_afar,
    "duplicates": lambda: duplicates(3000, 12, 7),
    "weighted": lambda: weighted(1000, 10, 6),
    "float16 beyond its own norm": lambda: few_bits(500, 6, 40, "float16", 12000.0),
    "bfloat16": lambda: few_bits(500, 6, 10, "bfloat16", 1.0),
    "int8": lambda: few_bits(500, 6, 10, "int8", 30.0),
    "uint8": lambda: Case(
        np.random.default_rng(4).integers(0, 256, (700, 192), np.uint8),
        np.random.default_rng(5).integers(0, 256, (20, 192)).astype(np.float32),
    ),
    "tiny": lambda: Case(*(a * np.float32(1e-25) for a in noise(300, 5, 3)[:2])),
    "large": lambda: Case(*(a * np.float32(1e17) for a in noise(300, 5, 3)[:2])),
}


# The cases of which each shows what no other does, for where one takes seconds.
TELLING = (
    "one feature", "wide", "float64", "per-feature offsets", "two far groups", "ties", "weighted", "int8",
)  # fmt: skip


def assert_same_assignment(got: Assignment, case: Case) -> None:
    """`got` keeps the contract of exactness for this case, judged in float64 by the direct form.

    The chosen centroid's distance is within 1e-6 relative, plus one ulp of the points' spread, of the
    best one's; where the best is better than every other by more than that, the label is its
    index. The distance returned is that of the label.
    """
    points, centroids = (np.asarray(a, np.float64) for a in case[:2])
    narrow = np.asarray(case.points).dtype != np.float64 and case.centroids.dtype != np.float64
    exact = np.stack([np.square(points - c).sum(1) for c in centroids], axis=1)
    labels, distances = np.asarray(got.labels), np.asarray(got.sq_distances)
    assert labels.dtype == np.int32 and labels.shape == (len(points),)
    assert distances.dtype == (np.float32 if narrow else np.float64)
    rows = np.arange(len(points))
    best = exact.min(axis=1)
    spread = np.ptp(points, axis=0).max() if len(points) else 0.0
    ulp = np.spacing(np.asarray(spread, distances.dtype))
    allowed = best + 1e-6 * best + float(ulp) ** 2
    assert (exact[rows, labels] <= allowed).all()
    clear = (exact <= allowed[:, None]).sum(axis=1) == 1
    np.testing.assert_array_equal(labels[clear], exact.argmin(axis=1)[clear])
    tolerance = dict(rtol=1e-6, atol=np.finfo(np.float32).tiny) if narrow else dict(rtol=1e-12)
    np.testing.assert_allclose(distances, exact[rows, labels], **tolerance)
