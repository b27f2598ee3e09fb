"""The benchmarks' machinery: limits, the verdicts, the report of a recorded run, one case for real."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
pytest.importorskip("pytest_benchmark")

from benchmarks import machine, report
from benchmarks.duel import Duel, accumulate_work, assign_work
from benchmarks.rivals import Outcome, ScikitLearn
from benchmarks.rows import Versus, load
from tfkm.testing import noise

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "benchmarks" / "recorded" / "small.json"


@pytest.fixture(scope="module")
def run():
    return load(RECORDED)


@pytest.fixture(scope="module")
def pages(run, tmp_path_factory):
    """The text of report.html and report.md."""
    return [path.read_text() for path in report.write(run, tmp_path_factory.mktemp("report"))]


@pytest.mark.parametrize("measure", [machine._cpu_limits, machine._tensorflow_limits])
def test_limits_are_those_of_a_computer(measure):
    device = () if measure is machine._cpu_limits else ("CPU:0",)
    limits = measure(*device, side=256, repeats=2)
    assert 1e9 < limits.flops < 1e16 and 1e8 < limits.bandwidth < 1e14


def test_devices_are_found_or_absent():
    assert "CPU:0" in machine.devices()
    found = {name.split(":")[0] for name in machine.devices()}
    assert found | set(machine.absent()) == set(machine.KINDS)


def test_work():
    assert assign_work(10, 3, 2) == (120, 4 * (20 + 6 + 20))
    assert accumulate_work(10, 3, 2) == (140, 4 * (20 + 6 + 20) + 8 * (6 + 3))
    assert assign_work(10, 3, 2) * 2 == (240, 368)


def test_row(run):
    row = next(r for r in run.select("assign", sweep=None) if r.backend == "xla")
    recorded = json.loads(RECORDED.read_text())
    limits = recorded["tfkm"]["limits"][row.device]
    least = max(row.flops / limits["flops"], row.bytes / limits["bandwidth"])
    assert row.share == pytest.approx(least / row.seconds)
    assert row.gflops == pytest.approx(2 * row.n * row.k * row.d / row.seconds / 1e9)


@pytest.mark.parametrize(
    "ratio, low, high, verdict",
    [(2, 1.5, 2.5, "faster"), (0.5, 0.4, 0.6, "slower"), (1.2, 0.9, 1.3, "level")],
)
def test_verdict(ratio, low, high, verdict):
    assert Versus(1.0, ratio, low, high).verdict == verdict


def test_defeats_are_told_first(run, pages):
    for page in pages:
        overall, losing = page.index("fastest backend against scikit-learn"), page.index("slower")
        assert overall < page.index("GFLOP/s") and losing < page.index("GFLOP/s")
    slower = [row for row in run.rows if row.rivals["scikit-learn"].verdict == "slower"]
    assert sum(
        page_row.count("slower ") for page_row in pages[1].splitlines() if "|" in page_row
    ) == len(slower)


def test_all_rows_and_all_that_is_missing_are_in_both(run, pages):
    for page in pages:
        for row in run.rows:
            assert row.name in page and f"{row.n}, {row.k}, {row.d}" in page
        assert "GPU: TensorFlow finds none" in page
        for case in run.about["not_measured"]:
            assert case["case"] in page
        for version in run.about["versions"].values():
            assert version in page


def test_the_page_needs_nothing_else(pages):
    html = pages[0]
    assert not any(word in html for word in ("src=", "<script", "<link", "@import"))
    assert "prefers-color-scheme: dark" in html and html.count("<svg") == 2
    ids: list[str] = []

    class Ids(HTMLParser):
        def handle_starttag(self, tag, attrs):
            ids.extend(value for name, value in attrs if name == "id")

    Ids().feed(html)
    assert len(ids) == len(set(ids))
    for svg in html.split("<svg")[1:]:
        ET.fromstring("<svg" + svg[: svg.index("</svg>")] + "</svg>")


def duel_of(points, centroids):
    return Duel(None, None, points, centroids, quick=True)


def test_a_wrong_answer_is_refused():
    points, centroids, _ = noise(500, 5, 3)
    rival = ScikitLearn.assign(points, centroids)()
    duel = duel_of(points, centroids)
    right = duel._inertia(rival)
    duel._agreement(rival._replace(inertia=right), rival, True)
    with pytest.raises(AssertionError, match="inertia"):
        duel._agreement(rival._replace(inertia=right * 1.001), rival, True)
    with pytest.raises(AssertionError, match="inertia"):
        wrong = Outcome(np.zeros_like(rival.labels), centroids, right)
        duel._agreement(wrong, rival, True)


def test_a_case_for_real(tmp_path):
    """In its own process: unset variables, interleaved rounds, a report."""
    out = tmp_path / "new" / "bench.json"
    # Not `python -m pytest`, which finds the tfkm of the source tree before an installed one.
    pytest_here = Path(sys.executable).with_name("pytest")
    case = ["-k", "test_assign and digits and xla", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [pytest_here, "benchmarks", "--quick", f"--benchmark-json={out}", *case],
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_CORETYPE": "Haswell"},
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
