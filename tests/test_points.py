"""Points: every array is read as it is, in place or in blocks, and checked before any work."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

import tfkm
from tfkm.data import points as points_module
from tfkm.data.points import Points
from tfkm.ops import sq_distances
from tfkm.ops.magnitudes import largest_magnitudes
from tfkm.ops.native import Native
from tfkm.ops.on_tensors import OnTensors

pytestmark = pytest.mark.quick


def aligned(shape, dtype=np.float32, at=0):
    """An array of random values whose address is `at` modulo 64."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 128, np.uint8)
    start = -raw.ctypes.data % 64 + at
    array = raw[start : start + size].view(dtype).reshape(shape)
    array[:] = np.random.default_rng(0).random(shape)
    return array


def joined(points):
    return np.concatenate([np.asarray(block) for _, block in points])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint8"])
def test_aligned_array_is_read_in_place(dtype):
    array = aligned((100, 3), tf.as_dtype(dtype).as_numpy_dtype)
    for blocks in (
        Points(array),
        Native().blocks(Points(array)),
        OnTensors("xla").blocks(Points(array)),
    ):
        (block,) = blocks
        assert np.asarray(block.points).ctypes.data == array.ctypes.data


def test_read_only_array_becomes_a_tensor_in_place_and_is_kept():
    """As pandas, JAX and joblib hand theirs out."""
    array = aligned((100, 3))
    address, values = array.ctypes.data, array.copy()
    array.flags.writeable = False
    (block,) = OnTensors("xla").blocks(Points(array))
    assert np.asarray(block.points).ctypes.data == address
    alive = weakref.ref(array)
    del array
    gc.collect()
    assert alive() is not None  # while the tensor is
    np.testing.assert_array_equal(block.points, values)
    del block
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("at", [4, 16, 32])
def test_unaligned_array_is_not(at):
    """TensorFlow would abort the whole process in the first op on it."""
    array = aligned((100, 3), at=at)
    (block,) = OnTensors("xla").blocks(Points(array))
    np.testing.assert_array_equal(block.points, array)
    tfkm.assign(block.points, array[:2])


@pytest.mark.parametrize("layout", ["Fortran", "backwards", "apart", "unaligned", "read-only"])
def test_native_reads_any_layout_where_it_lies(layout):
    array = np.random.default_rng(0).random((100, 3), np.float32)
    if layout == "Fortran":
        array = np.asfortranarray(array)
    elif layout == "backwards":
        array = array[::-1, ::-1]
    elif layout == "apart":
        array = np.random.default_rng(0).random((200, 9), np.float32)[::2, 1:7:2]
    elif layout == "unaligned":
        array = np.frombuffer(b"x" + array.tobytes(), np.float32, offset=1).reshape(100, 3)
    else:
        array.flags.writeable = False
    (block,) = Native().blocks(Points(array))
    assert block.points.ctypes.data == array.ctypes.data
    expected = np.ascontiguousarray(array)
    for function in tfkm.assign, sq_distances:
        found, right = (function(x, expected[:5]) for x in (array, expected))
        for part, own in zip(found, right, strict=True):
            np.testing.assert_array_equal(part, own)


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16", "int8", "uint8"])
def test_blocks_join_to_the_whole(monkeypatch, dtype, copy):
    monkeypatch.setattr(points_module, "_COPY_BYTES", 1000)
    array = (np.random.default_rng(0).random((999, 7)) * 100).astype(dtype)[::-1]
    points = Points(array, copy=copy)
    blocks = OnTensors("xla").blocks(points)
    np.testing.assert_array_equal(joined(blocks), array)
    assert len(list(blocks)) > 1
    assert points.compute == (np.float64 if dtype == "float64" else np.float32)
    picked = points[np.array([5, 0, 998])]
    assert picked.dtype == points.compute
    np.testing.assert_array_equal(picked, array[[5, 0, 998]].astype(np.float64))


def test_memory_map_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(points_module, "_COPY_BYTES", 1000)
    path = tmp_path / "points.npy"
    array = np.random.default_rng(0).random((999, 7), np.float32)
    np.save(path, array)
    points = Points(np.load(path, mmap_mode="r"))
    blocks = OnTensors("xla").blocks(points)
    assert max(len(block) for _, block in blocks) * 7 * 4 <= 1000
    np.testing.assert_array_equal(joined(points), array)


def test_big_endian_is_read():
    array = np.arange(6, dtype=">f4").reshape(3, 2)
    np.testing.assert_array_equal(joined(Points(array)), array)


@pytest.mark.parametrize("dtype", ["int64", "uint16", "bool"])
def test_other_integers_are_float64(dtype):
    array = (np.arange(6).reshape(3, 2) % 5).astype(dtype)
    for given in array, tf.constant(array), sparse.csr_array(array):
        points = Points(given)
        assert points.dtype == points.compute == np.float64
        np.testing.assert_array_equal(points[np.arange(3)], array)
    for given in array, array.tolist(), tf.constant(array):
        assert tfkm.kmeans(given, 2, random_state=0).centroids.dtype in (np.float64, tf.float64)
        assert tfkm.kmeans_plusplus(given, 2, random_state=0).centroids.dtype in (
            np.float64,
            tf.float64,
        )
        batch = tfkm.kmeans_batch([given] if given is not array else array[None], 2)
        assert batch.centroids.dtype in (np.float64, tf.float64)
        tfkm.metrics.davies_bouldin_score(given, [0, 1, 1])


def test_tensor_is_read_in_place():
    tensor = tf.random.uniform((10, 2))
    (block,) = Points(tensor)
    assert block.points.ctypes.data == np.asarray(tensor).ctypes.data


@pytest.mark.parametrize("value, message", [(np.nan, "NaN"), (np.inf, "infinity"), (1e20, "overf")])
@pytest.mark.parametrize("row", [0, 500, 998])
def test_bad_values_are_found_in_every_block(monkeypatch, row, value, message):
    monkeypatch.setattr(points_module, "_COPY_BYTES", 1000)
    array = np.zeros((999, 7), np.float32)
    array[row, 3] = value
    with pytest.raises(ValueError, match=rf"points\[{row}.*{message}"):
        largest_magnitudes(Points(array))


def test_large_values_that_do_not_overflow_are_taken():
    """Row norms count, not the norm of the largest of each feature."""
    array = np.diag(np.full(30, 4e18)).astype(np.float32)
    np.testing.assert_array_equal(largest_magnitudes(Points(array)), array.max(0))


@pytest.mark.parametrize(
    "array, error, message",
    [
        (np.zeros(3), ValueError, r"points: shape \(3,\)"),
        (np.zeros((3, 0)), ValueError, r"points: shape \(3, 0\)"),
        (np.zeros((3, 2), complex), TypeError, "points: dtype complex128; allowed"),
        (np.array([["a"]]), TypeError, "points: dtype <U1; allowed"),
    ],
)
def test_bad_arrays(array, error, message):
    with pytest.raises(error, match=message):
        Points(array)
