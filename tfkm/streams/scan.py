"""The first pass over a stream: number, magnitudes and weights of the points, and a hash of the data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from tfkm.ops.magnitudes import checked_magnitudes
from tfkm.seeding.draws import Shard
from tfkm.streams.blocks import Block
from tfkm.streams.checked import fingerprints
from tfkm.streams.stream import Engine, Stream
from tfkm.traces import traced


class Scan(NamedTuple):
    """The result of the first pass, for a stream or for one shard.

    Attributes:
        n: Number of points.
        largest: (d,) the greatest magnitude of each feature.
        lightest: The least weight.
        heaviest: The greatest weight.
        first: (1, d) the first point, in the dtype to compute in.
        digest: SHA-256 of the data, or "" if it was not asked for.
        fingerprints: One for each chunk of a shard.
    """

    n: int
    largest: np.ndarray
    lightest: float
    heaviest: float
    first: np.ndarray
    digest: str
    fingerprints: tuple[int, ...] = ()

    def and_next(self, more: Scan) -> Scan:
        """Return the scan of both, without a digest."""
        return Scan(
            self.n + more.n,
            np.maximum(self.largest, more.largest),
            min(self.lightest, more.lightest),
            max(self.heaviest, more.heaviest),
            self.first,
            "",
        )


@dataclass(frozen=True)
class ScanShard:
    """The task of scanning a shard; `digested` says whether a digest is wanted."""

    digested: bool
    rows: None = None

    phase: ClassVar[str] = "scan"

    def __call__(self, stream: Stream, shard: Shard, blocks: Iterable[Block]) -> Scan:
        """Scan the shard.

        Raises:
            ValueError: A value is not finite, or a squared norm may overflow.
        """
        total: Scan | None = None
        digest, prints = hashlib.sha256(), list[int]()
        with ThreadPoolExecutor(1) as beside:
            for block in blocks:
                hashed = beside.submit(_update, digest, block) if self.digested else None
                here = _of(stream, block)
                total = here if total is None else total.and_next(here)
                prints += fingerprints(block, stream.chunk)
                if hashed is not None:
                    hashed.result()
        assert total is not None
        digested = digest.hexdigest() if self.digested else ""
        return total._replace(digest=digested, fingerprints=tuple(prints))


@traced("tfkm: scan")
def scan(stream: Stream, engine: Engine, *, digested: bool) -> Scan:
    """Scan all shards, and tell the stream its length and the fingerprints to compare in later passes.

    Raises:
        ValueError: There are no points, none has a positive weight, or one is not allowed.
    """
    total: Scan | None = None
    digest = hashlib.sha256()
    for shard, here in engine.run(ScanShard(digested), stream.shards()):
        stream.know(shard._replace(fingerprints=here.fingerprints))
        digest.update(here.digest.encode())
        total = here if total is None else total.and_next(here)
    name = stream.source.name
    if total is None:
        raise ValueError(f"{name}: no points; it needs at least one")
    if total.heaviest == 0:
        raise ValueError(f"weights of {name}: all are zero; at least one must be positive")
    stream.n = total.n
    return total._replace(digest=digest.hexdigest() if digested else "")


def _of(stream: Stream, block: Block) -> Scan:
    start, points, weights = block
    largest = checked_magnitudes(points, stream.compute, start, stream.source.name)
    first, n = points[:1].astype(stream.compute), len(points)
    if weights is None:
        return Scan(n, largest, 1.0, 1.0, first, "")
    return Scan(n, largest, float(weights.min()), float(weights.max()), first, "")


def _update(digest, block: Block) -> None:
    # Blocks have one size, so the digest does not depend on how the source cuts its parts.
    for array in block.points, block.weights:
        if array is not None:
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
