"""The report of a recorded run: rows, verdicts, tables, the pages, and the runs that are kept."""

import dataclasses
import html
import itertools
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from matplotlib.text import Text

from benchmarks import formats, plots, report, results, tables, verdicts
from benchmarks.rows import Versus, load

RECORDED = Path(__file__).parents[1] / "benchmarks" / "recorded" / "small.json"


@pytest.fixture(scope="module")
def run():
    """As if it had not been a quick one."""
    quick = load(RECORDED)
    return dataclasses.replace(quick, about=quick.about | {"quick": False})


@pytest.fixture(scope="module")
def pages(run, tmp_path_factory):
    """The text of report.html and report.md."""
    return [path.read_text() for path in report.write(run, tmp_path_factory.mktemp("report"))]


def test_row(run):
    row = next(r for r in run.select("assign", sweep=None) if r.backend == "xla")
    recorded = json.loads(RECORDED.read_text())
    limits = recorded["tfkm"]["limits"][row.device]
    peak = max(limits["fma"], limits["flops"])
    least = max(row.flops / peak, row.bytes / limits["bandwidth"])
    assert row.share == pytest.approx(least / row.seconds)
    assert row.gflops == pytest.approx(2 * row.n * row.k * row.d / row.seconds / 1e9)


@pytest.mark.parametrize(
    "low, ratio, high, verdict",
    [(1.5, 2, 2.5, "faster"), (0.4, 0.5, 0.6, "slower"), (0.9, 1.2, 1.3, "level")],
)
def test_verdict(low, ratio, high, verdict):
    assert Versus(1.0, low, ratio, high, 3).verdict == verdict


@pytest.mark.parametrize(
    "seconds, text",
    [
        (6e-5, "60.0 µs"),
        (9.996e-4, "1.00 ms"),
        (0.0511, "51.1 ms"),
        (12.34, "12.3 s"),
        (7200, "7,200 s"),
    ],
)
def test_duration(seconds, text):
    assert formats.duration(seconds) == text


def test_a_page_without_the_marks_is_refused():
    page = "a\n<!-- here -->\nold\n<!-- end -->\nb\n"
    assert formats.between(page, "<!-- here -->", "new\n") == page.replace("old", "new")
    for other in "a\n<!-- end -->\n<!-- here -->\nold\n", "<!-- end -->\n":
        with pytest.raises(ValueError, match="needs a line <!-- here -->"):
            formats.between(other, "<!-- here -->", "new")


def test_what_tfkm_takes_is_what_all_rivals_met(run):
    assert {row.backend for row in run.rows if run.is_taken(row)} == {"native"}
    others = dataclasses.replace(run, rows=[r for r in run.rows if r.backend != "native"])
    assert others.is_taken(others.rows[0])


def opening(page: str) -> str:
    """What stands before the first section."""
    return re.split("<nav|\n## ", page)[0]


def test_a_page_opens_with_the_picture_and_a_sentence_for_each_rival(run, pages):
    for page, picture, end in (
        (pages[0], "<svg", ":</strong>"),
        (pages[1], "](ratios.svg)", ":**"),
    ):
        lines = opening(page)
        assert lines.count(picture) == 1
        for rival in run.rivals:
            said = lines[lines.index(f"Against {rival}{end}") :]
            assert lines.index(picture) < lines.index(said)
            assert re.match(r"[^.]*tfkm\s+is\s+faster\s+in", said.replace(".", "", 1))
        assert "Slower:" not in lines and "Level:" not in lines and "In brief" not in page


def test_every_case_in_which_tfkm_is_not_faster_is_named(run, pages):
    sections = {one.about: one.said for one in verdicts.not_faster(run)}
    defeats = 0
    for row in filter(run.is_taken, run.rows):
        what = row.op if row.op in verdicts.ALONE else row.name
        for rival, versus in row.rivals.items():
            if versus.verdict != "faster":
                slower, _, level = sections[f"Against {rival}"].partition("Level:")
                named = slower if versus.verdict == "slower" else level
                assert f"{what} {formats.times(versus.ratio)}" in named
                defeats += 1
    assert defeats > 0
    for page in map(html.unescape, pages):
        flat = " ".join(page.split())
        assert all(said in flat for said in sections.values())


