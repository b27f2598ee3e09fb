"""The command line: what it writes, what it says, and how it exits."""

import os
import subprocess
import sys

import numpy as np
import pytest

import tfkm
from tfkm import __main__, cli, seeding

POINTS = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
POINTS[100:] += 20


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with x.npy in it."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", POINTS)
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys):
    """run("fit x.npy -k 2") -> exit code, stdout, stderr; through `main`, as the console script."""

    def run(line):
        monkeypatch.setattr(sys, "argv", ["tfkm", *line.split()])
        with pytest.raises(SystemExit) as exited:
            __main__.main()
        out, err = capsys.readouterr()
        return exited.value.code or 0, out, err

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.quick
def test_fit_writes_the_result_of_kmeans(run, folder):
    code, out, err = run("fit x.npy -k 2 --seed 3 --n-init 2 --tol 0 --init random")
    assert (code, err) == (0, "")
    model = tfkm.load("x.tfkm.npz")
    expected = tfkm.kmeans(POINTS, 2, random_state=3, n_init=2, tol=0, init="random")
    np.testing.assert_array_equal(model.cluster_centers_, expected.centroids)
    assert (model.inertia_, model.n_iter_) == (expected.inertia, expected.n_iter)
    parameters = dict(n_clusters=2, init="random", n_init=2, tol=0, random_state=3)
    assert parameters.items() <= model.get_params().items()
    assert names(folder) == ["x.npy", "x.tfkm.npz"]
    for words in ("200 × 3 float32 from x.npy", "from 100 to 100, median 100", "x.tfkm.npz"):
        assert words in out
    assert expected.status.value in out and f"{expected.inertia:.9g}" in out


def test_init_offers_every_name(run, folder):
    _, out, _ = run("fit --help")
    assert "[" + "|".join(seeding.NAMES) + "]" in "".join(out.split())
    for name in seeding.NAMES:
        assert run(f"fit x.npy -k 5 --force --init {name}")[0] == 0
        expected = tfkm.kmeans(POINTS, 5, random_state=0, init=name)
        centers = tfkm.load("x.tfkm.npz").cluster_centers_
        np.testing.assert_array_equal(centers, expected.centroids)


def test_max_iter_and_backend_arrive(run, folder):
    code, out, _ = run("fit x.npy -k 9 --max-iter 1 --backend reference")
    assert code == 0 and tfkm.load("x.tfkm.npz").n_iter_ == 1
    assert "backend   reference" in out and tfkm.Status.MAX_ITER.value in out


@pytest.mark.quick
def test_predict_writes_the_labels_of_assign(run, folder):
    assert run("fit x.npy -k 5")[0] == 0
    code, out, err = run("predict x.tfkm.npz x.npy")
    labels = np.load("x.labels.npy")
    assert (code, err) == (0, "") and "x.labels.npy" in out
    assert labels.dtype == np.int32
    expected = tfkm.assign(POINTS, tfkm.load("x.tfkm.npz").cluster_centers_).labels
    np.testing.assert_array_equal(labels, expected)


def test_out_and_array_names(run, folder):
    np.savez("two.npz", a=POINTS, b=POINTS + 1)
    assert run("fit two.npz -k 2 --array b -o model")[0] == 0
    assert run("predict model two.npz --array a -o labels")[0] == 0
    assert names(folder) == ["labels", "model", "two.npz", "x.npy"]
    np.testing.assert_allclose(
        tfkm.load("model").cluster_centers_.mean(axis=0), (POINTS + 1).mean(axis=0), rtol=1e-4
    )


