"""Measures the CUDA kernels on the card that there is: `python -m benchmarks.cuda.bench`.

Needs no TensorFlow, but the driver, NVRTC (from CUDA, from CuPy's or TensorFlow's CUDA packages, or
nvidia-cuda-nvrtc-cu12), NumPy and the launcher: that of an installed tfkm, else a C++ compiler makes
it of the source tree. First comes the self-check: kernels that give wrong answers are not timed.
Times are the card's own, medians of rounds of ten.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import formats
from benchmarks.cuda.limits import Limits
from benchmarks.cuda.limits import measure as measure_limits
from benchmarks.cuda.timed_card import TimedCard
from tfkm.cuda import check
from tfkm.cuda.driver import Card, Prepared, load_compiled, solve
from tfkm.shapes import SHAPES, Shape

TILES = tuple(check.SHAPES)
SWEEP = Shape(1, 1024, 128)  # of n, up to what memory holds
MOST_BYTES = 0.6  # of the free memory


class Row(NamedTuple):
    """One measurement. ms: median; with_copies: points to the card and labels back as well. of_…: shares of
    what was measured of this card, of 2·n·k·d by multiply-adds or by mma.sync, and of the bytes."""

    name: str
    n: int
    k: int
    d: int
    dtype: str
    tile: str
    op: str
    ms: float
    with_copies: float
    tflops: float
    gbytes: float
    of_flops: float
    of_fragments: float
    of_bandwidth: float
    wrong: str


def measure(
    card: TimedCard,
    limits: Limits,
    name: str,
    shape: Shape,
    dtype: str,
    tile: str | None,
    op: str,
    rounds: int,
) -> Row:
    """Times op "assign" or "accumulate" on noise, and judges a sample of the answer."""
    rng = np.random.default_rng(0)
    points = _noise(rng, shape.n, shape.d, dtype)
    centroids = rng.standard_normal((shape.k, shape.d), np.float32)
    grid = check.grid(points) if op == "accumulate" else None
    prepared = Prepared(card, points, centroids, grid=grid, tile=tile)
    prepared.launch()
    answer = prepared.answer()
    times = 10 if rounds > 1 else 1
    ms = statistics.median(card.milliseconds(prepared.launch, times) for _ in range(rounds))
    _with_copies(prepared, points)  # the first copy finds pages that are new
    copied = statistics.median(_with_copies(prepared, points) for _ in range(rounds))
    flops, moved = 2.0 * shape.n * shape.k * shape.d, points.nbytes + 8.0 * shape.n
    tflops, gbytes = flops / ms / 1e9, moved / ms / 1e6
    shares = (
        1e12 * tflops / limits.flops,
        1e12 * tflops / limits.fragments,
        1e9 * gbytes / limits.bandwidth,
    )
    wrong = _judge(points, centroids, answer)
    return Row(
        name, *shape, dtype, tile or "by the rules", op, ms, copied, tflops, gbytes, *shares, wrong
    )


def _with_copies(prepared: Prepared, points: np.ndarray) -> float:
    """Return the milliseconds of points to the card, a launch, and labels back."""
    begin = time.perf_counter()
    prepared.card.fill(prepared.held["points"], points)
    prepared.launch()
    prepared.card.wait()
    prepared.card.fetch(prepared.held["labels"], (len(points),), np.int32)
    return 1000 * (time.perf_counter() - begin)


def jobs(card: TimedCard, quick: bool) -> Iterator[tuple[str, Shape, str, str | None, str]]:
    """Named shapes by every tile and op, other dtypes, and n from 1 to what memory holds."""
    for name, shape in SHAPES.items():
        if quick:
            shape = shape.cut()
        for op in ("assign", "accumulate"):
            for tile in (None, *TILES):
                yield name, shape, "float32", tile, op
            yield name, shape, "float16", None, op
    n, most = 1, MOST_BYTES * card.free_bytes() / (4 * SWEEP.d + 32)
    while n <= (100 if quick else most):
        yield "sweep", SWEEP._replace(n=n), "float32", None, "accumulate"
        n *= 10


def _noise(rng: np.random.Generator, n: int, d: int, dtype: str) -> np.ndarray:
    """In blocks: float64 noise of all points would take twice their memory."""
    points = np.empty((n, d), dtype)
    for first in range(0, n, 1 << 20):
        block = points[first : first + (1 << 20)]
        block[...] = rng.standard_normal(block.shape, np.float32)
    return points


def _judge(points: np.ndarray, centroids: np.ndarray, answer: Any) -> str:
    """What is wrong with the labels of some points, and with what the sums add up to."""
    some = np.unique(np.linspace(0, len(points) - 1, 200).astype(int))
    x = points[some].astype(np.float64)
    exact = np.stack([np.square(x - c).sum(1) for c in centroids.astype(np.float64)], axis=1)
    best = exact.min(1)
    if not (exact[np.arange(len(some)), answer.labels[some]] <= best * (1 + 1e-12)).all():
        return "labels"
    if answer.high is not None:
        total = answer.high[1].sum() + answer.low[1].sum()
        sums = (answer.high[0] + answer.low[0]).sum(0)
        if total != len(points) or not np.allclose(
            sums, points.sum(0, np.float64), rtol=1e-9, atol=1e-6
        ):
            return "sums"
    return ""


def prove(card: Card, load: Callable[[Card, str], None]) -> str:
    """Loads the kernels and runs the self-check for each dtype that is timed; what is wrong, or
    ""."""
    for dtype in ("float32", "float16"):
        load(card, dtype)
        if wrong := check.run(functools.partial(solve, card, dtype), dtype):
            return f"{dtype}: {wrong}"
    return ""


def report(card: Card, limits: Limits, rows: list[Row]) -> str:
    """A table in Markdown."""
    cells = [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    table = formats.table(Row._fields, cells)
    tera = (f"{limit / 1e12:.4g}" for limit in limits)
    about = "float32 {} TFLOP/s, bfloat16 by mma.sync {}, memory {} TB/s".format(*tera)
    return f"{card.name}, {card.arch}, {card.processors} processors; measured: {about}\n\n{table}"


def main(
    arguments: list[str] | None = None,
    load: Callable[[Card, str], None] = load_compiled,
    limits_of: Callable[[TimedCard], Limits] = measure_limits,
) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="small shapes, one round: shows that it runs"
    )
    parser.add_argument("--json", type=Path, help="file for the rows")
    options = parser.parse_args(arguments)
    try:
        card = TimedCard()
        if not (wrong := prove(card, load)):
            limits = limits_of(card)
    except RuntimeError as error:
        wrong = str(error)
    if wrong:
        print(f"not measured: {wrong}", file=sys.stderr)
        return 1
    rows = []
    for job in jobs(card, options.quick):
        rows.append(measure(card, limits, *job, rounds=1 if options.quick else 7))
        print(f"{rows[-1].name} {job[1]} {rows[-1].ms:.4g} ms {rows[-1].wrong}", file=sys.stderr)
    print(report(card, limits, rows))
    if options.json:
        about = {"card": card.name, "arch": card.arch, "limits": limits._asdict()}
        found = about | {"rows": [row._asdict() for row in rows]}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
