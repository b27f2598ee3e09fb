"""streams: the fit of a stream is that of the same points in memory, bit for bit."""

import dataclasses
import pickle
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm.data import formats
from tfkm.data.formats import arrow, npy
from tfkm.data.points import Points
from tfkm.ops import backends
from tfkm.seeding import draws
from tfkm.seeding.potential import Potential
from tfkm.seeding.problem import SeedingProblem
from tfkm.streams import blocks, checked, passes, sources
from tfkm.streams import seeding as stream_seeding
from tfkm.streams.journal import Journal
from tfkm.streams.scan import scan
from tfkm.streams.stream import Here, Stream
from tfkm.types import ExactStatistics, Words

N, D, K = 3000, 5, 7
POINTS = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32) + 3
WEIGHTS = np.random.default_rng(1).integers(0, 4, N).astype(np.float64)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """So that a few points are many shards."""
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 64 * D * 4)


def dataset(points, weights=None, batch=100, sizes=None):
    """Batches of one size, or of these."""
    parts = points if weights is None else (points, weights)
    if sizes is None:
        return tf.data.Dataset.from_tensor_slices(parts).batch(batch)
    spec = tf.TensorSpec([None, points.shape[1]], points.dtype)
    spec = spec if weights is None else (spec, tf.TensorSpec([None], tf.float64))
    cuts = np.cumsum([0, *sizes])

    def make():
        for a, b in zip(cuts, [*cuts[1:], len(points)], strict=True):
            yield points[a:b] if weights is None else (points[a:b], weights[a:b])

    return tf.data.Dataset.from_generator(make, output_signature=spec)


def same(stream, memory):
    assert stream.labels is None
    np.testing.assert_array_equal(stream.centroids, memory.centroids)
    assert stream[2:] == memory[2:]


