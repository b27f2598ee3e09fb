"""Readers: the same points out of every kind of file, and one sentence for every broken one.

Writers: all of a file or none of it, and one sentence where the disk is full.
"""

import re
import resource
from contextlib import contextmanager

import numpy as np
import pytest

import tfkm
from tfkm.data import files, whole_files

pytestmark = pytest.mark.quick

POINTS = np.array([[0.5, 1.0], [2.0, -3.0], [4.0, 5.25]])


def write(path, points=POINTS, **options):
    """The points in the format that the suffix says."""
    if path.suffix == ".npy":
        np.save(path, points)
    elif path.suffix == ".npz":
        np.savez(path, whatever=points)
    else:
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        frame = pandas.DataFrame(points, columns=[f"c{i}" for i in range(points.shape[1])])
        getattr(frame, f"to_{path.suffix[1:]}")(path, index=False, **options)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
def test_every_format_gives_the_same_points(tmp_path, suffix):
    points = files.read_points(write(tmp_path / f"x{suffix}"))
    np.testing.assert_array_equal(points, POINTS)
    assert points.dtype == np.float64 and points.flags.c_contiguous


def test_npy_is_mapped_and_read_only(tmp_path):
    points = files.read_points(write(tmp_path / "x.npy"))
    assert isinstance(points, np.memmap) and not points.flags.writeable


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8"])
def test_dtypes_that_stay(tmp_path, dtype):
    assert files.read_points(write(tmp_path / "x.npy", np.ones((3, 2), dtype))).dtype == dtype


@pytest.mark.parametrize(
    "dtype, became",
    [("bool", "float64"), ("int16", "float64"), ("int32", "float64"), (">f4", "float32")],
)
def test_dtypes_that_are_copied_keep_their_values(tmp_path, dtype, became):
    values = np.array([[0, 1], [1, 0]]).astype(dtype)
    points = files.read_points(write(tmp_path / "x.npy", values))
    assert points.dtype == became and points.dtype.isnative
    np.testing.assert_array_equal(points, values)


def test_images_are_flattened(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    points = files.read_points(write(tmp_path / "x.npy", images))
    np.testing.assert_array_equal(points, images.reshape(2, 12))


def test_which_array_of_an_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, other=POINTS, images=2 * POINTS)
    np.testing.assert_array_equal(files.read_points(path), 2 * POINTS)
    np.testing.assert_array_equal(files.read_points(path, "other"), POINTS)
    with pytest.raises(ValueError, match="no array 'third'.*other, images"):
        files.read_points(path, "third")
    np.savez(path, a=POINTS, b=POINTS)
    with pytest.raises(ValueError, match="several arrays.*a, b"):
        files.read_points(path)


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4\n",
        "a,b\n1,2\n3,4\n",
        '"a","b"\r\n1,2\r\n3,4\r\n',
        "\ufeffa,b\n1,2\n3,4",
        "1,2\n3,4",
    ],
)
def test_csv_with_and_without_a_header(tmp_path, text):
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8", newline="")
    np.testing.assert_array_equal(files.read_points(path), [[1, 2], [3, 4]])


def csv(tmp_path, text):
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "frame, rows",
    [
        (POINTS, dict(header=["0", "1"])),  # pandas' names of columns that were given none
        (POINTS.repeat(6, axis=1), dict(header=True)),
        (POINTS, dict(header=False)),
        (np.array([[0, 1.5], [1, 2.5]]), dict(header=False)),
    ],
)
def test_a_header_of_numbers_is_no_point(tmp_path, frame, rows):
    pandas = pytest.importorskip("pandas")
    path = csv(tmp_path, pandas.DataFrame(frame).to_csv(index=False, **rows))
    np.testing.assert_array_equal(files.read_points(path), frame)


