"""What the CUDA kernels should take on cards that were not at hand: the tables of docs/gpu.md.

`python -m benchmarks.roofline` writes them there. A floor is what the data sheet allows; an expectation is
the floor with shares of it that kernels of the kind are known to reach. Both count what kernels/cuda does:
see `Work`. How many points take the second pass is worked out on noise by `--doubts`, and kept.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfkm.cuda.nvrtc import Resources
from tfkm.shapes import SHAPES, Shape

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "gpu.md"
RECORD = ROOT / "benchmarks" / "recorded" / "cuda_kernels.json"
DOUBTS = ROOT / "benchmarks" / "recorded" / "cuda_doubts.json"


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
SETTLE = 0.5  # of the screen's rate, since one block has a processor
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
    once, labels and distances out, centroids in and packed (packed, of these); what is read again comes
    from the second-level cache.
    """

    tile: str
    products: int
    epilogue: int
    doubles: int
    bytes: int
    packed: int


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
    packed = k * d * (4 + 4 + 4 + 2 + 16)
    pairs = -(-n // rows) * rows * (-(-k // columns) * columns)
    return Work(
        tile=tile,
        products=pairs * d,
        epilogue=5 * pairs,
        doubles=3 * n * d + 6 * n * (d + 1),
        bytes=4 * n * d + 8 * n + packed,
        packed=packed,
    )


class Doubts(NamedTuple):
    """share: of the points, that the screen leaves to `settle`. candidates: centroids tried for each."""

    share: float
    candidates: float


def doubts(shape: Shape, tile: str, sample: int = 1000) -> Doubts:
    """On noise, by the margin of kernels/cuda/margin.h."""
    _, k, d = shape
    rng = np.random.default_rng(0)
    x, c = (rng.standard_normal((rows, d), np.float32).astype(np.float64) for rows in (sample, k))
    y, z = x - c.mean(0), c - c.mean(0)
    values = np.square(z).sum(1) - 2 * y @ z.T
    best, second = np.partition(values, 1, axis=1)[:, :2].T
    norm, largest = _norms(y), _norms(z).max()
    roundings = (d + 24) * 2.0**-21 if tile == "halves" else (d + 8) * 2.0**-24
    margin = 1.05 * 2 * roundings * largest * (2 * norm + largest)
    if tile == "halves":
        lost, most_lost = _norms(y - _bfloat16(y)), _norms(z - _bfloat16(z)).max()
        margin += 1.05 * 4 * (norm * most_lost + lost * (largest + most_lost))
    doubtful = second - best <= margin
    tried = (values <= (best + margin)[:, None]).sum(1)[doubtful]
    return Doubts(
        round(float(doubtful.mean()), 4), round(float(tried.mean()), 1) if len(tried) else 0.0
    )


def _norms(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(rows).sum(1))


def _bfloat16(x: np.ndarray) -> np.ndarray:
    """The nearest one, half to even."""
    bits = x.astype(np.float32).view(np.uint32)
    bits = bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000
    return bits.view(np.float32).astype(np.float64)


class Parts(NamedTuple):
    """Seconds of one accumulate. screen: but for `sums`, the direct form and the exact sums, which the same
    kernel does; settle: the second pass, on noise; pack: with `centre`."""

    screen: float
    settle: float
    pack: float
    sums: float


def parts(name: str, card: Card, tile: str) -> Parts:
    """Expected, for a named shape: the screen's units work side by side, so the slowest of them counts."""
    shape = SHAPES[name]
    did, doubt = work(shape, tile), Doubts(*json.loads(DOUBTS.read_text())[name][tile])
    ordinary, doubles = card.float32 * 1e12 * PRODUCTS, card.float64 * 1e12 * 0.5
    bandwidth = card.memory * 1e12 * MEMORY
    if tile == "halves":
        fragments = card.bfloat16 * 1e12 * card.mma * FRAGMENTS
        compute = max(2 * did.products / fragments, 2 * did.epilogue / ordinary)
    else:
        compute = (2 * did.products + 2 * did.epilogue) / ordinary
    tried = 2 * 3 * shape.n * doubt.share * doubt.candidates * shape.d / doubles
    return Parts(
        screen=max(compute, (did.bytes - did.packed) / bandwidth) + LAUNCH,
        settle=compute * doubt.share / SETTLE + tried + LAUNCH,
        pack=did.packed / bandwidth + 2 * LAUNCH,
        sums=2 * did.doubles / doubles,
    )


def floor(shape: Shape, card: Card, tile: str) -> float:
    """What the data sheet allows: 2·n·k·d at the unit's rate, or the bytes."""
    rate = card.bfloat16 if tile == "halves" else card.float32
    flops = 2 * shape.n * shape.k * shape.d
    return max(work(shape, tile).bytes / (card.memory * 1e12), flops / (rate * 1e12))


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


def _judged() -> list[tuple[str, str]]:
    """(shape, tile): the rules' tile, and what a screen by tensor cores is set beside."""
    return [
        (name, tile)
        for name, shape in SHAPES.items()
        for tile in dict.fromkeys([tile_for(shape), *_ORDINARY.get(tile_for(shape), ())])
    ]


def predictions() -> str:
    """ms: floor / expected, and the form in XLA."""
    head = ("shape", "tile", *(f"{name}: floor / expected / XLA" for name in CARDS))
    rows = []
    for name, tile in _judged():
        shape = SHAPES[name]
        times = (
            (floor(shape, card, tile), sum(parts(name, card, tile)), xla_seconds(shape, card))
            for card in CARDS.values()
        )
        rows.append([name, tile, *(" / ".join(map(_ms, some)) for some in times)])
    return _table(head, rows)


def passes() -> str:
    """ms of each kernel."""
    head = (
        "shape",
        "tile",
        "doubtful",
        *(f"{name}: {' / '.join(Parts._fields)}" for name in CARDS),
    )
    record, rows = json.loads(DOUBTS.read_text()), []
    for name, tile in _judged():
        share, candidates = record[name][tile]
        times = (" / ".join(map(_ms, parts(name, card, tile))) for card in CARDS.values())
        rows.append([name, tile, f"{share:.1%}, {candidates:.1f}", *times])
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
    for make in (cards, counts, predictions, passes, kernels):
        begin = f"<!-- table: {make.__name__} -->\n"
        before, found, rest = text.partition(begin)
        if not found:
            raise ValueError(f"{DOCUMENT.name}: no place for the table {make.__name__!r}")
        text = before + begin + make() + "\n" + rest[rest.index("<!-- end -->") :]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--doubts", action="store_true", help="work out the second pass anew, too")
    if parser.parse_args().doubts:
        found: dict[str, dict[str, Doubts]] = {}
        for name, tile in _judged():
            found.setdefault(name, {})[tile] = doubts(SHAPES[name], tile)
        lines = ",\n".join(f' "{name}": {json.dumps(of)}' for name, of in found.items())
        DOUBTS.write_text(f"{{\n{lines}\n}}\n")
    DOCUMENT.write_text(fill(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
