"""The benchmarks' machinery: limits, judged answers, one case for real."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
pytest.importorskip("pytest_benchmark")

from benchmarks import cases, data, machine, report, rivals
from benchmarks.duel import Duel, accumulate_work, assign_work
from benchmarks.judge import Judge, Wrong
from benchmarks.ours import Tfkm
from benchmarks.rivals import Outcome, Seed
from benchmarks.rows import load
from tfkm.ops import devices
from tfkm.ops.backends import BackendState

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("measure", [machine._cpu_limits, machine._tensorflow_limits])
def test_limits_are_those_of_a_computer(measure):
    device = () if measure is machine._cpu_limits else ("CPU:0",)
    limits = measure(*device, side=256, repeats=2)
    assert 1e6 < limits.flops < 1e16 and 1e6 < limits.bandwidth < 1e14


def test_devices_are_found_or_absent():
    assert "CPU:0" in machine.devices()
    found = {name.split(":")[0] for name in machine.devices()}
    assert found | set(machine.absent()) == set(machine.KINDS)


def test_work():
    assert assign_work(10, 3, 2) == (120, 4 * (20 + 6 + 20))
    assert accumulate_work(10, 3, 2) == (140, 4 * (20 + 6 + 20) + 8 * (6 + 3))
    assert assign_work(10, 3, 2, itemsize=1) == (120, 20 + 4 * (6 + 20))
    assert assign_work(10, 3, 2) * 2 == (240, 368)


POINTS, CENTROIDS = cases.points_and_centroids(cases.Shape(600, 7, 5), "noise", "float32")
ARGUMENTS = {
    "assign": (POINTS, CENTROIDS), "accumulate": (POINTS, CENTROIDS), "step": (POINTS, CENTROIDS),
    "predict": (POINTS, CENTROIDS), "seed": (POINTS, 7), "fit": (POINTS, CENTROIDS, 3),
    "default fit": (POINTS, 7, Seed()), "stream": (POINTS.reshape(6, 100, 5), CENTROIDS),
}  # fmt: skip


def answer(contender, op: str):
    method = getattr(contender, op.replace(" ", "_"), None)
    return None if method is None else method(*ARGUMENTS[op])()


@pytest.mark.parametrize("op", ARGUMENTS)
def test_tfkm_and_the_rivals_at_hand_are_right(op):
    """Of those that are installed; each op has one rival at least."""
    judge = Judge(POINTS, CENTROIDS)
    yardstick = judge.check(op, answer(rivals.get("scikit-learn"), op))
    judge.check(op, answer(Tfkm("native"), op), yardstick)
    right = 0
    for name in set(rivals.NAMES) - set(rivals.ON_GPU) - set(rivals.absent()):
        if (found := answer(rivals.get(name), op)) is not None:
            judge.check(op, found, yardstick)
            right += 1
    assert right >= 1


def test_with_copies_the_answer_is_the_same():
    judge = Judge(POINTS, CENTROIDS)
    for contender in (
        Tfkm("native"),
        *(rivals.get(n) for n in ("PyTorch",) if n not in rivals.absent()),
    ):
        judge.check("assign with copies", contender.assign_with_copies(POINTS, CENTROIDS)())


def test_the_absent_are_named():
    assert set(rivals.absent()) >= {"cuML", "flash-kmeans"} or machine.devices() != ["CPU:0"]
    assert all(rivals.absent().values())


@pytest.mark.parametrize(
    "op, wrong, message",
    [
        ("assign", lambda o: o._replace(labels=np.zeros(600, int)), "inertia"),
        ("assign", lambda o: o._replace(inertia=o.inertia or 1.0), "inertia"),
        ("step", lambda o: o._replace(updated=o.updated + 0.01), "off the mean"),
        ("fit", lambda o: o._replace(n_iter=o.n_iter + 1), "passes"),
        ("fit", lambda o: o._replace(inertia=o.inertia * 1.001), "inertia"),
        ("default fit", lambda o: o._replace(inertia=o.inertia / 2), "inertia"),
        (
            "seed",
            lambda o: o._replace(centroids=np.asarray(o.centroids) + 1e-3),
            "not distinct points",
        ),
        ("seed", lambda o: o._replace(centroids=np.repeat(POINTS[:1], 7, axis=0)), "not distinct"),
        ("seed", lambda o: o._replace(centroids=np.unique(POINTS, axis=0)[:7]), "far above"),
        ("stream", lambda o: o._replace(centroids=np.asarray(o.centroids) + 0.1), "inertia"),
    ],
)
def test_a_wrong_answer_is_refused(op, wrong, message):
    judge = Judge(POINTS, CENTROIDS)
    right = answer(rivals.get("scikit-learn"), op)
    yardstick = judge.check(op, right)
    with pytest.raises(Wrong, match=message):
        judge.check(op, wrong(right), yardstick)


def test_with_a_card_the_processor_is_measured_beside_it(monkeypatch):
    """What a user gets on each, n up to the card's memory, and copies counted for the same op."""
    states = {
        name: BackendState(True, "") for name in ("cuda", "xla", "native", "portable", "reference")
    }
    monkeypatch.setattr(cases.tfkm, "backends", lambda: states)
    monkeypatch.setattr(machine, "devices", lambda: ["CPU:0", "GPU:0"])
    monkeypatch.setattr(devices, "card", lambda: devices.Gpu("/device:GPU:0", 2**36))
    monkeypatch.setattr(cases.os, "sysconf", lambda name: 2**18)
    table = cases.table(quick=False)
    both = {("cuda", "GPU:0"), ("native", "CPU:0")}
    for name in "stepped", "seeded", "fitted", "few", "streamed":
        assert {(case.backend, case.device) for case in table[name]} == both
    assert {(case.backend, case.device) for case in table["copied"]} == {("cuda", "GPU:0")}
    large = [case for case in table["swept"] if case.shape.n > 4_000_000]
    assert {case.device for case in large} == {"GPU:0"}
    assert max(case.shape.n for case in large) * 4 * 32 > 2**34 / 4


