"""The first lines of the report: who wins where, defeats included, and who is missing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import NamedTuple

from benchmarks.formats import times
from benchmarks.rows import Row, Run, unique

ALONE = ("stream", "import", "first call")


class Verdict(NamedTuple):
    """about: whom it is about. said: what there is to say."""

    about: str
    said: str


def of(run: Run) -> list[Verdict]:
    """What failed; tfkm against each rival on each device; its other backends; who is not here.

    Of a quick run nothing about who is faster.
    """
    said = f"{', '.join(run.failed)}, and so without a time."
    lines = [Verdict("Failed", said)] if run.failed else []
    for device in unique(row.device for row in run.rows) if not run.about["quick"] else []:
        rows = [row for row in run.rows if row.device == device]
        taken = [row for row in rows if run.is_taken(row)]
        lines += [
            _against(name, taken) for name in run.rivals if any(name in r.rivals for r in taken)
        ]
        lines += _others(run, [row for row in rows if not run.is_taken(row)])
    about = run.about
    absent = [f"{name} ({why})" for name, why in (about["absent_rivals"] | about["absent"]).items()]
    return lines + ([Verdict("Not here", f"{'; '.join(absent)}.")] if absent else [])


def markdown(run: Run) -> str:
    """A list of them."""
    return "\n".join(f"- **{verdict.about}:** {verdict.said}" for verdict in of(run))


def brief(run: Run) -> str:
    """Markdown: of what tfkm takes by itself, one sentence for each rival."""
    devices = unique(row.device for row in run.rows)
    taken = [[row for row in run.rows if row.device == d and run.is_taken(row)] for d in devices]
    said = [
        f"- Against **{rival}** tfkm ({met[0].who}) is {_tally(met, rival)}."
        for rows in taken
        for rival in run.rivals
        if (met := [row for row in rows if rival in row.rivals])
    ]
    return "\n".join(textwrap.fill(line, 100, subsequent_indent="  ") for line in said)


def _against(rival: str, rows: list[Row]) -> Verdict:
    met = [row for row in rows if rival in row.rivals]
    said = f"tfkm ({met[0].who}) is {_tally(met, rival)}"
    for verdict in ("slower", "level"):
        if found := [row for row in met if row.rivals[rival].verdict == verdict]:
            said += f". {verdict.capitalize()}: {_named(found, rival)}"
    return Verdict(f"Against {rival}", said + ".")


def _tally(rows: list[Row], rival: str) -> str:
    found = [row.rivals[rival] for row in rows]
    count = {word: sum(v.verdict == word for v in found) for word in ("faster", "level", "slower")}
    best = max(rows, key=lambda row: row.rivals[rival].ratio)
    most = f" (most in {case(best)}, {times(best.rivals[rival].ratio)})"
    return (
        f"faster in {count['faster']} of {len(rows)} cases{most if count['faster'] else ''}, "
        f"level in {count['level']}, slower in {count['slower']}"
    )


def _named(rows: Iterable[Row], rival: str) -> str:
    """predict n=1 0.55×; import 0.33×; …, op by op, the worst first."""
    worst = sorted(rows, key=lambda row: row.rivals[rival].ratio)
    return "; ".join(
        ", ".join(
            f"{row.name if i else case(row)} {times(row.rivals[rival].ratio)}"
            for i, row in enumerate(row for row in worst if row.op == op)
        )
        for op in unique(row.op for row in worst)
    )


def case(row: Row) -> str:
    """Its op and its name, but once where an op is measured on one thing only."""
    return row.op if row.op in ALONE else f"{row.op} {row.name}"


def _others(run: Run, rows: list[Row]) -> list[Verdict]:
    """Backends that tfkm takes only when asked to, each in a sentence for each rival that it met."""
    lines = []
    for backend in unique(row.backend for row in rows):
        own = [row for row in rows if row.backend == backend]
        for rival in run.rivals:
            if met := [row for row in own if rival in row.rivals]:
                said = f"{_tally(met, rival)}, against {rival}. tfkm takes it only when asked to."
                lines.append(Verdict(met[0].who, said))
    return lines
