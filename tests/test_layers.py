"""Imports point one way: estimators → lloyd → seeding, update → ops → a backend → exact, types."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "tfkm"

# What each module may import of the package. A new backend, seeding or whatever else has siblings may what
# these may; another new module has to be given its place here.
MAY_IMPORT = {
    "types": set(),
    "exact": set(),
    "traces": set(),
    "ops.validate": set(),
    "ops.reference": {"types", "exact", "ops.validate"},
    "ops.portable": {"types", "exact", "ops.validate", "ops.reference"},
    "ops.xla_kernels": {"types", "exact", "ops.validate"},
    "ops.xla_inside": {"types", "exact", "ops.xla_kernels"},
    "ops.devices": set(),
    "ops.xla": {"types", "exact", "ops.devices", "ops.validate", "ops.xla_kernels", "ops.xla_inside"},
    "ops.xla_call": set(),
    "ops.batched": {"types", "exact", "ops.validate"},
    "ops.native_library": set(),
    "ops.native": {"types", "exact", "ops.validate", "ops.batched", "ops.native_library", "ops.xla",
                   "ops.xla_call"},
    "cuda": set(),
    "cuda.nvrtc": set(),
    "cuda.check": {"cuda.nvrtc", "cuda.driver"},
    "cuda.build": {"cuda.nvrtc"},
    "cuda.driver": {"cuda.nvrtc"},
    "cuda.limits": {"cuda.nvrtc", "cuda.driver"},
    "cuda.bench": {"shapes", "cuda.check", "cuda.driver", "cuda.limits"},
    "ops.cuda": {"types", "exact", "cuda.nvrtc", "cuda.check", "cuda.driver", "ops.xla", "ops.xla_call"},
    "ops.backends": {"ops.devices", "ops.validate"},
    "ops.gradients": set(),
    "ops": {"types", "exact", "ops.backends", "ops.batched", "ops.gradients", "ops.validate",
            "traces"},
    "arrays": set(),
    "points": {"arrays", "ops", "ops.backends", "ops.devices", "ops.validate"},
    "seeding.draws": set(),
    "seeding.problem": {"types", "ops.backends", "ops.validate", "points", "seeding.draws"},
    "seeding.potential": {"ops", "seeding.draws", "seeding.problem"},
    "seeding.by_weight": {"types", "seeding.problem"},
    "seeding.plusplus": {"types", "ops", "ops.validate", "seeding.draws", "seeding.problem",
                         "seeding.potential"},
    "seeding.parallel": {"types", "ops.validate", "points", "seeding.draws", "seeding.problem",
                         "seeding.potential", "seeding.plusplus"},
    "seeding.mcmc": {"types", "ops", "ops.validate", "seeding.problem", "seeding.potential",
                     "seeding.plusplus"},
    "seeding": {"traces", "ops.validate", "points", "seeding.*"},
    "update": {"types", "traces"},
    "by_label": {"exact", "points"},
    "size_limits": {"types", "ops", "ops.validate", "points", "by_label"},
    "spherical": {"ops", "points"},
    "iteration": {"types", "update"},
    "starts": {"types", "exact", "ops", "ops.backends", "ops.batched", "points", "spherical", "size_limits",
               "iteration"},
    "files": set(),
    "streams.blocks": {"seeding.draws"},
    "streams.files": {"files", "seeding.draws", "streams.blocks"},
    "streams.sources": {"ops.validate", "points", "batches", "streams", "streams.blocks", "streams.files"},
    "callbacks": {"types"},
    "streams.stream": {"callbacks", "points", "seeding.draws", "streams.blocks", "streams.sources"},
    "streams.scan": {"traces", "points", "seeding.draws", "streams.blocks", "streams.stream"},
    "streams.passes": {"types", "exact", "ops", "ops.backends", "ops.batched", "points", "seeding.draws",
                       "streams.blocks", "streams.scan", "streams.stream"},
    "streams.journal": set(),
    "streams.seeding": {"ops.backends", "points", "seeding", "seeding.draws", "seeding.potential",
                        "seeding.problem", "streams.blocks", "streams.journal", "streams.scan",
                        "streams.stream"},
    "streams.checkpoint": {"traces", "files"},
    "streams.progress": {"types", "iteration", "streams.passes"},
    "streams.kmeans": {"", "types", "callbacks", "iteration", "ops.validate", "seeding", "streams",
                       "streams.checkpoint", "streams.journal", "streams.passes", "streams.progress",
                       "streams.scan", "streams.seeding", "streams.sources", "streams.stream"},
    "streams.labels": {"files"},
    "streams": {"streams.blocks", "streams.kmeans", "streams.labels", "streams.sources", "streams.stream"},
    "engines.ordered": {"seeding.draws"},
    "engines.mirrored": {"engines.ordered", "seeding.draws", "streams", "streams.stream"},
    "engines.ray": {"engines.ordered", "ops.validate", "seeding.draws", "streams", "streams.stream"},
    "engines.multi_worker": {"seeding.draws", "streams", "streams.stream"},
    "engines": {"engines.mirrored", "engines.multi_worker", "engines.ray"},
    "lloyd": {"types", "ops.backends", "ops.validate", "points", "seeding", "spherical", "size_limits",
              "iteration", "starts", "streams", "callbacks"},
    "problems": {"types", "arrays", "exact", "ops", "ops.backends", "ops.batched", "ops.validate", "points",
                 "seeding", "iteration", "lloyd", "starts"},
    "batches": {"ops.validate"},
    "minibatch": {"types", "exact", "ops", "points", "seeding", "lloyd", "batches"},
    "bisecting": {"types", "exact", "ops", "points", "lloyd"},
    "metrics": {"types", "arrays", "ops", "ops.validate", "points", "by_label", "seeding", "lloyd"},
    "plot": {"metrics"},  # for a type checker
    "export": {"files", "ops.backends", "ops.validate"},
    "flat": set(),
    "layers": {"types", "ops", "ops.validate", "spherical", "update"},
    "tensorboard": {"types", "callbacks"},
    "estimators.forms": {"seeding", "model_files"},
    "estimators.kept": {"", "types", "export", "flat", "model_files", "estimators.forms"},
    "estimators.base": {"types", "arrays", "ops", "ops.validate", "points", "seeding", "lloyd",
                        "estimators.kept"},
    "estimators.kmeans": {"types", "callbacks", "seeding", "spherical", "streams", "lloyd",
                          "estimators.base"},
    "estimators.minibatch": {"seeding", "lloyd", "minibatch", "batches", "estimators.forms",
                             "estimators.base"},
    "estimators.bisecting": {"types", "bisecting", "estimators.forms", "estimators.base",
                             "estimators.kmeans"},
    "estimators": {"files", "model_files", "estimators.forms", "estimators.bisecting",
                   "estimators.kmeans", "estimators.minibatch"},
    # For a type checker; lazily.
    "": {"types", "ops", "ops.backends", "ops.xla", "seeding", "lloyd", "problems", "metrics", "plot",
         "layers", "tensorboard", "datasets", "streams", "callbacks", "engines", "estimators"},
    "shapes": set(),
    "testing": {"types", "shapes"},
    "datasets": set(),
    "model_files": {"files"},
    "cli": {"", "files", "model_files"},
    "__main__": {"cli"},
    "supervise": set(),
    "examples": set(),
    "examples.deep_clusters": {"", "cli", "datasets"},
    "examples.pictures": set(),
    "examples.mnist": {"", "cli", "files", "datasets", "examples.pictures"},
    "examples.colours": {"", "cli", "files", "examples.pictures"},
    "examples.embeddings": {"", "cli"},
    "examples.ivf": {"", "cli", "files"},
    "examples.stream": {"", "cli"},
    "examples.workers": {"", "cli"},
    "examples.product_quantisation": {"", "cli", "files", "examples.ivf"},
    "examples.spark": {"types", "exact", "ops", "update"},
}  # fmt: skip


def name_of(path: Path) -> str:
    return (
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip(".")
    )


MODULES = {name_of(path): path for path in ROOT.rglob("*.py")}


def imports_of(path: Path) -> set[str]:
    """Modules of the package that this file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {n if n.removeprefix("tfkm.") in MODULES else node.module for n in names}
    found = {name for name in found if name == "tfkm" or name.startswith("tfkm.")}
    return {name.removeprefix("tfkm").removeprefix(".") for name in found}


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_what_lies_below(module):
    beside = f"{module.rpartition('.')[0]}."
    siblings = [may for name, may in MAY_IMPORT.items() if name.startswith(beside)]
    may = MAY_IMPORT.get(module, set().union(*siblings))
    assert module in MAY_IMPORT or siblings, "a new module: give it a place in MAY_IMPORT"
    if f"{module}.*" in may:  # all of its own
        may = may | {name for name in MODULES if name.startswith(f"{module}.")}
    assert imports_of(MODULES[module]) <= may


def test_no_module_is_forgotten():
    assert set(MAY_IMPORT) <= set(MODULES), "MAY_IMPORT names a module that is gone"


_WITHOUT = """
import sys
sys.modules["tensorflow"] = None
import tfkm
print(tfkm.datasets.load("digits").points.shape)  # for which there is no need of it
tfkm.KMeans
"""


def test_without_tensorflow_it_says_which_to_install():
    call = [sys.executable, "-c", _WITHOUT]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stdout == "(1797, 64)\n"
    assert "ImportError: tfkm needs TensorFlow, which comes as several" in done.stderr
