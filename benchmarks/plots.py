"""Plots as SVG to be set into a page: they take the page's text colour, light or dark."""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from benchmarks import verdicts
from benchmarks.rows import Row, Run, peak, unique

INK = "#010203"  # a colour that nothing else has: becomes the page's text colour
# Of a contrast of 3 or more to the page, light or dark: backends first, then rivals.
COLOURS = (
    "#3b82d9", "#d9692a", "#8a8f98", "#2a9d63", "#a85fd6", "#d9537f", "#b08a1e", "#2598a8", "#9a6a4f",
    "#7d9a1f", "#e0484a",
)  # fmt: skip
MARKERS = "osD^vPX<>ph"
INKED = (
    "text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"
)  # fmt: skip
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
    "lines.markersize": 4.5,
    "lines.linewidth": 1.6,
    **dict.fromkeys(INKED, INK),
}
SIZE = 4.6, 4.2  # inches: little wider than a phone, so that text stays readable on one
AXES = {"n": "points in a call, n", "k": "clusters, k", "d": "features, d", "threads": "threads"}
# Of a name by its point, the first that is free: points to the right and up, and how it is aligned. From
# farther away a line leads to the point.
NEAR = ((0, 7, "center"), (-7, -3, "right"), (7, -3, "left"))
FAR = ((-6, 16, "right"), (6, 16, "left"), (-6, -22, "right"), (6, -22, "left"))
LEADER = {"arrowstyle": "-", "color": INK, "lw": 0.5, "shrinkA": 0, "shrinkB": 2}
VERDICTS = {
    "faster": "#2a8fbd",
    "level": "#8a8f98",
    "slower": "#e0702a",
}  # of the page's tables too
GREY = "#808080"  # can be read on white and on black
CASE, TITLE = 0.0115, 0.24  # inches: the height of a case and of a rival's name in `ratios`
LOWEST = 0.01  # of what is shown of inertias above the lowest, %

Picture = tuple[str, str]  # title, SVG


@matplotlib.rc_context(STYLE)
def opening(run: Run) -> list[Picture]:
    """Return `ratios` for a page; nothing where no rival was met, or of a quick run."""
    title = "Each case's ratio: a rival's time over tfkm's"
    return [_svg(ratios(run), "ratios", title)] if verdicts.met(run) else []


@matplotlib.rc_context(STYLE | dict.fromkeys(INKED, GREY) | {"svg.fonttype": "path"})
def write_ratios(run: Run, path: Path) -> None:
    """Write `ratios` as a file for a page that is light or dark."""
    ratios(run).savefig(path, transparent=True, metadata={"Date": None})


def ratios(run: Run) -> Figure:
    """Draw for each rival a bar for each case of what tfkm takes by itself, sorted; from 1× on."""
    met = verdicts.met(run)
    cases = sum(len(one.rows) for one in met)
    tall = CASE * cases + TITLE * len(met)
    figure = Figure(figsize=(SIZE[0], tall + 0.85), layout="constrained")
    axes = figure.subplots()
    at = 0.0  # inches from the top
    for one in met:
        found = sorted((row.rivals[one.rival] for row in one.rows), key=lambda v: -v.ratio)
        faster = sum(versus.verdict == "faster" for versus in found)
        name, share = one.title.removeprefix("Against "), f"faster in {faster} of {len(found)}"
        for x, ha, text in (0.005, "left", name), (0.995, "right", share):
            where = {"transform": axes.get_yaxis_transform(), "ha": ha, "va": "center"}
            axes.text(x, at + 0.55 * TITLE, text, **where)
        at += TITLE
        places = at + CASE * (0.5 + np.arange(len(found)))
        for verdict, color in VERDICTS.items():
            bars = [
                ([1, versus.ratio, np.nan], [y] * 3)
                for y, versus in zip(places, found, strict=True)
                if versus.verdict == verdict
            ]
            if bars:  # they overlap, since seams between them would shimmer
                thick = {"linewidth": 1.5 * 72 * CASE, "solid_capstyle": "butt"}
                axes.plot(*np.concatenate(bars, axis=1), color=color, **thick)
        end = at + CASE * len(found)
        axes.plot([1, 1], [at, end], color=matplotlib.rcParams["axes.edgecolor"], linewidth=1)
        at = end
    axes.set(xscale="log", ylim=(at, 0), yticks=[], xlabel="the rival's time over tfkm's")
    axes.spines["left"].set_visible(False)
    _tick(axes.xaxis, 4, "×")
    figure.legend(
        [Patch(color=color) for color in VERDICTS.values()],
        ["tfkm faster", "level", "tfkm slower"],
        loc="outside upper left", ncols=3, frameon=False,
    )  # fmt: skip
    return figure


