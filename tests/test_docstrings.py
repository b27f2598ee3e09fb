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
    return names | {"tfkm.ops.backends.State": backends.State}


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


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_takes(name):
    """Each parameter by its name, or by that of what has the same ones."""
    value = PUBLIC[name]
    if inspect.isclass(value) and (issubclass(value, enum.Enum) or value in (Callback, Source)):
        return
    text, parameters = value.__doc__, inspect.signature(value).parameters.values()
    others = re.search(r"(?:The others|Args), .*as `tfkm\.(\w+)`", text)
    text += getattr(tfkm, others[1]).__doc__ if others else ""
    names = [one.name for one in parameters if one.name != "options" or value is tfkm.Progress]
    missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
    assert not missing


@pytest.mark.parametrize("name", CALLED)
def test_what_is_called_says_what_it_raises(name):
    if set(inspect.signature(CALLED[name]).parameters) - {"self"}:
        assert re.search("Raises:|raises as|What it raises", CALLED[name].__doc__), name


@pytest.mark.parametrize("name", CALLED)
def test_what_is_called_says_the_shapes(name):
    """Of points and of what it gives of them: here, or where it says that it is as there."""
    parameters = inspect.signature(CALLED[name]).parameters
    if {"points", "X", "inputs"} & set(parameters):
        assert re.search(r"\([…Bn],|as `|as for `", CALLED[name].__doc__), name


@pytest.mark.parametrize("name", PUBLIC)
def test_a_function_says_what_it_returns(name):
    value = PUBLIC[name]
    if not inspect.isfunction(value) or len(inspect.signature(value).parameters) < 2:
        return  # its first line says so
    if inspect.signature(value).return_annotation != "None":
        assert re.search("Returns:|returns and raises as", value.__doc__), name


def test_the_reference_has_every_public_name():
    shown = set(re.findall(r"auto(?:class|function):: (.+)", API))
    assert shown - {"tfkm.(every seeding)"} == set(PUBLIC) - SEEDINGS
    assert "tfkm.(every seeding)" in shown and set(PUBLIC) > SEEDINGS
