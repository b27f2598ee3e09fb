"""Makes the report of a recorded run: one HTML page and a Markdown summary.

python -m benchmarks.report benchmarks/out/bench.json -o benchmarks/out/
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import jinja2

from benchmarks import plots
from benchmarks.rows import Row, Run, load, unique

VERDICTS = {"faster": "faster", "level": "level (rounds disagree)", "slower": "slower"}


def sentences(run: Run) -> list[str]:
    """Who wins where, defeats included: in all, then for each op, backend, device and rival."""
    groups = unique((row.op, row.sweep, row.who) for row in run.rows)
    failed = [case["case"] for case in run.not_measured if case["failed"]]
    failures = [f"Failed, and so without a time: {', '.join(failed)}."] if failed else []
    said = [_overall(run, rival) for rival in run.rivals]
    for rival in run.rivals:
        for group in groups:
            rows = [row for row in run.rows if (row.op, row.sweep, row.who) == group]
            said.append(_sentence(rows, rival))
    return failures + said


def _overall(run: Run, rival: str) -> str:
    """Counts the cases, each with the backend that was fastest: the one a user is best served by."""
    best: dict[tuple, Row] = {}
    for row in run.rows:
        case = row.op, row.name, row.device
        best[case] = min(best.get(case, row), row, key=lambda r: r.seconds)
    verdicts = Counter(row.rivals[rival].verdict for row in best.values())
    counts = ", ".join(f"{words} in {verdicts[v]}" for v, words in VERDICTS.items())
    return f"tfkm's fastest backend against {rival}, in {len(best)} cases: {counts}."


def _sentence(rows: list[Row], rival: str) -> str:
    first = rows[0]
    what = f"{first.op} by {first.who}"
    if first.sweep:
        what += f" by {first.sweep}"
    parts = []
    for verdict, words in VERDICTS.items():
        having = [row for row in rows if row.rivals[rival].verdict == verdict]
        if having:
            parts.append(f"{words} on {len(having)} of {len(rows)} ({_ratios(having, rival)})")
    return f"{what}, against {rival}: {'; '.join(parts)}."


def _ratios(rows: Iterable[Row], rival: str) -> str:
    ordered = sorted(rows, key=lambda row: -row.rivals[rival].ratio)
    return ", ".join(f"{row.name} {times(row.rivals[rival].ratio)}" for row in ordered)


def times(ratio: float) -> str:
    """A ratio with two digits or three: 24×, 2.1×, 1.25×, 0.35×, 0.021×."""
    digits = 0 if ratio >= 10 else 1 if ratio >= 2 else 2 if ratio >= 0.1 else 3
    return f"{ratio:.{digits}f}×"


def milliseconds(seconds: float) -> str:
    """Three digits, without an exponent."""
    value = seconds * 1e3
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f}"


def speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{100 * share:.2g}%"


def write(run: Run, folder: Path) -> list[Path]:
    """report.html and report.md in `folder`; returns their paths."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats = (times, milliseconds, microseconds, speed, percent)
    environment.filters.update({f.__name__: f for f in formats})
    figures = [plots.roofline(run, device) for device in run.about["limits"]]
    if run.select("assign", sweep="n"):
        figures.insert(0, plots.throughput(run))
    facts = {"run": run, "sentences": sentences(run), "figures": figures}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in ("report.html", "report.md"):
        path = folder / name
        path.write_text(environment.get_template(f"{name}.j2").render(facts), encoding="utf-8")
        paths.append(path)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the report of a recorded run.")
    parser.add_argument("json", type=Path, help="what pytest --benchmark-json wrote")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the report")
    arguments = parser.parse_args()
    for path in write(load(arguments.json), arguments.out):
        print(path)


if __name__ == "__main__":
    main()
