"""Shared fixtures, the backends as a parameter, and which tests only `nox -s full` runs."""

import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# For `benchmarks`. At the end, so that an installed tfkm comes before the source tree.
sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parent))  # for `fuzz_files`

import pytest
import tensorflow as tf

from tfkm.ops import backends, cuda, native_library, tensor_backends, xla
from tfkm.testing import TELLING

# Without a card the CUDA kernels are tested in test_cuda.py.
HERE = [name for name in backends.NAMES if name != "cuda" or tf.config.list_physical_devices("GPU")]


@pytest.fixture(params=HERE)
def backend(request):
    """Return each backend in turn. One that cannot be used fails its tests, and does not skip them.

    So a broken build does not pass because of a fallback.
    """
    return request.param


# Tests of the ops. They are quick on every backend but xla, which compiles a program for each
# shape.
OF_OPS = (
    "test_assign", "test_accumulate", "test_batched", "test_compiled", "test_gradients", "test_n_points",
    "test_validate", "test_xla",
)  # fmt: skip
# `portable` has stock ops for exported models, and is never used in a fit.
OF_PORTABLE = ("test_assign", "test_accumulate", "test_gradients", "test_n_points", "test_validate")
OF_XLA = ("test_compiled", "test_xla")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by -m
def pytest_collection_modifyitems(config, items):
    """Mark as `full` the slow tests that show little more than other tests."""
    wanted, unwanted = [], []
    for item in items:
        portable = _parameters(item).get("backend") == "portable"
        (unwanted if portable and item.path.stem not in OF_PORTABLE else wanted).append(item)
    config.hook.pytest_deselected(items=unwanted)
    items[:] = wanted
    telling = [item for item in items if _is_telling(item)]
    dear = set(items) - set(telling)
    for _, group in itertools.groupby(telling, lambda item: item.nodeid.partition("[")[0]):
        group = list(group)
        dear.update(_beyond_pairs(group))
        if group[0].path.stem not in OF_OPS:  # one fit on each other backend is enough
            dear.update(_beyond_the_first(group, "xla"), _beyond_the_first(group, "reference"))
    for item in dear:
        item.add_marker(pytest.mark.full)
    for item in items:
        if _parameters(item).get("backend", "native") != "native":
            item.add_marker(pytest.mark.other_backend)


def _parameters(item) -> dict:
    return getattr(getattr(item, "callspec", None), "params", {})


def _is_telling(item) -> bool:
    """Return whether a test shows more than the native backend's test of the same name.

    Fits on different backends differ only in the ops, which have their own tests. So fits are
    repeated only in tests marked `every_backend`. XLA compiles for seconds for each shape, so it
    gets only the cases in TELLING.
    """
    parameters, file = _parameters(item), item.path.stem
    backend = parameters.get("backend", "native")
    if (backend == "xla" or file in OF_XLA) and parameters.get("name", TELLING[0]) not in TELLING:
        return False
    return backend == "native" or file in OF_OPS or bool(item.get_closest_marker("every_backend"))


def _beyond_pairs(group: list) -> list:
    """Return the tests of a function that are not needed to see every pair of its parameters' values."""
    pairs = {}
    for item in group:
        values = [(name, id(value)) for name, value in _parameters(item).items()]
        pairs[item] = set(itertools.combinations(values, 2))
    if len(group) < 4 or any(len(of_item) < 3 for of_item in pairs.values()):
        return []  # with fewer than three parameters, every test is a pair of its own
    seen: set = set()
    while pairs:
        most = max(pairs, key=lambda item: len(pairs[item] - seen))
        if not pairs[most] - seen:
            break
        seen |= pairs.pop(most)
    return list(pairs)


def _beyond_the_first(group: list, backend: str) -> list:
    """Return all tests on this backend but the first."""
    return [item for item in group if _parameters(item).get("backend") == backend][1:]


@pytest.fixture
def forget():
    """Return a function that clears the caches of what is asked once for a process.

    They are also cleared after the test. A test names this fixture before `monkeypatch`, whose
    changes are then undone first.
    """

    def forgotten() -> None:
        for asked in (
            backends._why_not_native,
            backends.warn_of_missing_kernels,
            tensor_backends.why_not,
            native_library.ops,
            native_library.library,
            xla._build,
            cuda._prepare,
        ):
            asked.cache_clear()

    forgotten()
    yield forgotten
    forgotten()


@pytest.fixture
def small_tiles(monkeypatch):
    """Return a function after whose call the xla backend cuts everything into small pieces."""
    tuning = xla.Tuning(
        chunk_bytes=2**10, chunk_rows=(8, 32), tile=7, block_flops=2**12, block_bytes=2**12,
        block_rows=(16, 64), rescue_rows=3,
    )  # fmt: skip

    def cut(**changes):
        monkeypatch.setitem(xla.TUNING, "CPU", tuning._replace(**changes))

    return cut


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """Return python(code, *args, **env), which runs code in a new process and returns its output."""

    def run(code: str, *args: str, **env: str) -> str:
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *args],
            # Not the source tree, so that the installed tfkm is imported.
            cwd=tmp_path_factory.getbasetemp(),
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run