@pytest.mark.quick
def test_a_fit_goes_on_while_labels_of_one_shard_change():
    """Those of the first shard are the same from the first pass on."""
    chunk = draws.chunk_rows(D, 4)
    settled = np.repeat([0.0, 900.0], draws.shard_rows(chunk) // 2)
    moving = np.linspace(0, 900, 500) ** 2 / 900
    points = np.zeros((len(settled) + len(moving), D), np.float32)
    points[:, 0] = np.concatenate([settled, moving])
    init = np.zeros((3, D), np.float32)
    init[:, 0] = 0, 100, 900
    options = dict(init=init, tol=0)
    memory = tfkm.kmeans(points, 3, **options)
    assert memory.n_iter > 3
    same(tfkm.kmeans(dataset(points), 3, **options), memory)


@pytest.mark.parametrize("init", ["k-means||", "k-means++", "random", "afk-mc2", "array"])
@pytest.mark.parametrize("weighted", [True, False], ids=["weighted", "plain"])
@pytest.mark.every_backend
@pytest.mark.quick
def test_as_in_memory(backend, init, weighted):
    if init in ("k-means++", "afk-mc2") and backend != "native":
        pytest.skip("many small passes, which are slow there, and no code of their own")
    weights = WEIGHTS if weighted else None
    init = POINTS[:K] if init == "array" else init
    options = dict(init=init, n_init=2, random_state=3, max_iter=6, backend=backend)
    memory = tfkm.kmeans(POINTS, K, weights=weights, **options)
    same(tfkm.kmeans(dataset(POINTS, weights), K, **options), memory)


@pytest.mark.parametrize(
    "dtype",
    [
        np.uint8,
        *(pytest.param(t, marks=pytest.mark.full) for t in (np.float32, np.float64, np.float16)),
    ],
)
def test_batches_do_not_show(dtype):
    points = (POINTS * 10).astype(dtype)
    options = dict(init="k-means||", random_state=0, max_iter=4)
    memory = tfkm.kmeans(points, K, **options)
    for batches in dict(batch=1000), dict(batch=9), dict(sizes=[1, 0, 2500, 17]):
        same(tfkm.kmeans(dataset(points, **batches), K, **options), memory)


@pytest.mark.quick
def test_empty_clusters_take_the_farthest(backend):
    init = np.concatenate([POINTS[:3], np.full((4, D), 1e3, np.float32) + np.arange(4)[:, None]])
    for weights in None, WEIGHTS:
        options = dict(init=init, max_iter=3, backend=backend)
        memory = tfkm.kmeans(POINTS, K, weights=weights, **options)
        same(tfkm.kmeans(dataset(POINTS, weights), K, **options), memory)


@pytest.mark.quick
def test_sums_of_weights_have_the_same_bits():
    """Not integers, whose sums are exact in any order."""
    weights, groups = np.random.default_rng(2).random(N), (POINTS[:20], POINTS[20:25])
    stream = Stream(sources.source_of(POINTS, weights))
    engine = Here(stream)
    found = scan(stream, engine, digested=False)
    streamed = stream_seeding.StreamPoints(stream, found, engine, "reference", Journal())
    rng, reference = np.random.RandomState(0), backends.select("reference")
    problem = SeedingProblem(Points(POINTS), weights, groups[0], K, rng, reference)
    memory = Potential(problem, labelled=True)
    memory.add(groups[1])
    np.testing.assert_array_equal(memory.sizes(), streamed.sizes(groups))
    for init in "k-means||", "random":
        options = dict(init=init, random_state=0, max_iter=3)
        expected = tfkm.kmeans(POINTS, K, weights=weights, **options)
        same(tfkm.kmeans(dataset(POINTS, weights), K, **options), expected)


@pytest.mark.parametrize("weighted", [True, False], ids=["weighted", "plain"])
def test_so_many_clusters_that_all_points_are_candidates(weighted):
    weights = WEIGHTS if weighted else None
    options = dict(init="k-means||", random_state=3, max_iter=2)
    source = Given(lambda points, weights: (points, weights), weighted=weighted)
    memory = tfkm.kmeans(POINTS, 400, weights=weights, **options)
    same(tfkm.kmeans(source, 400, **options), memory)
    assert source.readings < 8


def test_few_distinct_points():
    points = np.repeat(POINTS[:3], 50, axis=0)
    for init in "k-means||", "random", "k-means++":
        memory = tfkm.kmeans(points, 5, init=init, random_state=0)
        same(tfkm.kmeans(dataset(points, batch=9), 5, init=init, random_state=0), memory)


@pytest.fixture
def files(tmp_path):
    """The points in files of each kind; cut unevenly."""
    import pyarrow
    from pyarrow import parquet

    cuts = [0, 1, 1500, N]
    for i, (a, b) in enumerate(zip(cuts, cuts[1:], strict=False)):
        np.save(tmp_path / f"c{i}.npy", POINTS[a:b])
        np.save(tmp_path / f"fortran{i}.npy", np.asfortranarray(POINTS[a:b]))
        table = pyarrow.table({f"x{j}": POINTS[a:b, j] for j in range(D)})
        parquet.write_table(table, tmp_path / f"table{i}.parquet", row_group_size=700)
        flat = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(POINTS[a:b].ravel()), D)
        parquet.write_table(pyarrow.table({"e": flat}), tmp_path / f"lists{i}.parquet")
        with tf.io.TFRecordWriter(str(tmp_path / f"r{i}.tfrecord")) as writer:
            for row in POINTS[a:b]:
                value = tf.train.Feature(float_list=tf.train.FloatList(value=row))
                one = tf.train.Features(feature={"points": value, "other": value})
                writer.write(tf.train.Example(features=one).SerializeToString())
    return tmp_path


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("c*.npy", marks=pytest.mark.quick),
        "fortran?.npy",
        "table*.parquet",
        "lists*.parquet",
        "r*.tfrecord",
    ],
)
def test_files_are_as_memory(files, kind):
    options = dict(init="k-means||", random_state=0, max_iter=3)
    memory = tfkm.kmeans(POINTS, K, **options)
    same(tfkm.kmeans(str(files / kind), K, **options), memory)
    listed = sorted(files.glob(kind))
    same(tfkm.kmeans(listed, K, **options), memory)