def test_a_sentence_counts_and_names_the_extremes(run):
    def met(**versus):
        row = run.select("import")[0]
        rows = [
            dataclasses.replace(row, op="fit", name=name, rivals={"it": Versus(1.0, *v, 3)})
            for name, v in versus.items()
        ]
        return verdicts.of(dataclasses.replace(run, rows=rows))[0].said

    faster, level, slower = (1.5, 2, 2.5), (0.9, 1.2, 1.3), (0.4, 0.5, 0.6)
    assert met(a=faster, b=faster) == "tfkm is faster in all 2 cases (up to 2.0×, fit b)."
    assert met(a=slower, b=level, c=faster) == (
        "tfkm is faster in 1 of 3 cases (up to 2.0×, fit c), level in 1, "
        "slower in 1 (down to 0.50×, fit a)."
    )
    assert met(a=slower) == "tfkm is faster in none of 1 cases, slower in 1 (down to 0.50×, fit a)."


def test_the_picture_has_a_bar_for_each_case(run):
    (axes,) = plots.ratios(run).axes
    bars = {}
    for verdict, color in plots.VERDICTS.items():
        lines = [line for line in axes.lines if line.get_color() == color]
        ratios = [x for line in lines for x in line.get_xdata()[1::3]]
        bars[verdict] = sorted(ratios)
    for verdict, drawn in bars.items():
        assert drawn == sorted(
            versus.ratio
            for row in filter(run.is_taken, run.rows)
            for versus in row.rivals.values()
            if versus.verdict == verdict
        )
    assert axes.get_xscale() == "log" and bars["slower"] and bars["faster"]


def test_a_quick_run_has_no_headline():
    quick = load(RECORDED)
    for page in report.html(quick), report.markdown(quick):
        assert "A quick run" in page and "Not here" in page
        for word in ("Op by op", "Against", "faster in", "ratios", "not faster"):
            assert word not in page


def test_a_range_is_marked_only_if_all_of_it_is_on_one_side(run):
    def verdict(*versus):
        rows = [dataclasses.replace(run.rows[0], rivals={"it": Versus(1.0, *v, 3)}) for v in versus]
        return tables._range(rows, "it").verdict

    faster, level, slower = (1.5, 2, 2.5), (0.9, 1.2, 1.3), (0.4, 0.5, 0.6)
    assert verdict(faster, faster) == "faster" and verdict(slower) == "slower"
    for mixed in (faster, level), (slower, level), (faster, slower), (level,):
        assert verdict(*mixed) == "level"


def test_no_label_of_a_plot_hides_another(run, monkeypatch):
    """Ticks along each axis, and the names in the roofline."""
    figures, svg = [], plots._svg
    monkeypatch.setattr(
        plots, "_svg", lambda figure, *rest: (figures.append(figure), svg(figure, *rest))[1]
    )
    for one in run, results.newest():
        plots.opening(one)
        plots.of(one)
    assert len(figures) == 14
    for figure in figures:
        figure.draw_without_rendering()
        (axes,) = figure.axes
        ticks = [
            [t.label1 for t in a.get_major_ticks() + a.get_minor_ticks()]
            for a in (axes.xaxis, axes.yaxis)
        ]
        for texts in *ticks, axes.texts:
            shown = [t for t in texts if t.get_text() and t.get_visible()]
            boxes = [Text.get_window_extent(t) for t in shown]
            boxes = [box for box in boxes if figure.bbox.overlaps(box)]
            for a, b in itertools.combinations(boxes, 2):
                assert not a.overlaps(b), [t.get_text() for t in shown]


