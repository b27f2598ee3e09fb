"""Quiet TensorFlow, and one parameter over the backends: every op test runs on each of them."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# For `benchmarks`; last, so that an installed tfkm is found before the one of the source tree.
sys.path.append(str(Path(__file__).parents[1]))

import pytest
import tensorflow as tf

from tfkm.ops import backends, xla

# The CUDA kernels have tests of their own where there is no card: test_cuda.py.
HERE = [
    name for name in backends._NAMES if name != "cuda" or tf.config.list_physical_devices("GPU")
]


@pytest.fixture(params=HERE)
def backend(request):
    """Each backend. One that cannot be used fails its tests, lest a broken build pass on fallback."""
    return request.param


def pytest_collection_modifyitems(config, items):
    """`portable` differs from the others in its ops alone, so fits are not repeated with it."""
    of_ops = ("test_assign", "test_accumulate", "test_validate", "test_gradients", "test_n_points")

    def is_wanted(item) -> bool:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        return parameters.get("backend") != "portable" or item.path.stem in of_ops

    unwanted = [item for item in items if not is_wanted(item)]
    config.hook.pytest_deselected(items=unwanted)
    items[:] = [item for item in items if is_wanted(item)]


@pytest.fixture(scope="session")
def backends_here():
    """Their names, for a test that compares them."""
    return HERE


@pytest.fixture
def small_tiles(monkeypatch):
    """A function that makes the xla backend cut everything small from then on."""
    tuning = xla.Tuning(
        chunk_bytes=2**10, chunk_rows=(8, 32), tile=7, block_flops=2**12, block_bytes=2**12,
        block_rows=(16, 64), rescue_rows=3,
    )  # fmt: skip

    def cut(**changes):
        monkeypatch.setitem(xla.TUNING, "CPU", tuning._replace(**changes))

    return cut


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """python(code, *args, **env) runs it in a process of its own and returns what it printed."""

    def run(code: str, *args: str, **env: str) -> str:
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *args],
            cwd=tmp_path_factory.getbasetemp(),  # not the source tree, see above
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run
