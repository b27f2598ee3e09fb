"""What the CUDA kernels should take on cards that were not at hand: the tables of docs/gpu.md.

`python -m benchmarks.roofline` writes them there. A floor is what the data sheet allows; an expectation is
the floor with shares of it that kernels of the kind are known to reach. Both count what kernels/cuda does:
see `Work`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tfkm.cuda.nvrtc import Resources
from tfkm.shapes import SHAPES, Shape

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "gpu.md"
RECORD = ROOT / "benchmarks" / "recorded" / "cuda_kernels.json"


class Card(NamedTuple):
    """Rates of a data sheet, without sparsity: TFLOP/s of products, TB/s of memory; threads count
    as two for an FMA.

    mma: the share of `bfloat16` that the instruction mma.sync reaches, which is what the kernels
    use.
    """

    float32: float
    float64: float
    bfloat16: float
    memory: float
    processors: int
    mma: float


CARDS = {
    "A100 SXM 80 GB": Card(19.5, 9.7, 312, 2.039, 108, 1.0),
    "H100 SXM": Card(66.9, 33.5, 989.4, 3.35, 132, 0.62),
    "H200 SXM": Card(66.9, 33.5, 989.4, 4.8, 132, 0.62),
    "B200 (HGX)": Card(75.0, 37.0, 2250, 8.0, 148, 0.31),
}

# Shares of the rates above that are expected of kernels that have not run yet.
PRODUCTS, FRAGMENTS, MEMORY = 0.7, 0.6, 0.85
LAUNCH = 3e-6  # seconds from one kernel's end to the next one's begin
# Which tiles there are, rows and columns, and the rules by which one is taken. Those of doubles come later.
_TUNING = (ROOT / "kernels/cuda/tuning.h").read_text()
_SIZES = re.findall(r"(?:TILE|FRAGMENTS)\((\w+), \d+, (\d+), (\d+)", _TUNING)
TILES = {name: (int(rows), int(columns)) for name, rows, columns in reversed(_SIZES)}
_RULES = re.findall(r'\{(\d+), (\d+), (\d+), (\w+), "(\w+)"\}', _TUNING)


class Work(NamedTuple):
    """What one accumulate of float32 points costs.

    pairs: points times centroids, both padded to whole tiles. products: multiply-adds of the
    screen. epilogue: operations
    that find the two least values, 5 a pair. doubles: those of the direct form and of the exact
    sums. bytes: points
    once, labels and distances out, centroids in and packed; what is read again comes from the
    second-level cache.
    """

    tile: str
    products: int
    epilogue: int
    doubles: int
    bytes: int


def tile_for(shape: Shape) -> str:
    """By the rules."""
    for *least, most_k, tile in _RULES:
        least_n, least_d, least_k = map(int, least)
        within = most_k == "kAny" or shape.k <= int(most_k)
        if shape.n >= least_n and shape.d >= least_d and shape.k >= least_k and within:
            return tile
    raise ValueError(f"{shape}: no rule")


def work(shape: Shape, tile: str | None = None) -> Work:
    n, k, d = shape
    tile = tile or tile_for(shape)
    rows, columns = TILES[tile]
    pairs = -(-n // rows) * rows * (-(-k // columns) * columns)
    return Work(
        tile=tile,
        products=pairs * d,
        epilogue=5 * pairs,
        doubles=3 * n * d + 6 * n * (d + 1),
        bytes=4 * n * d + 8 * n + k * d * (4 + 4 + 4 + 2 + 16),
    )


def seconds(shape: Shape, card: Card, tile: str | None = None, floor: bool = False) -> float:
    """Of one accumulate: the screen's units work side by side, so the slowest of them counts."""
    did = work(shape, tile)
    ordinary = card.float32 * 1e12 * (1 if floor else PRODUCTS)
    fragments = card.bfloat16 * 1e12 * (1 if floor else card.mma * FRAGMENTS)
    memory = did.bytes / (card.memory * 1e12 * (1 if floor else MEMORY))
    if did.tile == "halves":
        compute = max(2 * did.products / fragments, 2 * did.epilogue / ordinary)
    else:
        compute = (2 * did.products + 2 * did.epilogue) / ordinary
    if floor:
        return max(
            memory,
            2 * shape.n * shape.k * shape.d / (fragments if did.tile == "halves" else ordinary),
        )
    exact = 2 * did.doubles / (card.float64 * 1e12 * 0.5)
    return max(compute, memory) + exact + 4 * LAUNCH


