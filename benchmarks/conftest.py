"""What every benchmark shares: its cases, its data, the machine's limits and what goes in the JSON."""

import os
import sys

# Either one slows NumPy's and SciPy's BLAS, and so the rivals and the measured peak. OpenBLAS reads
# them once, when it is loaded.
UNSET = [name for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if os.environ.pop(name, None)]
if UNSET and "numpy" in sys.modules:
    raise RuntimeError(f"NumPy was loaded before {' and '.join(UNSET)} could be unset; unset them")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# For `benchmarks`; last, so that an installed tfkm is found before the one of the source tree.
sys.path.append(os.path.dirname(os.path.dirname(__file__)))

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from benchmarks import machine
from benchmarks.duel import Duel
from tfkm.testing import SHAPES, Shape, noise

BATCHES = (1, 100, 10_000, 100_000, 1_000_000)
LIMITS = pytest.StashKey[dict]()
NOT_MEASURED = pytest.StashKey[list]()


class Case(NamedTuple):
    """One row of the report: a shape, and what runs it."""

    name: str
    shape: Shape
    backend: str
    device: str
    sweep: bool  # one of the batch sizes

    def __str__(self) -> str:
        return f"{self.name}-{self.backend}-{self.device}"

    def why_not(self) -> str:
        """Why it cannot be measured here; empty if it can."""
        state = tfkm.backends()[self.backend]
        gigabytes = self.shape.n * self.shape.k * 8 / 1e9
        if not state.usable:
            return f"the backend is unusable: {state.why}"
        if self.backend == "reference" and gigabytes > 1:
            return f"reference would hold {gigabytes:.1f} GB of float64 distances; the bound is 1"
        return ""


def pytest_addoption(parser):
    parser.addoption(
        "--quick",
        action="store_true",
        help="small shapes, 3 rounds each: shows that the benchmarks run, measures nothing",
    )


def pytest_configure(config):
    config.stash[LIMITS], config.stash[NOT_MEASURED] = {}, []
    if path := config.getoption("benchmark_json"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)  # pytest-benchmark does not


def pytest_generate_tests(metafunc):
    """A test that asks for `named` runs on every named shape; one for `batch`, on every batch size."""
    quick = metafunc.config.getoption("quick")
    shapes = {
        "named": {name: _small(s) if quick else s for name, s in SHAPES.items()},
        "batch": {f"n={n}": Shape(n, 256, 32) for n in (BATCHES[:3] if quick else BATCHES)},
    }
    for fixture in shapes.keys() & set(metafunc.fixturenames):
        cases = [
            Case(name, shape, backend, device, fixture == "batch")
            for name, shape in shapes[fixture].items()
            for backend in tfkm.backends()
            for device in machine.devices()
        ]
        metafunc.parametrize(fixture, cases, ids=str)


def _small(shape: Shape) -> Shape:
    return Shape(min(shape.n, 1024), min(shape.k, 32), shape.d)


@pytest.fixture
def duel(request):
    """Runs ours against the rivals: see `Duel`."""
    case = next(v for v in request.node.callspec.params.values() if isinstance(v, Case))
    if reason := case.why_not():
        pytest.skip(reason)
    with tf.device(case.device):
        benchmark = request.getfixturevalue("benchmark")  # which minds not being used
        yield Duel(benchmark, case, *data(case.shape), request.config.getoption("quick"))


@functools.lru_cache(maxsize=1)  # the cases of one shape follow each other
def data(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Noise in float32: no cluster to be found, which is the hardest input."""
    case = noise(*shape)
    return case.points, case.centroids


@pytest.fixture(scope="session", autouse=True)
def limits(request):
    """Measured before and after all cases; the better one counts, since others may use the machine."""
    quick = request.config.getoption("quick")
    before = {device: machine.limits(device, quick) for device in machine.devices()}
    yield
    request.config.stash[LIMITS] = {
        device: limit.best(machine.limits(device, quick)) for device, limit in before.items()
    }


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Notes each case without a time, and why: a skip, or an answer that was wrong."""
    report = yield
    if report.failed or report.skipped:
        reason = report.longrepr[2] if report.skipped else call.excinfo.exconly()
        item.config.stash[NOT_MEASURED].append(
            {"case": item.name, "failed": report.failed, "reason": reason.removeprefix("Skipped: ")}
        )
    return report


def pytest_benchmark_update_json(config, benchmarks, output_json):
    output_json["machine_info"].pop("node", None)  # results are published, the host's name is not
    output_json["tfkm"] = {
        "quick": config.getoption("quick"),
        "versions": machine.versions(),
        "blas": machine.blas(),
        "unset": UNSET,
        "threads": machine.threads(),
        "limits": {device: limit._asdict() for device, limit in config.stash[LIMITS].items()},
        "absent": machine.absent(),
        "not_measured": config.stash[NOT_MEASURED],
    }
