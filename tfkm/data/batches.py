"""A tf.data.Dataset as checked batches of points with weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfkm import checks

if TYPE_CHECKING:
    import tensorflow as tf


class Weighted(NamedTuple):
    """points: (rows, d) array or CSR of a dtype that is computed with.

    weights: (rows,) float64 or None.
    """

    points: np.ndarray
    weights: np.ndarray | None

    @property
    def positive(self) -> np.ndarray:
        """Indices of the rows of positive weight."""
        if self.weights is None:
            return np.arange(self.points.shape[0])
        return np.flatnonzero(self.weights)


class Batches:
    """The elements of a dataset, (rows, d) or ((rows, d), (rows,)); each iteration is a pass over it.

    d: features. infinite: whether TensorFlow knows that it never ends. count: batches in a pass, None if
    not known.
    """

    def __init__(self, dataset: tf.data.Dataset, name: str = "X") -> None:
        """Raises: TypeError or ValueError, if its elements are not as above."""
        self._dataset, self._name = dataset, name
        import tensorflow as tf

        spec = dataset.element_spec
        self._has_weights = isinstance(spec, tuple) and len(spec) == 2
        points = spec[0] if self._has_weights else spec
        if not all(isinstance(s, tf.TensorSpec) for s in (spec if self._has_weights else [spec])):
            raise TypeError(
                f"{name}: a dataset of {spec}; its elements have to be batches of points (rows, d), "
                "or pairs of points and weights (rows,)"
            )
        if points.shape.rank not in (None, 2) or (points.shape.rank and points.shape[1] == 0):
            raise ValueError(
                f"{name}: a dataset of shape {points.shape}; its batches need rank 2, (rows, features)"
                + ", as dataset.batch(1024) makes them" * (points.shape.rank == 1)
            )
        width = points.shape[1] if points.shape.rank else None
        self.d: int = width or self._width_of_first()
        cardinality = int(dataset.cardinality())
        self.infinite = cardinality == tf.data.INFINITE_CARDINALITY
        self.count = cardinality if cardinality >= 0 else None

    def __iter__(self) -> Iterator[Weighted]:
        for element in self._dataset:
            points, weights = element if self._has_weights else (element, None)
            points = checks.matrix(self._name, points, checks.POINT_DTYPES)
            if points.shape[1] != self.d:
                raise ValueError(
                    f"{self._name}: a batch of {points.shape[1]} features; the first has {self.d}"
                )
            yield Weighted(points, None if weights is None else self._checked(points, weights))

    def _width_of_first(self) -> int:
        for element in self._dataset:
            points = element[0] if self._has_weights else element
            return checks.matrix(self._name, points, checks.POINT_DTYPES).shape[1]
        raise ValueError(f"{self._name}: an empty dataset; it needs at least one batch")

    def _checked(self, points: np.ndarray, weights: tf.Tensor) -> np.ndarray:
        name = f"weights of {self._name}"
        weights = checks.real_numbers(name, weights).astype(np.float64)
        if weights.shape != (len(points),):
            raise ValueError(f"{name}: shape {weights.shape}; it needs shape ({len(points)},)")
        checks.check_weights(weights, name, all_zero=True)
        return weights


class Epochs:
    """The batches of up to max_iter passes (max_iter batches of an endless one).

    begun: passes begun. weight: of one pass, as far as it was seen.
    """

    def __init__(self, batches: Batches, max_iter: int) -> None:
        self._batches, self._max_iter = batches, max_iter
        count = 1 if batches.infinite else batches.count
        self.max_steps = count and count * max_iter
        self.begun, self.weight, self._seen = 0, 0.0, 0
        self._first, self._head = iter(batches), list[Weighted]()

    def head(self, size: int) -> Weighted:
        """The first batches that together have `size` points of positive weight, or all."""
        found = 0
        while found < size and (batch := next(self._first, None)):
            self._head.append(batch)
            found += batch.positive.size
        if not self._head:
            raise ValueError("X: an empty dataset; it needs at least one batch")
        points = np.concatenate([batch.points for batch in self._head])
        if self._head[0].weights is None:
            return Weighted(points, None)
        return Weighted(points, np.concatenate([batch.weights for batch in self._head]))

    @property
    def rows(self) -> int:
        """Of one pass: as many as its known number of batches suggests, or were seen."""
        count = 0 if self._batches.infinite else self._batches.count or 0
        return max(self._seen, count * len(self._head[0].points))

    def __iter__(self) -> Iterator[Weighted]:
        return itertools.islice(self._all(), self._max_iter if self._batches.infinite else None)

    def _all(self) -> Iterator[Weighted]:
        while self.begun < self._max_iter:
            self.begun += 1
            first = self.begun == 1
            for batch in itertools.chain(self._head, self._first) if first else self._batches:
                if not batch.positive.size:
                    continue
                if first:
                    self._seen += len(batch.points)
                    self.weight += (
                        len(batch.points) if batch.weights is None else batch.weights.sum()
                    )
                yield batch
