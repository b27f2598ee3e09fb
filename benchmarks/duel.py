"""Our op against its rivals: first the right answer, then time, turn by turn."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks import cases, rivals
from benchmarks.judge import Judge
from benchmarks.ours import Tfkm
from benchmarks.rivals import Outcome, Seed

ROUND = 0.01  # seconds that a round should last: a quick op is repeated within it
BUDGET = 4.0  # seconds for the rounds of a case
ROUNDS = 3, 20  # the fewest and the most
SLOWEST = 3.0  # seconds: a turn that takes longer is taken once
SETTLE = (
    0.01  # seconds before a turn, in which threads that the other side left spinning go to sleep
)
FIRST = "scikit-learn"  # beside every row; what others' fits are held against


class Work(NamedTuple):
    """What any implementation has to do, at least: operations, and bytes from or to memory."""

    flops: float
    bytes: float

    def __add__(self, other: Work) -> Work:  # type: ignore[override]
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Work:  # type: ignore[override]
        return Work(self.flops * times, self.bytes * times)


def assign_work(n: int, k: int, d: int, itemsize: int = 4) -> Work:
    """A dot product per pair; points and centroids read, a label and a distance written.

    itemsize: of the points; the rest is counted as float32.
    """
    return Work(2 * n * k * d, itemsize * n * d + 4 * (k * d + 2 * n))


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
        arguments: tuple,
        work: Callable[[Outcome], Work],
        note: str | None = None,
        seed: Seed | None = None,
    ) -> None:
        """Raises if our answer is wrong; else ours and each rival that is right are timed in turns.

        arguments: of the method `op` of `Tfkm` and of each rival. work: what an outcome took at least.
        note: another name for the op in the report. seed: that is among the arguments.
        """
        judge = Judge(self.points, self.centroids)
        theirs, refused, first, yardstick = self.right_rivals(op, arguments, judge)
        ours = _waiting(_method(Tfkm(self.case.backend), op)(*arguments), self.case.device)
        found = ours()  # compiles
        judge.check(op, found, yardstick)
        passes: dict[str, list[int]] = {name: [] for name in ("", *theirs)}
        if found.n_iter is not None:  # of a fit, which may take other seeds in each call
            ours = _telling(ours, passes[""])
            theirs = {name: _telling(call, passes[name]) for name, call in theirs.items()}
        times = self._times(ours, theirs, first, seed or Seed())
        n_iter = {name: median(p) if p else None for name, p in passes.items()}
        found = found._replace(n_iter=n_iter[""])
        data = self.benchmark.stats.stats.data
        info = self.case._asdict() | self.case.shape._asdict() | work(found)._asdict()
        info |= {"n_iter": found.n_iter, "op": note or op, "refused": refused}
        info["threads"] = (
            self.case.threads or tf.config.threading.get_intra_op_parallelism_threads()
        )
        self.benchmark.extra_info |= info
        self.benchmark.extra_info["rivals"] = {
            name: {
                "version": rivals.get(name).version,
                "times": times[name],
                "ratios": [t / o for t, o in zip(times[name], data, strict=False)],
                "n_iter": n_iter[name],
            }
            for name in theirs
        }

    def right_rivals(self, op: str, arguments: tuple, judge: Judge):
        """Calls of those that are right; why the others are refused; seconds of the first call of each; and
        the yardstick for ours."""
        calls, refused, first = {}, {}, {}
        yardstick = None
        for name in rivals.NAMES if self._is_fastest() else [FIRST]:
            if name in rivals.absent() or (name in rivals.ON_GPU) > self.case.device.startswith(
                "GPU"
            ):
                continue  # the report names the absent once
            rival = rivals.get(name)
            method = _method(rival, op)
            if method is None:
                continue
            if why := rival.why_not(op, *self.case.shape[:2]):
                refused[name] = why
                continue
            try:
                calls[name] = method(*(_as_taken(a, rival.dtypes) for a in arguments))
                began = time.perf_counter()
                found = calls[name]()
                first[name] = time.perf_counter() - began
                worth = judge.check(op, found, yardstick)
            except Exception as error:  # a rival that fails or is wrong gets no time
                refused[name] = f"{type(error).__name__}: {error}"
                calls.pop(name, None)
                continue
            if name == FIRST:
                yardstick = worth
        return calls, refused, first, yardstick

    def _is_fastest(self) -> bool:
        """Whether a user gets this one, with or without a GPU; beside the others one rival is enough."""
        return self.case.backend in cases.fastest()

    def _times(
        self, ours: Callable, theirs: dict[str, Callable], once: dict[str, float], seed: Seed
    ) -> dict[str, list[float]]:
        """Each rival's seconds per call, one for each of the rounds of ours, or of the first of them."""
        first = {
            name: once[name] if once.get(name, 0) >= SLOWEST else _seconds(call)
            for name, call in {"": ours, **theirs}.items()
        }
        iterations = math.ceil((ROUND / 10 if self.quick else ROUND) / min(first.values()))
        rounds = {name: self._rounds(iterations * first[name], len(first)) for name in first}
        times: dict[str, list[float]] = {name: [] for name in theirs}

        def rivals_turn() -> None:
            for name, rival in theirs.items():
                if len(times[name]) < rounds[name]:
                    settle(rival, first[name])
                    times[name].append(_seconds(rival, iterations))
            seed.value += 1
            settle(ours, first[""])

        settle(ours, first[""])
        self.benchmark.pedantic(
            ours, rounds=max(rounds.values()), iterations=iterations, teardown=rivals_turn
        )
        return times

    def _rounds(self, seconds: float, contenders: int) -> int:
        """How many turns of so many seconds; a slow one has few, so that the others have enough."""
        fewest, most = (3, 3) if self.quick else ROUNDS
        if seconds >= SLOWEST:
            fewest = 1
        return max(fewest, min(most, int(BUDGET / contenders / (seconds + SETTLE))))


def _method(contender: Any, op: str) -> Callable | None:
    return getattr(contender, op.replace(" ", "_"), None)


def _as_taken(argument: Any, dtypes: tuple[str, ...]) -> Any:
    """Arrays in a dtype that a rival takes, float32 if it does not take their own: not in its time."""
    if isinstance(argument, np.ndarray) and str(argument.dtype) not in dtypes:
        return argument.astype(np.float32)
    return argument


def _telling(fit: Callable, passes: list) -> Callable:
    """`fit`, which also notes its number of passes."""

    def telling():
        found = fit()
        if found.n_iter is not None:
            passes.append(found.n_iter)
        return found

    return telling


def _waiting(op: Callable, device: str) -> Callable:
    """`op`, back only when its result is there: a GPU's ops return before they are done."""
    if device.startswith("CPU"):
        return op

    def waiting():
        result = op()
        tf.test.experimental.sync_devices()
        return result

    return waiting


def settle(op: Callable, seconds: float) -> None:
    """Before a turn of `op`, which takes so long: untimed, until only its own threads are awake."""
    if seconds > 10 * SETTLE:
        time.sleep(SETTLE)
        return
    end = time.perf_counter() + SETTLE
    while time.perf_counter() < end:
        op()


def _seconds(op: Callable, iterations: int = 1) -> float:
    start = time.perf_counter()  # the clock of pytest-benchmark
    for _ in range(iterations):
        op()
    return (time.perf_counter() - start) / iterations
