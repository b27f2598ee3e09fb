"""Plots as SVG to be set into a page: they take the page's text colour, light or dark."""

from __future__ import annotations

import io
import re
from math import log

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.rows import Row, Run, unique

INK = "#010203"  # a colour that nothing else has: becomes the page's text colour
COLOURS = ("#3b8bd9", "#e07b39", "#2fa36b", "#b565d9", "#c9a227", "#d9537f")  # fit for both themes
MARKERS = "osD^vP"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tfkm",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.18,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.markersize": 5,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
    "grid.color": INK,
}
DASHES = ("--", ":", "-.", (0, (5, 1)), (0, (1, 2)), (0, (3, 1, 1, 1)))
SIZE = 4.6, 3.7  # inches: little wider than a phone, so that text stays readable on one


AXES = {"n": "points in a call, n", "k": "clusters, k", "d": "features, d", "threads": "threads"}


def all_of(run: Run) -> list[tuple[str, str]]:
    """Title and picture of every plot that this run has the rows for."""
    figures = [scaling(run, axis) for axis in AXES if run.select("assign", axis)]
    figures += [
        roofline(run, device) for device in run.about["limits"] if run.select("assign", None)
    ]
    return figures + [curve(found) for found in run.curves]


@matplotlib.rc_context(STYLE)
def scaling(run: Run, axis: str) -> tuple[str, str]:
    """GFLOP/s of `assign` as one quantity grows, each backend and rival a line."""
    rows = run.select("assign", axis)
    figure, axes = _figure(AXES[axis], "GFLOP/s")
    for i, who in enumerate(unique(row.who for row in rows)):
        own = [row for row in rows if row.who == who]
        axes.plot([getattr(r, axis) for r in own], [r.gflops for r in own], label=who, **_look(i))
    first = [row for row in rows if row.who == rows[0].who]  # which has all rivals beside it
    for i, rival in enumerate(name for name in run.rivals if name in first[-1].rivals):
        having = [row for row in first if rival in row.rivals]
        speeds = [row.flops / row.rivals[rival].seconds / 1e9 for row in having]
        dashes = DASHES[i % len(DASHES)]
        axes.plot(
            [getattr(r, axis) for r in having], speeds, color=INK, ls=dashes, lw=1, label=rival
        )
    if axis == "threads":
        axes.set_xscale("linear")
        axes.set_yscale("linear")
        axes.set_xticks([row.threads for row in rows])
        axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")
    return _svg(figure, f"scaling-{axis}", f"assign: throughput against {axis}")


@matplotlib.rc_context(STYLE)
def curve(found: dict) -> tuple[str, str]:
    """How far above the lowest inertia each implementation is after how long."""
    figure, axes = _figure("seconds of Lloyd's iteration", "inertia above the lowest, %")
    lowest = min(inertia for curve in found["curve"].values() for _, inertia in curve)
    for i, (name, points) in enumerate(found["curve"].items()):
        above = [(seconds, 100 * (inertia / lowest - 1)) for seconds, inertia in points]
        shown = [(s, a) for s, a in above if a > 0]
        axes.plot(*zip(*shown, strict=True), label=name, **_look(i))
    axes.legend(loc="lower left")
    title = f"inertia against time: {found['name']}, {found['n']} points, k = {found['k']}"
    return _svg(figure, "curve", title)


@matplotlib.rc_context(STYLE)
def roofline(run: Run, device: str) -> tuple[str, str]:
    """Title and picture: the named shapes of `assign` under the device's two limits."""
    limit = run.about["limits"][device]
    peak, bandwidth = limit["flops"] / 1e9, limit["bandwidth"] / 1e9
    rows = [row for row in run.select("assign", None) if row.device == device]
    figure, axes = _figure("operations per byte from or to memory", "GFLOP/s")
    ridge = peak / bandwidth
    intensities = [_intensity(row) for row in rows] + [ridge]
    left, right = min(intensities) / 2, max(intensities) * 2
    axes.plot([left, ridge, right], [left * bandwidth, peak, peak], color=INK, lw=1.2)
    said = dict(fontsize=8, textcoords="offset points", ha="right")
    axes.annotate(f"{peak:.0f} GFLOP/s", (ridge, peak), (2, 4), **said | {"ha": "left"})
    axes.annotate(
        f"{bandwidth:.0f} GB/s", (left, left * bandwidth), (14, 2), **said | {"ha": "left"}
    )
    fastest: dict[str, Row] = {}
    for i, who in enumerate(unique(row.who for row in rows)):
        own = [row for row in rows if row.who == who]
        speeds = [row.gflops for row in own]
        axes.plot([_intensity(r) for r in own], speeds, ls="none", label=who, **_look(i))
        for row in own:
            fastest[row.name] = max(fastest.get(row.name, row), row, key=lambda r: r.gflops)
    for row in fastest.values():
        offset = (0, _label_offset(row, list(fastest.values())))
        axes.annotate(row.name, (_intensity(row), row.gflops), offset, **said | {"ha": "center"})
    axes.margins(y=0.15)
    axes.legend(loc="lower right")
    return _svg(
        figure, f"roofline-{device.replace(':', '-')}", f"assign on {device} under its limits"
    )


def _label_offset(row: Row, rows: list[Row]) -> int:
    """Above its point, but below where the limit's line is near or the next neighbour is higher."""
    others = [other for other in rows if other is not row]
    near = min(others, key=lambda r: abs(log(_intensity(r) / _intensity(row))), default=row)
    if row.gflops < near.gflops:
        return -13 if near.share < 0.55 else -22  # the neighbour's name is below it too
    return 6 if row.share < 0.55 else -13


def _look(i: int) -> dict[str, str]:
    """Of the i-th backend, in every plot: told apart by shape too, not by colour alone."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}


def _intensity(row: Row) -> float:
    return row.flops / row.bytes


def _figure(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, xscale="log", yscale="log")
    return figure, axes


def _svg(figure: Figure, name: str, title: str) -> tuple[str, str]:
    """The title and an element of a page: no size of its own, ids that no other plot has."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return title, svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