@pytest.mark.parametrize(
    "text",
    [
        "0,1\n5,7\n",  # names above integers, or the first of three points on a grid
        "0\n1.5\n",
        "2019,2020\n0.5,1.5\n",
    ],
)
def test_a_line_that_may_be_header_or_point_is_refused(tmp_path, text):
    path, rows = csv(tmp_path, text), np.loadtxt(text.splitlines(), delimiter=",", ndmin=2)
    with pytest.raises(ValueError, match="may be a header or a point; .*--header or --no-header"):
        files.read_points(path)
    np.testing.assert_array_equal(files.read_points(path, header=True), rows[1:])
    np.testing.assert_array_equal(files.read_points(path, header=False), rows)


@pytest.mark.parametrize(
    "text", ["1,2\n3,4\n", "5,3\n4.5,3\n", "0,0\n1.5,1.5\n", "0,1\n", "-1,1e3\n0,1"]
)
def test_plain_numbers_are_points(tmp_path, text):
    rows = np.loadtxt(text.splitlines(), delimiter=",", ndmin=2)
    np.testing.assert_array_equal(files.read_points(csv(tmp_path, text)), rows)


def test_the_index_that_pandas_writes_is_asked_about(tmp_path):
    pandas = pytest.importorskip("pandas")
    for columns in (None, ["a", "b"]):
        path = csv(tmp_path, pandas.DataFrame(POINTS, columns=columns).to_csv())
        with pytest.raises(ValueError, match="x.csv: .*no name.*--id-column ''"):
            files.read_points(path)
        for index in 0, "":
            points, ids = files.read_named(path, options=files.TableOptions(id_column=index))
            np.testing.assert_array_equal(points, POINTS)
        assert ids.column(0).to_pylist() == [0, 1, 2]


@pytest.mark.parametrize(
    "text, shown, delimiter",
    [
        ("a;b\n1;2\n3;4\n", "';'", ";"),
        ("1;2\n3;4\n", "';'", ";"),
        ("a\tb\n1\t2\n3\t4\n", r"'\\t'", "\t"),
        ("name;a;b\nx;1;2\ny;3;4\n", "';'", ";"),
        ("a|b\n1|2\n3|4\n", r"'\|'", "|"),
    ],
)
def test_another_delimiter_is_named(tmp_path, text, shown, delimiter):
    path = csv(tmp_path, text)
    with pytest.raises(ValueError, match=f"x.csv: .*--delimiter {shown}"):
        files.read_points(path)
    own = dict(id_column="name") if "name" in text else {}
    points = files.read_points(path, delimiter=delimiter, **own)
    np.testing.assert_array_equal(points, [[1, 2], [3, 4]])


def test_decimal_commas_do_not_hide_the_delimiter(tmp_path):
    with pytest.raises(ValueError, match="--delimiter ';'"):
        files.read_points(csv(tmp_path, "1,5;2,5;3,5\n4,5;5,5;6,5\n"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_are_chosen_by_name_and_number(tmp_path, suffix):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / f"x{suffix}"
    frame = pandas.DataFrame({"who": ["p", "q"], "a": [1.0, 2.0], "b": [3.0, 4.0]})
    getattr(frame, f"to_{suffix[1:]}")(path, index=False)
    options = files.TableOptions(columns=["b", 1], id_column="who")
    points, ids = files.read_named(path, options=options)
    np.testing.assert_array_equal(points, [[3, 1], [4, 2]])
    assert ids.to_pydict() == {"who": ["p", "q"]}
    np.testing.assert_array_equal(files.read_points(path, id_column="who"), [[1, 3], [2, 4]])
    for wrong, message in (
        (dict(columns=["c"]), "columns: 'c'; there is no such column; there are who, a, b"),
        (dict(id_column=3), "id_column: 3; there is no such column"),
        (dict(columns=["a", "a"]), "columns: 'a' is given twice"),
        (dict(columns=["who", "a"], id_column="who"), "'who' is given twice, or is the id column"),
    ):
        with pytest.raises(ValueError, match=message):
            files.read_points(path, **wrong)


def test_options_that_are_not_for_the_file_are_refused(tmp_path):
    for name, value in dict(columns=["a"], id_column="a", header=True, delimiter=";").items():
        with pytest.raises(ValueError, match=f"x.npy: {name} .* is given; only .csv"):
            files.read_points(write(tmp_path / "x.npy"), **{name: value})
    with pytest.raises(ValueError, match="delimiter: '::'"):
        files.read_points(csv(tmp_path, "1,2\n"), delimiter="::")


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b\n1,x\n2,y\n", "column 'b' is string"),
        ("a,b\n1,\n2,3\n", "column 'b' has 1 missing"),
        ("1,2\n3\n", "Expected 2 columns"),
        ("", "cannot be read as .csv"),
        ("a,b\n", "x.csv"),
    ],
)
def test_broken_csv(tmp_path, text, message):
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        files.read_points(path)
    assert "x.csv" in str(raised.value)


