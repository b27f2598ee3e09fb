"""Data sets by name; nothing here touches the network."""

import socket
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfkm import datasets


def test_digits():
    points, labels, name, shape = datasets.load("digits")
    assert points.shape == (1797, 64) and points.dtype == np.uint8 and points.max() == 16
    assert labels.dtype == np.int64 and np.bincount(labels).sum() == 1797 and labels.max() == 9
    assert (name, shape) == ("digits", (8, 8))


def test_china():
    pytest.importorskip("PIL")
    points, labels, _, shape = datasets.load("china")
    assert points.shape == (427 * 640, 3) and points.dtype == np.uint8
    assert labels is None and shape == (3,)


def test_what_ships_has_no_splits():
    with pytest.raises(ValueError, match="split: 'test'"):
        datasets.load("digits", split="test")


IMAGES = np.arange(20 * 12, dtype=np.uint8).reshape(20, 4, 3, 1)
LABELS = np.arange(20) % 4


@pytest.fixture(scope="module")
def tfds():
    pytest.importorskip("importlib_resources")
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def prepared(tfds, tmp_path_factory):
    """A data_dir in which 'tiny' and 'two_images' are prepared."""
    folder = tmp_path_factory.mktemp("tfds")
    image = tfds.features.Image(shape=(4, 3, 1))
    tiny = {"image": IMAGES, "label": LABELS}
    two = {"left": IMAGES, "right": IMAGES}
    for name, arrays, features in (
        ("tiny", tiny, {"image": image, "label": tfds.features.ClassLabel(num_classes=4)}),
        ("two_images", two, {"left": image, "right": image}),
    ):
        splits = {
            split: tf.data.Dataset.from_tensor_slices({k: v[rows] for k, v in arrays.items()})
            for split, rows in (("train", slice(0, 15)), ("test", slice(15, 20)))
        }
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets=splits,
            data_dir=folder,
        )
    return folder


def as_pairs(points, labels):
    return sorted(
        (*point.tolist(), int(label)) for point, label in zip(points, labels, strict=True)
    )


@pytest.mark.parametrize(
    "split, rows", [(None, slice(0, 20)), ("test", slice(15, 20)), ("train", slice(0, 15))]
)
def test_prepared_data(prepared, split, rows):
    data = datasets.load("tiny", split=split, data_dir=prepared)
    assert data.points.dtype == np.uint8 and data.shape == (4, 3, 1) and data.name == "tiny"
    # tensorflow-datasets shuffles once, when it writes.
    assert as_pairs(data.points, data.labels) == as_pairs(
        IMAGES.reshape(20, 12)[rows], LABELS[rows]
    )
    again = datasets.load("tiny", split=split, data_dir=prepared)
    np.testing.assert_array_equal(data.points, again.points)


def test_what_is_prepared_needs_no_network(prepared, monkeypatch):
    monkeypatch.setattr(datasets, "_answers", lambda url: pytest.fail(f"asked for {url}"))
    assert len(datasets.load("tiny", data_dir=prepared, download=True).points) == 20


def test_no_single_feature_to_take(prepared):
    with pytest.raises(ValueError, match="'two_images' has left, right"):
        datasets.load("two_images", data_dir=prepared)


def test_unknown_names_and_splits(prepared):
    with pytest.raises(ValueError, match="'no_such_thing'.*'digits'") as raised:
        datasets.load("no_such_thing", data_dir=prepared)
    assert len(str(raised.value)) < 200
    with pytest.raises(ValueError, match="no_such_split"):
        datasets.load("tiny", split="no_such_split", data_dir=prepared)


def test_not_prepared(tfds, tmp_path):
    with pytest.raises(FileNotFoundError, match="'mnist' is not prepared in .*download=True"):
        datasets.load("mnist", data_dir=tmp_path)


def test_download_without_network_ends_at_once(tfds, tmp_path, monkeypatch):
    asked = []

    def refuse(address, timeout):
        asked.append(address)
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(ConnectionError, match="storage.googleapis.com does not answer"):
        datasets.load("mnist", data_dir=tmp_path, download=True)
    assert asked == [("storage.googleapis.com", 443)]


def test_the_probe_goes_where_a_download_would(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr("urllib.request.getproxies", dict)
        assert datasets._answers(address)
        monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": address})
        monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: False)
        assert datasets._answers("https://nowhere.invalid/file")
    assert not datasets._answers("https://nowhere.invalid/file")  # nobody listens any more


def test_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'tfkm\[datasets\]'"):
        datasets.load("mnist")
