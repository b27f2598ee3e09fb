"""How low the inertia is after how long: fits of 1, 2, 5 … passes from the same seeds, ours and rivals'."""

import time

import numpy as np

import tfkm
from benchmarks import rivals
from benchmarks.duel import settle
from benchmarks.judge import Judge
from benchmarks.ours import Tfkm

PASSES = (1, 2, 5, 10, 20, 40)
RIVALS = ("scikit-learn", "Faiss", "scikit-learn-intelex")


def test_curve(duel, curved):
    curved = duel.case
    n, k, d = curved.shape
    seeds = tfkm.kmeans_plusplus(duel.points, k, random_state=0).centroids
    callers = {"tfkm": Tfkm(curved.backend)}
    callers |= {name: rivals.get(name) for name in RIVALS if name not in rivals.absent()}
    judge = Judge(duel.points, seeds)
    curves: dict[str, list] = {name: [] for name in callers}
    for passes in PASSES[:2] if duel.quick else PASSES:
        for name, caller in callers.items():
            fit = caller.fit(duel.points, seeds, passes)
            settle(fit, 1.0)
            began = time.perf_counter()
            found = fit()
            seconds = time.perf_counter() - began
            curves[name].append([seconds, judge.inertia(np.asarray(found.labels), found.centroids)])
    duel.benchmark.pedantic(callers["tfkm"].fit(duel.points, seeds, 1), rounds=1)
    duel.benchmark.extra_info |= curved._asdict() | curved.shape._asdict()
    duel.benchmark.extra_info |= dict(
        op="curve", flops=0, bytes=0, n_iter=None, curve=curves, rivals={}, refused={}
    )
