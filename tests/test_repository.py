"""What in the repository has to agree: links, versions, hooks, lists of what there is."""

import re
from pathlib import Path

import pytest

import tfkm

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def prose(page: Path) -> str:
    """Without code, in which `](` is no link."""
    return re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text(), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """What the code host and the site make of headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for path, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", prose(page)):
        if path.startswith("http"):
            continue
        target = page.parent / path if path else page
        assert target.exists(), f"{path}: no such file"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{path}#{anchor}: no such heading"


def test_the_citation_is_of_this_version():
    assert (
        re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)[1]
        == tfkm.__version__
    )


def test_hooks_call_what_the_session_does():
    """All but clang-tidy, which has to be told how each file is compiled."""
    lint = re.search(r"^def lint\(.*?(?=^@nox)", (ROOT / "noxfile.py").read_text(), re.M | re.S)[0]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    programs = {entry.split()[0] for entry in re.findall(r"entry: (.+?),", hooks)}
    assert programs == {"ruff", "mypy", "pymarkdown", "clang-format", "gitlint"}
    assert all(f'session.run("{program}"' in lint for program in programs)


def test_the_page_of_examples_has_all():
    names = set(re.findall(r"^\| `(\w+)", (ROOT / "docs/examples.md").read_text(), flags=re.M))
    scripts = [p.stem for p in ROOT.glob("tfkm/examples/*.py") if "__main__" in p.read_text()]
    assert names == set(scripts)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.M | re.S)


def test_the_readme_is_short_and_begins_with_the_two_commands():
    readme = ROOT / "README.md"
    assert len(readme.read_text().splitlines()) <= 110
    job, check = blocks(readme, "sh")[:2]
    assert job == (
        "python3 -m venv .venv && .venv/bin/pip install '.[cpu]' && "
        ".venv/bin/python -m tfkm.examples.mnist --data digits\n"
    )
    assert check.strip() in (ROOT / ".ci/run").read_text().replace("install -q", "install")


def test_the_python_of_the_readme_runs():
    found = blocks(ROOT / "README.md", "python")
    names: dict = {}
    for block in found:
        exec(block, names)
    assert len(names["model"].labels_) == len(names["points"])
