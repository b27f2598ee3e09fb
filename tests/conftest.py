"""Quiet TensorFlow, and one parameter over the backends: every op test runs on each of them."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

import tfkm


@pytest.fixture(params=list(tfkm.backends()))
def backend(request):
    """Each backend. One that cannot be used fails its tests, lest a broken build pass on fallback."""
    return request.param
