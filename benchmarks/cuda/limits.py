"""Measures what a card can do at most, beside which `bench` sets every time."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.cuda.timed_card import TimedCard
from tfkm.cuda import nvrtc

SOURCE = Path(__file__).parent / "limits.cu"

_THREADS, _TURNS, _ROUNDS = 256, 20_000, 5
_BYTES = 2**30  # beyond any cache
# Operations of one thread in one turn of limits.cu; a fragment's product is 16·8·16 of a warp.
_MULTIPLY_ADD, _FRAGMENTS = 2 * 16, 8 * 2 * 16 * 8 * 16 // 32


class Limits(NamedTuple):
    """Per second: operations of float32 multiply-adds, of bfloat16 fragments by mma.sync; bytes read."""

    flops: float
    fragments: float
    bandwidth: float


def measure(card: TimedCard) -> Limits:
    """The best of some rounds, a second in all."""
    image = nvrtc.compile_source(SOURCE, card.arch).cubin
    out, turns = card.allocate(4), ctypes.c_int64(_TURNS)
    blocks = 8 * card.processors

    def least(name: str, *arguments) -> float:
        """Seconds."""
        kernel = card.function(image, name)
        work = lambda: kernel(blocks, _THREADS, *arguments, out.at)  # noqa: E731
        work()
        return min(card.milliseconds(work) for _ in range(_ROUNDS)) / 1000

    size = min(_BYTES, card.free_bytes() // 2)
    values = card.copy(np.ones(size // 16 * 4, np.float32))
    threads = _TURNS * _THREADS * blocks
    return Limits(
        threads * _MULTIPLY_ADD / least("limit_multiply_add", turns, ctypes.c_float(0.5)),
        threads * _FRAGMENTS / least("limit_fragments", turns),
        size / least("limit_read", values.at, ctypes.c_int64(size // 16)),
    )
