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


def verdicts(run: Run) -> list[str]:
    """What failed, then who wins against each rival in all, and where tfkm loses."""
    failed = [case["case"] for case in run.not_measured if case["failed"]]
    failures = [f"Failed, and so without a time: {', '.join(failed)}."] if failed else []
    return failures + [_overall(run, rival) for rival in run.rivals]


def by_op(run: Run) -> list[str]:
    """The same for each op and backend, against the first rival that it has."""
    said = []
    for group in unique((row.op, row.who) for row in run.rows if row.sweep is None):
        rows = [row for row in run.rows if (row.op, row.who) == group and row.sweep is None]
        if rival := next((name for name in run.rivals if name in rows[0].rivals), None):
            said.append(_sentence([row for row in rows if rival in row.rivals], rival))
    return said


def _overall(run: Run, rival: str) -> str:
    """Counts the cases, each with the backend that was fastest: the one a user is best served by."""
    best: dict[tuple, Row] = {}
    for row in run.rows:
        if rival in row.rivals:
            case = row.op, row.name, row.device
            best[case] = min(best.get(case, row), row, key=lambda r: r.seconds)
    verdicts = Counter(row.rivals[rival].verdict for row in best.values())
    counts = ", ".join(f"{words} in {verdicts[v]}" for v, words in VERDICTS.items())
    slower = [row for row in best.values() if row.rivals[rival].verdict == "slower"]
    where = ", ".join(f"{row.op} {row.name} {times(row.rivals[rival].ratio)}" for row in slower)
    return (
        f"tfkm's fastest backend against {rival}, in {len(best)} cases: {counts}"
        f"{f' ({where})' if where else ''}."
    )


def _sentence(rows: list[Row], rival: str) -> str:
    first = rows[0]
    what = f"{first.op} by {first.who}"
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
    """Three digits or so; a dash for what has no such figure."""
    if not value:
        return "–"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def percent(share: float) -> str:
    if not share:
        return "–"
    return f"{share:.0%}" if share >= 0.1 else f"{100 * share:.2g}%"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats = (times, milliseconds, microseconds, speed, percent)
    environment.filters.update({f.__name__: f for f in formats})
    return environment


def markdown(run: Run) -> str:
    """report.md."""
    return _environment().get_template("report.md.j2").render(_facts(run))


def html(run: Run) -> str:
    """report.html, which needs no other file."""
    facts = _facts(run) | {"figures": plots.all_of(run)}
    return _environment().get_template("report.html.j2").render(facts)


def _facts(run: Run) -> dict:
    return {"run": run, "verdicts": verdicts(run), "by_op": by_op(run)}


def write(run: Run, folder: Path) -> list[Path]:
    """report.html and report.md in `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {folder / "report.html": html(run), folder / "report.md": markdown(run)}
    for path, page in pages.items():
        path.write_text(page, encoding="utf-8")
    return list(pages)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the report of a recorded run.")
    parser.add_argument("json", type=Path, help="what pytest --benchmark-json wrote")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the report")
    arguments = parser.parse_args()
    for path in write(load(arguments.json), arguments.out):
        print(path)


if __name__ == "__main__":
    main()
