"""The planted faults: each has its place in the sources as they are, and tests to be tried first."""

import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[1]
FAULTS = runpy.run_path(str(ROOT / "tests/faults/planted.py"))["FAULTS"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_has_one_place(fault):
    assert (ROOT / fault.file).read_text().count(fault.before) == 1, "not once: which is meant?"
    assert fault.after != fault.before
    for name in set(fault.seen_by.split()) - {"core", "cuda"}:
        assert (ROOT / f"tests/test_{name}.py").exists(), f"seen_by names no test: {name}"


def test_names_are_told_apart():
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names))
