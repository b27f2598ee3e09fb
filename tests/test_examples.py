"""The short examples: what each claims about its result, on little data."""

import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import tfkm
from tfkm.examples import colours, embeddings, ivf, product_quantisation


def invoke(command, *arguments):
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


# But that of Spark, whose functions are for programs of one's own.
_IMPORTS = """
import importlib, pkgutil, sys
import tfkm.examples
for module in pkgutil.iter_modules(tfkm.examples.__path__, "tfkm.examples."):
    if not module.name.endswith(".spark"):
        importlib.import_module(module.name)
sys.exit("tensorflow" in sys.modules)
"""


def test_tensorflow_is_not_loaded_before_an_example_can_hold_its_log_back():
    assert subprocess.run([sys.executable, "-c", _IMPORTS], timeout=120).returncode == 0


def sq_distances(a, b):
    return ((a[:, None].astype(np.float64) - b) ** 2).sum(axis=2)


class TestColours:
    def test_each_pixel_takes_the_nearest_of_good_colours(self):
        image = colours.load(None)[::8, ::8]
        palette, labels = colours.quantised(image, 16, seed=0)
        assert palette.shape == (16, 3) and labels.shape == image.shape[:2]
        pixels = image.reshape(-1, 3)
        gaps = sq_distances(colours.perceived(pixels), colours.perceived(palette))
        np.testing.assert_array_equal(labels.ravel(), gaps.argmin(axis=1))
        some = pixels[np.random.default_rng(0).choice(len(pixels), 16, replace=False)]
        other = some[sq_distances(pixels, some).argmin(axis=1)].reshape(image.shape)
        assert colours.psnr(image, palette[labels]) > colours.psnr(image, other)

    @pytest.mark.parametrize("k", [8, 16, 32])
    def test_red_columns_and_teal_eaves_keep_their_hue(self, k):
        """Less than a hundredth of the pixels; in RGB 16 colours turn the teal by 94°."""
        image = colours.load(None)[::2, ::2]
        palette, labels = colours.quantised(image, k, seed=0)
        before, after = (colours.perceived(i.reshape(-1, 3)) for i in (image, palette[labels]))
        r, g, b = image.reshape(-1, 3).T.astype(int)
        row, column = np.divmod(np.arange(len(r)), image.shape[1])
        red = (r - np.maximum(g, b) > 60) & (b >= g)
        teal = ((g + b) / 2 - r > 40) & (abs(g - b) < 40) & (column < 155) & (row > 25)
        for some in (red, teal) if k > 8 else (red,):
            assert 0.001 < some.mean() < 0.01
            hues = [complex(*seen[some, 1:].mean(axis=0)) for seen in (before, after)]
            turned = abs(np.degrees(np.angle(hues[1] / hues[0])))
            assert turned < 25 and abs(hues[1]) > 0.3 * abs(hues[0]), (turned, hues)

    def test_a_file_and_its_picture(self, tmp_path):
        image = pytest.importorskip("PIL.Image")
        squares = np.repeat(np.repeat(np.uint8([[[0, 0, 0], [250, 9, 9]]]), 5, axis=0), 5, axis=1)
        image.fromarray(squares.repeat(8, axis=0).repeat(8, axis=1)).save(tmp_path / "two.png")
        drawn = tmp_path / "drawn.png"
        arguments = "--image", tmp_path / "two.png", "--colours", 2, "--picture", drawn
        assert "inf dB" in invoke(colours.command, *arguments)
        with image.open(drawn) as picture:
            shown = {colour for _, colour in picture.convert("RGB").getcolors(10**6)}
            assert picture.size[0] > 2 * picture.size[1] and {(0, 0, 0), (250, 9, 9)} <= shown
        with pytest.raises(ValueError, match="--colours: 3; the image has only 2"):
            invoke(colours.command, "--image", tmp_path / "two.png", "--colours", 3)


class TestEmbeddings:
    def test_words_of_one_direction_come_together(self, tmp_path):
        """Four topics, whose words differ in length more than the topics do."""
        rng = np.random.default_rng(0)
        topics = np.linalg.qr(rng.standard_normal((8, 4)))[0].T
        lines = ["40 8"]
        for i in range(40):
            vector = rng.uniform(0.1, 10) * (topics[i % 4] + 0.05 * rng.standard_normal(8))
            lines.append(" ".join([f"{'abcd'[i % 4]}{i}", *map(str, vector)]))
        path = tmp_path / "words.txt"
        path.write_text("\n".join(lines))
        output = invoke(embeddings.command, path, "--clusters", 4)
        assert output.startswith("40 words, 8 numbers each")
        topics = [{word[0] for word in line.split()[2:]} for line in output.splitlines()[4:]]
        assert sorted(map(sorted, topics)) == [["a"], ["b"], ["c"], ["d"]]

    def test_without_a_file_the_words_are_those_of_a_package(self, tmp_path, monkeypatch):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        monkeypatch.setattr(embeddings, "GLOVE", "some_words")
        with pytest.raises(ImportError, match=r"^without a FILE it needs .*'tfkm\[words\]', or"):
            invoke(embeddings.command)
        data = tmp_path / "some_words" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").write_text("raise RuntimeError('none of its code is run')")
        names = ["left", "up", "west", "north", "never read"]
        parquet.write_table(pyarrow.table({"index": names}), data / "glove_6B_index.parquet")
        vectors = np.array([[1, 0], [0, 3], [5, 0.1], [0.1, 2], [-1, -1]], np.float32)
        np.save(data / "glove_6B_50d_emb.npy", vectors)
        monkeypatch.syspath_prepend(tmp_path)
        output = invoke(embeddings.command, "--words", 4, "--clusters", 2)
        assert output.startswith("4 words, 2 numbers each, from GloVe")
        groups = {frozenset(line.split()[2:]) for line in output.splitlines()[4:]}
        assert groups == {frozenset({"left", "west"}), frozenset({"up", "north"})}

    def test_a_broken_line_is_named(self, tmp_path):
        path = tmp_path / "words.txt"
        path.write_text("one 1 2\ntwo 1\n")
        with pytest.raises(ValueError, match="line 2 has 1 numbers; it needs 2"):
            embeddings.load(path, 10)
        path.write_text("one 1 2\ntwo 1 x\n")
        with pytest.raises(ValueError, match="line 2: .*x"):
            embeddings.load(path, 10)


