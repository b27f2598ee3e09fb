"""`assign` by 1, 2, 4 … threads: a process for each number, since TensorFlow fixes it once; in turns."""

import numpy as np
import pytest

from benchmarks import machine
from benchmarks.compare import Case, Side
from benchmarks.duel import assign_work
from tfkm.testing import Shape

SHAPE = Shape(100_000, 256, 64)
COUNTS = [t for t in (1, 2, 4, 8, 16, 32, 64, 128) if t < machine.CORES] + [machine.CORES]


@pytest.fixture(scope="module")
def seconds(request):
    """Per call, (rounds,) for each number of threads."""
    sides = {count: Side(None, threads=count) for count in COUNTS}
    shape = SHAPE.cut() if request.config.getoption("quick") else SHAPE
    for side in sides.values():
        side.prepare("assign", Case("assign", shape))
    times = {count: [] for count in COUNTS}
    for _ in range(3 if request.config.getoption("quick") else 15):
        for count, side in sides.items():
            times[count].append(np.mean(side.seconds("assign", 2)))
    for side in sides.values():
        side.close()
    return shape, times


@pytest.mark.parametrize("count", COUNTS)
def test_threads(benchmark, seconds, count):
    shape, times = seconds
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info |= shape._asdict() | assign_work(*shape)._asdict()
    benchmark.extra_info |= dict(
        op="assign", name=f"threads={count}", data="noise", sweep="threads", dtype="float32",
        threads=count, backend="native", device="CPU:0", n_iter=None, rivals={}, refused={},
        seconds=float(np.median(times[count])),
    )  # fmt: skip
