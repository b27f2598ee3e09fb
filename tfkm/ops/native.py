"""The compiled kernels on arrays, by ctypes. kernels/core has what they do; `native_ops` has the ops."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tfkm import exact
from tfkm.data.points import Rows
from tfkm.ops import native_library
from tfkm.ops.backend import ONE, Problems, Sweep
from tfkm.ops.native_library import (
    SEEDING,
    Batch,
    Before,
    Distances,
    Magnitudes,
    Passes,
    Wanted,
    WordPointers,
    address_of,
    dtype_number,
    points_of,
)
from tfkm.traces import traced
from tfkm.types import Ahead, Assignment, ExactStatistics, Tell, Words

if TYPE_CHECKING:
    from tfkm.data.points import Points

# Multiplications that a call may take for several passes, some 20 ms: an interrupt waits so long.
_AHEAD = 2**29
_MOST_TRIALS = 64  # `tfkm::kMostTrials`


class Native:
    """A `Backend` that reads arrays where they lie, in any layout but another byte order."""

    name = "native"

    def blocks(self, points: Points) -> Iterable[Rows]:
        array = points.array
        return points if array is None else [Rows(0, array)]

    def held(self, points: np.ndarray) -> np.ndarray:
        if points.dtype.isnative:
            return points
        return points.astype(points.dtype.newbyteorder("="))

    def assign(self, points: np.ndarray, centroids: np.ndarray) -> Assignment:
        return _assigned((len(points),), points, centroids, ONE)

    def labels(self, points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        labels = np.empty(len(points), np.int32)
        _run("tfkm_accumulate", _batch(points, centroids, ONE, labels, None, wanted=Wanted.LABELS))
        return labels

    def assign_batch(
        self, points: np.ndarray, centroids: np.ndarray, problems: Problems
    ) -> Assignment:
        return _assigned((len(problems.table), points.shape[1]), points, centroids, problems)

    def sq_distances(self, points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        n, (k, d) = len(points), centroids.shape
        out = np.empty((n, k), centroids.dtype)
        wide = centroids.dtype == np.float64
        call = Distances(n, k, d, points_of(points), address_of(centroids), wide, _address(out))
        memory = f"centroids: no memory for scratch of {k} × {d} numbers"
        native_library.call("tfkm_distances", ctypes.byref(call), memory=memory)
        return out

    def magnitudes(self, points: np.ndarray) -> np.ndarray:
        """Return (d,) float64, the largest |value| of each feature of points (n, d); NaN where one is."""
        n, d = points.shape
        out = np.empty(d)
        call = Magnitudes(n, d, points_of(points), _address(out))
        native_library.call("tfkm_magnitudes", ctypes.byref(call), memory="points: no memory")
        return out

    @traced("tfkm: pass")
    def sweep(
        self,
        points: np.ndarray,
        centroids: np.ndarray,
        weights: np.ndarray | None,
        grid: exact.Grid,
        problems: Problems = ONE,
        before: Sweep | None = None,
        measured: bool = True,
        ahead: Ahead | None = None,
    ) -> Sweep:
        """As `Backend.sweep`.

        Points whose label is still the same are not added again: sums are exact, so no bit tells. Without
        distances, points whose bounds tell their label are not even read.
        """
        count, (k, d), n = len(problems.table), centroids.shape[1:], points.shape[1]
        if before is None:
            labels = np.empty((count, n), np.int32)
            words = [Words(np.zeros((count, k, d)), np.zeros((count, k))) for _ in range(2)]
        else:
            labels, words = before.labels, list(before.statistics[:2])
        inertia = np.zeros((count, exact.DIGITS))
        if not measured:
            inertia[:, 0] = np.nan
        changed = np.zeros(count, np.int64) + (n if before is None else 0)
        if measured:
            ahead = None
        distances = margins = spent = moved_from = None
        wanted = Wanted.DISTANCES_AND_SUMS if measured else Wanted.SUMS_AND_BOUNDS
        known = Before.NOTHING if before is None else Before.LABELS
        if measured:
            distances = np.empty((count, n), centroids.dtype)
        elif before is None or before.bounds is None:
            margins, spent = np.empty((count, n), centroids.dtype), np.zeros((count, k))
        else:
            (margins, spent), moved_from = before.bounds, before.centroids
            known = Before.BOUNDS
        high, low = words
        batch = _batch(
            points, centroids, problems, labels, distances, wanted=wanted, before=known,
            weights=_address(weights), grid_sums=address_of(grid.sums), grid=address_of(grid.others),
            high=WordPointers(*map(_address, high)), low=WordPointers(*map(_address, low)),
            inertia=_address(inertia),
            changed=_address(changed),
            margins=_address(margins), spent=_address(spent), moved_from=_address(moved_from),
        )  # fmt: skip
        passes = None
        if ahead is None:
            _run("tfkm_accumulate", batch)
        else:
            most = np.minimum(ahead.most, max(1, _AHEAD // (count * n * k * d)))
            moved, passes = np.empty((2, count, k, d), centroids.dtype), np.empty(count, np.int64)
            spare = np.empty((count, n), centroids.dtype)
            arrays = ahead.thresholds, most, moved, passes, spare
            further = Passes(*map(address_of, arrays))
            _run("tfkm_iterate", batch, ctypes.byref(further))
            centroids = moved[0]
        bounds = None if margins is None or spent is None else (margins, spent)
        statistics = ExactStatistics(high, low, inertia)
        return Sweep(centroids, labels, distances, statistics, changed, bounds, passes)

    def kmeans_plusplus(
        self,
        points: np.ndarray,
        counts: np.ndarray,
        weights: np.ndarray | None,
        firsts: np.ndarray,
        uniforms: np.ndarray,
        sq_distances: np.ndarray | None = None,
        tell: Tell | None = None,
    ) -> np.ndarray | None:
        count, rounds, trials = uniforms.shape
        k = rounds + (sq_distances is None)
        if not points.dtype.isnative or trials > _MOST_TRIALS:
            return None
        chosen = np.full((count, k), -1, np.int64)
        uniforms = np.ascontiguousarray(uniforms, np.float64)
        if weights is not None:
            weights = np.ascontiguousarray(weights, np.float64)

        def own(array: np.ndarray) -> np.ndarray:
            return array.ctypes.data + array.strides[0] * np.arange(count)

        seedings = np.zeros(count, SEEDING)
        seedings["n"], seedings["k"], seedings["d"] = counts, k, points.shape[2]
        lying = seedings["points"]
        lying["data"], (lying["row"], lying["feature"]) = own(points), points.strides[1:]
        lying["dtype"], seedings["wide"] = dtype_number(points.dtype), points.dtype == np.float64
        seedings["weights"] = 0 if weights is None else own(weights)
        seedings["sq_distances"] = 0 if sq_distances is None else own(sq_distances)
        seedings["first"], seedings["trials"] = firsts, trials
        seedings["uniforms"], seedings["chosen"] = own(uniforms), own(chosen)
        at = ctypes.c_void_p(seedings.ctypes.data)
        memory = f"points: no memory for k-means++ of {points.shape[1]} points"
        # The kernel writes each as it chooses it.
        tick = None if tell is None else partial(_tell_chosen, tell, chosen)
        native_library.call("tfkm_seed", at, ctypes.c_int64(count), memory=memory, tick=tick)
        return chosen


def _batch(
    points: np.ndarray,
    centroids: np.ndarray,
    problems: Problems,
    labels: np.ndarray,
    sq_distances: np.ndarray | None,
    **more: int | WordPointers | None,
) -> Batch:
    """The problems on points (P, n, d) and centroids (C, k, d), or on one of each; more pointers."""
    k, d = centroids.shape[-2:]
    return Batch(
        len(problems.table), points.shape[-2], k, d, points_of(points), points.strides[0],
        address_of(centroids), centroids.dtype == np.float64,
        problems=address_of(problems.table), rows=_address(problems.rows),
        labels=_address(labels), sq_distances=_address(sq_distances), **more,
    )  # fmt: skip


def _assigned(
    shape: tuple[int, ...], points: np.ndarray, centroids: np.ndarray, problems: Problems
) -> Assignment:
    """Labels and squared distances of this shape, the only results that are worked out."""
    labels, distances = np.empty(shape, np.int32), np.empty(shape, centroids.dtype)
    _run("tfkm_accumulate", _batch(points, centroids, problems, labels, distances))
    return Assignment(labels, distances)


def _run(name: str, batch: Batch, *more: object) -> None:
    memory = f"centroids: no memory for scratch of {batch.k} × {batch.d} numbers"
    native_library.call(name, ctypes.byref(batch), *more, memory=memory)


def _address(array: np.ndarray | None) -> int | None:
    """None for none, and for one without elements."""
    return None if array is None or not array.size else address_of(array)


def _tell_chosen(tell: Tell, chosen: np.ndarray) -> None:
    tell(int(np.count_nonzero(chosen >= 0)), chosen.size, "centroids")
