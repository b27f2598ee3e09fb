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

from pathlib import Path

import pytest
import tensorflow as tf

import tfkm
from benchmarks import cases, machine, rivals
from benchmarks.duel import Duel

LIMITS = pytest.StashKey[dict]()
NOT_MEASURED = pytest.StashKey[list]()


def pytest_addoption(parser):
    parser.addoption(
        "--quick",
        action="store_true",
        help="small shapes, 3 rounds each: shows that the benchmarks run, measures nothing",
    )
    parser.addoption(
        "--device",
        choices=["any", "gpu"],
        default="any",
        help="gpu: refuse to run where TensorFlow finds none. What it finds is measured in any case",
    )
    parser.addoption(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME[:CLUSTERS]",
        help="fit this one, too: a file of points (.npy, .npz, .csv, .parquet), or any name of "
        "tensorflow-datasets with an array or image feature",
    )


def pytest_configure(config):
    if config.getoption("device") == "gpu" and "GPU" in machine.absent():
        raise pytest.UsageError("--device gpu: TensorFlow finds no GPU on this machine")
    config.stash[LIMITS], config.stash[NOT_MEASURED] = {}, []
    if path := config.getoption("benchmark_json"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)  # pytest-benchmark does not


def pytest_generate_tests(metafunc):
    """A test runs on every case of the table that it names as a fixture: see `cases.table`."""
    option = metafunc.config.getoption
    table = cases.table(option("quick"), tuple(option("dataset")))
    for fixture in table.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(fixture, table[fixture], ids=str)


@pytest.fixture
def duel(request):
    """Runs ours against the rivals: see `Duel`."""
    case = next(v for v in request.node.callspec.params.values() if isinstance(v, cases.Case))
    quick = request.config.getoption("quick")
    case = case.loaded(quick)
    if reason := case.why_not():
        pytest.skip(reason)
    with tf.device(case.device):
        benchmark = request.getfixturevalue("benchmark")  # which minds not being used
        yield Duel(
            benchmark,
            case,
            *cases.points_and_centroids(case.shape, case.data, case.dtype),
            quick,
        )


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
        # Results are published, the name of somebody's home is not.
        reason = reason.removeprefix("Skipped: ").replace(str(Path.home()), "~")
        item.config.stash[NOT_MEASURED].append(
            {"case": item.name, "failed": report.failed, "reason": reason}
        )
    return report


def pytest_benchmark_update_json(config, benchmarks, output_json):
    output_json["machine_info"].pop("node", None)  # results are published, the host's name is not
    output_json["tfkm"] = {
        "quick": config.getoption("quick"),
        "tfkm_version": tfkm.__version__,
        "commit": machine.commit(),
        "versions": machine.versions(),
        "blas": machine.blas(),
        "unset": UNSET,
        "threads": machine.threads(),
        "limits": {device: limit._asdict() for device, limit in config.stash[LIMITS].items()},
        "absent": machine.absent(),
        "absent_rivals": rivals.absent(),
        "not_measured": config.stash[NOT_MEASURED],
    }
