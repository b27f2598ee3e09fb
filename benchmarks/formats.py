"""How the reports write numbers and tables, and set them into a page."""

from __future__ import annotations

from collections.abc import Iterable


def times(ratio: float) -> str:
    """A ratio with two digits or three: 24×, 2.1×, 1.25×, 0.35×, 0.021×."""
    digits = 0 if ratio >= 10 else 1 if ratio >= 2 else 2 if ratio >= 0.1 else 3
    return f"{ratio:.{digits}f}×"


def spread(low: float, high: float) -> str:
    """Of ratios: 3.0–3.2×."""
    return f"{times(low)[:-1]}–{times(high)}"


def duration(seconds: float) -> str:
    """Three digits and a unit: 60.0 µs, 51.1 ms, 5.12 s."""
    for unit, size in (("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        value = seconds / size
        if value < 999.5 or unit == "s":
            return f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"
    raise AssertionError


def speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{100 * share:.2g}%"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def between(page: str, begin: str, text: str) -> str:
    """Return the page with this text between the line `begin` and the next line <!-- end -->.

    Raises:
      ValueError: the page lacks one of them.
    """
    end = "<!-- end -->"
    before, found, rest = page.partition(f"{begin}\n")
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"page: it needs a line {begin} and then one {end}")
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"