def test_parquet_columns_of_different_dtypes(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.parquet"
    frame = pandas.DataFrame({"a": np.array([1, 2], np.int64), "b": np.array([0.5, 1], np.float32)})
    frame.to_parquet(path)
    points = files.read_points(path)
    np.testing.assert_array_equal(points, [[1, 0.5], [2, 1]])
    assert points.dtype == np.float64
    frame.assign(c=["x", "y"]).to_parquet(path)
    with pytest.raises(ValueError, match="x.parquet.*column 'c'"):
        files.read_points(path)


def test_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    path.write_text("1,2\n")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'tfkm\[files\]'"):
        files.read_points(path)


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros(5), r"shape \(5,\).*reshape\(-1, 1\)"),
        (np.zeros(()), r"shape \(\)"),
        (np.zeros((0, 3)), "empty"),
        (np.zeros((3, 0)), "empty"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.array([["a", "b"]]), "<U1"),
        (np.array([[1, None]], object), "Python objects"),
    ],
    ids=str,
)
def test_arrays_that_are_no_points(tmp_path, array, message):
    path = tmp_path / "x.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match=message) as raised:
        files.read_points(path)
    assert "x.npy" in str(raised.value)


def test_a_pickle_in_an_npz_is_not_loaded(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([[1, None]], object))
    with pytest.raises(ValueError, match="x.npz.*allow_pickle=False"):
        files.read_points(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
@pytest.mark.parametrize("kept", [0, 40, 150])
def test_truncated_files(tmp_path, suffix, kept):
    path = write(tmp_path / f"x{suffix}")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"x{suffix}: cannot be read as {suffix}"):
        files.read_points(path)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.npy"):
        files.read_points(tmp_path / "nothing.npy")
    with pytest.raises(ValueError, match="regular"):
        files.read_points(tmp_path)
    (tmp_path / "x.txt").touch()
    with pytest.raises(ValueError, match=r"'\.txt'.*\.npy, \.npz, \.csv, \.parquet"):
        files.read_points(tmp_path / "x.txt")
    with pytest.raises(ValueError, match=r"array \'a\' is given; only \.npz has it"):
        files.read_points(write(tmp_path / "x.npy"), "a")


def test_labels(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, labels=np.array([3, 1]), shares=np.array([0.5]), images=POINTS)
    assert files.read_labels(path).tolist() == [3, 1]
    with pytest.raises(ValueError, match="'shares'"):
        files.read_labels(path, "shares")
    with pytest.raises(ValueError, match="'images'"):
        files.read_labels(path, "images")


