"""Ratios to rivals on arrays, small and narrow shapes too, for the instruction set that `TFKM_ISA` forces.

TFKM_ISA=avx2 python -m benchmarks.by_level [--rounds N] [--quick] [-o FILE.md]

Ours and each rival take turns on the same arrays. A ratio is a rival's median time over ours, so above 1
ours is faster.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import benchmarks.conftest  # noqa: F401  sets the environment before NumPy is loaded

# isort: split
import numpy as np

import tfkm
from benchmarks import machine, rivals
from tfkm import exact
from tfkm.ops.backends import select
from tfkm.ops.native_library import instruction_set
from tfkm.shapes import Shape

SHAPES = (
    Shape(1048576, 16, 8), Shape(262144, 256, 3), Shape(500000, 64, 2), Shape(200000, 100, 16),
    Shape(100000, 20, 10), Shape(65536, 10, 784), Shape(100000, 8, 100), Shape(1000000, 256, 32),
    Shape(131072, 1024, 128), Shape(65536, 4096, 64),
)  # fmt: skip
SMALL = (Shape(1000, 8, 10), Shape(10000, 10, 20), Shape(150, 3, 4))
OPS = ("labels", "assign", "step", "seeding", "fit")


def calls(points: np.ndarray, k: int) -> dict[str, dict[str, Callable[[], object]]]:
    """Return for each op what ours and its rivals call."""
    rival, faiss = rivals.get("scikit-learn"), rivals.get("Faiss")
    native, n = select("native"), len(points)
    centroids = points[np.random.default_rng(1).choice(n, k, replace=False)]
    grid = exact.grids(1, n, np.abs(points).max(0).astype(np.float64))
    labels = rival.assign(points, centroids)
    near = {"scikit-learn": labels, "Faiss": faiss.assign(points, centroids)}

    def fit(kind: type) -> Callable[[], object]:
        return lambda: kind(k, random_state=0).fit(points)

    return {
        "labels": {"ours": lambda: native.labels(points, centroids), **near},
        "assign": {"ours": lambda: native.assign(points, centroids), **near},
        "step": {
            "ours": lambda: native.sweep(points[None], centroids[None], None, grid, measured=False),
            "scikit-learn": rival.step(points, centroids),
        },
        "seeding": {
            "ours": lambda: tfkm.kmeans_plusplus(points, k, random_state=0),
            "scikit-learn": rival.seed(points, k),
        },
        "fit": {"ours": fit(tfkm.KMeans), "scikit-learn": fit(rival.KMeans)},
    }


def medians(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each, in turns; a turn lasts 20 ms at least."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    repeats = {}
    for name, call in contenders.items():
        begin = time.perf_counter()
        call()
        repeats[name] = max(1, int(0.02 / (time.perf_counter() - begin + 1e-9)))
    for _ in range(rounds):
        for name, call in contenders.items():
            begin = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - begin) / repeats[name])
    return {name: median(each) for name, each in times.items()}


def row(shape: Shape, rounds: int, most: float) -> str:
    """Return a line of the table. most: seconds that scikit-learn may take for a round."""
    points = np.random.default_rng(0).standard_normal((shape.n, shape.d)).astype(np.float32)
    cells = [f"{shape.n}, {shape.k}, {shape.d}"]
    for op, contenders in calls(points, shape.k).items():
        if op == "fit" or op == "seeding":
            begin = time.perf_counter()
            contenders["scikit-learn"]()
            if time.perf_counter() - begin > most:
                cells.append("")
                continue
        found = medians(contenders, rounds)
        ours = found.pop("ours")
        ratios = " / ".join(f"{theirs / ours:.2f}" for theirs in found.values())
        cells.append(f"{1e3 * ours:.3g} ms: {ratios}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="small shapes: shows that it runs")
    parser.add_argument("--most", type=float, default=10.0, help="seconds of a fit that is timed")
    parser.add_argument("-o", type=Path, metavar="FILE.md")
    given = parser.parse_args()
    limits = machine.limits(machine.devices()[0])
    lines = [
        f"{machine.CORES} cores, instruction set {instruction_set()}, load {os.getloadavg()[0]:.1f}; "
        f"limits {limits.flops / 1e9:.0f} GFLOP/s, {limits.bandwidth / 1e9:.0f} GB/s.",
        "",
        "| n, k, d | labels: scikit-learn / Faiss | assign: scikit-learn / Faiss | step | seeding | fit |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for shape in SMALL if given.quick else (*SHAPES, *SMALL):
        lines.append(row(shape, given.rounds, given.most))
        print(lines[-1], flush=True)
    if given.o:
        given.o.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
