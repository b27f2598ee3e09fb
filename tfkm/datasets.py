"""Data sets by name, from installed packages or prepared by tensorflow-datasets."""

from __future__ import annotations

import difflib
import math
import os
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tfkm.reprs import brief

_PROBE_SECONDS = 3.0


@brief(points="n d", labels="n")
class Dataset(NamedTuple):
    """Points and, where they are known, their true classes.

    Attributes:
        points: (n, d) real numbers, in the dtype that they are stored in.
        labels: (n,) int64, or None.
        name: The name that was asked for.
        shape: The shape of one point before it was flattened to d numbers.

    Examples:
        >>> from tfkm import datasets
        >>> datasets.load("digits").labels[:5]
        array([0, 1, 2, 3, 4])
    """

    points: np.ndarray
    labels: np.ndarray | None
    name: str
    shape: tuple[int, ...]


def load(
    name: str,
    *,
    split: str | None = None,
    data_dir: str | os.PathLike | None = None,
    download: bool = False,
) -> Dataset:
    """Load a data set by name. Nothing is downloaded unless `download` says so.

    Args:
        name: "digits" (scikit-learn's 1797 handwritten digits of 8×8 pixels), "china" (the 273,280
            RGB pixels of its sample photograph), or a name of tensorflow-datasets. Such a set has
            one feature that is an image or an array, or one as the input of its supervised keys.
        split: A split of tensorflow-datasets, such as "test" or "train[:10%]"; None for all
            together.
        data_dir: Where tensorflow-datasets keeps what it has prepared; None for its own default.
        download: Whether it may download and prepare what is not there.

    Returns:
        `Dataset`, all of it in memory.

    Raises:
        TypeError: `name` is not a string.
        ValueError: There is no such name or split, or nothing in it that k-means could take.
        FileNotFoundError: The data set is not prepared, and `download` is false.
        ConnectionError: It would have to be downloaded, and the network does not answer.
        ImportError: A package is missing; the message says how to install it.

    Examples:
        >>> from tfkm import datasets
        >>> digits = datasets.load("digits")
        >>> digits.points.shape, digits.points.dtype, digits.shape
        ((1797, 64), dtype('uint8'), (8, 8))
    """
    if not isinstance(name, str):
        raise TypeError(f"name: {name!r}; it needs text, as 'digits'")
    if name in _SHIPPED:
        if split is not None:
            raise ValueError(f"split: {split!r}; {name!r} has no splits, only None is allowed")
        return _SHIPPED[name]()
    builder = _builder(name, data_dir)
    feature, target = _features(builder)
    if download:
        _prepare(builder)
    shape = tuple(builder.info.features[feature].shape)
    rows = _rows(builder, split or "all")
    points = np.empty((len(rows), math.prod(shape)), builder.info.features[feature].np_dtype)
    labels = None if target is None else np.empty(len(rows), np.int64)
    for i, row in enumerate(rows.as_numpy_iterator()):
        points[i] = row[feature].reshape(-1)
        if labels is not None:
            labels[i] = row[target]
    return Dataset(points, labels, name, shape)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # All values are integers from 0 to 16, though scikit-learn stores float64.
    return Dataset(bunch.data.astype(np.uint8), bunch.target.astype(np.int64), "digits", (8, 8))


def _china() -> Dataset:
    from sklearn.datasets import load_sample_image

    try:
        image = load_sample_image("china.jpg")
    except ImportError as error:
        raise ImportError("'china' is a JPEG, which needs Pillow: pip install pillow") from error
    return Dataset(image.reshape(-1, 3), None, "china", (3,))


_SHIPPED = {"digits": _digits, "china": _china}


def _builder(name: str, data_dir: str | os.PathLike | None) -> Any:
    try:
        import importlib_resources  # noqa: F401  (tensorflow-datasets 4.9 does not declare it)
        import tensorflow_datasets as tfds
    except ImportError as error:
        if meant := _nearest(name, _SHIPPED):
            raise ValueError(f"name: {name!r}; {meant}") from error
        raise ImportError(
            f"{name!r} comes from tensorflow-datasets: pip install 'tfkm[datasets]' ({error})"
        ) from error
    try:
        return tfds.builder(name, data_dir=data_dir)
    except ValueError as error:  # its message lists 400 names
        shipped = ", ".join(map(repr, _SHIPPED))
        meant = _nearest(name, [*_SHIPPED, *tfds.list_builders(with_community_datasets=False)])
        allowed = f"allowed are {shipped} and the names of tensorflow-datasets"
        raise ValueError(f"name: {name!r}; {meant and f'{meant} '}{allowed}") from error


def _nearest(name: str, names: Iterable[str]) -> str:
    """Return a question that suggests the nearest name; empty if none is near."""
    near = difflib.get_close_matches(name.lower(), list(names), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _features(builder: Any) -> tuple[str, str | None]:
    """Return the feature to use as points, and the one that has the class, or None."""
    import tensorflow_datasets as tfds

    features, keys = builder.info.features, builder.info.supervised_keys or ()
    usable = [name for name, feature in features.items() if _is_numeric(feature)]
    classes = [n for n, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    chosen = [name for name in usable if name in keys[:1]] or usable
    if len(chosen) != 1:
        raise ValueError(
            f"name: {builder.name!r} has {', '.join(sorted(features))}; it needs exactly one feature "
            "that is an image or an array of numbers of known shape"
        )
    target = [name for name in classes if name in keys[1:]] or classes
    return chosen[0], target[0] if len(target) == 1 else None


def _is_numeric(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    kinds = (tfds.features.Image, tfds.features.Tensor)
    return (
        isinstance(feature, kinds)
        and not isinstance(feature, tfds.features.ClassLabel)
        and np.dtype(feature.np_dtype).kind in "fiub"
        and len(feature.shape) > 0
        and None not in feature.shape
    )


def _rows(builder: Any, split: str) -> Any:
    """Return a tf.data.Dataset of dicts, in the same order each time."""
    try:
        return builder.as_dataset(split=split, shuffle_files=False)
    except AssertionError as error:  # raised if nothing is prepared
        raise FileNotFoundError(
            f"{builder.name!r} is not prepared in {builder.data_dir_root}; download=True fetches it"
        ) from error


def _prepare(builder: Any) -> None:
    """Download and prepare the data set if it is not there.

    Without a network, tensorflow-datasets would retry for minutes, so the connection is tried
    first.
    """
    if builder.info.splits:
        return
    urls = list(builder.url_infos or ()) or ["https://storage.googleapis.com"]
    if not _answers(urls[0]):
        raise ConnectionError(
            f"{builder.name!r} has to be downloaded, and {urllib.parse.urlsplit(urls[0]).hostname} "
            f"does not answer within {_PROBE_SECONDS:g} s"
        )
    builder.download_and_prepare()


def _answers(url: str) -> bool:
    """Return whether a TCP connection to the URL's host, or to the proxy for it, can be made."""
    target = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(target.scheme)
    if proxy and not urllib.request.proxy_bypass(target.hostname or ""):
        target = urllib.parse.urlsplit(proxy)
    port = target.port or {"http": 80, "ftp": 21}.get(target.scheme, 443)
    connected = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((target.hostname, port), timeout=_PROBE_SECONDS).close()
        except OSError:
            return
        connected.set()

    # In a thread, because a socket's timeout does not cover the look-up of the name.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return connected.is_set()
