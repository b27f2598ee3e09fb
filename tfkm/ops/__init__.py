"""The narrow waist: stateless functions on arrays and on tensors. Validate, select a backend, call it.

Nothing above this layer knows how a distance is computed; nothing below it knows what a fit is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tfkm import checks, exact
from tfkm.data import arrays
from tfkm.ops import backends
from tfkm.ops.backend import ONE, Given, Problems, Tensor
from tfkm.ops.magnitudes import magnitudes
from tfkm.types import Assignment, Statistics

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _as_it_is(function: _Function) -> _Function:
    """Let AutoGraph leave a function alone that is called from a user's tf.function.

    It would rewrite what has no Python loop to rewrite, and call it with other arguments. The mark is what
    `tf.autograph.experimental.do_not_convert` sets.
    """
    function.autograph_info__ = None  # type: ignore[attr-defined]
    return function


@_as_it_is
def assign(
    points: Given,
    centroids: Given,
    *,
    n_points: Given = None,
    distances: bool = True,
    backend: str | None = None,
) -> Assignment:
    """Return the nearest centroid of each point, and the squared distance to it.

    A label is the argmin of the true squared Euclidean distance, the lowest index among exact ties.
    It depends neither on the other points nor on chunk sizes or threads.

    Leading dimensions are separate problems; each has the result that it has alone. They broadcast:
    one set of points is read in place by many sets of centroids.

    Args:
        points: (…, n, d) array or tensor of float32, float64, float16, bfloat16, int8 or uint8. n
            may be 0, or unknown in a graph. Other integers and booleans are computed in float64. An
            array of any strides is read where it lies.
        centroids: (…, k, d), k ≥ 1, of the same dtypes. If points or centroids are float64 all is
            computed in float64, otherwise in float32, with near ties decided in float64.
        n_points: (…) integers from 0 to n: how many rows of each problem are points, from the first
            on. The rows behind are padding of any value and get label −1 and distance 0. None means
            that all rows are points.
        distances: Whether to return distances. Labels alone are the same and take less time:
            about half, for an array of few features.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Returns:
        `Assignment` with labels (…, n) int32 and sq_distances (…, n) float32 or float64, or None
        without distances. They are
        arrays of the library that the points come from, and tensors if any argument is a tensor or
        a graph is being built. Distances of tensors have derivatives with respect to points and
        centroids: those of ‖x − cⱼ‖² with the label j held fixed, a subgradient at a tie. Labels
        are steps, so `tf.GradientTape` gives None for them.

    Raises:
        ValueError: An argument has a wrong shape or value, a value that is not finite, or a squared
            norm that overflows. In a graph values are checked when it runs, and the error is a
            `tf.errors.InvalidArgumentError`. A program that XLA compiles cannot raise: there the
            distance of a bad point is NaN, and bad centroids make all distances and statistics NaN.
        TypeError: An argument has a wrong type or dtype.
        RuntimeError: The named backend cannot be used here.

    Examples:
        >>> import tfkm
        >>> tfkm.assign([[0.0, 0.0], [9.0, 9.0]], [[1.0, 0.0], [9.0, 8.0]]).labels
        array([0, 1], dtype=int32)
        >>> tfkm.assign([[[0.0], [9.0]], [[4.0], [0.0]]], [[1.0], [5.0]], n_points=[2, 1]).labels
        array([[ 0,  1],
               [ 1, -1]], dtype=int32)
    """
    if _of_tensors(points, centroids, n_points):
        from tfkm.ops import tensors

        found = tensors.assign(*_as_tensors(points, centroids), n_points=n_points, backend=backend)
        return found if distances else found._replace(sq_distances=None)
    given = _Given.of(points, centroids, None, n_points)
    module = backends.select(backend)
    x, c = given.points, given.centroids
    if given.problems is None and not distances:
        labels = checks.labels(given.original, module.labels(x, c), c.dtype)
        return Assignment(arrays.like(points, labels), None)
    if given.problems is None:
        labels, sq_distances = module.assign(x, c)
    else:
        labels, sq_distances = map(given.shaped, module.assign_batch(x, c, given.problems))
    checks.distances(given.original, sq_distances)
    labels = arrays.like(points, labels)
    return Assignment(labels, arrays.like(points, sq_distances) if distances else None)


@_as_it_is
def accumulate(
    points: Given,
    centroids: Given,
    weights: Given = None,
    *,
    n_points: Given = None,
    backend: str | None = None,
) -> tuple[Assignment, Statistics]:
    """Return the assignment, and for each cluster the weighted sum and the weight of its points.

    Args:
        points: (…, n, d) array or tensor, as for `assign`. Without any points the statistics are
            zero.
        centroids: (…, k, d), as for `assign`.
        weights: (…, n) real numbers, finite, none negative and not all zero; None for ones. Weights
            of padding may have any value.
        n_points: (…) integers, as for `assign`. Padding is left out of the statistics.
        backend: A name from `tfkm.backends`; None takes the fastest usable one.

    Returns:
        `Assignment`, as `assign` returns it, and `Statistics` with sums (…, k, d), weights (…, k)
        and inertia (…), all in float64. The statistics are correct to their last bits, whatever the
        order of the points. They have no derivatives; the distances have those of `assign`.

    Raises:
        ValueError: As for `assign`.
        TypeError: As for `assign`.
        RuntimeError: The named backend cannot be used here.

    Examples:
        >>> import tfkm
        >>> _, statistics = tfkm.accumulate([[0.0], [1.0], [9.0]], [[0.0], [8.0]])
        >>> statistics.sums.ravel(), statistics.weights, float(statistics.inertia)
        (array([1., 9.]), array([2., 1.]), 2.0)
    """
    if _of_tensors(points, centroids, weights, n_points):
        from tfkm.ops import tensors

        x, c, w = _as_tensors(points, centroids, weights)
        return tensors.accumulate(x, c, w, n_points=n_points, backend=backend)
    given = _Given.of(points, centroids, weights, n_points)
    module = backends.select(backend)
    sweep = module.sweep(
        given.points if given.problems else given.points[None],
        given.centroids if given.problems else given.centroids[None],
        given.weights,
        given.grid(),
        given.problems or ONE,
    )
    labels, distances = given.shaped(sweep.labels), given.shaped(sweep.sq_distances)
    checks.distances(given.original, distances)
    statistics = Statistics(*map(given.shaped, sweep.statistics.rounded()))
    return (
        Assignment(arrays.like(points, labels), arrays.like(points, distances)),
        Statistics(*(arrays.like(points, part) for part in statistics)),
    )


@_as_it_is
def sq_distances(
    points: Given, centroids: Given, *, backend: str | None = None
) -> np.ndarray | Tensor:
    """(n, k) squared distances in the direct form, float64 if either argument is, else float32.

    Arrays for arrays; tensors for tensors, differentiable with respect to points and centroids.
    """
    if _of_tensors(points, centroids):
        from tfkm.ops import tensors

        return tensors.sq_distances(*_as_tensors(points, centroids), backend=backend)
    given = _Given.of(points, centroids, None, None, leading=False)
    distances = backends.select(backend).sq_distances(given.points, given.centroids)
    checks.distances(
        given.points, distances[:, 0]
    )  # a bad point is at a bad distance from every one
    return distances


def _of_tensors(*given: Given) -> bool:
    """Whether any is a tensor, or arrays in host memory are to become part of a graph."""
    of_tensors = (
        any(map(arrays.is_tensor, given)) or arrays.in_graph() or _on_foreign_card(given[0])
    )
    if of_tensors:
        backends.check_fork()
    return of_tensors


def _on_foreign_card(points: Given) -> bool:
    return hasattr(points, "__dlpack_device__") and arrays.is_on_card(
        arrays.taken("points", points)
    )


def _as_tensors(*given: Given) -> list[Given]:
    """Arrays of other libraries as NumPy's, or as tensors on their card."""
    names = "points", "centroids", "weights"
    return [
        a if a is None or arrays.is_tensor(a) else arrays.taken(name, a)
        for name, a in zip(names, given, strict=False)
    ]


