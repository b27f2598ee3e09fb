"""What the report says in sentences: who wins where, defeats included, and who is missing."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from benchmarks.formats import times
from benchmarks.rows import Row, Run, unique

ALONE = ("stream", "import", "first call")


class Verdict(NamedTuple):
    """about: whom it is about. said: what there is to say."""

    about: str
    said: str


class Met(NamedTuple):
    """The cases of one rival on one device, which the title names only where there are several."""

    title: str
    rival: str
    rows: list[Row]


def of(run: Run) -> list[Verdict]:
    """Return one sentence for each rival on each device; none of a quick run."""
    return [Verdict(one.title, f"tfkm is {_tally(one)}.") for one in met(run)]


def not_faster(run: Run) -> list[Verdict]:
    """Return for each rival the cases in which it is level or faster, the worst for tfkm first."""
    lines = []
    for one in met(run):
        said = []
        for verdict in ("slower", "level"):
            if found := [r for r in one.rows if r.rivals[one.rival].verdict == verdict]:
                said.append(f"{verdict.capitalize()}: {_named(found, one.rival)}.")
        if said:
            lines.append(Verdict(one.title, " ".join(said)))
    return lines


def other_backends(run: Run) -> list[Verdict]:
    """Return a sentence for each rival of each backend that tfkm takes only when asked to."""
    rest = [] if run.about["quick"] else [row for row in run.rows if not run.is_taken(row)]
    lines = []
    for who in unique(row.who for row in rest):
        own = [row for row in rest if row.who == who]
        for rival in run.rivals:
            if rows := [row for row in own if rival in row.rivals]:
                lines.append(Verdict(f"{who} against {rival}", f"{_tally(Met('', rival, rows))}."))
    return lines


def absent(run: Run) -> str:
    """Return the rivals and devices that were not there to be measured, with the reason of each."""
    missing = run.about["absent_rivals"] | run.about["absent"]
    return "; ".join(f"{name} ({why})" for name, why in missing.items())


def markdown(verdicts: Iterable[Verdict]) -> str:
    """Return verdicts as a list."""
    lines = (f"- **{verdict.about}:** {verdict.said}" for verdict in verdicts)
    return "\n".join(textwrap.fill(line, 100, subsequent_indent="  ") for line in lines)


def met(run: Run) -> list[Met]:
    """Return the encounters of what tfkm takes by itself; none of a quick run."""
    if run.about["quick"]:
        return []
    devices = unique(row.device for row in run.rows)
    found = []
    for device in devices:
        taken = [row for row in run.rows if row.device == device and run.is_taken(row)]
        where = f" on {device}" if len(devices) > 1 else ""
        for rival in run.rivals:
            if rows := [row for row in taken if rival in row.rivals]:
                found.append(Met(f"Against {rival}{where}", rival, rows))
    return found


def _tally(one: Met) -> str:
    count = Counter(row.rivals[one.rival].verdict for row in one.rows)
    by_ratio = sorted(one.rows, key=lambda row: row.rivals[one.rival].ratio)
    worst, best = (
        f"{times(row.rivals[one.rival].ratio)}, {case(row)}" for row in (by_ratio[0], by_ratio[-1])
    )
    every = len(one.rows)
    share = (
        f"all {every}" if count["faster"] == every else f"{count['faster'] or 'none'} of {every}"
    )
    said = [f"faster in {share} cases" + (f" (up to {best})" if count["faster"] else "")]
    if count["level"]:
        said.append(f"level in {count['level']}")
    if count["slower"]:
        said.append(f"slower in {count['slower']} (down to {worst})")
    return ", ".join(said)


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
    """Return its op and its name, but once where an op is measured on one thing only."""
    return row.op if row.op in ALONE else f"{row.op} {row.name}"