def test_a_wrong_answer_of_ours_is_told_before_all_else(run):
    wrong = [{"case": "test_fit[x]", "failed": True, "reason": "Wrong: inertia 2 should be 1"}]
    failing = dataclasses.replace(run, about=run.about | {"not_measured": wrong})
    for page, picture in (
        (report.html(failing), "<svg"),
        (report.markdown(failing), "](ratios.svg)"),
    ):
        told = page.index("Wrong or without an answer, and so without a time: test_fit[x].")
        assert told < page.index(picture)
        assert "test_fit[x]: Wrong: inertia 2 should be 1" in page


def test_every_row_is_in_one_table_with_every_rival_it_met(run):
    shown = []
    for table in tables.of(dataclasses.replace(run, curves=[])):
        for part in filter(None, (table, table.others)):
            assert all(len(cells) == len(part.head) for cells in part.rows)
            shown += [cells for cells in part.rows]
    assert len(shown) == len(run.rows)
    assert sum(bool(cell.verdict) for cells in shown for cell in cells) == sum(
        len(row.rivals) for row in run.rows
    )
    assert len([c for cells in shown for c in cells if c.note == "no time"]) == sum(
        len(row.refused) for row in run.rows
    )


def test_markdown_tables_are_whole(pages):
    blocks = re.findall(r"(?:^\|.*\n)+", pages[1], flags=re.MULTILINE)
    assert len(blocks) > 5
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_all_that_is_missing_and_all_versions_are_in_both(run, pages):
    for page in pages:
        assert "GPU: TensorFlow finds none" in page
        for case in run.about["not_measured"]:
            assert case["case"] in page
        for version in run.about["versions"].values():
            assert version in page


def test_the_page_needs_nothing_else(pages):
    page = pages[0]
    assert not any(word in page for word in ("src=", "<script", "<link", "@import"))
    assert "prefers-color-scheme: dark" in page and page.count("<svg") == 7
    assert_whole(page)


def test_a_run_on_two_devices(run):
    def on_gpu(row):
        return dataclasses.replace(row, device="GPU:0", seconds=row.seconds / 2)

    limits = run.about["limits"] | {"GPU:0": run.about["limits"]["CPU:0"]}
    both = dataclasses.replace(
        run, rows=[*run.rows, *map(on_gpu, run.rows)], about=run.about | {"limits": limits}
    )
    assert len(tables.of(both)) == 2 * len(tables.of(run)) - len(run.curves)
    page = report.html(both)
    assert page.count("<svg") == 8  # two rooflines
    for device in limits:
        assert f"Against scikit-learn on {device}:" in opening(page)
    assert_whole(page)


def assert_whole(page: str) -> None:
    """Each id is there once, and each link leads to one; the pictures are XML."""
    ids: list[str] = []
    links: list[str] = []

    class Ids(HTMLParser):
        def handle_starttag(self, tag, attrs):
            ids.extend(value for name, value in attrs if name == "id")
            links.extend(value[1:] for name, value in attrs if name == "href")

    Ids().feed(page)
    assert len(ids) == len(set(ids)) and set(links) <= set(ids)
    for svg in page.split("<svg")[1:]:
        ET.fromstring("<svg" + svg[: svg.index("</svg>")] + "</svg>")


def test_tables_of_the_pages_are_those_of_the_kept_run():
    for path, page in results.tables(results.newest()).items():
        assert path.read_text() == page, "run `python -m benchmarks.results write`"


def test_keeps_no_quick_run(tmp_path):
    with pytest.raises(ValueError, match="quick run"):
        results.keep(RECORDED, tmp_path)
    run = json.loads(RECORDED.read_text())
    run["tfkm"]["quick"] = False
    (tmp_path / "bench.json").write_text(json.dumps(run))
    kept = load(results.keep(tmp_path / "bench.json", tmp_path / "kept"))
    assert [row.name for row in kept.rows] == [row.name for row in load(RECORDED).rows]
    assert all(f"**Against {rival}:**" in results.summary(kept) for rival in kept.rivals)