class _Given(NamedTuple):
    """Checked arguments, flat. shape: the leading dimensions of all together. problems: None without any.

    original: points as they were given. counts: rows that count, shaped, or None.
    """

    points: np.ndarray
    centroids: np.ndarray
    weights: np.ndarray | None
    problems: Problems | None
    shape: tuple[int, ...]
    original: np.ndarray
    counts: np.ndarray | None

    @classmethod
    def of(
        cls,
        points: Given,
        centroids: Given,
        weights: Given,
        n_points: Given,
        leading: bool = True,
    ) -> _Given:
        x = arrays.taken("points", points)
        x = checks.matrix("points", x, checks.POINT_DTYPES, leading)
        c = arrays.taken("centroids", centroids)
        c = checks.matrix("centroids", c, checks.CENTROID_DTYPES, leading)
        if x.shape[-1] != c.shape[-1]:
            raise ValueError(
                f"centroids: shape {c.shape}; points have {x.shape[-1]} features, "
                f"so it needs shape (k, {x.shape[-1]})"
            )
        if not c.shape[-2]:
            raise ValueError(f"centroids: shape {c.shape}; it needs a known number ≥ 1 of rows")
        shape = checks.check_broadcast("centroids", c, 2, x.shape[:-2])
        compute = checks.compute_dtype(x.dtype, c.dtype)
        checks.finite_rows("centroids", c, compute)
        c = checks.packed(c, compute)
        counts = None if n_points is None else _counts(n_points, x, shape)
        w = None if weights is None else _weights(weights, x, shape, counts)
        if not shape and counts is None:
            return cls(x, c, w if w is None else w[None], None, (), x, None)
        flat = [(x, 2), (c, 2)] if w is None else [(x, 2), (c, 2), (w, 1)]
        sizes = [a.shape[: a.ndim - own] for a, own in flat]
        table = _table(shape, *sizes)
        rows = None if counts is None else np.ascontiguousarray(counts.ravel(), np.int64)
        x_, c_, *w_ = (
            a.reshape((math.prod(size), *a.shape[len(size) :]))
            for (a, _), size in zip(flat, sizes, strict=True)
        )
        w = np.ascontiguousarray(w_[0]) if w_ else None
        problems = Problems(table, rows)
        return cls(x_, np.ascontiguousarray(c_), w, problems, shape, x, counts)

    def grid(self) -> exact.Grid:
        """For each problem."""
        n, d = self.original.shape[-2:]
        largest = magnitudes(self.original, self.counts)
        largest = np.broadcast_to(largest, (*self.shape, d)).reshape(-1, d)
        heaviest: float | np.ndarray = 1.0
        if self.weights is not None:
            each = self.weights.max(axis=-1, initial=0)
            heaviest = each if self.problems is None else each[self.problems.table[:, 2]]
        n = max(n, 1)
        if self.counts is not None:
            n = np.maximum(self.counts.ravel(), 1)
            heaviest = np.where(self.counts.ravel() > 0, heaviest, 1.0)
        one = exact.grid(n, largest, heaviest)
        count = len(largest)
        sums = np.broadcast_to(one.sums, (count, d))
        others = np.broadcast_to(one.others, (count, 2))
        return exact.Grid(np.ascontiguousarray(sums), np.ascontiguousarray(others))

    def shaped(self, result: Any) -> Any:
        """(B, *own) -> (…, *own)."""
        if self.problems is None and result.ndim and len(result) == 1 and not self.shape:
            return result[0]
        return result.reshape((*self.shape, *result.shape[1:]))


