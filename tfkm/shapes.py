"""The sizes that the field measures: shared by tests, benchmarks and what runs without TensorFlow."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """n points, k clusters, d features."""

    n: int
    k: int
    d: int

    def cut(self) -> Shape:
        """Small enough for a test: at most 1024 points and 32 clusters, the features as they are."""
        return Shape(min(self.n, 1024), min(self.k, 32), self.d)


# What k-means is used for, at the sizes that the field measures.
SHAPES = {
    "embeddings": Shape(131072, 1024, 128),
    "codebook": Shape(65536, 4096, 64),
    "compact": Shape(1000000, 256, 32),
    "narrow": Shape(1048576, 16, 8),
    "digits": Shape(65536, 10, 784),
    "pixels": Shape(262144, 256, 3),
    "tokens": Shape(20000, 10000, 768),
}
