"""Makes the tables of docs/gpu.md: what the CUDA kernels count, and what a data sheet allows.

`python -m benchmarks.cuda.roofline` writes them there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from benchmarks import formats
from benchmarks.cuda.build import Resources
from tfkm.shapes import SHAPES, Shape

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "gpu.md"
RECORD = ROOT / "benchmarks" / "recorded" / "cuda_kernels.json"


class Card(NamedTuple):
    """Rates of a data sheet, without sparsity: TFLOP/s of products, TB/s of memory.

    float32, float64: of threads, two operations for a fused product. bfloat16: of tensor cores.
    mma: the share of bfloat16 that mma.sync reaches, the instruction that the kernels use.
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

# The tiles, rows and columns, and the rules by which one is taken. Those of doubles come later in the file.
_TUNING = (ROOT / "kernels/cuda/tuning.h").read_text()
_SIZES = re.findall(r"(?:TILE|FRAGMENTS)\((\w+), \d+, (\d+), (\d+)", _TUNING)
TILES = {name: (int(rows), int(columns)) for name, rows, columns in reversed(_SIZES)}
_RULES = re.findall(r'\{(\d+), (\d+), (\d+), (\w+), "(\w+)"\}', _TUNING)


def tile_for(shape: Shape) -> str:
    """Return the tile that the rules take."""
    for *least, most_k, tile in _RULES:
        least_n, least_d, least_k = map(int, least)
        within = most_k == "kAny" or shape.k <= int(most_k)
        if shape.n >= least_n and shape.d >= least_d and shape.k >= least_k and within:
            return tile
    raise ValueError(f"{shape}: no rule")


def screen_flops(shape: Shape) -> int:
    """Return the operations of the screen: points and centroids are padded to whole tiles."""
    rows, columns = TILES[tile_for(shape)]
    pairs = -(-shape.n // rows) * rows * (-(-shape.k // columns) * columns)
    return 2 * pairs * shape.d


def moved_bytes(shape: Shape) -> int:
    """Return the bytes that one accumulate of float32 points reads from memory or writes to it.

    Points once, label and distance out, centroids in and packed. What is read again comes from the
    second-level cache.
    """
    n, k, d = shape
    return 4 * n * d + 8 * n + k * d * (4 + 4 + 4 + 2 + 16)


def floor(shape: Shape, card: Card) -> tuple[float, str]:
    """Return the least seconds that the data sheet allows, and what takes them.

    That is the longer of 2·n·k·d operations at the tile's unit and the bytes at the bandwidth.
    """
    rate = card.bfloat16 if tile_for(shape) == "halves" else card.float32
    arithmetic = 2 * shape.n * shape.k * shape.d / (rate * 1e12)
    memory = moved_bytes(shape) / (card.memory * 1e12)
    return max((arithmetic, "arithmetic"), (memory, "memory"))


# --- the tables
# ------------------------------------------------------------------------------------


def cards() -> str:
    head = (
        "card", "float32 TFLOP/s", "float64", "bfloat16", "of it by mma.sync", "memory TB/s",
        "processors",
    )  # fmt: skip
    return formats.table(
        head,
        (
            [name, *map(str, c[:3]), f"{c.mma:.0%}", str(c.memory), str(c.processors)]
            for name, c in CARDS.items()
        ),
    )


def counts() -> str:
    head = (
        "shape", "n, k, d", "tile", "GFLOP of the screen", "of it padding", "MB of memory",
        "FLOP/byte",
    )  # fmt: skip
    rows = []
    for name, shape in SHAPES.items():
        flops, moved = screen_flops(shape), moved_bytes(shape)
        padding = 1 - 2 * shape.n * shape.k * shape.d / flops
        numbers = f"{flops / 1e9:.3g}", f"{padding:.0%}", f"{moved / 1e6:.3g}"
        sizes = ", ".join(map(str, shape))
        rows.append([name, sizes, tile_for(shape), *numbers, f"{flops / moved:.0f}"])
    return formats.table(head, rows)


def floors() -> str:
    """Milliseconds, and what takes them."""
    rows = []
    for name, shape in SHAPES.items():
        least = (floor(shape, card) for card in CARDS.values())
        rows.append([name, *(f"{1000 * seconds:.3g} {why}" for seconds, why in least)])
    return formats.table(("shape", *CARDS), rows)


def kernels() -> str:
    """What each kernel for float32 points takes of each architecture."""
    record = json.loads(RECORD.read_text())
    names = [name for name in record["kernels"] if name.endswith(" float32")]
    every = list(record["kernels"][names[0]])
    head = ("kernel", *(name.removesuffix(" float32") for name in names))
    rows = ([k, *(_taken(record["kernels"][n][k]) for n in names)] for k in every)
    return formats.table(head, rows)


def _taken(numbers: list[int]) -> str:
    taken = Resources(*numbers)
    spilled = taken.spill_stores + taken.spill_loads
    return f"{taken.registers}; {taken.shared} B" + (f"; {spilled} B spilled" if spilled else "")


def fill(text: str) -> str:
    """Return the document with its tables, each between <!-- table: name --> and <!-- end -->."""
    for make in (cards, counts, floors, kernels):
        text = formats.between(text, f"<!-- table: {make.__name__} -->", make())
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(fill(DOCUMENT.read_text()))
