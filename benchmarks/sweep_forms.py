"""Every form of the native kernel on every shape, in turns: what kernels/core/tuning.h rests on.

python -m benchmarks.sweep_forms [-o FILE.md] [--quick]
"""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path
from statistics import median

import tensorflow as tf

import benchmarks.conftest  # noqa: F401  sets the environment before NumPy is loaded
import tfkm
from tfkm.ops import native_library
from tfkm.testing import noise

_TUNING = Path(__file__).parents[1] / "kernels/core/tuning.h"
FORMS = re.findall(r'"(\w+)"', re.search(r"names\[\] = .*", _TUNING.read_text())[0])
FEATURES = (2, 4, 8, 16, 32, 48, 64, 96, 128, 256, 512, 1024)
CENTROIDS = (4, 10, 16, 32, 64, 128, 256, 1024, 4096)
FLOPS = 3e9  # of each assignment, so that each takes tens of milliseconds
ROUNDS = 5


def sweep(features, centroids, flops: float) -> list[str]:
    """Lines of a Markdown table: GFLOP/s of each form, the best in bold, the chosen one marked."""
    lines = [
        f"| d | k | {' | '.join(FORMS)} | chosen / best |",
        f"|{' ---: |' * (len(FORMS) + 3)}",
    ]
    for d in features:
        for k in centroids:
            n = max(1000, min(2_000_000, int(flops / (2 * k * d))))
            case = noise(n, k, d)
            points, start = tf.constant(case.points), tf.constant(case.centroids)
            seconds = {form: [] for form in (*FORMS, "")}
            for _ in range(ROUNDS):
                for form, times in seconds.items():
                    os.environ["TFKM_FORM"] = form  # the library reads it in each call
                    begin = time.perf_counter()
                    tfkm.assign(points, start, backend="native")
                    times.append(time.perf_counter() - begin)
            # A form that cannot be is not forced, and runs as chosen: see rule_for.
            possible = {
                "registers": d <= 8, "dots": k <= 16,
                "bfloat16": native_library.instruction_set() == "avx512bf16",
            }  # fmt: skip
            speed = {form: 2e-9 * n * k * d / median(times) for form, times in seconds.items()}
            speed = {f: s for f, s in speed.items() if possible.get(f, True)}
            best = max(s for form, s in speed.items() if form)
            cells = [
                ""
                if f not in speed
                else f"**{speed[f]:.0f}**"
                if speed[f] == best
                else f"{speed[f]:.0f}"
                for f in FORMS
            ]
            lines.append(f"| {d} | {k} | {' | '.join(cells)} | {speed[''] / best:.2f} |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--quick", action="store_true", help="two shapes: shows that it runs")
    options = parser.parse_args()
    lines = (
        sweep((4, 64), (10, 128), FLOPS / 100)
        if options.quick
        else sweep(FEATURES, CENTROIDS, FLOPS)
    )
    if options.output:
        head = (
            "Assignments of float32 noise by each form of the native kernel, GFLOP/s "
            f"(median of {ROUNDS}, in turns; {native_library.instruction_set()}). "
            "The last column is the chosen form's speed over the best one's.\n\n"
        )
        options.output.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