@pytest.mark.parametrize(
    "out",
    [
        pytest.param("labels.npy", marks=pytest.mark.quick),
        "labels.csv",
        "labels.parquet",
        "labels.tfrecord",
    ],
)
def test_labels_are_written_as_a_stream(files, out):
    from pyarrow import csv, parquet

    model = tfkm.KMeans(K, init="random", n_init=1, max_iter=2, random_state=0).fit(
        files / "c2.npy"
    )
    assert model.labels_ is None
    expected = (
        tfkm.KMeans(K, init="random", n_init=1, max_iter=2, random_state=0)
        .fit(POINTS[1500:])
        .labels_
    )
    np.testing.assert_array_equal(model.predict(str(files / "c2.npy")), expected)
    path = files / out
    assert model.predict(files / "c2.npy", out=path) is None
    if path.suffix == ".npy":
        found = np.load(path)
    elif path.suffix == ".csv":
        found = csv.read_csv(path)["label"].to_numpy()
    elif path.suffix == ".parquet":
        found = parquet.read_table(path)["label"].to_numpy()
    else:
        spec = {"label": tf.io.FixedLenFeature([], tf.int64)}
        records = tf.data.TFRecordDataset(str(path)).batch(N)
        found = np.asarray(next(iter(records.map(lambda r: tf.io.parse_example(r, spec))))["label"])
    np.testing.assert_array_equal(found, expected)
    before = path.read_bytes()

    def parts():
        yield POINTS
        raise RuntimeError("the disk is gone")

    spec = tf.TensorSpec([None, D], tf.float32)
    with pytest.raises(Exception, match="the disk is gone"):
        model.predict(tf.data.Dataset.from_generator(parts, output_signature=spec), out=path)
    assert path.read_bytes() == before and not list(files.glob(".*"))


def test_labels_of_a_dataset_with_weights_and_of_a_map(files):
    model = tfkm.KMeans(K, init="random", random_state=0).fit(POINTS)
    np.testing.assert_array_equal(model.predict(dataset(POINTS, WEIGHTS)), model.labels_)
    np.save(files / "all.npy", POINTS)
    model.predict(np.load(files / "all.npy", mmap_mode="r"), out=files / "labels.npy")
    np.testing.assert_array_equal(np.load(files / "labels.npy"), model.labels_)


def test_labels_of_a_map_are_not_held(files, monkeypatch):
    model = tfkm.KMeans(K, init="random", random_state=0).fit(POINTS)
    np.save(files / "all.npy", POINTS)
    sizes = []
    write = npy.FORMAT.write_labels
    noting = lambda file, parts: write(file, (sizes.append(len(p)) or p for p in parts))  # noqa: E731
    format = dataclasses.replace(npy.FORMAT, write_labels=noting)
    monkeypatch.setattr(formats, "FORMATS", (format, *formats.FORMATS))
    model.predict(np.load(files / "all.npy", mmap_mode="r"), out=files / "labels.npy")
    assert max(sizes) == 64 and sum(sizes) == N


def test_a_map_of_a_whole_file_is_read_as_that_file(files):
    np.save(files / "all.npy", POINTS)
    mapped = np.load(files / "all.npy", mmap_mode="r")
    whole = lambda array: isinstance(sources.source_of(array), tfkm.streams.files.Files)  # noqa: E731
    assert whole(mapped) and whole(np.asarray(mapped))  # as scikit-learn hands it on
    fortran = np.load(files / "fortran2.npy", mmap_mode="r")
    private = np.load(files / "all.npy", mmap_mode="c")
    for other in mapped[1:], mapped[:, :2], mapped[::2], fortran, private, POINTS:
        assert not whole(other)
    assert type(sources.source_of(mapped, WEIGHTS)).__name__ == "ArraySource"


