"""`KMeans(k).fit(x)` as it comes, ours and scikit-learn's in turns: time and inertia, large and small.

python -m benchmarks.default_fits [-o FILE.md] [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import geometric_mean, median

import benchmarks.conftest  # noqa: F401  sets the environment before NumPy is loaded

# isort: split
import numpy as np
from sklearn.cluster import KMeans as Rival
from sklearn.datasets import load_digits, load_iris

import tfkm
from tfkm import datasets
from tfkm.testing import noise

LARGE = {
    "codebook of noise": lambda: (noise(65536, 1, 64).points, 1024),
    "embeddings of noise": lambda: (noise(131072, 1, 128).points, 256),
    "pixels (china.jpg)": lambda: (datasets.load("china").points[:262144].astype(np.float32), 256),
    "digits of noise": lambda: (noise(65536, 1, 784).points, 10),
    "narrow noise": lambda: (noise(1048576, 1, 8).points, 16),
}
SMALL = {
    "digits": lambda: (load_digits().data, 10),
    "iris": lambda: (load_iris().data, 3),
}


def row(name: str, points: np.ndarray, k: int, rounds: int, **options) -> tuple[str, float]:
    """A line of Markdown, and how many times as long scikit-learn's took."""
    ours, theirs = tfkm.KMeans, Rival
    ours(k, random_state=rounds, **options).fit(
        points[: 100 * k]
    )  # programs compiled, threads made
    seconds: dict = {ours: [], theirs: []}
    inertias: dict = {ours: [], theirs: []}
    passes: dict = {ours: [], theirs: []}
    for seed in range(rounds):
        for kind in (ours, theirs):
            begin = time.perf_counter()
            model = kind(k, random_state=seed, **options).fit(points)
            seconds[kind].append(time.perf_counter() - begin)
            inertias[kind].append(model.inertia_)
            passes[kind].append(model.n_iter_)
    mine, rival = (median(seconds[kind]) for kind in (ours, theirs))
    inertia = median(inertias[ours]) / median(inertias[theirs])
    cells = (
        name, f"{points.shape[0]}, {k}, {points.shape[1]}", f"{1e3 * mine:,.1f}",
        f"{1e3 * rival:,.1f}", f"{rival / mine:.2f}×",
        f"{median(passes[ours]):.0f} / {median(passes[theirs]):.0f}", f"{inertia:.4f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |", rival / mine


def batch_line(problems: int, n: int, d: int, k: int, rounds: int) -> str:
    """`kmeans_batch` beside a loop over `kmeans`, in turns, and a loop over scikit-learn's fits."""
    points = np.random.default_rng(0).standard_normal((problems, n, d), np.float32)
    few = points[: max(1, problems // 32)]
    calls = {
        "at once": lambda: tfkm.kmeans_batch(points, k, random_state=0),
        "loop": lambda: [tfkm.kmeans(p, k, random_state=0) for p in points],
        "scikit-learn": lambda: [Rival(k, random_state=0).fit(p) for p in few],
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begin)
    once, loop, rival = (median(s) for s in seconds.values())
    rival *= problems / len(few)
    return (
        f"{problems} problems of ({n}, {k}, {d}) by `kmeans_batch`: {1e3 * once:.0f} ms; a loop over "
        f"`kmeans` takes {loop / once:.1f}× that, one over scikit-learn's fits {rival / once:.1f}× "
        f"(measured of {len(few)})."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small parts: shows that it runs")
    options = parser.parse_args()
    lines = [
        "| data | n, k, d | tfkm ms | scikit-learn ms | ratio | passes | inertia ratio |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    ratios = []
    for name, make in LARGE.items():
        points, k = make()
        if options.quick:
            points, k = points[:1000], min(k, 10)
        line, ratio = row(name, points, k, options.rounds)
        ratios.append(ratio)
        lines.append(line)
        print(line, flush=True)
    for name, make in SMALL.items():
        points, k = make()
        for n_init in ("auto", 10):
            # A small fit is over in a millisecond or ten: many of them, in turns.
            rounds = 3 if options.quick else 41
            lines.append(row(f"{name}, n_init={n_init}", points, k, rounds, n_init=n_init)[0])
            print(lines[-1], flush=True)
    batch = batch_line(32 if options.quick else 1024, 256, 16, 16, options.rounds)
    print(batch)
    head = (
        f"Median of {options.rounds} fits (41 of the small ones) with the seeds 0, 1, …, by "
        "`KMeans(k).fit(x)`, tfkm and scikit-learn in turns. A ratio is scikit-learn's time over tfkm's, "
        "and tfkm's median inertia over scikit-learn's. Geometric mean of the ratios of the first five: "
        f"{geometric_mean(ratios):.2f}×.\n\n"
    )
    print(head)
    if options.output:
        options.output.write_text(head + "\n".join([*lines, "", batch]) + "\n")


if __name__ == "__main__":
    main()
