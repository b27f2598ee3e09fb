"""Imports point one way: from what a user calls down to the arithmetic."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "tfkm"

# Rooms, from below: each imports what is in its own line or in one above. docs/design says why so.
LAYERS = (
    "_version types exact checks threads tensorflow_private traces reprs shapes callbacks datasets",
    "data",
    "ops cuda",
    "saving",
    "seeding",
    "lloyd",
    "options",
    "streams",
    "engines",
    "fits",
    "estimators",
    "layers metrics plot tensorboard",
    "tfkm",  # the package itself, whose names are looked up when they are used
    "cli __main__ supervise examples testing",
)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").rstrip(".")


MODULES = {name_of(path): path for path in ROOT.rglob("*.py")}


def layer_of(module: str) -> int:
    room = module.partition(".")[0] or "tfkm"
    for number, rooms in enumerate(LAYERS):
        if room in rooms.split():
            return number
    pytest.fail(f"a new room: give {room} a place in LAYERS")


def imports_of(path: Path) -> set[str]:
    """Modules of the package that this file imports when it runs, wherever in it."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {n if n.removeprefix("tfkm.") in MODULES else str(node.module) for n in names}
    found = {name for name in found if name == "tfkm" or name.startswith("tfkm.")}
    return {name.removeprefix("tfkm").removeprefix(".") for name in found}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    own = layer_of(module)
    above = {name for name in imports_of(MODULES[module]) - {""} if layer_of(name) > own}
    assert not above, f"{module} imports of a layer above its own"


def test_one_module_names_what_is_private_to_tensorflow():
    private = ("tensorflow.python", "tensorflow.compiler", "tensorflow.core")
    naming = {name for name, path in MODULES.items() if any(p in path.read_text() for p in private)}
    assert naming == {"tensorflow_private"}


def test_a_class_name_means_one_thing():
    places: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(module)
    assert "Statistics" in places
    doubles = {name: modules for name, modules in places.items() if len(modules) > 1}
    assert not doubles, "give one of each a name of its own"
