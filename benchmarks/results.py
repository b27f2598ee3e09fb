"""Recorded runs that are kept, one for each release and machine, and the tables that are made of them.

python -m benchmarks.results keep benchmarks/out/bench.json  # into benchmarks/results/
python -m benchmarks.results write                           # into README.md and docs/

Tables are made, never typed: a test compares them with what `write` would make.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from benchmarks import formats, plots, report, verdicts
from benchmarks.rows import Run, load

ROOT = Path(__file__).resolve().parents[1]
IMAGE = ROOT / "docs" / "images" / "ratios.svg"
KEPT = Path(__file__).parent / "results"
MARK = "<!-- made by benchmarks/results.py -->"


def keep(recorded: Path, folder: Path = KEPT) -> Path:
    """Copies a run without what no table needs. Raises ValueError for a quick run or another file."""
    run = json.loads(recorded.read_text())
    if "tfkm" not in run:
        raise ValueError(f"recorded: {recorded} is not what `nox -s bench` wrote")
    if run["tfkm"]["quick"]:
        raise ValueError(f"recorded: {recorded} is of a quick run, which measures nothing")
    for benchmark in run["benchmarks"]:
        median = benchmark["stats"]["median"]
        kept = {"stats": {"median": median}, "extra_info": benchmark["extra_info"]}
        benchmark.clear()
        benchmark.update(kept)
    about = run["machine_info"]["cpu"]
    processor = about.get("brand_raw", "an unnamed processor")
    kept = {
        "datetime": run["datetime"],
        "machine_info": {"cpu": {"brand_raw": processor}},
        "tfkm": run["tfkm"],
        "benchmarks": run["benchmarks"],
    }
    slug = re.sub(r"[^a-z0-9]+", "-", processor.lower()).strip("-")
    threads = run["tfkm"]["threads"]["tfkm"]
    folder.mkdir(exist_ok=True)
    path = folder / f"{run['tfkm']['tfkm_version']}-{slug}-{threads}-threads.json"
    path.write_text(
        json.dumps(_rounded(kept), separators=(",", ":")).replace('{"stats"', '\n{"stats"')
    )
    return path


def _rounded(value):
    """Numbers to six digits: a time has not more, and the file is half as large."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value


def newest() -> Run:
    """Of the kept runs the one that was recorded last."""
    return max((load(path) for path in KEPT.glob("*.json")), key=lambda run: run.date)


def summary(run: Run) -> str:
    """Markdown: the machine, then a sentence for each rival."""
    version, threads = run.about["tfkm_version"], run.about["threads"]["tfkm"]
    machine = f"{threads} threads of {run.processor}"
    sentences = verdicts.markdown(verdicts.of(run))
    return f"tfkm {version} on {machine}, {run.date}:\n\n{sentences}"


def unbeaten(run: Run) -> str:
    """Markdown: the cases in which a rival is no slower than what tfkm takes by itself, the worst first."""
    found = [
        (versus.ratio, row, name, versus)
        for row in filter(run.is_taken, run.rows)
        for name, versus in row.rivals.items()
        if versus.verdict != "faster"
    ]
    lines = [
        f"{run.date}, {run.about['threads']['tfkm']} threads of {run.processor}:",
        "",
        "| | rival | ratio | its time | tfkm | n, k, d |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for ratio, row, name, versus in sorted(found, key=lambda one: one[0]):
        size = f"{row.n}, {row.k}, {row.d}" if row.k else ""
        level = "" if versus.verdict == "slower" else " (level)"
        case = row.op if row.name in (row.op, "a new process") else f"{row.op} {row.name}"
        lines.append(
            f"| {case} | {name} | {formats.times(ratio)}{level} | {formats.duration(versus.seconds)} | "
            f"{formats.duration(row.seconds)} | {size} |"
        )
    return "\n".join(lines)


def tables(run: Run) -> dict[Path, str]:
    """The pages with the tables of this run in them."""
    parts = {
        ROOT / "README.md": summary(run),
        ROOT / "docs" / "benchmarks.md": report.markdown(run, "images/ratios.svg").partition("\n")[
            2
        ],
        ROOT / "docs" / "when-not.md": unbeaten(run),
    }
    return {path: formats.between(path.read_text(), MARK, part) for path, part in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("keep").add_argument("json", type=Path)
    commands.add_parser("write")
    options = parser.parse_args()
    if options.command == "keep":
        try:
            print(keep(options.json))
        except (OSError, ValueError) as error:
            parser.error(str(error))
        return
    run = newest()
    for path, page in tables(run).items():
        path.write_text(page)
        print(path.relative_to(ROOT))
    plots.write_ratios(run, IMAGE)
    print(IMAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
