"""How Sphinx builds the site: `nox -s docs`. Nothing is fetched; Furo takes the reader's own fonts."""

import re

import tfkm
from tfkm import seeding

project = "tfkm"
version = release = tfkm.__version__
smartquotes = False  # "lloyd" is what to write
copyright = "the authors of tfkm; Apache-2.0"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_static"]
nitpicky = True  # a reference to nothing is a warning, and so an error
# `name` in a docstring is a link where it names something public, and code where it does not.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", "(?s).*"), ("py:exc", "NotFittedError")]

# As the code host makes them of headings: `backends.md#in-graphs` works in both places.
myst_heading_anchors = 4

napoleon_numpy_docstring = False
napoleon_attr_annotations = False  # as autodoc_typehints: the docstrings say shapes and dtypes, too
autodoc_typehints = "none"
autosummary_generate = False  # all names stand on one page
autodoc_member_order = "bysource"
add_module_names = False
python_maximum_signature_line_length = 88

# What is copied from a session is what was typed.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app) -> None:
    names = [seeding.function_of(name).__name__ for name in seeding.NAMES]

    def read(app, page: str, source: list[str]) -> None:
        # Outside of this folder there are files, which a site does not have: it names them.
        text = re.sub(r"\[([^]]+)\]\((?:\.\./)+benchmarks/[^)]*\)", r"`\1`", source[0])
        each = re.compile(r"^.*\(every seeding\).*\n", re.M)
        source[0] = each.sub(
            lambda line: "".join(line[0].replace("(every seeding)", name) for name in names), text
        )

    app.connect("source-read", read)


html_theme = "furo"
html_title = f"tfkm {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style, pygments_dark_style = "tango", "monokai"
