"""benchmarks.planning: the tables in the docs are those of the record, and the arithmetic is right."""

import json

import pytest

from benchmarks import formats, planning

RECORD = json.loads(planning.RECORD.read_text())


@pytest.mark.parametrize("name, make", [("planning.md", "planning"), ("streams.md", "figures")])
def test_the_pages_are_of_the_record(name, make):
    page = (planning.DOCS / name).read_text()
    assert formats.between(page, planning.MARK, getattr(planning, make)(RECORD)) == page


def test_a_plan():
    record = {
        "throughput": [{"k": 1024, "d": 128, "npy": 1e6}],
        "overhead": [
            {"engine": engine, "k": 1024, "d": 128, "shards": 4, "seconds": seconds}
            for engine, seconds in (("none", 0.02), ("Ray", 0.06))
        ],
    }
    plan = planning.planned(record, 2**30, 1, 1024, 128)
    assert plan["shards"] == 2048  # of 256 MB
    assert plan["seconds"] == plan["workers"] == pytest.approx(2**30 / 1e6)
    assert plan["driver"] == pytest.approx(20.48)
    many = planning.planned(record, 2**30, 1000, 1024, 128)
    assert many["seconds"] == many["driver"]
    assert many["bytes_per_second"] == pytest.approx(2**39 / 1000 / 20.48)
