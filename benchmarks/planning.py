"""The tables of docs/planning.md and docs/streams.md, worked out from what benchmarks/streams.py measured.

python -m benchmarks.planning writes them into the pages, between their marks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import formats

RECORD = Path(__file__).parent / "recorded" / "streams.json"
DOCS = Path(__file__).parents[1] / "docs"
MARK = "<!-- made by benchmarks/planning.py -->"
_SHARD_BYTES = 2**28
_POINTS = (10**9, 10**12)
_MACHINES = (1, 10, 100, 1000)


def planned(record: dict[str, Any], n: int, machines: int, k: int, d: int) -> dict[str, float]:
    """Seconds of a pass of n points on so many machines like the measured one, what limits it, and reading.

    workers: all points at the measured rate of the .npy stream, spread evenly. driver: what each shard
    costs the one process that adds them up, beside the workers. bytes_per_second: what a machine reads.
    """
    (rate,) = (row["npy"] for row in record["throughput"] if (row["k"], row["d"]) == (k, d))
    measured = [row for row in record["overhead"] if (row["k"], row["d"]) == (1024, 128)]
    seconds = {row["engine"]: row["seconds"] / row["shards"] for row in measured}
    over = seconds["Ray"] - seconds["none"]  # what is left of a shard when its work is elsewhere
    shards = -(-n * d * 4 // _SHARD_BYTES)
    workers = n / rate / machines
    driver = shards * over * (k * d) / (1024 * 128)
    seconds = max(workers, driver)
    return {
        "seconds": seconds, "workers": workers, "driver": driver, "shards": shards,
        "bytes_per_second": n * d * 4 / machines / seconds,
    }  # fmt: skip


def planning(record: dict[str, Any]) -> str:
    head = "points", "k, d", "stored", "shards", "machines", "a pass", "limited by", "each reads"
    lines = []
    for row in record["throughput"]:
        k, d = row["k"], row["d"]
        for n in _POINTS:
            for machines in _MACHINES:
                plan = planned(record, n, machines, k, d)
                limit = "workers" if plan["workers"] >= plan["driver"] else "the driver"
                lines.append((
                    f"{n:.0e}".replace("e+", "e"), f"{k}, {d}", f"{n * d * 4 / 1e12:g} TB",
                    f"{plan['shards']:,}", f"{machines:,}", duration(plan["seconds"]), limit,
                    f"{plan['bytes_per_second'] / 1e9:.2f} GB/s",
                ))  # fmt: skip
    return formats.table(head, lines)


def figures(record: dict[str, Any]) -> str:
    throughput = []
    for row in record["throughput"]:
        rates = [f"{row[way] / 1e6:.2f}" for way in ("unwatched", "memory", "npy", "array")]
        ratios = [f"{row[way] / row['memory']:.0%}" for way in ("npy", "array")]
        throughput.append([f"{row['n']}, {row['k']}, {row['d']}", *rates, *ratios])
    overhead = []
    for row in record["overhead"]:
        one = row["seconds"] / row["shards"]
        sizes = f"{row['k']}, {row['d']}"
        overhead.append([row["engine"], sizes, duration(row["seconds"]), duration(one)])
    recovery = ([row["engine"], f"{row['seconds']:.1f} s"] for row in record["recovery"])
    ways = "memory, nobody watches", "memory", ".npy stream", "array as a stream"
    tables = (
        formats.table(("n, k, d", *ways, ".npy over memory", "array over memory"), throughput),
        formats.table(("engine", "k, d", "four shards of 64 points", "for a shard"), overhead),
        formats.table(("engine", "from a kill to the end of the next pass"), recovery),
    )
    return "\n\n".join(tables)


def duration(seconds: float) -> str:
    for unit, size in ("d", 86400), ("h", 3600), ("min", 60), ("s", 1):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def main() -> None:
    record = json.loads(RECORD.read_text())
    for name, table in ("planning.md", planning(record)), ("streams.md", figures(record)):
        page = DOCS / name
        page.write_text(formats.between(page.read_text(), MARK, table))


if __name__ == "__main__":
    main()
