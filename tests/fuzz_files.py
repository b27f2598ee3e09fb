"""Changes fields of model files and checkpoints, with checksums made right again: `nox -s fuzz`.

Whatever a file holds, `tfkm.load`, or the fit that goes on from it, raises a ValueError that names the
file, or gives a model that works. Run as a script it says which case failed; `--seed` repeats it.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import hashlib
import io
import json
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tfkm
from tfkm.seeding import draws
from tfkm.streams import checkpoint, kmeans

POINTS = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
MODELS = {
    "KMeans": lambda: tfkm.KMeans(4, random_state=0).fit(POINTS),
    "cosine": lambda: tfkm.KMeans(4, metric="cosine", init="afk-mc2", random_state=0).fit(POINTS),
    "given": lambda: tfkm.KMeans(3, init=POINTS[:3], n_init=1).fit(POINTS.astype(float)),
    "mini-batch": lambda: tfkm.MiniBatchKMeans(
        4, random_state=np.random.RandomState(0), reassignment_ratio=0.5
    ).partial_fit(POINTS),
    "bisecting": lambda: tfkm.BisectingKMeans(5, random_state=0).fit(POINTS),
}
FITS = [
    dict(init=init, n_init=n_init, random_state=0, max_iter=3)
    for init in ("k-means||", "random", "k-means++")
    for n_init in (1, 3)
]
K = 4
EXTREMES = [
    0, -1, 1, 2, 3, 623, 624, 625, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 10**400, 0.0, -0.0, 0.5, -1.0,
    5e-324, 1e30, 1e308, -1e308, np.inf, -np.inf, np.nan,
]  # fmt: skip
ODD = [
    None,
    True,
    "",
    "x",
    "float64",
    [],
    [[]],
    {},
    {"array": "x"},
    {"texts": ["a"]},
    {"fields": {}},
]
DTYPES = [np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint8, np.bool_, "U9"]

Arrays = dict[str, np.ndarray]


def pick(rng: np.random.Generator, items):
    items = list(items)
    return items[rng.integers(len(items))]


def cast(array: np.ndarray, dtype) -> np.ndarray:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return array.astype(dtype)
        except (ValueError, OverflowError):
            return np.zeros(array.shape, dtype)


def with_other_values(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    """Some or all values are extremes; of a text another one."""
    if array.dtype.kind in "U":
        return np.array(pick(rng, ["", "x", "STOPPED", "é" * 9]))
    values = np.array(pick(rng, EXTREMES), object)
    array = array.copy()
    where = rng.random(array.shape) < pick(rng, [0.1, 0.5, 1])
    array[where] = cast(values, array.dtype)
    return array


def with_other_shape(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    return pick(
        rng,
        [
            lambda: array[None],
            lambda: array.reshape(-1),
            lambda: array.T.copy(),
            lambda: np.repeat(array[None], 3, axis=0),
            lambda: array[:-1] if array.ndim else np.zeros(0, array.dtype),
            lambda: array[:0] if array.ndim else np.zeros((0, 3), array.dtype),
            lambda: np.concatenate([array, array]) if array.ndim else np.stack([array, array]),
            lambda: array[..., :1] if array.ndim else array[None, None],
        ],
    )()


def change_arrays(rng: np.random.Generator, arrays: Arrays) -> None:
    name = pick(rng, arrays)
    how = rng.integers(7)
    if how < 3:
        arrays[name] = with_other_values(rng, arrays[name])
    elif how == 3:
        arrays[name] = with_other_shape(rng, arrays[name])
    elif how == 4:
        arrays[name] = cast(arrays[name], pick(rng, DTYPES))
    elif how == 5:
        arrays[pick(rng, arrays)] = arrays[name]
        if rng.random() < 0.5:
            arrays[pick(rng, ["x", f"{name}/x", f"{name}x", "step/0/x", "end/9/status"])] = arrays[
                name
            ]
    else:
        del arrays[name]


def change_tree(rng: np.random.Generator, value) -> None:
    """One entry of nested dicts and lists."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = pick(rng, keys)
        if not isinstance(value[key], dict | list) or rng.random() < 0.1:
            break
        value = value[key]
    how = rng.integers(6)
    if how == 0:
        del value[key]
    elif how == 1 and isinstance(value, dict):
        value[pick(rng, ["x", "_tree", "labels_", "n_steps_", "settings"])] = copy.deepcopy(
            value[key]
        )
    elif how == 2:
        value[key] = copy.deepcopy(value[pick(rng, keys)])
    else:
        value[key] = copy.deepcopy(pick(rng, EXTREMES + ODD))


def npz(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer, **{name: np.require(array, requirements="C") for name, array in arrays.items()}
    )
    return buffer.getvalue()


