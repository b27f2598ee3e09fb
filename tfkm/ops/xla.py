"""The portable fast path: XLA-compiled kernels over fixed-size blocks, never n×k.

Per block of rows, three compiled kernels (a new n recompiles none of them; the tail is padded):

1. `screen`: the expanded form ‖c‖² − 2c·x around the centroids' mean, one matrix product per chunk of
   rows and tile of centroids. It keeps the least and the second least and, with the bound of
   `error_bound`, says for which rows the two are too near to be told apart.
2. `rescue`: only those rows, a few at a time: the same form in float64, then, where even that cannot
   tell, the direct form Σ(x − c)² in float64, which depends on nothing but the row and the centroids.
3. `sums` (accumulate only): exact sums per cluster.

So labels do not depend on chunk, block or thread count: a row is decided by an interval that excludes
every other centroid, or by the direct form. docs/design/exactness.md has the proof.

Measured on 2 Zen 5 cores, (131072, 1024, 128) float32, medians (scikit-learn 1.9.1: 131 ms):
- least and first index by two reductions 91 ms; the second least in addition 96 ms; counting the
  candidates within the bound instead, 100 ms. `tf.argmin` is a variadic reduce, 2–7× slower.
- points as columns, distances (k, chunk) of 1 MB: 0.5 MB and 2 MB are within 5 %.
- the distance to the own centroid as a float64 sum over the minor axis: 7 ms; transposed 16, in 16
  lanes 7, as a product with ones 4 (but then its bits depend on the shape).
- exact sums by scatter-add of both words 10 ms; plain float64 4.5; one-hot products 4–10× slower.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from tfkm import exact
from tfkm.ops import devices, sums, validate, xla_inside
from tfkm.ops import xla_kernels as kernels
from tfkm.ops.xla_kernels import Frame, Plan
from tfkm.types import Assignment, ExactStatistics

# A concrete function of TensorFlow.
_Program: TypeAlias = Callable[..., Any]


class Tuning(NamedTuple):
    """Sizes only; no result depends on them."""

    chunk_bytes: int  # of the (tile, chunk) distances that are looked at together
    chunk_rows: tuple[int, int]  # least and most
    tile: int  # most centroids in one matrix product
    block_flops: int  # of one call of a kernel
    block_bytes: int  # of its points, at most
    block_rows: tuple[int, int]  # least and most
    rescue_rows: int
    at_once: int = os.cpu_count() or 1  # blocks


_precision = "ieee"


def set_xla_precision(precision: str) -> None:
    """Set how the backend `xla` multiplies float32 numbers in its search for the nearest centroid.

    No result depends on it, because what the search leaves unclear is decided again in float64. On
    a GPU with tensor cores "tf32" and "tf32x3" may take less time, which has not been measured; on
    a CPU they take more. The setting holds for this process, from the next call on.

    Args:
        precision: "ieee" multiplies in float32 and is the default. "tf32" rounds both factors to
            TF32 (11 bits), so more points need a second look. "tf32x3" splits each factor into two
            numbers of TF32 and takes three products, with nearly the precision of float32.

    Raises:
        ValueError: `precision` is none of these.

    References:
        Three products are from Ootomo & Yokota (2022), "Recovering single precision accuracy from
        Tensor Cores while surpassing the FP32 theoretical peak performance". The page on CUDA has
        the error bound.

    Examples:
        >>> import tfkm
        >>> x, c = [[0.0], [4.9], [5.1]], [[0.0], [10.0]]
        >>> for precision in "tf32", "tf32x3", "ieee":
        ...     tfkm.set_xla_precision(precision)
        ...     print(tfkm.assign(x, c, backend="xla").labels)
        [0 0 1]
        [0 0 1]
        [0 0 1]
    """
    global _precision
    if precision not in kernels.PARTS:
        allowed = ", ".join(map(repr, kernels.PARTS))
        raise ValueError(f"precision: {precision!r}; allowed are {allowed}")
    _precision = precision


# GPU: by reasoning (launches cost more, memory is larger), not measured: no card was at hand. Rows may be
# few there, since block_flops are some milliseconds however many they are. Two blocks at once hide the
# launches; each has its scratch.
TUNING = {
    "CPU": Tuning(2**19, (64, 4096), 4096, 2**31, 2**24, (1024, 2**17), 64),
    "GPU": Tuning(2**28, (32, 65536), 2**15, 2**36, 2**28, (32, 2**20), 1024, at_once=2),
}


def plan(k: int, d: int, itemsize: int, tuning: Tuning) -> Plan:
    """Block and chunk rows (powers of two) and the tile for these sizes.

    Scratch of a running block: chunk_bytes of distances (more only if the least chunk asks for it),
    block_bytes of padded points, 16·k·(d+1) bytes of sums, 8·tile·rescue_rows in a rescue.
    """
    tiles = -(-k // tuning.tile)
    tile = -(-k // tiles)
    least, most = tuning.chunk_rows
    chunk = _power_of_two_within(tuning.chunk_bytes // (max(tile, d) * itemsize), least, most)
    rows = min(tuning.block_flops // (2 * k * d), tuning.block_bytes // (d * itemsize))
    block = max(chunk, _power_of_two_within(rows, *tuning.block_rows))
    return Plan(block, chunk, tile, tuning.rescue_rows, _precision, tuning.at_once)


def _power_of_two_within(x: int, least: int, most: int) -> int:
    return min(most, max(least, 1 << max(x, 1).bit_length() - 1))


# --- the two functions of a backend, and the distances ------------------------------------------


TAKES_BATCHES = False


def why_not_in_xla() -> str:
    """Return nothing: it can be used there."""
    return ""


def assign(points: tf.Tensor, centroids: tf.Tensor) -> Assignment:
    """As `reference.assign`."""
    if validate.inside_xla():
        return xla_inside.fold(_sizes(points, centroids), points, centroids)[0]
    assignment: Assignment = _program("assign", points, centroids)(points, centroids)
    return assignment


def accumulate(
    points: tf.Tensor, centroids: tf.Tensor, weights: tf.Tensor | None, grid: exact.Grid
) -> tuple[Assignment, ExactStatistics]:
    """As `reference.accumulate`."""
    if validate.inside_xla():
        return xla_inside.fold(_sizes(points, centroids), points, centroids, grid, weights)
    name, more = ("accumulate unweighted", ()) if weights is None else ("accumulate", (weights,))
    both: tuple[Assignment, ExactStatistics] = _program(name, points, centroids)(
        points, centroids, grid, *more
    )
    return both


def sq_distances(points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """As `reference.sq_distances`: the direct form, so that equal points are at distance 0."""
    if validate.inside_xla():
        return xla_inside.sq_distances(points, centroids)
    return _program("sq_distances", points, centroids)(points, centroids)


# --- the loop over blocks, in the graph ----------------------------------------------------------


def _program(name: str, points: tf.Tensor, centroids: tf.Tensor) -> _Program:
    """The concrete function for these dtypes and sizes, where the points are; any number of points."""
    k, d = centroids.shape
    device = points.device if tf.executing_eagerly() else None
    return _build(name, points.dtype, centroids.dtype, k, d, _sizes(points, centroids), device)


def _sizes(points: tf.Tensor, centroids: tf.Tensor) -> Plan:
    k, d = centroids.shape
    sizes = plan(k, d, centroids.dtype.size, _tuning(_on_gpu(points)))
    return sizes._replace(block=_block_for(points.shape[0], sizes))


def _tuning(gpu: bool) -> Tuning:
    """Of a card no more than its free memory has room for."""
    if not gpu:
        return TUNING["CPU"]
    tuning, card = TUNING["GPU"], devices.card()
    if card is None:  # where a program for one is only built
        return tuning
    share = 1 << max(card.free // 16, 1).bit_length() - 1
    chunk_bytes = min(tuning.chunk_bytes, share)
    return tuning._replace(
        chunk_bytes=chunk_bytes,
        tile=min(tuning.tile, max(1, chunk_bytes // (8 * tuning.rescue_rows))),
        block_bytes=min(tuning.block_bytes, share),
    )


def _block_for(n: int | None, sizes: Plan) -> int:
    """At least four blocks, for the threads, out of a few sizes: seldom a new program for a new n.

    Nor are a few points padded to a large block.
    """
    if n is None:
        return sizes.block
    block = sizes.chunk
    while block < sizes.block and n >= 4 * (larger := min(8 * block, sizes.block)):
        block = larger
    return block


def _on_gpu(points: tf.Tensor) -> bool:
    device = getattr(points, "device", "") or ""
    if "CPU" in device or "GPU" in device:
        return "GPU" in device
    return bool(tf.config.list_logical_devices("GPU"))


@functools.lru_cache(maxsize=256)
def _build(
    name: str, dtype: tf.DType, compute: tf.DType, k: int, d: int, sizes: Plan, device: str | None
) -> _Program:
    points, centroids = tf.TensorSpec([None, d], dtype), tf.TensorSpec([k, d], compute)
    grid = exact.Grid(tf.TensorSpec([d], tf.float64), tf.TensorSpec([2], tf.float64))
    weights = tf.TensorSpec([None], tf.float64)
    # Plain signatures: TensorFlow binds arguments to *args or partials only by a failing first try,
    # for whose message it prints all of them (1 ms a call).
    functions = {
        "assign": (lambda x, c: _fold(sizes, x, c)[0], ()),
        "accumulate unweighted": (lambda x, c, g: _fold(sizes, x, c, g), (grid,)),
        "accumulate": (lambda x, c, g, w: _fold(sizes, x, c, g, w), (grid, weights)),
        "sq_distances": (lambda x, c: _fold_distances(sizes, x, c), ()),
    }
    function, specs = functions[name]
    program = tf.function(function, autograph=False)
    with tf.device(device):
        concrete: _Program = program.get_concrete_function(points, centroids, *specs)
    return concrete


def _fold(
    sizes: Plan,
    points: tf.Tensor,
    centroids: tf.Tensor,
    grid: exact.Grid | None = None,
    weights: tf.Tensor | None = None,
) -> tuple[Assignment, ExactStatistics]:
    """Assignment of all blocks and, with a grid, the sum of their statistics."""
    k, d = centroids.shape
    n, blocks = _count_blocks(points, sizes.block)
    exactly = tf.cast(centroids, tf.float64)
    frame, exact_frame = kernels.frame(centroids, sizes), kernels.frame(exactly, sizes)

    def step(
        i: tf.Tensor, labels: tf.TensorArray, distances: tf.TensorArray, total: ExactStatistics
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.TensorArray, ExactStatistics]:
        x, rows = _block(points, i, sizes.block)
        label, distance, unclear = kernels.screen(x, exactly, frame, rows, sizes)
        label, distance = _rescue(x, exactly, exact_frame, label, distance, unclear, sizes)
        if grid is not None:
            w = tf.ones([sizes.block], tf.float64)
            if weights is not None:
                w, _ = _block(weights, i, sizes.block)
            total = total + kernels.sums(x, label, distance, w, rows, grid, k, sizes)
        return (
            i + 1,
            labels.write(i, label[:rows]),
            distances.write(i, distance[:rows]),
            total,
        )

    _, labels, distances, total = tf.while_loop(
        lambda i, *_: i < blocks,
        step,
        (0, _rows(tf.int32, blocks), _rows(tf.float64, blocks), sums.zeros(k, d)),
        parallel_iterations=sizes.at_once,
    )
    assignment = Assignment(_joined(labels, n), tf.cast(_joined(distances, n), centroids.dtype))
    return assignment, total


def _fold_distances(sizes: Plan, points: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    n, blocks = _count_blocks(points, sizes.block)

    def step(i: tf.Tensor, out: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        x, rows = _block(points, i, sizes.block)
        return i + 1, out.write(i, kernels.sq_distances(x, centroids, rows, sizes)[:rows])

    out = tf.TensorArray(
        centroids.dtype, blocks, infer_shape=False, element_shape=[None, centroids.shape[0]]
    )
    _, out = tf.while_loop(
        lambda i, _: i < blocks, step, (0, out), parallel_iterations=sizes.at_once
    )
    return tf.ensure_shape(out.concat(), [None, centroids.shape[0]])


def _count_blocks(points: tf.Tensor, block: int) -> tuple[tf.Tensor, tf.Tensor]:
    n = tf.shape(points, out_type=tf.int64)[0]
    return n, tf.cast(-(-n // block), tf.int32)


def _block(points: tf.Tensor, i: tf.Tensor, block: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The i-th block, padded with zeros to a fixed size, and how many of its rows are real."""
    start = tf.cast(i, tf.int64) * block
    part = points[start : start + block]
    rows = tf.shape(part)[0]
    padding = [[0, block - rows]] + [[0, 0]] * (part.shape.rank - 1)
    part = tf.cond(rows < block, lambda: tf.pad(part, padding), lambda: part)
    return tf.ensure_shape(part, [block, *points.shape[1:]]), rows