def test_a_list_is_measured_by_one_row(files, monkeypatch):
    read, columns = [], arrow.columns
    monkeypatch.setattr(arrow, "columns", lambda t: read.append(t.num_rows) or columns(t))
    assert sources.source_of(files / "lists2.parquet").d == D
    assert max(read) == 1


def endless():
    return tf.data.Dataset.from_tensors(POINTS).repeat()


@pytest.mark.parametrize("make, error, says", [
    (endless, ValueError, "without an end"),
    (lambda: dataset(POINTS[:0]), ValueError, "no points"),
    (lambda: dataset(POINTS[:5]), ValueError, "n_clusters: 7 is more than the 5"),
    (lambda: dataset(POINTS, np.zeros(N)), ValueError, "all are zero"),
    (lambda: dataset(np.where(np.arange(N)[:, None] == 2000, np.nan, POINTS)), ValueError, r"points\[2000"),
    (lambda: "nowhere.npy", FileNotFoundError, "nowhere.npy"),
    (lambda: "no*where.npy", FileNotFoundError, "no file is named like"),
])  # fmt: skip
def test_what_is_refused(make, error, says):
    with pytest.raises(error, match=says):
        tfkm.kmeans(make(), K, init="k-means||")


@pytest.mark.parametrize("options", [
    dict(metric="cosine"), dict(size_min=1), dict(size_max=N), dict(weights=WEIGHTS), dict(init=lambda
    *a, **k: 0),
])  # fmt: skip
def test_what_a_stream_cannot_have_is_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        tfkm.kmeans(dataset(POINTS), K, **options)


def test_files_that_change_are_named(files):
    for kind in "c*.npy", "table*.parquet":
        paths = sorted(files.glob(kind))
        passes = []

        def cut(done, paths=paths, passes=passes):
            passes.append(done)
            if len(passes) == 2:
                with open(paths[1], "r+b") as file:
                    file.truncate(1000)

        with pytest.raises(ValueError, match=paths[1].name):
            tfkm.kmeans(paths, K, init=POINTS[:K], on_pass=cut)
        assert len(passes) == 2


@pytest.mark.parametrize("kind", ["c*.npy", "table*.parquet", "r*.tfrecord"])
def test_files_that_vanish_are_named(files, kind):
    paths = sorted(files.glob(kind))
    with pytest.raises(Exception, match=paths[1].name):
        tfkm.kmeans(paths, K, init=POINTS[:K], on_pass=lambda done: paths[1].unlink())


def test_a_damaged_tfrecord_is_named(files):
    paths = sorted(files.glob("r*.tfrecord"))
    with open(paths[2], "r+b") as file:
        file.truncate(paths[2].stat().st_size - 7)
    with pytest.raises(ValueError, match=r"r2.tfrecord: cannot be read as TFRecord"):
        tfkm.kmeans(paths, K, init=POINTS[:K])


def test_points_in_another_order_are_refused(files):
    shuffled = tf.data.Dataset.from_tensor_slices(POINTS).shuffle(N, seed=0).batch(100)
    with pytest.raises(ValueError, match=r"^points: the data changed .* rows 0 to 63 \(shard 0\)"):
        tfkm.kmeans(shuffled, K, init="random")

    def replace(done):
        np.save(files / "c0.npy", POINTS[5:6])

    with pytest.raises(ValueError, match="other points or weights in rows 0 to 63"):
        tfkm.kmeans(str(files / "c*.npy"), K, init="random", on_pass=replace)


