"""Every example in a docstring runs and prints what it says."""

import doctest
import enum
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import tfkm
from tfkm import seeding
from tfkm.callbacks import Callback
from tfkm.ops import backends
from tfkm.streams import Source

MODULES = ["tfkm", *(m.name for m in pkgutil.walk_packages(tfkm.__path__, "tfkm."))]


@pytest.mark.parametrize(
    "name",
    [name for name in MODULES if not name.endswith(("__main__", "_kernels", "._ops", "._cuda"))],
)
def test_examples(name):
    if name == "tfkm.tensorboard":
        pytest.importorskip("tensorboard")
    if name == "tfkm.plot":
        pytest.importorskip("matplotlib").use("agg")
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert not failed


def public() -> dict[str, object]:
    """Every public name that is no module: what `tfkm` and its public modules export."""
    found = {name: getattr(tfkm, name) for name in tfkm.__all__}
    modules = [module for module in found.values() if inspect.ismodule(module)]
    names = {f"tfkm.{name}": value for name, value in found.items() if value not in modules}
    for module in modules:
        own = [name for name, value in vars(module).items() if _is_of(value, module)]
        for name in getattr(module, "__all__", own):
            if getattr(module, name) not in found.values():
                names[f"{module.__name__}.{name}"] = getattr(module, name)
    return names | {"tfkm.ops.backends.BackendState": backends.BackendState}


def _is_of(value, module) -> bool:
    return getattr(value, "__module__", None) == module.__name__ and value.__name__[0] != "_"


API = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
SEEDINGS = {f"tfkm.{seeding.function_of(name).__name__}" for name in seeding.NAMES}
PUBLIC = public()


def methods() -> dict[str, object]:
    """Those that the reference lists by name, without properties."""
    listed = re.findall(r"autoclass:: (\S+)\n   :members: (.+)", API)
    found = {f"{owner}.{name}": name for owner, names in listed for name in names.split(", ")}
    found = {full: getattr(PUBLIC[full.rpartition(".")[0]], name) for full, name in found.items()}
    return {name: value for name, value in found.items() if inspect.isfunction(value)}


CALLED = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)} | methods()


@pytest.mark.parametrize("name", PUBLIC | CALLED)
def test_a_public_name_has_an_example_that_runs(name):
    examples = doctest.DocTestParser().get_examples((PUBLIC | CALLED)[name].__doc__ or "")
    assert [one for one in examples if not one.options.get(doctest.SKIP)], name


def entries(text: str, section: str) -> list[str]:
    """The names that a section of a Google style docstring explains."""
    found = re.search(rf"^{section}:\n((?: .*\n|\n)*)", inspect.cleandoc(text) + "\n", re.M)
    return re.findall(r"^    \*{0,2}(\w+):", found[1], re.M) if found else []


@pytest.mark.parametrize("name", PUBLIC | CALLED)
def test_a_docstring_explains_each_parameter_or_field(name):
    value = (PUBLIC | CALLED)[name]
    if inspect.isclass(value) and (issubclass(value, enum.Enum) or value in (Callback, Source)):
        return
    names = set(inspect.signature(value).parameters) - {"self"}
    section = "Attributes" if hasattr(value, "_fields") else "Args"
    assert set(entries(value.__doc__, section)) == names


@pytest.mark.parametrize("name", CALLED)
def test_what_is_called_with_something_lists_its_errors(name):
    if set(inspect.signature(CALLED[name]).parameters) - {"self"} and "read" not in name:
        assert entries(CALLED[name].__doc__, "Raises")


def test_the_reference_has_every_public_name():
    described = re.findall(r"auto(?:class|function):: (.+)", API)
    in_the_table = re.findall(r"^   ~?(tfkm\.\S.*)", API, re.M)
    assert in_the_table == described
    assert set(described) - {"tfkm.(every seeding)"} == set(PUBLIC) - SEEDINGS
    assert "tfkm.(every seeding)" in described and set(PUBLIC) > SEEDINGS
