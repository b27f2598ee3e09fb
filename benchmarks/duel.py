"""Our op against its rivals: first the same answer, then time, turn by turn."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks import machine
from benchmarks.rivals import ALL, Outcome

ROUND = 0.01  # seconds that a round should last: a quick op is repeated within it
BUDGET = 8.0  # seconds for the rounds of a case
ROUNDS = 3, 20  # the fewest and the most
INERTIA = 1e-4  # the greatest relative difference to a rival's
LABELS = 0.999  # the least share of equal labels: float32 rivals decide near ties differently


class Work(NamedTuple):
    """What any implementation has to do, at least: operations, and bytes from or to memory."""

    flops: float
    bytes: float

    def __add__(self, other: Work) -> Work:  # type: ignore[override]
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Work:  # type: ignore[override]
        return Work(self.flops * times, self.bytes * times)


def assign_work(n: int, k: int, d: int) -> Work:
    """A dot product per pair; points and centroids read, a label and a distance written, float32."""
    return Work(2 * n * k * d, 4 * (n * d + k * d + 2 * n))


def accumulate_work(n: int, k: int, d: int) -> Work:
    """As assign, and each point added to a sum; sums and weights written in float64."""
    return assign_work(n, k, d) + Work(n * d, 8 * (k * d + k))


class Duel(NamedTuple):
    """Times a case with pytest-benchmark, and the rivals between its rounds."""

    benchmark: Any
    case: Any
    points: np.ndarray
    centroids: np.ndarray
    quick: bool

    def __call__(
        self,
        op: str,
        work: Callable[[Outcome], Work],
        ours: Callable[[], Any],
        outcome: Callable[[Any], Outcome],
        labels_must_agree: bool = True,
        **options: Any,
    ) -> None:
        """Raises if a rival disagrees; else `ours` and each rival's `op` are timed in turns.

        work: what an outcome took at least. outcome: what a result of `ours` means, worked out
        outside the time.
        labels_must_agree: False after several steps, when one near tie has changed many labels.
        options: of the rivals' `op`.
        """
        ours = _waiting(ours, self.case.device)
        theirs = {r.name: getattr(r, op)(self.points, self.centroids, **options) for r in ALL}
        found = outcome(ours())  # compiles
        agreements = {
            name: self._agreement(found, rival(), labels_must_agree)
            for name, rival in theirs.items()
        }
        times = self._times(ours, theirs)
        data = self.benchmark.stats.stats.data
        self.benchmark.extra_info |= self.case._asdict() | self.case.shape._asdict()
        self.benchmark.extra_info |= work(found)._asdict() | {"n_iter": found.n_iter, "op": op}
        self.benchmark.extra_info["threads"] = self.case.threads or machine.CORES
        self.benchmark.extra_info["rivals"] = {
            rival.name: {
                "version": rival.version,
                "times": times[rival.name][
                    : len(data)
                ],  # pytest-benchmark may add an untimed round
                "ratios": [t / o for t, o in zip(times[rival.name], data, strict=False)],
            }
            | agreements[rival.name]
            for rival in ALL
        }

    def _times(self, ours: Callable, theirs: dict[str, Callable]) -> dict[str, list[float]]:
        """Each rival's seconds per call, one for each of the rounds of ours."""
        first = {name: _seconds(f) for name, f in {"": ours, **theirs}.items()}
        iterations = math.ceil((ROUND / 10 if self.quick else ROUND) / min(first.values()))
        fewest, most = ROUNDS
        affordable = int(BUDGET / (iterations * sum(first.values())))
        rounds = 3 if self.quick else max(fewest, min(most, affordable))
        times: dict[str, list[float]] = {name: [] for name in theirs}

        def rivals_turn() -> None:
            for name, rival in theirs.items():
                times[name].append(_seconds(rival, iterations))

        self.benchmark.pedantic(ours, rounds=rounds, iterations=iterations, teardown=rivals_turn)
        return times

    def _agreement(self, ours: Outcome, rival: Outcome, labels_must_agree: bool) -> dict:
        """By how much they differ, judged in float64; raises if it is too much."""
        claimed = ours.inertia
        inertias = [self._inertia(outcome) for outcome in (ours, rival)]
        difference = max(abs(i - inertias[1]) for i in (claimed, *inertias)) / inertias[1]
        equal = float(np.mean(ours.labels == rival.labels))
        assert difference <= INERTIA, f"inertia {claimed:.9g} is not the rival's {inertias[1]:.9g}"
        assert equal >= LABELS or not labels_must_agree, f"only {equal:.4%} of labels are equal"
        assert ours.n_iter == rival.n_iter, f"{ours.n_iter} iterations, the rival's {rival.n_iter}"
        return {"inertia_difference": difference, "equal_labels": equal}

    def _inertia(self, outcome: Outcome) -> float:
        total = 0.0
        for start in range(0, len(self.points), 8192):
            rows = slice(start, start + 8192)
            centroids = outcome.centroids[outcome.labels[rows]].astype(np.float64)
            total += float(np.square(self.points[rows] - centroids).sum())
        return total


def _waiting(op: Callable, device: str) -> Callable:
    """`op`, back only when its result is there: a GPU's ops return before they are done."""
    if device.startswith("CPU"):
        return op

    def waiting():
        result = op()
        tf.test.experimental.sync_devices()
        return result

    return waiting


def _seconds(op: Callable, iterations: int = 1) -> float:
    start = time.perf_counter()  # the clock of pytest-benchmark
    for _ in range(iterations):
        op()
    return (time.perf_counter() - start) / iterations
