"""arrays: those of other libraries are read where they are, and their kind comes back."""

import importlib
import sys
from types import ModuleType

import array_api_strict
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import tfkm
from tfkm import BisectingKMeans, KMeans, MiniBatchKMeans
from tfkm.data import arrays
from tfkm.data.points import Points

pytestmark = pytest.mark.quick

DIGITS = load_digits().data.astype(np.float32)


class Foreign:
    """An array that knows DLPack and nothing else, as PyTorch's has no array API namespace."""

    def __init__(self, inner, device=(1, 0), refuses=None):
        self.inner, self.device, self.refuses = inner, device, refuses

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **options):
        if self.refuses is not None:
            raise self.refuses
        return self.inner.__dlpack__(**options)


@pytest.fixture
def library(monkeypatch):
    """Foreign as the array of a library `foreign`, whose from_dlpack keeps what it is given."""
    module = ModuleType("foreign")
    module.from_dlpack = Foreign
    monkeypatch.setitem(sys.modules, "foreign", module)
    monkeypatch.setattr(Foreign, "__module__", "foreign.core")


def test_host_memory_is_taken_in_place(library):
    for array in array_api_strict.asarray(DIGITS), Foreign(DIGITS):
        taken = arrays.taken("X", array)
        assert isinstance(taken, np.ndarray)
        assert taken.ctypes.data == np.from_dlpack(array).ctypes.data
    strided = arrays.taken("X", Foreign(DIGITS[::2, ::-1]))
    np.testing.assert_array_equal(strided, DIGITS[::2, ::-1])


def test_bfloat16_is_taken_in_place_though_numpy_has_none():
    tensor = tf.cast(DIGITS, tf.bfloat16)
    taken = arrays.taken("X", Foreign(tensor))
    assert taken.dtype == tf.bfloat16.as_numpy_dtype
    assert taken.ctypes.data == np.asarray(tensor).ctypes.data
    np.testing.assert_array_equal(Points(Foreign(tensor))[np.arange(9)], DIGITS[:9])


@pytest.mark.parametrize("thing", [DIGITS, [[1, 2]], 3.5])
def test_what_needs_nothing_stays(thing):
    assert arrays.taken("X", thing) is thing


def test_a_tensor_is_read_in_place():
    tensor = tf.constant(DIGITS)
    assert arrays.taken("X", tensor).ctypes.data == np.asarray(tensor).ctypes.data


@pytest.mark.parametrize(
    "array, reason",
    [
        (Foreign(DIGITS, refuses=BufferError("detach it first")), "detach it first"),
        (Foreign(DIGITS.astype(complex).astype("datetime64[s]")), ""),
        (Foreign(DIGITS, device=(2, 0), refuses=RuntimeError("no such GPU")), "no such GPU"),
    ],
    ids=["by its library", "dtype", "device"],
)
def test_what_cannot_be_read_is_named(array, reason):
    with pytest.raises(TypeError, match=rf"X: cannot read this .*Foreign by DLPack: .*{reason}"):
        KMeans(3).fit(array)
    with pytest.raises(TypeError, match=rf"points: cannot read this .*{reason}"):
        tfkm.kmeans(array, 3)


@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans, BisectingKMeans])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("library", ["array_api_strict", "torch", "jax.numpy"])
def test_output_follows_input(kind, dtype, library):
    if library != "array_api_strict":
        pytest.importorskip(library.partition(".")[0])
    points = DIGITS.astype(dtype)
    strict = importlib.import_module(library).asarray(points)
    if np.from_dlpack(strict).dtype != dtype:
        pytest.skip("JAX has 32 bits unless it is told otherwise")
    expected = kind(7, random_state=0)
    labels = expected.fit_predict(points)
    model = kind(7, random_state=0)
    results = [
        (model.fit_predict(strict), labels),
        (model.predict(strict), expected.predict(points)),
        (model.transform(strict), expected.transform(points)),
        (model.fit_transform(strict), expected.transform(points)),
    ]
    for got, wanted in results:
        assert isinstance(got, type(strict))
        assert np.from_dlpack(got).dtype == wanted.dtype
        np.testing.assert_array_equal(np.from_dlpack(got), wanted)
    assert model.score(strict) == expected.score(points)
    assert isinstance(model.labels_, np.ndarray) and isinstance(model.cluster_centers_, np.ndarray)
    assert model.n_features_in_ == 64
    assert isinstance(model.predict(points), np.ndarray)
    with pytest.raises(ValueError, match="X has 3 features, but .* is expecting 64"):
        model.predict(strict[:, :3])


def test_output_follows_input_without_a_namespace(library):
    model = KMeans(5, random_state=0).fit(Foreign(DIGITS))
    got = model.predict(Foreign(DIGITS))
    assert isinstance(got, Foreign)
    np.testing.assert_array_equal(got.inner, model.labels_)
    np.testing.assert_array_equal(model.transform(Foreign(DIGITS)).inner, model.transform(DIGITS))


def test_functions_take_them():
    strict = array_api_strict.asarray(DIGITS)
    one, other = (tfkm.kmeans(x, 6, random_state=0) for x in (DIGITS, strict))
    np.testing.assert_array_equal(one.centroids, other.centroids)
    init = array_api_strict.asarray(np.asarray(one.centroids))
    assert tfkm.kmeans(strict, 6, init=init).inertia <= one.inertia
    weights = array_api_strict.asarray(np.arange(1797.0))
    weighted = KMeans(6, random_state=0).fit(strict, sample_weight=weights)
    same = KMeans(6, random_state=0).fit(DIGITS, sample_weight=np.arange(1797.0))
    np.testing.assert_array_equal(weighted.cluster_centers_, same.cluster_centers_)
