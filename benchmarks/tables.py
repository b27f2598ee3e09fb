"""The tables of the report, as cells that a template sets into HTML or Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from benchmarks.formats import duration, percent, speed, spread, times
from benchmarks.rows import OPS, Row, Run, unique

NEAR = (0.01, 0.001)  # relative, to the lowest inertia of all


class Cell(NamedTuple):
    """note: what is said beside it, in small. verdict: faster, level or slower."""

    text: str
    note: str = ""
    verdict: str = ""


class Table(NamedTuple):
    """about: what was measured, and by whom. others: the same of backends that were not tfkm's choice."""

    title: str
    about: str
    head: list[Cell]
    rows: list[list[Cell]]
    others: Table | None = None


class Column(NamedTuple):
    head: Cell
    cell: Callable[[Row], Cell]


def of(run: Run) -> list[Table]:
    """One for each op, sweep and device; then the curves."""
    tables = []
    for op, sweep, device in run.groups:
        rows = [row for row in run.select(op, sweep) if row.device == device]
        taken = [row for row in rows if run.is_taken(row)]
        rest = [row for row in rows if not run.is_taken(row)]
        title = f"{op} by {sweep}" if sweep else op
        others = _table(run, title, "Other backends", rest) if rest else None
        shown = _table(run, title, f"{OPS[op]}; by {taken[0].who}", taken) if taken else others
        tables.append(shown._replace(others=others if taken else None))
    return tables + [_curve(found) for found in run.curves]


def _table(run: Run, title: str, about: str, rows: list[Row]) -> Table:
    columns = _columns(run, rows)
    cells = [[column.cell(row) for column in columns] for row in rows]
    return Table(title, about, [column.head for column in columns], cells)


def _columns(run: Run, rows: list[Row]) -> list[Column]:
    """Those alone that tell something: a backend only where there are several."""
    sized = any(row.flops for row in rows)
    columns = [Column(Cell("case", "n, k, d" if sized else ""), _case)]
    if len({row.backend for row in rows}) > 1:
        columns.append(Column(Cell("backend"), lambda row: Cell(row.backend)))
    if any(row.n_iter for row in rows):
        columns.append(Column(Cell("passes"), lambda row: Cell(f"{row.n_iter:g}")))
    columns.append(Column(Cell("tfkm", "p50, p99" if rows[0].p99 else "median"), _own))
    if any(row.limit for row in rows):
        columns.append(Column(Cell("of limit", "which"), _share))
    met = {name for row in rows for name in (*row.rivals, *row.refused)}
    for name in (name for name in run.rivals if name in met):
        columns.append(Column(Cell(name, "/ tfkm: quartiles, time"), _against(name)))
    return columns


def _case(row: Row) -> Cell:
    return Cell(row.name, f"{row.n}, {row.k}, {row.d}" if row.flops else "")


def _own(row: Row) -> Cell:
    return Cell(duration(row.seconds), f"p99 {duration(row.p99)}" if row.p99 else "")


def _share(row: Row) -> Cell:
    """Of the limit, and how near it came to it in the limit's own unit."""
    if not row.limit:
        return Cell("–")
    of_what = (
        f"{speed(row.gflops)} GFLOP/s" if row.bound == "arithmetic" else f"{speed(row.gbs)} GB/s"
    )
    return Cell(percent(row.share), of_what)


def _against(name: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        if name not in row.rivals:
            return Cell("–", "no time" if name in row.refused else "")
        versus = row.rivals[name]
        p99 = f", p99 {duration(versus.p99)}" if versus.p99 else ""
        quartiles = spread(versus.low, versus.high) if versus.rounds > 1 else "one round"
        note = f"{quartiles}, {duration(versus.seconds)}{p99}"
        word = "" if versus.verdict == "faster" else f" {versus.verdict}"
        return Cell(times(versus.ratio) + word, note, versus.verdict)

    return cell


def _curve(found: dict) -> Table:
    """When each implementation was how near to the lowest inertia of all."""
    lowest = min(inertia for points in found["curve"].values() for _, inertia in points)
    rows = []
    for name, points in found["curve"].items():
        firsts = [
            next((duration(s) for s, inertia in points if inertia <= lowest * (1 + near)), "–")
            for near in NEAR
        ]
        last = Cell(duration(points[-1][0]), f"+{points[-1][1] / lowest - 1:.3%}")
        rows.append([Cell(name), *map(Cell, firsts), last])
    head = [Cell("from the same seeds"), *(Cell(f"within {near:.1%}") for near in NEAR)]
    about = f"fits of {found['name']} ({found['n']}, {found['k']}, {found['d']}) by more and more passes"
    return Table("inertia against time", about, [*head, Cell("last", "above the lowest")], rows)


def op_by_op(run: Run) -> list[Table]:
    """Return for each device how what tfkm takes by itself did against each rival.

    A quick run has none: three rounds of small shapes tell nobody who is faster.
    """
    tables: list[Table] = []
    if run.about["quick"]:
        return tables
    for device in unique(row.device for row in run.rows):
        rows = [row for row in run.rows if row.device == device and run.is_taken(row)]
        names = [name for name in run.rivals if any(name in row.rivals for row in rows)]
        groups = [group for group in run.groups if group[2] == device]
        lines = []
        for op, sweep, _ in groups:
            own = [row for row in rows if (row.op, row.sweep) == (op, sweep)]
            title = f"{op} by {sweep}" if sweep else op
            if any(row.rivals for row in own):
                lines.append([Cell(title), *(_range(own, name) for name in names)])
        if lines:
            head = [Cell("op"), *map(Cell, names)]
            tables.append(Table("op by op", rows[0].who, head, lines))
    return tables


def _range(rows: Iterable[Row], name: str) -> Cell:
    """From the worst ratio to the best, and in how many cases tfkm was ahead."""
    found = [row.rivals[name] for row in rows if name in row.rivals]
    if not found:
        return Cell("–")
    ratios = [versus.ratio for versus in found]
    text = times(ratios[0]) if len(found) == 1 else spread(min(ratios), max(ratios))
    ahead, behind = (sum(v.verdict == word for v in found) for word in ("faster", "slower"))
    verdict = {ahead: "faster", behind: "slower"}.get(len(found), "level")  # all of them
    return Cell(text, f"faster in {ahead} of {len(found)}", verdict)
