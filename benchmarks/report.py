"""Makes the report of a recorded run: one HTML page, and the same in Markdown with its picture.

python -m benchmarks.report benchmarks/out/bench.json -o benchmarks/out/
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from benchmarks import formats, plots, tables, verdicts
from benchmarks.rows import Run, load

PICTURE = "ratios.svg"


def code(text: str) -> Markup:
    """HTML of a sentence with `code` in it."""
    parts = str(escape(text)).split("`")
    return Markup("".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts)))


def _page(run: Run, template: str, **facts: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"speed": formats.speed, "code": code}
    facts |= {
        "verdicts": verdicts,
        "op_by_op": tables.op_by_op(run),
        "tables": tables.of(run),
    }
    return environment.get_template(template).render(run=run, about=run.about, **facts)


def markdown(run: Run, picture: str = PICTURE) -> str:
    """report.md; picture: where it finds what `plots.write_ratios` wrote."""
    return _page(run, "report.md.j2", picture=picture)


def html(run: Run) -> str:
    """report.html, which needs no other file."""
    return _page(run, "report.html.j2", opening=plots.opening(run), figures=plots.of(run))


def write(run: Run, folder: Path) -> list[Path]:
    """report.html, report.md and its picture in `folder`; returns the paths of both pages."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {folder / "report.html": html(run), folder / "report.md": markdown(run)}
    for path, page in pages.items():
        path.write_text(page, encoding="utf-8")
    if verdicts.met(run):
        plots.write_ratios(run, folder / PICTURE)
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
