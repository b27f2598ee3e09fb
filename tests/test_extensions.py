"""A format or a seeding that is added in one place works everywhere, and texts name all there are."""

import functools
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import tfkm
from tfkm import cli, seeding
from tfkm.data import files, formats
from tfkm.seeding.problem import seeds
from tfkm.streams import seeding as of_streams
from tfkm.streams import source_of

ROOT = Path(__file__).parents[1]
POINTS = np.random.default_rng(0).integers(0, 50, (300, 3)).astype(np.float64)
POINTS[150:] += 100


# --- a format: a point in each line, its numbers parted by blanks


class ToyFile:
    """knows: whether it says how many points it has."""

    def __init__(self, path, knows):
        points = np.loadtxt(path, ndmin=2)
        self.path, self.d, self.dtype = path, points.shape[1], points.dtype
        self.rows = len(points) if knows else None

    def read(self, start, rows):
        with open(self.path) as lines:
            points = [[float(number) for number in line.split()] for line in lines]
        for first in range(start, len(points), 70):
            yield np.array(points[first : first + 70])


def toy(knows=True):
    def write(file, blocks):
        for labels in blocks:
            file.write("".join(f"{label}\n" for label in labels).encode())

    return formats.Format(
        name="toy",
        suffixes=(".toy",),
        read=lambda path, options: (np.loadtxt(path, ndmin=2, delimiter=options.delimiter), None),
        stream=lambda paths: [ToyFile(path, knows) for path in paths],
        write_labels=write,
        options=("delimiter",),
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with x.toy in it, which nobody knows yet; and its halves."""
    monkeypatch.chdir(tmp_path)
    np.savetxt("x.toy", POINTS)
    np.savetxt("half1.toy", POINTS[:100])
    np.savetxt("half2.toy", POINTS[100:])
    return tmp_path


def register(monkeypatch, format):
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, format))


def save(points):
    np.save("x.npy", points)
    return "x.npy"


def run(line):
    return CliRunner().invoke(cli.tfkm_command, line.split())


def same(one, other):
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
    assert (one.inertia_, one.n_iter_) == (other.inertia_, other.n_iter_)


@pytest.mark.quick
def test_without_its_place_a_format_is_refused_with_those_there_are(folder):
    uses = {
        "read": lambda: files.read_points("x.toy"),
        "stream": lambda: tfkm.kmeans("x.toy", 2),
        "write_labels": lambda: tfkm.KMeans(2).fit(POINTS).predict(POINTS, out="labels.toy"),
    }
    for use, call in uses.items():
        with pytest.raises(ValueError, match="'.toy'") as raised:
            call()
        assert str(raised.value).endswith(f"allowed are {', '.join(formats.suffixes(use))}")


@pytest.mark.quick
def test_a_format_in_its_place_is_read_streamed_and_written(folder, monkeypatch):
    register(monkeypatch, toy())
    np.testing.assert_array_equal(files.read_points("x.toy"), POINTS)
    expected = tfkm.KMeans(4, random_state=0).fit(POINTS)
    streamed = tfkm.KMeans(4, random_state=0).fit("x.toy")
    same(streamed, expected)
    assert streamed.predict("x.toy", out="labels.toy") is None
    np.testing.assert_array_equal(np.loadtxt("labels.toy"), expected.labels_)


@pytest.mark.parametrize("knows", [True, False])
def test_files_of_a_format_are_one_source_with_others(folder, monkeypatch, knows):
    """From any row on, whether or not a file knows its length, in whatever order they come."""
    register(monkeypatch, toy(knows))
    np.save("first.npy", POINTS)
    source = source_of(["first.npy", "half1.toy", "half2.toy", "first.npy"])
    expected = np.concatenate([POINTS, POINTS, POINTS])
    assert source.rows == (len(expected) if knows else None)
    for start in 0, 1, 300, 350, 399, 400, 599, 600, 899:
        found = np.concatenate([part.points for part in source.read(start)])
        np.testing.assert_array_equal(found, expected[start:])
    same(
        tfkm.KMeans(4, random_state=0).fit("half*.toy"), tfkm.KMeans(4, random_state=0).fit(POINTS)
    )


def test_what_a_format_raises_is_one_sentence_with_the_files_name(folder, monkeypatch):
    register(monkeypatch, toy())
    source = source_of("x.toy")
    Path("x.toy").write_text("1 2 word\n")
    for read in lambda: files.read_points("x.toy"), lambda: list(source.read(0)):
        with pytest.raises(ValueError, match="^x.toy: cannot be read as toy: could not convert"):
            read()
    Path("x.toy").write_text("1 2 3\n")
    with pytest.raises(ValueError, match="^x.toy: 1 points, where there were 300$"):
        list(source.read(0))


def test_a_format_has_the_options_it_names(folder, monkeypatch):
    with pytest.raises(ValueError, match=r"delimiter ';' is given; only \.csv has it"):
        files.read_points(save(POINTS), delimiter=";")
    register(monkeypatch, toy())
    np.savetxt("x.toy", POINTS, delimiter=";")
    np.testing.assert_array_equal(files.read_points("x.toy", delimiter=";"), POINTS)
    with pytest.raises(ValueError, match=r"delimiter ';' is given; only \.csv and \.toy have it"):
        files.read_points(save(POINTS), delimiter=";")
    with pytest.raises(ValueError, match=r"x.toy: columns \['a'\] is given; only \.csv and \.parq"):
        files.read_points("x.toy", columns=["a"])


def test_the_command_line_takes_a_format(folder, monkeypatch):
    register(monkeypatch, toy())
    done = run("fit x.toy -k 4")
    assert done.exit_code == 0 and "300 × 3 float64 from x.toy" in done.output
    assert run("predict x.tfkm.npz x.toy -o labels.toy").exit_code == 0
    expected = tfkm.KMeans(4, random_state=0).fit(POINTS).labels_
    np.testing.assert_array_equal(np.loadtxt("labels.toy"), expected)
    assert run("predict x.tfkm.npz x.toy").exit_code == 0
    np.testing.assert_array_equal(np.load("x.labels.npy"), expected)


# --- a seeding: points of even numbers


def even_points(points, n_clusters, *, step=2, weights=None, random_state=None, given=None):
    return seeds(even_chooser(step), points, n_clusters, weights, random_state, given, None)


def even_chooser(step=2):
    return lambda problem: step * np.arange(problem.wanted)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(seeding.SEEDINGS, "toy", seeding.Seeding(even_points, even_chooser))


OPTIONS = dict(max_iter=3, tol=0, random_state=0)


@pytest.mark.quick
def test_without_its_place_a_seeding_is_refused():
    with pytest.raises(ValueError, match="init: 'toy'"):
        tfkm.kmeans(POINTS, 4, init="toy")
    with pytest.raises(ValueError, match="'init' parameter of KMeans"):
        tfkm.KMeans(4, init="toy").fit(POINTS)
    assert run("fit x.npy -k 4 --init toy").exit_code == 2


@pytest.mark.quick
def test_a_seeding_in_its_place_is_known_to_every_way_in(registered, folder):
    expected = tfkm.KMeans(4, init=POINTS[:8:2], n_init=1, **OPTIONS).fit(POINTS)
    for X in POINTS, save(POINTS):
        same(tfkm.KMeans(4, init="toy", **OPTIONS).fit(X), expected)
        result = tfkm.kmeans(X, 4, init="toy", **OPTIONS)
        np.testing.assert_array_equal(result.centroids, expected.cluster_centers_)
    batch = tfkm.kmeans_batch(np.stack([POINTS, POINTS]), 4, init="toy", **OPTIONS)
    for centroids in batch.centroids:
        np.testing.assert_array_equal(centroids, expected.cluster_centers_)
    assert "|toy]" in "".join(run("fit --help").output.split())
    assert run("fit x.npy -k 4 --init toy --max-iter 3 --tol 0").exit_code == 0
    same(tfkm.load("x.tfkm.npz"), expected)


def test_a_seeding_is_taken_by_its_function_with_settings_and_saved(registered, folder):
    expected = tfkm.KMeans(4, init=POINTS[:12:3], n_init=1, **OPTIONS).fit(POINTS)
    model = tfkm.KMeans(4, init=functools.partial(even_points, step=3), **OPTIONS).fit(POINTS)
    same(model, expected)
    model.save("model.npz")
    again = tfkm.load("model.npz").init
    assert again.func is even_points and again.keywords == {"step": 3}


def test_what_a_seeding_says_of_itself_is_heard(monkeypatch, folder):
    """How often it is begun, and whether it needs all points in one process."""
    assert seeding.default_starts("random") == 10 and seeding.default_starts("k-means++") == 1
    toy = seeding.Seeding(even_points, even_chooser, starts=7, per_point=True)
    monkeypatch.setitem(seeding.SEEDINGS, "toy", toy)
    assert seeding.default_starts("toy") == 7
    assert of_streams.needs_all("toy") and not of_streams.needs_all("random")
    monkeypatch.setattr(of_streams, "_HELD_BYTES", 16)
    with pytest.raises(ValueError, match=r"needs 'k-means\|\|' or 'random'"):
        tfkm.kmeans(save(POINTS), 4, init="toy")


# --- texts name all that there are


def test_the_help_names_every_format_and_option():
    fit = run("fit --help").output
    options = {option.name: option.help for option in cli.fit.params if hasattr(option, "help")}
    for suffix in formats.suffixes("read"):
        assert suffix in fit.partition("Options:")[0], suffix
    for name in files.TableOptions._fields:
        assert name in options, name
    for name in "array", "columns", "header", "delimiter":
        for suffix in formats.with_option(name):
            assert suffix in options[name], f"{name}: {suffix}"


@pytest.mark.parametrize(
    "use, text",
    [
        ("read", files.read_points.__doc__),
        ("read", (ROOT / "docs/howto/command-line.md").read_text()),
        ("stream", (ROOT / "docs/streams.md").read_text()),
        ("write_labels", tfkm.KMeans.predict.__doc__),
    ],
    ids=["read_points", "command-line.md", "streams.md", "predict"],
)
def test_a_text_names_every_format(use, text):
    for format in formats.FORMATS:
        able = getattr(format, use) is not None
        assert not able or any(suffix in text for suffix in format.suffixes), format.name


def test_no_suffix_and_no_option_is_of_two_formats_or_of_none():
    found = [suffix for format in formats.FORMATS for suffix in format.suffixes]
    assert len(found) == len(set(found))
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in found)
    assert {name for format in formats.FORMATS for name in format.options} == set(
        files.TableOptions._fields
    )