class Given:
    """A source of parts that a function of the reading's number gives, from its row on."""

    name, d, dtype, weighted, rows = "mine", D, np.dtype(np.float32), False, N

    def __init__(self, part=lambda points, weights: (points, None), after=0, **declared):
        self.part, self.after, self.readings = part, after, 0
        vars(self).update(declared)

    def read(self, start):
        self.readings += 1
        for at in range(start, N, 100):
            plain = POINTS[at : at + 100], WEIGHTS[at : at + 100] if self.weighted else None
            late = at >= 2000 and self.readings > self.after
            yield self.part(*plain) if late else blocks.Part(*plain)


def changed(value, column=3):
    def part(points, weights):
        points = points.copy()
        points[:, column] = value
        return blocks.Part(points, weights)

    return part


@pytest.mark.parametrize("init", ["k-means||", "k-means++", "random", "afk-mc2"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6, 1e30, 0.5])
@pytest.mark.quick
def test_points_that_change_in_a_later_pass_are_named(init, value):
    """Also where they would overflow the grid of the sums, and where all would still be finite."""
    for after in (1, 2, 4):
        options = dict(init=init, random_state=0, max_iter=6, tol=0)
        # Rows that were drawn are read from the shard that has them on.
        says = r"^mine: the data changed .* rows (1,984|2,\d\d\d) to 2,\d\d\d \(shard [12]\)"
        with pytest.raises(ValueError, match=says):
            tfkm.kmeans(Given(changed(value), after), K, **options)


def test_weights_that_change_are_named():
    source = Given(lambda points, weights: (points, weights + 1), 2, weighted=True)
    with pytest.raises(ValueError, match="the data changed between passes: .* weights in rows"):
        tfkm.kmeans(source, K, init="random", random_state=0)


def test_a_change_leaves_the_checkpoint_whole(tmp_path):
    options = dict(init="random", random_state=0, max_iter=5, tol=0, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="the data changed"):
        tfkm.kmeans(Given(changed(np.nan), 3), K, **options)
    assert len(list(tmp_path.iterdir()))
    expected = tfkm.kmeans(POINTS, K, **{**options, "checkpoint_dir": None})
    same(tfkm.kmeans(Given(), K, **options), expected)