def xla_seconds(shape: Shape, card: Card) -> float:
    """Of the form in XLA: a product in float32, whose n·k values are written once and read
    twice."""
    n, k, d = shape
    product = 2 * n * k * d / (card.float32 * 1e12 * PRODUCTS)
    return product + (3 * 4 * n * k + 2 * 4 * n * d) / (card.memory * 1e12 * MEMORY)


# --- the tables
# ------------------------------------------------------------------------------------


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ms(value: float) -> str:
    return f"{1000 * value:.3g}"


def cards() -> str:
    head = (
        "card",
        "float32 TFLOP/s",
        "float64",
        "bfloat16",
        "of it by mma.sync",
        "memory TB/s",
        "processors",
    )
    return _table(
        head,
        (
            [name, *map(str, c[:3]), f"{c.mma:.0%}", str(c.memory), str(c.processors)]
            for name, c in CARDS.items()
        ),
    )


def counts() -> str:
    head = (
        "shape",
        "n, k, d",
        "tile",
        "GFLOP of the screen",
        "of it padding",
        "MB of memory",
        "FLOP/byte",
    )
    rows = []
    for name, shape in SHAPES.items():
        did = work(shape)
        flops, true = 2 * did.products, 2 * shape.n * shape.k * shape.d
        numbers = (f"{flops / 1e9:.3g}", f"{1 - true / flops:.0%}", f"{did.bytes / 1e6:.3g}")
        sizes = ", ".join(map(str, shape))
        rows.append([name, sizes, did.tile, *numbers, f"{flops / did.bytes:.0f}"])
    return _table(head, rows)


# What a screen by tensor cores is set beside.
_ORDINARY = {"halves": ("wide",)}


def predictions() -> str:
    """ms: floor / expected, and the form in XLA."""
    head = ("shape", "tile", *(f"{name}: floor / expected / XLA" for name in CARDS))
    rows = []
    for name, shape in SHAPES.items():
        for tile in dict.fromkeys([tile_for(shape), *_ORDINARY.get(tile_for(shape), ())]):
            times = (
                map(
                    _ms,
                    (seconds(shape, c, tile, True), seconds(shape, c, tile), xla_seconds(shape, c)),
                )
                for c in CARDS.values()
            )
            rows.append([name, tile, *map(" / ".join, times)])
    return _table(head, rows)


def kernels() -> str:
    """What each kernel for float32 points takes of each architecture."""
    record = json.loads(RECORD.read_text())
    names = [name for name in record["kernels"] if name.endswith(" float32")]
    every = list(record["kernels"][names[0]])
    head = ("kernel", *(name.removesuffix(" float32") for name in names))
    rows = ([k, *(_taken(record["kernels"][n][k]) for n in names)] for k in every)
    return _table(head, rows)


def _taken(numbers: list[int]) -> str:
    taken = Resources(*numbers)
    spilled = taken.spill_stores + taken.spill_loads
    return f"{taken.registers}; {taken.shared} B" + (f"; {spilled} B spilled" if spilled else "")


def fill(text: str) -> str:
    """The document with its tables: each stands between <!-- table: name --> and <!-- end -->."""
    for make in (cards, counts, predictions, kernels):
        begin = f"<!-- table: {make.__name__} -->\n"
        before, found, rest = text.partition(begin)
        if not found:
            raise ValueError(f"{DOCUMENT.name}: no place for the table {make.__name__!r}")
        text = before + begin + make() + "\n" + rest[rest.index("<!-- end -->") :]
    return text


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    DOCUMENT.write_text(fill(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
