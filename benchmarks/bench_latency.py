"""How long a caller waits: `predict` of few points, importing the package, and its first call."""

import subprocess
import sys
import time

import numpy as np
import pytest

import tfkm
from benchmarks import rivals
from benchmarks.judge import Judge
from benchmarks.ours import Tfkm

CALLS = 1000

# With what a user's first line imports, and the first call of a process, which also compiles.
START = """
import time
began = time.perf_counter()
from {module} import KMeans
imported = time.perf_counter() - began
import numpy as np
x = np.random.default_rng(0).standard_normal((10000, 32), np.float32)
began = time.perf_counter()
KMeans(8, n_init=1).fit(x)
print(imported, time.perf_counter() - began)
"""
MODULES = {"tfkm": "tfkm", "scikit-learn": "sklearn.cluster"}


def test_predict(duel, few):
    """p50 and p99 of single calls, ours and each rival's in turns."""
    judge = Judge(duel.points, duel.centroids)
    callers = {"": Tfkm(few.backend).predict(duel.points, duel.centroids)}
    for name in rivals.NAMES:
        if name in rivals.absent() or name in rivals.ON_GPU:
            continue
        if (method := getattr(rivals.get(name), "predict", None)) is not None:
            callers[name] = method(duel.points, duel.centroids)
    for call in callers.values():
        judge.check("predict", call())
    times = {name: np.empty(50 if duel.quick else CALLS) for name in callers}
    for i in range(len(times[""])):
        for name, call in callers.items():
            began = time.perf_counter()
            call()
            times[name][i] = time.perf_counter() - began
    p50, p99 = ({name: float(np.quantile(t, q)) for name, t in times.items()} for q in (0.5, 0.99))
    n, k, d = few.shape
    duel.benchmark.pedantic(callers[""], rounds=3, iterations=1)
    duel.benchmark.extra_info |= few._asdict() | few.shape._asdict()
    duel.benchmark.extra_info |= dict(
        op="predict", flops=2 * n * k * d, bytes=4 * (n * d + k * d + 2 * n), n_iter=None,
        p50=p50.pop(""), p99=p99.pop(""), refused={},
        rivals={
            name: {
                "version": rivals.get(name).version, "p50": p50[name], "p99": p99[name],
                "times": [p50[name]], "ratios": (times[name] / times[""]).tolist()[:50],
            }
            for name in p50
        },
    )  # fmt: skip


@pytest.mark.parametrize("what", ["import", "first call"])
def test_start(benchmark, request, what):
    """In processes of their own, in turns."""
    times: dict[str, list[float]] = {name: [] for name in MODULES}
    for _ in range(1 if request.config.getoption("quick") else 5):
        for name, module in MODULES.items():
            command = [sys.executable, "-c", START.format(module=module)]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            times[name].append(float(run.stdout.split()[what == "first call"]))
    own, theirs = times["tfkm"], times["scikit-learn"]
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info |= dict(
        op=what, name="a new process", data="noise", sweep=None, n=10000, k=8, d=32, dtype="float32",
        threads=None, backend=next(iter(tfkm.backends())), device="CPU:0", flops=0, bytes=0, n_iter=None,
        refused={}, seconds=float(np.median(own)),
        rivals={
            "scikit-learn": {
                "version": rivals.get("scikit-learn").version, "times": theirs,
                "ratios": [t / o for t, o in zip(theirs, own, strict=True)],
            }
        },
    )  # fmt: skip