def test_an_existing_file_stays_unless_forced(tmp_path):
    path = tmp_path / "m"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="--force"), whole_files.replacing(path) as file:
        file.write(b"other")
    assert path.read_text() == "mine"
    with whole_files.replacing(path, force=True) as file:
        file.write(b"other")
    assert path.read_text() == "other"


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "m"
    path.write_text("mine")
    with pytest.raises(RuntimeError), whole_files.replacing(path, force=True) as file:
        file.write(b"half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["m"] and path.read_text() == "mine"


def test_targets_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        whole_files.check_target(tmp_path / "no" / "m")
    with pytest.raises(ValueError, match="a folder, not a file"):
        whole_files.check_target(tmp_path, force=True)


def _parquet(path, column, **options):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": column}), path, **options)


def _header(path, text):
    """A .npy file with this header."""
    np.save(path, POINTS)
    content, shape = path.read_bytes(), b"(3, 2), }"
    assert shape in content
    path.write_bytes(content.replace(shape, text))


def _records(path, records):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def _example(*values):
    import tensorflow as tf

    value = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    features = tf.train.Features(feature={"points": value})
    return tf.train.Example(features=features).SerializeToString()


BROKEN = {
    "texts.parquet": lambda path: _parquet(path, [["x"], ["y"]]),
    "truths.parquet": lambda path: _parquet(path, [[True], [False]]),
    "nested.parquet": lambda path: _parquet(path, [[[1.0]], [[2.0]]]),
    "dates.parquet": lambda path: _parquet(path, np.array(["2020-01-01", "2021-01-01"], "M8[s]")),
    "wider_later.parquet": lambda path: _parquet(path, [[1.0]] * 3 + [[1.0, 2.0]] * 3, row_group_size=3),
    "negative.npy": lambda path: _header(path, b"(-3,2), }"),
    "both_negative.npy": lambda path: _header(path, b"(-3,-2),}"),
    "open.npy": lambda path: _header(path, b"(3, 2),  "),
    "huge.npy": lambda path: _header(path, b"(9**99,)}"),
    "folder.npy": lambda path: path.mkdir(),
    "long_name.csv": lambda path: path.write_text("a" * 200_000 + ",b\n1,2\n"),
    "zeros.csv": lambda path: path.write_bytes(bytes(100)),
    "garbage.tfrecord": lambda path: _records(path, [b"\xff\xff\xff\x01"]),
    "garbage_later.tfrecord": lambda path: _records(path, [_example(1, 2)] * 3 + [b"\xff\xff\xff\x01"]),
    "wider_later.tfrecord": lambda path: _records(path, [_example(1, 2)] * 3 + [_example(1)]),
    "none.tfrecord": lambda path: _records(path, []),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_value_error_that_names_it(tmp_path, name):
    path = tmp_path / name
    BROKEN[name](path)
    reads = [files.read_points] if path.suffix == ".csv" else []
    if path.suffix in (".npy", ".parquet") and name != "wider_later.parquet":
        reads.append(files.read_points)
    if path.suffix != ".csv":
        reads.append(tfkm.KMeans(2, init="random").fit)
    for read in reads:
        with pytest.raises(ValueError, match=name) as raised:
            read(path)
        assert type(raised.value) is ValueError, raised.value


@contextmanager
def full_disk(bytes_left):
    """As if there were room for so many bytes of each file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


MODEL = tfkm.KMeans(3, random_state=0).fit(np.random.default_rng(0).random((20_000, 4)))
MANY = np.random.default_rng(1).random((200_000, 4))
WRITERS = {
    "model": lambda path: MODEL.save(path, force=True),
    "labels.npy": lambda path: MODEL.predict(MANY, out=path),
    "labels.csv": lambda path: MODEL.predict(MANY, out=path),
    "labels.parquet": lambda path: MODEL.predict(MANY, out=path),
    "labels.tfrecord": lambda path: MODEL.predict(MANY[:20_000], out=path),
    "model.tflite": lambda path: MODEL.export(path, format="tflite"),
    "saved_model": lambda path: MODEL.export(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_named_and_what_was_there_stays(tmp_path, name):
    path = tmp_path / name
    for before in (False, True):
        if before:
            WRITERS[name](path)
        kept = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
        says = (
            rf"{re.escape(str(path))}: could not be written \(.*\); what was there before is whole"
        )
        with full_disk(2000), pytest.raises(OSError, match=says):
            WRITERS[name](path)
        assert kept == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
        assert list(tmp_path.iterdir()) == [path] * before
    if name == "model":
        np.testing.assert_array_equal(tfkm.load(path).labels_, MODEL.labels_)
