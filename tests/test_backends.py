"""The choice of a backend: a named one runs or raises, and the reason is told."""

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm.ops import backends, tensor_backends, xla


@pytest.fixture
def broken_xla(forget, monkeypatch):
    def fail(points, centroids):
        raise NotImplementedError("no XLA in this build\nand a second line")

    monkeypatch.setattr(xla, "assign", fail)


def test_all_are_usable_here():
    assert {name: state.usable for name, state in tfkm.backends().items()} == {
        "native": True,
        "cuda": bool(tf.config.list_physical_devices("GPU")),
        "xla": True,
        "portable": True,
        "reference": True,
    }


def test_a_broken_backend_tells_why(broken_xla):
    state = tfkm.backends()["xla"]
    assert not state.usable and state.why == "NotImplementedError: no XLA in this build"


def test_a_named_one_never_falls_back(broken_xla):
    with pytest.raises(RuntimeError, match="'xla' cannot be used here: .*no XLA in this build"):
        tfkm.assign([[0.0]], [[1.0]], backend="xla")


def test_none_takes_the_next(broken_xla, monkeypatch):
    monkeypatch.setattr(tensor_backends, "fastest_first", lambda: ["xla", "reference"])
    assert backends.select(None).name == "reference"
    assert tensor_backends.select(None).__name__ == "tfkm.ops.reference"
    np.testing.assert_array_equal(tfkm.assign([[0.0]], [[1.0]]).labels, [0])


def test_none_takes_the_fastest(monkeypatch):
    on_gpu = "cuda" if tfkm.backends()["cuda"].usable else "xla"
    for gpus, fastest in ([], "native"), (["one"], on_gpu):
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind, gpus=gpus: gpus)
        assert backends.select(None).name == fastest


def test_a_wrong_answer_makes_it_unusable(forget, monkeypatch):
    wrong = tfkm.Assignment(tf.constant([1, 1, 1]), None)
    monkeypatch.setattr(xla, "assign", lambda points, centroids: wrong)
    assert "self-check gave labels [1, 1, 1]" in tfkm.backends()["xla"].why
