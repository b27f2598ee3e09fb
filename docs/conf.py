"""How Sphinx builds the site: `nox -s docs`. Nothing is fetched; Furo takes the reader's own fonts."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # for house_style; last, as in tests/conftest.py

import tfkm
from tfkm import seeding

project = "tfkm"
version = release = tfkm.__version__
copyright = "the authors of tfkm; Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "house_style"]
exclude_patterns = ["_static"]
nitpicky = True  # a reference to nothing is a warning, and so an error

# As the code host makes them of headings: `design.md#a-sum-is-exact` works in both places.
myst_heading_anchors = 4

autodoc_typehints = "none"  # the docstrings say shapes and dtypes, too
autodoc_member_order = "bysource"
add_module_names = False
python_maximum_signature_line_length = 88

# Outside of this folder there are no pages, only files.
_OUTSIDE = "](../benchmarks/"
_EVERY_SEEDING = ".. autofunction:: tfkm.(every seeding)"


def setup(app) -> None:
    def read(app, page: str, source: list[str]) -> None:
        names = (seeding.function_of(name).__name__ for name in seeding.NAMES)
        seedings = "\n\n".join(f".. autofunction:: tfkm.{name}" for name in names)
        source[0] = source[0].replace(_EVERY_SEEDING, seedings)
        source[0] = source[0].replace(_OUTSIDE, "](path:../benchmarks/")

    app.connect("source-read", read)


html_theme = "furo"
html_title = f"tfkm {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style, pygments_dark_style = "tango", "monokai"
