"""What a recorded run says: the rows of the report, worked out from pytest-benchmark's JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np


@dataclass(frozen=True)
class Versus:
    """A rival in the same rounds. ratio: its median time over ours, above 1 where ours is faster.

    low, high: the quartiles of the ratios of the rounds, each of ours and the rival's next to it.
    """

    seconds: float
    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`faster` or `slower` where three quarters of the rounds say so, else `level`."""
        if self.low > 1 and self.ratio > 1:
            return "faster"
        return "slower" if self.high < 1 and self.ratio < 1 else "level"


@dataclass(frozen=True)
class Row:
    """A measured case. limit: the least seconds that the device's limits allow, and whose they are.

    seconds: the median; of `predict` p50. refused: rivals without a time, and why.
    """

    op: str
    name: str
    sweep: str | None
    n: int
    k: int
    d: int
    backend: str
    device: str
    seconds: float
    flops: float
    bytes: float
    n_iter: int | None
    limit: float
    bound: str
    rivals: dict[str, Versus]
    refused: dict[str, str]
    dtype: str
    threads: int | None
    p99: float | None

    @property
    def gflops(self) -> float:
        return self.flops / self.seconds / 1e9

    @property
    def gbs(self) -> float:
        return self.bytes / self.seconds / 1e9

    @property
    def share(self) -> float:
        """Of the limit: 1 is as fast as arithmetic and memory were measured to be."""
        return self.limit / self.seconds

    @property
    def who(self) -> str:
        return f"{self.backend} on {self.device}"


@dataclass(frozen=True)
class Run:
    """A whole recorded run. about: what `conftest.pytest_benchmark_update_json` noted."""

    rows: list[Row]
    about: dict
    processor: str
    date: str
    curves: list[dict]  # name, n, k, d and "curve": who to [[seconds, inertia], …]

    def select(self, op: str, sweep: str | None) -> list[Row]:
        return [row for row in self.rows if (row.op, row.sweep) == (op, sweep)]

    @property
    def not_measured(self) -> list[dict]:
        """Cases without a time, those first whose answer was wrong."""
        return sorted(self.about["not_measured"], key=lambda case: not case["failed"])

    def sweeps(self, op: str) -> list[str | None]:
        """What changes from row to row in the tables of an op; None is the table of what stands alone."""
        return unique(row.sweep for row in self.rows if row.op == op)

    @property
    def ops(self) -> list[str]:
        return unique(row.op for row in self.rows)

    @property
    def rivals(self) -> list[str]:
        return self.rivals_of(self.rows)

    def rivals_of(self, rows: list[Row]) -> list[str]:
        """Those with a time in some of these rows."""
        return unique(name for row in rows for name in row.rivals)

    @property
    def refused(self) -> list[str]:
        """Which rivals have no time in which cases, and why."""
        cases: dict[tuple[str, str, str], list[str]] = {}
        for row in self.rows:
            for name, why in row.refused.items():
                cases.setdefault((name, row.op, why), []).append(row.name)
        return [f"{r}, {op} ({', '.join(unique(c))}): {why}" for (r, op, why), c in cases.items()]


def unique(names: Iterable) -> list:
    """Each once, in the order of their first appearance."""
    return list(dict.fromkeys(names))


def load(path: Path) -> Run:
    """Reads what `pytest benchmarks --benchmark-json=path` wrote."""
    recorded = json.loads(path.read_text())
    about = recorded["tfkm"]
    curves = [b["extra_info"] for b in recorded["benchmarks"] if "curve" in b["extra_info"]]
    rows = [
        _row(benchmark, about["limits"])
        for benchmark in recorded["benchmarks"]
        if "curve" not in benchmark["extra_info"]
    ]
    processor = recorded["machine_info"]["cpu"].get("brand_raw", "an unnamed processor")
    return Run(rows, about, processor, recorded["datetime"][:16].replace("T", " ") + " UTC", curves)


def _row(benchmark: dict, limits: dict[str, dict]) -> Row:
    info = benchmark["extra_info"]
    ours = info.get("p50", info.get("seconds", benchmark["stats"]["median"]))
    limit = limits[info["device"]]
    arithmetic = info["flops"] / limit["flops"]
    memory = info["bytes"] / limit["bandwidth"]
    facts = (
        "op", "name", "sweep", "n", "k", "d", "backend", "device", "flops", "bytes", "n_iter",
        "refused", "dtype", "threads",
    )  # fmt: skip
    return Row(
        **{fact: info[fact] for fact in facts},
        seconds=ours,
        limit=max(arithmetic, memory),
        bound="arithmetic" if arithmetic > memory else "memory",
        rivals={name: _versus(rival, ours) for name, rival in info["rivals"].items()},
        p99=info.get("p99"),
    )


def _versus(rival: dict, ours: float) -> Versus:
    low, high = np.quantile(rival["ratios"], (0.25, 0.75))
    seconds = median(rival["times"])
    return Versus(seconds, seconds / ours, float(low), float(high))