def test_a_worker_that_has_read_nothing_knows_what_it_has_to_find():
    leader = Stream(Given())
    scan(leader, Here(leader), digested=False)
    worker, whole = Stream(Given(changed(np.nan)), leader.chunk), Stream(Given(), leader.chunk)
    task = stream_seeding.RowsShard(np.array([2500]))
    for shard in pickle.loads(pickle.dumps(list(leader.shards()))):
        assert len(shard.fingerprints) == -(-(shard.stop - shard.start) // leader.chunk)
        found = whole.done(task, shard)
        np.testing.assert_array_equal(found, POINTS[2500:2501] if shard.number == 2 else found[:0])
        if shard.stop > 2000:
            with pytest.raises(ValueError, match=rf"data changed .*\(shard {shard.number}\)"):
                worker.done(task, shard)


def test_fingerprints_do_not_depend_on_blocks():
    wide = np.random.default_rng(0).random((256, 3000))
    weights = np.random.default_rng(1).random(256)
    whole = checked.fingerprints(blocks.Block(0, wide, weights), 64)
    pieces = [
        print
        for at in range(0, 256, 128)
        for print in checked.fingerprints(
            blocks.Block(at, np.asfortranarray(wide[at : at + 128]), weights[at : at + 128]), 64
        )
    ]
    assert whole == pieces and len(set(whole)) == 4
    for row, column in (0, 0), (63, 2999), (40, 1500):
        other = wide.copy()
        other[row, column] = np.nextafter(other[row, column], 2)
        assert checked.fingerprints(blocks.Block(0, other, weights), 64)[0] != whole[0]
    swapped = wide[[*range(20), 30, *range(21, 30), 20, *range(31, 256)]]
    assert checked.fingerprints(blocks.Block(0, swapped, weights), 64)[0] != whole[0]


WRONG = {
    "wide dtype": (lambda p, w: (p.astype(float), w), ValueError, "points of float64; declared is float32"),
    "integers": (lambda p, w: (p.astype(np.int64), w), ValueError, "points of int64; declared is float32"),
    "byte order": (lambda p, w: (p.astype(">f4"), w), ValueError, "points of >f4; declared is float32"),
    "narrow": (lambda p, w: (p[:, :1], w), ValueError, r"shape \(100, 1\); declared is \(rows, 5\)"),
    "rank": (lambda p, w: (p.ravel(), w), ValueError, r"shape \(500,\); declared is \(rows, 5\)"),
    "list": (lambda p, w: (p.tolist(), w), TypeError, "points are a list"),
    "masked": (lambda p, w: (np.ma.masked_array(p), w), TypeError, "points are a MaskedArray"),
    "bare array": (lambda p, w: p, TypeError, "ndarray; it needs a Part of points and weights"),
    "few weights": (lambda p, w: (p, w[:9]), ValueError, r"weights of shape \(9,\); it has 100 points"),
    "column": (lambda p, w: (p, w[:, None]), ValueError, r"weights of shape \(100, 1\)"),
    "no weights": (lambda p, w: (p, None), ValueError, "no weights; declared is weighted = True"),
    "complex": (lambda p, w: (p, w * 1j), TypeError, "weights of complex128"),
    "text": (lambda p, w: (p, w.astype(str)), TypeError, "weights of <U"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.quick
def test_a_part_is_as_declared(what):
    part, error, says = WRONG[what]
    source = Given(part, weighted=True)
    where = r"mine: part from row 2,000 on \(shard 1\): .*"
    with pytest.raises(error, match=where + says):
        tfkm.kmeans(source, K, init="random")
    model = tfkm.KMeans(K, init="random", n_init=1, random_state=0).fit(POINTS)
    with pytest.raises(error, match=where + says):
        model.predict(source)


def test_weights_where_there_should_be_none_and_bad_ones_are_named():
    part = lambda points, weights: (points, np.ones(len(points)))  # noqa: E731
    with pytest.raises(ValueError, match="weights; declared is weighted = False"):
        tfkm.kmeans(Given(part), K, init="random")
    for value in -1.0, np.nan, np.inf:
        part = lambda p, w, value=value: (p, np.where(np.arange(100) == 7, value, w))  # noqa: E731
        with pytest.raises(ValueError, match=f"^weights of mine: that of row 2,007 is {value}"):
            tfkm.kmeans(Given(part, weighted=True), K, init="random")


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_weights_of_a_source_may_be_any_real_numbers(dtype):
    source = Given(lambda p, w: (p, w.astype(dtype)), weighted=True)
    weights = np.concatenate([WEIGHTS[:2000], WEIGHTS[2000:].astype(dtype).astype(np.float64)])
    options = dict(init="random", random_state=0, max_iter=3)
    same(tfkm.kmeans(source, K, **options), tfkm.kmeans(POINTS, K, weights=weights, **options))


@pytest.mark.parametrize("declared, error, says", [
    (dict(d=0), ValueError, "d of mine: 0; it needs an integer ≥ 1"),
    (dict(d="5"), TypeError, "d of mine: '5'"),
    (dict(rows=-1), ValueError, "rows of mine: -1; it needs an integer ≥ 0 or None"),
    (dict(weighted=None), TypeError, "weighted of mine: None"),
    (dict(dtype=np.dtype(np.int32)), TypeError, "dtype of mine: int32; allowed are float32"),
    (dict(dtype="numbers"), TypeError, "dtype of mine: numbers"),
])  # fmt: skip
def test_what_a_source_declares_is_checked(declared, error, says):
    for fit in (lambda source: tfkm.kmeans(source, K)), tfkm.KMeans(K).fit:
        with pytest.raises(error, match=says):
            fit(Given(**declared))


def test_predict_counts_rows_from_the_first():
    model = tfkm.KMeans(K, init="random", n_init=1, random_state=0).fit(POINTS)
    with pytest.raises(ValueError, match=r"mine\[2000, 3\] is NaN"):
        model.predict(Given(changed(np.nan)))
    bad = np.where(np.arange(N)[:, None] == 2000, np.float32(np.inf), POINTS)
    with pytest.raises(ValueError, match=r"X\[2000, 0\] is infinity"):
        model.predict(dataset(bad))


def test_what_is_too_long_to_be_held_is_refused_before_it_is_read(monkeypatch, files):
    monkeypatch.setattr(stream_seeding, "_HELD_BYTES", 16 * (N - 1))
    monkeypatch.setattr("tfkm.streams.kmeans.scan", lambda *a, **k: pytest.fail("it was read"))
    for init in "k-means++", "afk-mc2":
        with pytest.raises(ValueError, match=r"at most 2,999 points; .* needs 'k-means\|\|'"):
            tfkm.kmeans(str(files / "c*.npy"), K, init=init)


def test_a_reader_that_hangs_does_not_keep_the_fit_from_ending():
    """As when Ctrl-C is pressed while a file system does not answer."""
    going_on = threading.Event()

    def parts():
        yield 1
        going_on.wait(60)

    began, reading = time.monotonic(), blocks.ahead(parts())
    assert next(reading) == 1
    reading.close()
    assert time.monotonic() - began < 20
    going_on.set()


def test_a_slow_reader_and_a_slow_fit():
    """Whoever waits, nothing is lost and no more than some blocks are ahead."""
    made = []

    def parts(seconds):
        for i in range(8):
            time.sleep(seconds)
            made.append(i)
            yield i

    assert list(blocks.ahead(parts(0.02))) == list(range(8))
    made.clear()
    for i in blocks.ahead(parts(0)):
        time.sleep(0.02)
        assert len(made) <= i + 4


def test_digests_of_many_shards_are_joined_once():
    zeros = lambda: Words(np.zeros((1, 2, 3)), np.zeros((1, 2)))  # noqa: E731
    digests = [np.arange(4, dtype=np.int32)[None]]
    part = passes.Partial(ExactStatistics(zeros(), zeros(), np.zeros((1, 66))), digests)
    total = part.owned()
    for _ in range(99):
        total = total.and_next(part)
    assert all(digest is part.digests[0] for digest in total.digests)
    np.testing.assert_array_equal(total.labels, np.tile(part.labels, 100))
    assert len(part.digests) == 1


def test_memory_is_used_again_only_when_nobody_holds_it():
    memory = blocks.Memory()
    first = memory.array((4, 3), np.dtype(np.float32))
    view, address = first[1:].T, first.ctypes.data
    assert address % 64 == 0 and first.flags.writeable
    del first
    other = memory.array((4, 3), np.dtype(np.float32))
    assert other.ctypes.data != address
    del view
    assert memory.array((4, 3), np.dtype(np.float32)).ctypes.data == address


def test_a_reader_that_raises_ends_the_fit():
    def parts():
        yield POINTS[:1000]
        raise RuntimeError("the disk is gone")

    data = tf.data.Dataset.from_generator(
        parts, output_signature=tf.TensorSpec([None, D], tf.float32)
    )
    with pytest.raises(Exception, match="the disk is gone"):
        tfkm.kmeans(data, K, init="random")


def test_other_points_in_another_pass_are_refused():
    passes = []

    def parts():
        passes.append(0)
        yield POINTS if len(passes) < 4 else POINTS[:-1]

    data = tf.data.Dataset.from_generator(
        parts, output_signature=tf.TensorSpec([None, D], tf.float32)
    )
    with pytest.raises(ValueError, match="only 2,999 points, where there were 3,000"):
        tfkm.kmeans(data, K, init=POINTS[:K])