def changed_model(rng: np.random.Generator, content: bytes) -> bytes:
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    form, _, text = str(arrays.pop("header")).partition("\n")
    header = json.loads(text)
    for _ in range(rng.integers(1, 4)):
        if arrays and rng.random() < 0.5:
            change_arrays(rng, arrays)
        else:
            change_tree(rng, header)
    return npz({"header": np.array(f"{form}\n{json.dumps(header)}"), **arrays})


def changed_checkpoint(rng: np.random.Generator, content: bytes) -> bytes:
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    fit = arrays.pop("fit")  # of another fit it would be refused at once
    for _ in range(rng.integers(1, 3)):
        if arrays:
            change_arrays(rng, arrays)
    if rng.random() < 0.02:
        fit = np.array(json.dumps(pick(rng, ODD)))
    content = npz({"fit": fit, **arrays})
    return content + hashlib.sha256(content).digest()


def try_model(content: bytes, folder: Path) -> bool:
    """Whether it was refused; raises what must not be."""
    path = folder / "changed.npz"
    path.write_bytes(content)
    try:
        model = tfkm.load(path)
    except ValueError as error:
        assert "changed.npz: " in str(error), error
        return True
    points = POINTS[:50].astype(model.cluster_centers_.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.predict(points).shape == (50,)
        assert np.isfinite(model.transform(points)).all()
        if isinstance(model, tfkm.MiniBatchKMeans):
            assert np.isfinite(model.partial_fit(points).cluster_centers_).all()
        again = folder / "again.npz"
        model.save(again, force=True)
        tfkm.load(again)
    return False


def try_checkpoint(content: bytes, folder: Path, options: dict) -> bool:
    """As `try_model`."""
    for old in folder.iterdir():
        old.unlink()
    (folder / "checkpoint-00000001.tfkm").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = tfkm.kmeans(POINTS, K, checkpoint_dir=folder, **options)
        except ValueError as error:
            assert "checkpoint-00000001.tfkm" in str(error), error
            return True
    assert np.isfinite(result.centroids).all() and np.isfinite(result.inertia)
    return False


def saved_models() -> dict[str, bytes]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, fit in MODELS.items():
            path = Path(folder) / f"{name}.npz"
            fit().save(path)
            found[name] = path.read_bytes()
    return found


def saved_checkpoints() -> list[tuple[dict, bytes]]:
    """Of every fit, each that it wrote; call it where `small_shards` is on."""
    found: list[tuple[dict, bytes]] = []
    save = checkpoint.Checkpoints.save
    with tempfile.TemporaryDirectory() as folder:
        for number, options in enumerate(FITS):

            def noting(self, arrays, options=options):
                save(self, arrays)
                found.append((options, max(self._all()).read_bytes()[:-32]))

            checkpoint.Checkpoints.save = noting  # type: ignore[method-assign]
            try:
                tfkm.kmeans(POINTS, K, checkpoint_dir=f"{folder}/{number}", **options)
            finally:
                checkpoint.Checkpoints.save = save  # type: ignore[method-assign]
    return found


def small_shards(set_to: Callable[[object, str, object], None]) -> None:
    """So that 300 points are several, each with its checkpoint. set_to: as `setattr`."""
    set_to(draws, "_CHUNK_BYTES", 8 * POINTS[0].nbytes)
    set_to(kmeans, "_CHECKPOINT_SECONDS", 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="cases; a third are checkpoints")
    parser.add_argument("--seed", type=int, help="the number of one case alone")
    given = parser.parse_args()
    faulthandler.enable()
    small_shards(setattr)
    models, checkpoints = saved_models(), saved_checkpoints()
    refused = {"model": 0, "checkpoint": 0}
    done = dict(refused)
    failed: list[str] = []
    numbers = range(given.count) if given.seed is None else [given.seed]
    shown = time.monotonic()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        for number in numbers:
            rng = np.random.default_rng(number)
            faulthandler.dump_traceback_later(120, exit=True)  # of a case without an end
            kind = "checkpoint" if number % 3 == 0 else "model"
            try:
                if kind == "model":
                    content = changed_model(rng, models[pick(rng, models)])
                    refused[kind] += try_model(content, Path(one))
                else:
                    options, content = pick(rng, checkpoints)
                    content = changed_checkpoint(rng, content)
                    refused[kind] += try_checkpoint(content, Path(other), options)
            except Exception as error:
                traceback.print_exc()
                failed.append(f"--seed {number}: a {kind}: {type(error).__name__}: {error}")
            done[kind] += 1
            if time.monotonic() - shown > 60:
                shown = time.monotonic()
                print(f"{number + 1:,} of {given.count:,}", flush=True)
    faulthandler.cancel_dump_traceback_later()
    for kind, count in done.items():
        print(f"{count:,} of {kind}s, {refused[kind]:,} refused by name")
    sys.exit("\n".join(failed) or None)


if __name__ == "__main__":
    main()