class TestIvf:
    def test_faiss_searches_in_our_lists(self):
        faiss = pytest.importorskip("faiss", reason="needs Faiss: pip install faiss-cpu")
        points = ivf.made(5000, 16, seed=0)
        queries = points[:50] + np.float32(0.01)
        centroids = tfkm.KMeans(32, random_state=0).fit(points).cluster_centers_
        index = ivf.filled(faiss, centroids, points)
        kept = index.quantizer.reconstruct_n(0, 32)
        np.testing.assert_array_equal(kept, centroids)  # Faiss has not trained over them
        sizes = [index.invlists.list_size(i) for i in range(32)]
        labels = np.asarray(tfkm.assign(points, centroids).labels)
        assert sizes == np.bincount(labels, minlength=32).tolist()
        truth = sq_distances(queries, points).argsort(axis=1)[:, :10]
        recalls = [ivf.recall(index, queries, truth, probes) for probes in (1, 4, 32)]
        assert recalls == sorted(recalls) and recalls[0] > 0.2 and recalls[2] == 1
        theirs = ivf.trained(faiss, points, 32, seed=0)
        assert ivf.recall(index, queries, truth, 4) > ivf.recall(theirs, queries, truth, 4) - 0.05

    def test_its_table(self, tmp_path):
        pytest.importorskip("faiss", reason="needs Faiss: pip install faiss-cpu")
        np.save(tmp_path / "x.npy", ivf.made(4000, 8, seed=1))
        output = invoke(ivf.command, "--data", tmp_path / "x.npy", "--lists", 16)
        rows = [[float(x) for x in line.split()[1:]] for line in output.splitlines()[-2:]]
        assert rows[0][0] < rows[1][0] * 1.02 and rows[0][3] == rows[1][3] == 1.0


class TestProductQuantisation:
    def test_codes_are_the_nearest_and_distances_those_of_what_they_stand_for(self):
        points = ivf.made(2000, 12, seed=0)
        lost = []
        for parts in 2, 6:
            books, packed = product_quantisation.train(points, parts, 16, seed=0)
            assert packed.shape == (2000, parts) and packed.dtype == np.uint8
            restored = product_quantisation.unpacked(books, packed)
            cut = points.reshape(2000, parts, -1)
            for part in range(parts):
                gaps = sq_distances(cut[:, part], books[part])
                np.testing.assert_array_equal(packed[:, part], gaps.argmin(axis=1))
            query = points[7] + 1
            found = product_quantisation.distances(books, packed, query)
            np.testing.assert_allclose(found, ((restored - query) ** 2).sum(axis=1), rtol=1e-5)
            lost.append(((points - restored) ** 2).sum())
        assert lost[1] < 0.8 * lost[0] < 0.8 * points.var(axis=0).sum() * 2000

    def test_its_table(self, tmp_path):
        np.save(tmp_path / "x.npy", ivf.made(1500, 8, seed=1))
        arguments = "--data", tmp_path / "x.npy", "--codes", 32
        lines = invoke(product_quantisation.command, *arguments).splitlines()[-3:]
        assert [line.split()[0] for line in lines] == ["2", "4", "8"]
        recalls = [float(line.split()[2].rstrip("%")) for line in lines]
        assert recalls == sorted(recalls) and recalls[-1] > 50


@pytest.mark.full
def test_a_stream_bigger_than_the_memory(python, tmp_path):
    """In a process of its own: limits are for life."""
    output = python(
        "import sys; from tfkm import cli; from tfkm.examples import stream; "
        "cli.run(stream.command, 'stream')",
        *("--gigabytes", "0.25", "--memory", "0.2", "--folder", str(tmp_path)),
    )
    assert "at once   MemoryError" in output
    assert float(re.search(r"each within ([\d.]+)", output)[1]) < 0.2
    assert not list(tmp_path.iterdir())


@pytest.mark.full
def test_workers_have_the_bits_of_one(python):
    """In a process of its own, which starts and ends its own Ray."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'tfkm[ray]'")
    code = "from tfkm import cli; from tfkm.examples import workers; cli.run(workers.command, 'w')"
    output = python(code, "--workers", "4", "--points", "20000", TF_CPP_MIN_LOG_LEVEL="3")
    assert output.splitlines()[-1].startswith("the same bits")
    assert output.startswith("20,000 points in 8 files, 50 clusters: shared among 4 workers of Ray")