@matplotlib.rc_context(STYLE)
def of(run: Run) -> list[Picture]:
    """Every plot that this run has the rows for."""
    figures = [
        scaling(run, op, sweep)
        for op, sweep in unique((op, sweep) for op, sweep, _ in run.groups)
        if sweep in AXES
    ]
    measured = {row.device for row in run.select("assign")}
    figures += [roofline(run, device) for device in run.about["limits"] if device in measured]
    return figures + [curve(run, i) for i in range(len(run.curves))]


def scaling(run: Run, op: str, axis: str) -> Picture:
    """GFLOP/s of an op as one quantity grows: a line for each backend and rival, and the limit."""
    rows = run.select(op, axis)
    figure, axes = _figure(AXES[axis], "GFLOP/s")
    looks = _looks(run)

    def draw(having: list[Row], speeds: list[float], **look) -> None:
        axes.plot([getattr(row, axis) for row in having], speeds, **look)

    for who in unique(row.who for row in rows):
        own = [row for row in rows if row.who == who]
        draw(own, [row.gflops for row in own], **looks[who])
    for device in unique(row.device for row in rows):
        taken = [row for row in rows if row.device == device and run.is_taken(row)]
        for name in run.rivals:
            if having := [row for row in taken if name in row.rivals]:
                draw(
                    having, [r.flops / r.rivals[name].seconds / 1e9 for r in having], **looks[name]
                )
        if axis != "threads":
            limits = [row.flops / row.limit / 1e9 for row in taken]
            draw(taken, limits, color=INK, lw=0.8, label="limit")
    if axis == "threads":
        one = rows[0].gflops / rows[0].threads
        ideal = [one * row.threads for row in rows]
        draw(rows, ideal, color=INK, lw=0.8, ls=":", label="in proportion")
        axes.set(xscale="linear", yscale="linear", ylim=(0, None))
        axes.set_xticks(unique(row.threads for row in rows))
    return _svg(figure, f"scaling-{op}-{axis}", f"{op}: throughput against {axis}")


def roofline(run: Run, device: str) -> Picture:
    """The named shapes of `assign` under the device's limits."""
    limit = run.about["limits"][device]
    most, bandwidth = peak(limit) / 1e9, limit["bandwidth"] / 1e9
    rows = [row for row in run.select("assign") if row.device == device]
    figure, axes = _figure("operations per byte from or to memory", "GFLOP/s")
    intensities = [*map(_intensity, rows), most / bandwidth]
    left, right = min(intensities) / 2, max(intensities) * 2
    axes.plot(
        [left, most / bandwidth, right], [left * bandwidth, most, most], color=INK, lw=1.2,
        label=f"limit: {bandwidth:.0f} GB/s, {most:.0f} GFLOP/s",
    )  # fmt: skip
    product = limit["flops"] / 1e9
    if product < most:
        axes.plot(
            [product / bandwidth, right], [product] * 2, color=INK, lw=0.8, ls=":",
            label=f"matrix product: {product:.0f} GFLOP/s",
        )  # fmt: skip
    looks = _looks(run)
    for who in unique(row.who for row in rows):
        own = [row for row in rows if row.who == who]
        axes.plot([*map(_intensity, own)], [r.gflops for r in own], **looks[who] | {"ls": "none"})
    axes.margins(y=0.15)
    _finished(figure)  # names stand where there is room when all else is in its place
    _name(axes, {r.name: (_intensity(r), r.gflops) for r in rows if run.is_taken(r)})
    name = f"roofline-{device.replace(':', '-')}"
    return _svg(figure, name, f"assign on {device} under its limits")


