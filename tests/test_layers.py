"""Imports point one way: from what a user calls down to the arithmetic."""

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "tfkm"

# From below; a module imports what is in its own layer or below it. The first pattern that fits counts.
LAYERS = {
    "arithmetic, types, checks": """exact types traces shapes arrays checks fields threads tables files
        flat supervise datasets model_files reprs ops.sums ops.validate ops.devices ops.xla_call
        ops.native_library seeding.draws""",
    "one pass": "ops ops.* cuda cuda.*",
    "points and their sources": "points by_label spherical update iteration callbacks batches "
    "streams.sources streams.blocks streams.files streams.stream streams.checked",
    "seeding": "size_limits seeding seeding.*",
    "a stream's fit": "streams streams.* engines engines.*",
    "fits": "starts lloyd problems bisecting minibatch metrics",
    "estimators, layers, reports": "estimators estimators.* layers export plot tensorboard",
    "the package": "",
    "programs": "cli __main__ examples examples.* testing",
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").rstrip(".")


MODULES = {name_of(path): path for path in ROOT.rglob("*.py")}


def layer_of(module: str) -> int:
    for number, patterns in enumerate(LAYERS.values()):
        if any(fnmatch(module, pattern) for pattern in patterns.split() or [""]):
            return number
    pytest.fail(f"a new module: give {module} a place in LAYERS")


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