def test_a_table_with_ids(run, folder):
    """Semicolons, a header of numbers and names of the points, to labels beside these names."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(POINTS.astype(float))
    frame.insert(0, "who", [f"p{i}" for i in range(200)])
    frame.to_csv("x.csv", index=False, sep=";")
    code, out, err = run("fit x.csv -k 2")
    assert (code, out) == (1, "") and "--delimiter ';'" in err
    reading = "--delimiter ; --id-column who --columns 0,2 --header"
    code, out, _ = run(f"fit x.csv -k 2 {reading} --force")
    assert code == 0 and "200 × 2 float64 from x.csv" in out
    assert run(f"predict x.tfkm.npz x.csv {reading}")[0] == 0
    found = pandas.read_csv("x.labels.csv")
    assert found.columns.tolist() == ["who", "label"] and found.who.tolist() == frame.who.tolist()
    assert run(f"predict x.tfkm.npz x.csv {reading} -o l.npy")[0] == 0
    np.testing.assert_array_equal(np.load("l.npy"), found.label)
    assert run(f"predict x.tfkm.npz x.csv {reading} -o l.parquet")[0] == 0
    pandas.testing.assert_frame_equal(pandas.read_parquet("l.parquet"), found, check_dtype=False)


def test_which_line_of_a_table_is_the_first_point(run, folder):
    pytest.importorskip("pyarrow")
    (folder / "x.csv").write_text("1,2\n3,4\n5,7\n")
    for option, n in (("", 3), ("--no-header", 3), ("--header", 2)):
        assert f"{n} × 2" in run(f"fit x.csv -k 1 --force {option}")[1]


@pytest.mark.quick
def test_nothing_is_overwritten_unless_forced(run, folder):
    (folder / "x.tfkm.npz").write_text("mine")
    code, out, err = run("fit x.npy -k 2")
    assert (code, out) == (1, "") and "--force" in err
    assert (folder / "x.tfkm.npz").read_text() == "mine"
    assert run("fit x.npy -k 2 --force")[0] == 0
    (folder / "x.labels.npy").write_text("mine")
    assert run("predict x.tfkm.npz x.npy")[0] == 1
    assert run("predict x.tfkm.npz x.npy --force")[0] == 0


def test_predict_takes_what_an_estimator_saved(run, folder):
    model = tfkm.KMeans(4, metric="cosine", random_state=0).fit(POINTS)
    model.save("cosine.npz")
    assert run("predict cosine.npz x.npy")[0] == 0
    np.testing.assert_array_equal(np.load("x.labels.npy"), model.labels_)


@pytest.mark.parametrize(
    "line, words",
    [
        ("fit nothing.npy -k 2", "nothing.npy: there is no such file"),
        ("fit x.npy -k 201", "n_clusters: 201 is more than the 200 points"),
        ("fit nan.npy -k 2", "points"),
        ("fit x.npy -k 2 -o no/folder", "no folder"),
        ("fit x.npy -k 2 --backend abacus", "'abacus'"),
        ("fit x.npy -k 2 --tol nan", "tol: nan"),
        ("predict x.npy x.npy", "x.npy: not a tfkm model"),
        ("predict model wide.npy", "wide.npy: its points have 4 features; the model model is of 3"),
        ("predict model nan.npy", "nan.npy: "),
        ("predict model x.npy --backend abacus", "'abacus'"),
    ],
)
@pytest.mark.quick
def test_failures_are_one_line_and_write_nothing(run, folder, line, words):
    np.save("wide.npy", np.zeros((5, 4)))
    np.save("nan.npy", np.where(POINTS > 21, np.nan, POINTS))
    tfkm.KMeans(2, max_iter=1, random_state=0).fit(POINTS[90:110]).save(folder / "model")
    before = names(folder)
    code, out, err = run(line)
    assert (code, out) == (1, "")
    assert err.startswith("tfkm: error: ") and words in err and err.count("\n") == 1
    assert names(folder) == before


@pytest.mark.parametrize(
    "line",
    [
        "fit x.npy",
        "fit x.npy -k 0",
        "fit -k 2",
        "fit x.npy -k 2 --init best",
        "predict x.npy",
        "no",
    ],
)
@pytest.mark.quick
def test_wrong_usage_exits_2(run, folder, line):
    code, _, err = run(line)
    assert code == 2 and err.startswith("Usage: tfkm") and "Error" in err
    assert names(folder) == ["x.npy"]


def test_help_and_version(run):
    code, out, _ = run("--help")
    assert code == 0 and all(name in out for name in ("fit", "predict", "backends"))
    assert run("--version") == (0, f"tfkm {tfkm.__version__}\n", "")


def test_backends_lists_all(run):
    code, out, _ = run("backends")
    assert code == 0
    about, listed, how = out.split("\n\n")
    assert about == "A backend computes the distances. All give the same labels."
    assert "--backend NAME" in how
    names = [line.split()[0] for line in listed.splitlines() if line[0] != " "]
    assert names == list(tfkm.backends())
    assert listed.count(" is the default: ") == 1 and "native     is the default: C++" in listed
    assert "cuda       cannot be used: TensorFlow shows no GPU." in out or "cuda       can" in out


def test_the_default_that_is_listed_is_what_a_fit_takes(run, monkeypatch):
    """Arrays are computed on the processor where there is a GPU, too, which is listed first."""
    states = tfkm.backends()
    on_gpu = {name: states[name] for name in ("xla", "native")}
    monkeypatch.setattr(tfkm, "backends", lambda: on_gpu)
    assert "native  is the default: " in run("backends")[1]


def test_an_unusable_backend_is_listed_with_its_reason(run, monkeypatch):
    state = type(tfkm.backends()["xla"])(False, "no such instruction")
    monkeypatch.setattr(tfkm, "backends", lambda: {"fast": state})
    assert "\nfast  cannot be used: no such instruction.\n" in run("backends")[1]


def test_interrupt_exits_130_and_leaves_nothing(run, folder, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(tfkm, "kmeans", interrupted)
    code, out, err = run("fit x.npy -k 2")
    assert (code, out, err.strip()) == (130, "", "tfkm: interrupted")
    assert names(folder) == ["x.npy"]


def test_a_bug_keeps_its_traceback(run, folder, monkeypatch):
    monkeypatch.setattr(tfkm, "kmeans", lambda *args, **kwargs: {}["bug"])
    monkeypatch.setattr(sys, "argv", ["tfkm", "fit", "x.npy", "-k", "2"])
    with pytest.raises(KeyError):
        __main__.main()


def test_the_bar_is_shown_on_a_terminal_only(run, folder, monkeypatch):
    assert run("fit x.npy -k 5")[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = run("fit x.npy -k 5 --force")[2]
    assert "scan" in shown and "seeding" in shown and "pass 1" in shown
    assert shown.endswith("\r")  # nothing of it is left


@pytest.mark.parametrize("command", ["backends", "fit x.npy -k 2 --backend reference --force"])
def test_tensorflow_says_nothing_where_it_is_used(folder, command):
    done = subprocess.run(
        [sys.executable, "-m", "tfkm", *command.split()],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_what_tensorflow_logs_while_importing_is_told_only_on_failure(capfd):
    with cli._stderr_held_back():
        os.write(2, b"noise\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), cli._stderr_held_back():
        os.write(2, b"the reason\n")
        raise ImportError
    assert capfd.readouterr().err == "the reason\n"


def python_m_tfkm(*arguments, **options):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "tfkm", *map(str, arguments)]
    return subprocess.run(
        command, stderr=subprocess.PIPE, env=environment, text=True, timeout=120, **options
    )


@pytest.mark.parametrize("command", ["fit x.npy -k 2", "fit x.npy -k 2 --backend xla", "backends"])
def test_as_a_process_stderr_holds_nothing_of_tensorflow(tmp_path, command):
    np.save(tmp_path / "x.npy", POINTS)
    done = python_m_tfkm(*command.split(), stdout=subprocess.PIPE, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout


def test_a_reader_that_went_away():
    reader, writer = os.pipe()
    os.close(reader)
    done = python_m_tfkm("--help", stdout=writer)
    os.close(writer)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
