"""The Python on these pages runs, page by page from top to bottom, each in an empty folder."""

import os
import tempfile
from doctest import ELLIPSIS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser


def enter(namespace: dict) -> None:
    namespace["_before"], namespace["_folder"] = os.getcwd(), tempfile.TemporaryDirectory()
    os.chdir(namespace["_folder"].name)


def leave(namespace: dict) -> None:
    os.chdir(namespace["_before"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS), SkipParser()],
    patterns=["*.md"],
    setup=enter,
    teardown=leave,
).pytest()
