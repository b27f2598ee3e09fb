"""Calls of the library by ctypes: each refuses what cannot be, and ends when a signal's handler raises."""

import ctypes
import signal

import numpy as np
import pytest

from tfkm import exact
from tfkm.ops import native_library
from tfkm.ops.native_library import (
    SEEDING,
    Batch,
    Before,
    Distances,
    Magnitudes,
    Wanted,
    WordPointers,
    points_of,
)

N, K, D = 30, 4, 5
POINTS = np.random.default_rng(0).random((N, D), np.float32)
CENTROIDS = POINTS[:K].copy()


class Call:
    """One that is right, of a struct that `change` makes wrong."""

    def __init__(self, name):
        self.name, self.kept = name, []
        self.struct = getattr(self, f"_{name}")()

    def run(self):
        if self.name == "seed":
            arguments = ctypes.c_void_p(self.struct.ctypes.data), ctypes.c_int64(1)
        else:
            arguments = (ctypes.byref(self.struct),)
        native_library.call(f"tfkm_{self.name}", *arguments, memory="no memory")

    def change(self, field, value):
        struct, (*within, last) = self.struct, field.split(".")
        if self.name == "seed":
            for part in within:
                struct = struct[part]
            struct[last] = value or 0
        else:
            for part in within:
                struct = getattr(struct, part)
            setattr(struct, last, value)

    def _address(self, array):
        self.kept.append(array)
        return array.ctypes.data

    def _accumulate(self):
        own = np.zeros((1, 3), np.int64), np.empty(N, np.int32), np.empty(N, np.float32)
        table, labels, distances = map(self._address, own)
        grid = map(self._address, (np.full((1, D), 2.0**20), np.array([[2.0**20, 2.0**10]])))
        words = [
            WordPointers(self._address(np.zeros((K, D))), self._address(np.zeros(K)))
            for _ in range(2)
        ]
        return Batch(
            1, N, K, D, points_of(POINTS), 0, CENTROIDS.ctypes.data, False,
            Wanted.DISTANCES_AND_SUMS, Before.NOTHING, None, *grid, table, None, labels, distances,
            *words, self._address(np.zeros(exact.DIGITS)),
        )  # fmt: skip

    def _distances(self):
        out = self._address(np.empty((N, K), np.float32))
        return Distances(N, K, D, points_of(POINTS), CENTROIDS.ctypes.data, False, out)

    def _magnitudes(self):
        return Magnitudes(N, D, points_of(POINTS), self._address(np.empty(D)))

    def _seed(self):
        row, points = np.zeros(1, SEEDING), points_of(POINTS)
        row["n"], row["k"], row["d"], row["trials"] = N, K, D, 2
        row["points"] = [(points.data, points.row, points.feature, points.dtype)]
        row["uniforms"] = self._address(np.full((K - 1, 2), 0.5))
        row["chosen"] = self._address(np.empty(K, np.int64))
        return row


def test_right_calls_are_taken():
    distances, magnitudes, seed = Call("distances"), Call("magnitudes"), Call("seed")
    for call in distances, magnitudes, seed, Call("accumulate"):
        call.run()
    true = np.square(POINTS[:, None].astype(float) - CENTROIDS).sum(axis=2)
    np.testing.assert_allclose(distances.kept[0], true, rtol=1e-6)
    np.testing.assert_array_equal(magnitudes.kept[0], POINTS.max(axis=0))
    assert len(set(seed.kept[1])) == K and 0 <= seed.kept[1].min() <= seed.kept[1].max() < N


ODD = "odd"  # an address of no float32
FLOAT64 = native_library.dtype_number(np.dtype(np.float64))


@pytest.mark.quick
@pytest.mark.parametrize(
    "names, field, value, message",
    [
        ("accumulate distances magnitudes seed", "points.dtype", 6, "dtype"),
        ("accumulate distances magnitudes seed", "points.data", None, "points: null"),
        ("accumulate distances magnitudes seed", "n", -1, "n, d: too small"),
        ("accumulate distances magnitudes seed", "d", 0, "n, d: too small"),
        ("accumulate distances", "k", 0, "k: not from 1"),
        ("accumulate distances", "k", 2**31, "k: not from 1"),
        ("accumulate distances", "centroids", None, "centroids: null"),
        ("accumulate distances", "centroids", ODD, "centroids: .*not aligned"),
        ("accumulate distances", "points.dtype", FLOAT64, "centroids: need float64"),
        ("accumulate", "labels", None, "labels: null"),
        ("accumulate", "problems", None, "problems: null"),
        ("accumulate", "sq_distances", None, "sq_distances: null"),
        ("accumulate", "wanted", 4, "wanted: nothing that is known"),
        ("accumulate", "wanted", Wanted.SUMS_AND_BOUNDS, "margins, spent: null"),
        ("accumulate", "before", 3, "before: nothing that is known"),
        ("accumulate", "before", Before.LABELS, "changed: null"),
        ("accumulate", "before", Before.BOUNDS, "before: its bounds would be lost"),
        ("accumulate", "weights", ODD, "weights.*not aligned"),
        ("accumulate", "high.sums", None, "sums: some are null"),
        ("accumulate", "low.weights", None, "sums: some are null"),
        ("accumulate", "grid", None, "grid, inertia: some are null"),
        ("distances magnitudes", "out", None, "out: null"),
        ("seed", "first", N, "first: no such point"),
        ("seed", "first", -1, "first: no such point"),
        ("seed", "trials", 0, "trials: out of range"),
        ("seed", "trials", 65, "trials: out of range"),
        ("seed", "points.dtype", FLOAT64, "wide: needed"),
        ("seed", "chosen", None, "chosen: null"),
    ],
)
def test_what_cannot_be_is_refused(names, field, value, message):
    for name in names.split():
        call = Call(name)
        call.change(field, CENTROIDS.ctypes.data + 1 if value == ODD else value)
        with pytest.raises(ValueError, match=f"tfkm_{name}: .*{message}"):
            call.run()


class Told(Exception):
    """By a handler."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
@pytest.mark.parametrize("count, k", [(1, 8192), (2000, 256)], ids=["one job", "many jobs"])
@pytest.mark.quick
def test_a_handler_that_raises_ends_a_call(count, k):
    """Seconds before it would be done: there are labels that nobody has written."""
    n, d = 1_000_000 // count, 16
    rng = np.random.default_rng(0)
    points, centroids = rng.random((n, d), np.float32), rng.random((k, d), np.float32)
    labels, distances = np.full((count, n), -7, np.int32), np.empty((count, n), np.float32)
    table = np.zeros((count, 3), np.int64)
    batch = Batch(
        count, n, k, d, points_of(points), 0, centroids.ctypes.data, False,
        problems=table.ctypes.data, labels=labels.ctypes.data, sq_distances=distances.ctypes.data,
    )  # fmt: skip

    def handler(*_):
        raise Told

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Told):
            native_library.call("tfkm_accumulate", ctypes.byref(batch), memory="")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (labels == -7).any()
