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
from tfkm import datasets
from tfkm.callbacks import Callback, Seeded, ShardDone
from tfkm.streams import Source

MODULES = ["tfkm", *(m.name for m in pkgutil.walk_packages(tfkm.__path__, "tfkm."))]


@pytest.mark.parametrize(
    "name", [name for name in MODULES if not name.endswith(("__main__", "_kernels", "._cuda"))]
)
def test_examples(name):
    if name == "tfkm.tensorboard":
        pytest.importorskip("tensorboard")
    if name == "tfkm.plot":
        pytest.importorskip("matplotlib").use("agg")
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert not failed


def public() -> dict[str, object]:
    """Every public name that is no module: what `tfkm` exports, and what its public modules define."""
    found = {name: getattr(tfkm, name) for name in tfkm.__all__}
    modules = [module for module in found.values() if inspect.ismodule(module)]
    names = {f"tfkm.{name}": value for name, value in found.items() if value not in modules}
    for module in (*modules, datasets):
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_"):
                names[f"{module.__name__}.{name}"] = value
    more = {"callbacks.Seeded": Seeded, "callbacks.ShardDone": ShardDone, "streams.Source": Source}
    return names | {f"tfkm.{name}": value for name, value in more.items()}


PUBLIC = public()


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_an_example_that_runs(name):
    examples = doctest.DocTestParser().get_examples(PUBLIC[name].__doc__ or "")
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


@pytest.mark.parametrize("name", PUBLIC)
def test_a_function_says_what_it_raises(name):
    value = PUBLIC[name]
    if inspect.isfunction(value) and inspect.signature(value).parameters:
        assert re.search("Raises:|raises as", value.__doc__), name


def test_the_reference_has_every_public_name():
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    shown = set(re.findall(r"auto(?:class|function):: (\S+)", page))
    assert shown == set(PUBLIC)