def _table(together: tuple[int, ...], *shapes: tuple[int, ...]) -> np.ndarray:
    """Which element of each shape goes into each of the elements of the one to which they broadcast."""
    columns = [
        np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), together).ravel()
        for shape in shapes
    ]
    return np.ascontiguousarray(np.stack((columns + columns[:1])[:3], axis=1), np.int64)


def _counts(n_points: Given, points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(…) int64, from 0 to n, for each problem."""
    counts, n = np.asarray(n_points), points.shape[-2]
    if counts.dtype.kind not in "iu":
        raise TypeError(f"n_points: dtype {counts.dtype.name}; it needs integers")
    checks.check_broadcast("n_points", counts, 0, shape, exactly=True)
    if (wrong := np.argwhere((counts < 0) | (counts > n))).size or (
        counts.ndim == 0 and not 0 <= counts <= n
    ):
        index = wrong[0].tolist()
        found = f"n_points{index or ''} is {counts[tuple(index)]}"
        raise ValueError(f"n_points: {found}; allowed is 0 … {n}")
    return np.broadcast_to(counts, shape).astype(np.int64)


def _weights(
    weights: Given, points: np.ndarray, shape: tuple[int, ...], counts: np.ndarray | None
) -> np.ndarray:
    """(…, n) float64; finite, none negative, in no problem all zero. 0 for those not counted."""
    w, n = checks.real_numbers("weights", weights).astype(np.float64), points.shape[-2]
    if w.ndim == 0 or w.ndim - 1 > len(shape) or w.shape[-1] != n:
        leading = "…, " if shape else ""
        raise ValueError(
            f"weights: shape {w.shape}; it needs shape ({leading}{n}{',' * (not leading)})"
        )
    checks.check_broadcast("weights", w, 1, shape, exactly=True)
    none = False
    if counts is not None:
        w = np.where(np.arange(n) < counts[..., None], w, 0.0)
        none = counts == 0
    checks.check_weights(w, all_zero=none)
    return w
