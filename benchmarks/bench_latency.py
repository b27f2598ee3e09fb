"""How long a caller waits: `predict` of few points, importing the package, and its first call."""

import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks import cases, machine, rivals
from benchmarks.duel import settle
from benchmarks.judge import INERTIA, Judge
from benchmarks.ours import Tfkm

TURNS, IN_A_TURN = 20, 50  # a thousand single calls of each

# With what a user's first line imports, and the first call of a process, which also compiles.
START = """
import time
began = time.perf_counter()
from {module} import KMeans
imported = time.perf_counter() - began
import numpy as np
x = np.random.default_rng(0).standard_normal((10000, 32), np.float32)
began = time.perf_counter()
model = KMeans(8, init=x[:8], n_init=1, max_iter=10, tol=0).fit(x)
print(imported, time.perf_counter() - began, model.inertia_)
"""
MODULES = {"tfkm": "tfkm", "scikit-learn": "sklearn.cluster"}


def test_predict(duel, few):
    """p50 and p99 of single calls, fifty of ours and fifty of each rival in turns."""
    judge = Judge(duel.points, duel.centroids)
    ours = Tfkm(few.backend).predict(duel.points, duel.centroids)
    judge.check("predict", ours())
    theirs, refused, *_ = duel.right_rivals("predict", (duel.points, duel.centroids), judge)
    callers = {"": ours, **theirs}
    times = {name: np.empty((3 if duel.quick else TURNS, IN_A_TURN)) for name in callers}
    for turn in range(len(times[""])):
        for name, call in callers.items():
            settle(call, 0)
            for i in range(IN_A_TURN):
                began = time.perf_counter()
                call()
                times[name][turn, i] = time.perf_counter() - began
    middle = {name: np.median(t, axis=1) for name, t in times.items()}
    p50, p99 = ({name: float(np.quantile(t, q)) for name, t in times.items()} for q in (0.5, 0.99))
    n, k, d = few.shape
    duel.benchmark.pedantic(callers[""], rounds=3, iterations=1)
    duel.benchmark.extra_info |= few._asdict() | few.shape._asdict()
    duel.benchmark.extra_info |= dict(
        op="predict", flops=2 * n * k * d, bytes=4 * (n * d + k * d + 2 * n), n_iter=None,
        p50=p50.pop(""), p99=p99.pop(""), refused=refused,
        rivals={
            name: {
                "version": rivals.get(name).version, "p50": p50[name], "p99": p99[name],
                "times": middle[name].tolist(), "ratios": (middle[name] / middle[""]).tolist(),
            }
            for name in p50
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def starts(request):
    """Seconds of an import and of a first call, and the inertia, (rounds, 3), in new processes in turns."""
    times: dict[str, list] = {name: [] for name in MODULES}
    for _ in range(1 if request.config.getoption("quick") else 5):
        for name, module in MODULES.items():
            command = [sys.executable, "-c", START.format(module=module)]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            times[name].append([float(word) for word in run.stdout.split()])
    np.testing.assert_allclose(*(np.array(t)[:, 2] for t in times.values()), rtol=INERTIA)
    return {name: np.array(t) for name, t in times.items()}


@pytest.mark.parametrize("what", ["import", "first call"])
def test_start(benchmark, starts, what):
    own, theirs = (starts[name][:, int(what == "first call")] for name in MODULES)
    benchmark.pedantic(lambda: None, rounds=1)
    device = "GPU:0" if "GPU:0" in machine.devices() else "CPU:0"
    benchmark.extra_info |= dict(
        op=what, name="a new process", data="noise", sweep=None, n=10000, k=8, d=32, dtype="float32",
        threads=None, backend=cases.fastest()[0], device=device, flops=0, bytes=0, n_iter=None,
        refused={}, seconds=float(np.median(own)),
        rivals={
            "scikit-learn": {
                "version": rivals.get("scikit-learn").version, "times": theirs.tolist(),
                "ratios": (theirs / own).tolist(),
            }
        },
    )  # fmt: skip