def _rows(dtype: tf.DType, blocks: tf.Tensor) -> tf.TensorArray:
    return tf.TensorArray(dtype, blocks, infer_shape=False, element_shape=[None])


def _joined(parts: tf.TensorArray, n: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.reshape(parts.concat(), [n]), [None])


def _rescue(
    x: tf.Tensor,
    centroids: tf.Tensor,
    frame: Frame,
    labels: tf.Tensor,
    distances: tf.Tensor,
    unclear: tf.Tensor,
    sizes: Plan,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decides the unclear rows anew, a fixed number at a time; most blocks have a handful."""
    rows = tf.where(unclear)[:, 0]
    count = tf.size(rows)

    def step(
        i: tf.Tensor, labels: tf.Tensor, distances: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        some = rows[i : i + sizes.rescue]
        padded = tf.pad(some, [[0, sizes.rescue - tf.size(some)]])
        picked = tf.ensure_shape(tf.gather(x, padded), [sizes.rescue, x.shape[1]])
        label, distance = kernels.rescue(picked, centroids, frame)
        real = tf.size(some)
        return (
            i + sizes.rescue,
            tf.tensor_scatter_nd_update(labels, some[:, None], label[:real]),
            tf.tensor_scatter_nd_update(distances, some[:, None], distance[:real]),
        )

    _, labels, distances = tf.while_loop(
        lambda i, *_: i < count, step, (0, labels, distances), parallel_iterations=1
    )
    return labels, distances