def curve(run: Run, i: int) -> Picture:
    """How far above the lowest inertia each implementation is after how long."""
    found = run.curves[i]
    figure, axes = _figure(
        "seconds of Lloyd's iteration", f"inertia above the lowest, % (≥ {LOWEST})"
    )
    lowest = min(inertia for points in found["curve"].values() for _, inertia in points)
    looks = _looks(run) | {"tfkm": _looks(run)[f"{found['backend']} on {found['device']}"]}
    for name, points in found["curve"].items():
        above = [max(100 * (inertia / lowest - 1), LOWEST) for _, inertia in points]
        axes.plot([seconds for seconds, _ in points], above, **looks[name] | {"label": name})
    title = f"inertia against time: {found['name']}, {found['n']:,} points, k = {found['k']}"
    return _svg(figure, f"curve-{i}", title)


def _name(axes: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Writes each point's name by it, where it hides nothing; none where there is no room."""
    axes.figure.draw_without_rendering()
    drawn = [(line.get_transform().transform_path(line.get_path()), line) for line in axes.lines]
    paths = [path for path, line in drawn if line.get_linestyle() != "None"]
    marks = [at for path, line in drawn if line.get_linestyle() == "None" for at in path.vertices]
    boxes: list[Bbox] = []
    for name, point in sorted(points.items(), key=lambda named: -named[1][1]):
        for x, y, ha in NEAR + FAR:
            more = {"arrowprops": LEADER} if (x, y, ha) in FAR else {}
            at = dict(xytext=(x, y), textcoords="offset points", ha=ha, fontsize=8, **more)
            text = axes.annotate(name, point, **at)
            text.get_window_extent()  # sets it in its place
            box = Text.get_window_extent(text)  # of the name without the leader
            if not (
                any(map(box.overlaps, boxes))
                or any(box.contains(*mark) for mark in marks)
                or any(path.intersects_bbox(box, filled=False) for path in paths)
            ):
                boxes.append(box)
                break
            text.remove()


def _looks(run: Run) -> dict[str, dict]:
    """Of each backend and rival, the same in every plot; told apart by shape too, not by colour alone."""
    several = len({row.device for row in run.rows}) > 1
    looks = itertools.count()
    ours = {row.who: row.who if several else row.backend for row in run.rows}
    found = {}
    for name, label in {**ours, **{rival: rival for rival in run.rivals}}.items():
        i = next(looks) % len(COLOURS)
        dashes = {} if name in ours else {"ls": "--", "lw": 1.0}
        found[name] = {"label": label, "color": COLOURS[i], "marker": MARKERS[i], **dashes}
    return found


def _intensity(row: Row) -> float:
    return row.flops / row.bytes


def _figure(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, xscale="log", yscale="log")
    return figure, axes


def _finished(figure: Figure) -> None:
    """Legend and ticks: what takes room beside the axes, once all is drawn into them."""
    if not figure.legends:  # else it is finished
        figure.legend(loc="outside lower left", ncols=2)
        for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
            if axis.get_scale() == "log":
                _tick(axis)


def _tick(axis: Axis, decades: float = 2.5, unit: str = "") -> None:
    """Labels at powers of ten; where there are fewer decades than this at 1, 2, 5, 10, too."""
    low, high = axis.get_view_interval()
    short = np.log10(high / low) < decades
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if short else (1,), numticks=10))
    axis.set_minor_formatter(NullFormatter())
    if short or unit:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{unit}"))


def _svg(figure: Figure, name: str, title: str) -> Picture:
    """The title and an element of a page: no size of its own, ids that no other plot has."""
    _finished(figure)
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name.replace(' ', '-')}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return title, svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
