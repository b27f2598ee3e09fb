"""The example: its table, its numbers, and what it says where the data is not to be had."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.cluster import KMeans

from tfkm import cli, datasets
from tfkm.examples import mnist

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist_t10k.npz"


def invoke(*arguments):
    done = CliRunner().invoke(mnist.command, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def number(name, output):
    return float(re.search(rf"{name} +([\d.,]+)", output)[1].replace(",", ""))


def test_digits_agree_with_scikit_learn():
    done = invoke("--data", "digits", "--starts", "4")
    data = datasets.load("digits")
    points = data.points / np.float32(16)
    rival = KMeans(10, n_init=4, tol=0, random_state=0).fit(points)
    assert done.exit_code == 0
    # Both end in local optima of their own; no good one is off by more.
    assert number("inertia", done.output) == pytest.approx(rival.inertia_, rel=0.02)
    assert 70 < number("purity", done.output) < 90
    assert max(map(len, done.output.splitlines())) <= 80
    sizes = [int(line.split()[1].replace(",", "")) for line in done.output.splitlines()[3:13]]
    assert sum(sizes) == 1797
    assert "no label changed" in done.output


def test_table_of_known_counts():
    counts = mnist.contingency(np.array([0, 0, 0, 1, 9]), np.array([7, 3, 7, 3, 0]))
    assert counts.sum() == 5 and counts[0, 7] == 2
    lines = mnist.table(counts + np.eye(10, dtype=int)).splitlines()
    assert len(lines) == 11
    assert lines[1].split() == ["0", "4", "7", "50.0%", "0", "25.0%", "3", "25.0%"]
    assert lines[10].split() == ["9", "2", "0", "50.0%", "9", "50.0%"]


def test_pixels_are_scaled_by_the_greatest():
    images = mnist.scaled(np.array([[0, 51], [255, 0]], np.uint8))
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, np.array([[0, 0.2], [1, 0]], np.float32))
    for wrong in ([[-1.0, 1.0]], [[0.0, 0.0]]):
        with pytest.raises(ValueError, match="pixels"):
            mnist.scaled(np.array(wrong))


def test_picture_has_members_beside_each_centroid(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    path = tmp_path / "c.png"
    done = invoke("--data", "digits", "--starts", "1", "--picture", str(path))
    assert done.exit_code == 0 and str(path) in done.output
    picture = pyplot.imread(path)
    height, width = picture.shape[:2]
    for row in np.array_split(picture[height // 12 :, :, :3], 5):
        for cell in np.array_split(row, 22, axis=1):
            assert cell.min() < 0.5 < cell.max(), "a cell without ink"
    assert width > height


def test_a_file_of_images_and_labels(tmp_path):
    path = tmp_path / "x.npz"
    data = datasets.load("digits")
    np.savez(path, images=data.points.reshape(-1, 8, 8), labels=data.labels)
    done = invoke("--data", str(path), "--starts", "1")
    assert (
        done.output.partition("\n\n")[2].partition("seconds")[0]
        == (
            invoke("--data", "digits", "--starts", "1")
            .output.partition("\n\n")[2]
            .partition("seconds")
        )[0]
    )


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"images": np.ones((20, 10))}, "no array 'labels'|'labels'"),
        ({"images": np.ones((20, 10)), "labels": np.zeros(20, int)}, "square"),
        ({"images": np.ones((20, 9)), "labels": np.zeros(19, int)}, "20 digits"),
        ({"images": np.ones((20, 9)), "labels": np.full(20, 10)}, "from 0 to 9"),
    ],
)
def test_files_that_do_not_fit(tmp_path, arrays, words):
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=words):
        mnist.load(str(path))


@pytest.mark.parametrize("error", [FileNotFoundError, ConnectionError, ImportError])
def test_without_mnist_one_line_offers_digits(monkeypatch, capsys, error):
    def unavailable(name, **options):
        assert (name, options) == ("mnist", {"split": "test", "download": True})
        raise error("not to be had")

    monkeypatch.setattr(datasets, "load", unavailable)
    monkeypatch.setattr(sys, "argv", ["mnist", "--download"])
    with pytest.raises(SystemExit) as exited:
        cli.run(mnist.command, mnist.PROGRAM)
    out, err = capsys.readouterr()
    assert (exited.value.code, out) == (1, "")
    assert err.count("\n") == 1 and "--data digits" in err and "error: " in err


def test_without_matplotlib_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'tfkm\[plot\]'"):
        invoke("--data", "digits", "--picture", str(tmp_path / "c.png"))


def test_mnist_itself():
    if not MNIST.exists():
        pytest.skip("../shared/data/mnist_t10k.npz is not on this machine")
    done = invoke("--data", str(MNIST), "--starts", "1")
    # 12 single starts each of scikit-learn 1.9 and of tfkm ended from 389,366 to 392,688.
    assert done.exit_code == 0 and 389_300 < number("inertia", done.output) < 393_500
    assert 53 < number("purity", done.output) < 63
