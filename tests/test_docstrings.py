"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import tfkm

MODULES = ["tfkm", *(m.name for m in pkgutil.walk_packages(tfkm.__path__, "tfkm."))]


@pytest.mark.parametrize(
    "name", [name for name in MODULES if not name.endswith(("__main__", "_kernels", "._cuda"))]
)
def test_examples(name):
    if name == "tfkm.tensorboard":
        pytest.importorskip("tensorboard")
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert not failed


def test_public_names_have_examples():
    for name in (
        "KMeans", "kmeans", "assign", "accumulate", "backends", "kmeans_plusplus",
        "kmeans_parallel", "afk_mc2", "random_points", "load",
    ):  # fmt: skip
        assert ">>>" in getattr(tfkm, name).__doc__, name
