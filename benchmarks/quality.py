"""The inertia that a default fit ends with, over seeds: ours and scikit-learn's.

python -m benchmarks.quality [-o FILE.md] [--mnist FILE.npz] [--seeds N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import benchmarks.conftest  # noqa: F401  sets the environment before NumPy is loaded

# isort: split
import numpy as np
from sklearn.cluster import KMeans as Rival
from sklearn.datasets import load_sample_images
from sklearn.feature_extraction.image import extract_patches_2d

import tfkm
from tfkm import datasets


def patches() -> np.ndarray:
    """(20000, 192) float32: 10,000 patches of 8×8 pixels of each of scikit-learn's two photographs."""
    images = load_sample_images().images
    some = [extract_patches_2d(i, (8, 8), max_patches=10_000, random_state=0) for i in images]
    return np.concatenate(some).reshape(-1, 192).astype(np.float32)


def row(name: str, points: np.ndarray, k: int, seeds: int) -> str:
    """A line of Markdown."""
    inertias = {
        kind: np.array([kind(k, random_state=seed).fit(points).inertia_ for seed in range(seeds)])
        for kind in (tfkm.KMeans, Rival)
    }
    ours, theirs = inertias[tfkm.KMeans], inertias[Rival]
    cells = (
        name, f"{points.shape[0]}, {k}, {points.shape[1]}", f"{np.median(ours):.6g}",
        f"{np.median(theirs):.6g}", f"{100 * (np.median(ours) / np.median(theirs) - 1):+.2f} %",
        f"{ours.min():.6g}", f"{theirs.min():.6g}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--mnist", type=Path, help="an .npz with the array `images`")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    cases = {
        "digits": (datasets.load("digits").points.astype(np.float32), 10),
        "pixels (china.jpg)": (datasets.load("china").points.astype(np.float32), 64),
        "patches": (patches(), 256),
    }
    if options.mnist:
        images = np.load(options.mnist)["images"]
        cases["MNIST test images"] = (images.reshape(len(images), -1).astype(np.float32), 10)
    lines = [
        "| data | n, k, d | tfkm, median | scikit-learn, median | difference | tfkm, best "
        "| scikit-learn, best |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, (points, k) in cases.items():
        lines.append(row(name, points, k, options.seeds))
        print(lines[-1], flush=True)
    if options.output:
        head = f'Inertia of `KMeans(k).fit(x)`, `n_init="auto"`, over {options.seeds} seeds.\n\n'
        options.output.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