def test_a_rival_that_is_wrong_has_no_time(monkeypatch):
    class Liar:
        name, version, dtypes = "NumPy", "0", ("float32",)

        @staticmethod
        def assign(points, centroids):
            return lambda: Outcome(np.zeros(len(points), int), centroids)

        @staticmethod
        def why_not(op, n, k):
            return ""

    real = rivals.get
    monkeypatch.setattr(rivals, "get", lambda name: Liar if name == "NumPy" else real(name))
    case = cases.Case("x", cases.Shape(600, 7, 5), "native", "CPU:0")
    duel = Duel(None, case, POINTS, CENTROIDS, quick=True)
    calls, refused, *_ = duel.right_rivals("assign", ARGUMENTS["assign"], Judge(POINTS, CENTROIDS))
    assert "scikit-learn" in calls and "NumPy" not in calls
    assert refused["NumPy"].startswith("Wrong: inertia")


def test_real_data_or_why_there_is_none(tmp_path):
    for name in data.CLUSTERS:
        try:
            points = data.load(name)
        except (ImportError, FileNotFoundError) as error:
            assert str(error)
            continue
        assert points.dtype == np.float32 and points.ndim == 2 and np.isfinite(points).all()
    np.savez(tmp_path / "some.npz", images=np.ones((9, 2, 2), np.uint8))
    asked = ("digits:3", "no such set", f"{tmp_path}/some.npz:5")
    rows = cases.table(quick=True, datasets=asked)["fitted"]
    by_name = {row.name: row.loaded(quick=True) for row in rows if row.data != "mnist"}
    assert by_name["digits"].shape == (1024, 3, 64) and not by_name["digits"].why_not()
    assert by_name["some"].shape == (9, 5, 4) and not by_name["some"].why_not()
    assert "no such set" in by_name["no such set"].why_not()


@pytest.mark.full
def test_a_case_for_real(tmp_path):
    """In its own process: unset variables, interleaved rounds, a report."""
    out = tmp_path / "new" / "bench.json"
    # Not `python -m pytest`, which finds the tfkm of the source tree before an installed one.
    pytest_here = Path(sys.executable).with_name("pytest")
    case = ["-k", "test_assign and digits and xla", "-p", "no:cacheprovider"]
    # By which pytest-benchmark knows a process of xdist's, in which it measures nothing.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"}
    done = subprocess.run(
        [pytest_here, "benchmarks", "--quick", f"--benchmark-json={out}", *case],
        cwd=ROOT,
        env=inherited | {"OPENBLAS_CORETYPE": "Haswell"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = load(out)
    assert run.about["quick"] and "OPENBLAS_CORETYPE" in run.about["unset"]
    assert "node" not in json.loads(out.read_text())["machine_info"]
    (row,) = run.rows
    assert (row.op, row.name, row.backend) == ("assign", "digits", "xla")
    assert row.rivals["scikit-learn"].seconds > 0 and 0 < row.share < 2
    assert all(path.exists() for path in report.write(run, tmp_path))
