"""What a recorded run says: the rows of the report, worked out from pytest-benchmark's JSON."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

# In the order of the report: what a user calls first.
OPS = {
    "default fit": "`KMeans(k).fit(x)`, seeding and all",
    "fit": "`KMeans.fit` from given centroids, at most 10 passes",
    "predict": "single calls of `KMeans.predict`, p50 and p99",
    "assign": "labels and distances",
    "assign with copies": "the same from NumPy to NumPy, on a card: copies there and back are counted",
    "accumulate": "labels, distances, and the sum and weight of each cluster",
    "step": "a pass of Lloyd's iteration as a fit makes it, and the new centroids",
    "seed": "greedy k-means++",
    "stream": "`MiniBatchKMeans` over a `tf.data.Dataset`, one pass",
    "import": "importing the package in a new process",
    "first call": "the first fit of a new process, 10,000 points",
}


@dataclass(frozen=True)
class Versus:
    """A rival in the same rounds. seconds: the median; of `predict` p50. rounds: how many there were.

    low, ratio, high: the quartiles of its times over ours, round by round; above 1 where ours is faster.
    """

    seconds: float
    low: float
    ratio: float
    high: float
    rounds: int
    p99: float | None = None

    @property
    def verdict(self) -> str:
        """`faster` or `slower` where three quarters of the rounds say so, else `level`."""
        return "faster" if self.low > 1 else "slower" if self.high < 1 else "level"


@dataclass(frozen=True)
class Row:
    """A measured case. limit: the least seconds that the device's limits allow, and whose they are.

    seconds: the median; of `predict` p50. flops, bytes, limit: 0 where they mean nothing, as of an import.
    refused: rivals without a time, and why. threads: None for a core each.
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

    def select(self, op: str, sweep: str | None = None) -> list[Row]:
        return [row for row in self.rows if (row.op, row.sweep) == (op, sweep)]

    def is_taken(self, row: Row) -> bool:
        """Whether tfkm takes this backend by itself: that one meets all rivals, the others one of them."""
        return row.backend == self._taken[row.device]

    @functools.cached_property
    def _taken(self) -> dict[str, str]:
        met = Counter[tuple[str, str]]()
        for row in self.rows:
            met[row.device, row.backend] += len(row.rivals) + len(row.refused)
        return {device: max(met, key=lambda m: (m[0] == device, met[m]))[1] for device, _ in met}

    @property
    def failed(self) -> list[str]:
        """Cases without a time, since our answer was wrong or there was none."""
        return [case["case"] for case in self.about["not_measured"] if case["failed"]]

    @property
    def not_measured(self) -> dict[str, list[str]]:
        """Reasons, and which cases have no time for them."""
        cases: dict[str, list[str]] = {}
        for case in sorted(self.about["not_measured"], key=lambda case: not case["failed"]):
            cases.setdefault(case["reason"], []).append(case["case"])
        return cases

    @property
    def groups(self) -> list[tuple[str, str | None, str]]:
        """What is a table: an op, what changes from row to row (None: rows stand alone), a device."""
        found = unique((row.op, row.sweep, row.device) for row in self.rows)
        order = list(OPS)
        return sorted(found, key=lambda group: (order.index(group[0]), group[1] is not None))

    @property
    def rivals(self) -> list[str]:
        """Those with a time somewhere, the one with the most first."""
        counts = Counter(name for row in self.rows for name in row.rivals)
        return [name for name, _ in counts.most_common()]

    @property
    def refused(self) -> list[str]:
        """Which rivals have no time in which cases, and why."""
        cases: dict[tuple[str, str, str], list[str]] = {}
        for row in self.rows:
            for name, why in row.refused.items():
                cases.setdefault((name, row.op, why), []).append(row.name)
        return [
            f"{r}, {op} ({', '.join(unique(c))}): {why.strip()}"
            for (r, op, why), c in cases.items()
        ]


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
    arithmetic = info["flops"] / peak(limit)
    memory = info["bytes"] / limit["bandwidth"]
    facts = (
        "op", "name", "sweep", "n", "k", "d", "backend", "device", "flops", "bytes", "n_iter",
        "refused", "dtype",
    )  # fmt: skip
    return Row(
        **{fact: info[fact] for fact in facts},
        threads=info["threads"] or None,
        seconds=ours,
        limit=max(arithmetic, memory),
        bound="arithmetic" if arithmetic > memory else "memory",
        rivals={name: _versus(rival) for name, rival in info["rivals"].items()},
        p99=info.get("p99"),
    )


def peak(limit: dict) -> float:
    """Float32 operations per second: multiply-adds alone where they were measured."""
    return max(limit["flops"], limit["fma"] or 0.0)


def _versus(rival: dict) -> Versus:
    quartiles = map(float, np.quantile(rival["ratios"], (0.25, 0.5, 0.75)))
    rounds = len(rival["ratios"])
    return Versus(median(rival["times"]), *quartiles, rounds, rival.get("p99"))
