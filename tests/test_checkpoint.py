"""checkpoints: a fit that was killed goes on to the same bits; a foreign or damaged one is named."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm.data import whole_files
from tfkm.seeding import draws
from tfkm.streams import checkpoint, kmeans
from tfkm.streams.blocks import Part

N, D, K = 3000, 5, 7
POINTS = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
OPTIONS = dict(init="k-means||", n_init=2, random_state=0, max_iter=4, tol=0)


class Killed(Exception):
    pass


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 64 * D * 4)
    monkeypatch.setattr(kmeans, "_CHECKPOINT_SECONDS", 0)


def run(folder, **options):
    return tfkm.kmeans(POINTS, K, checkpoint_dir=folder, **(OPTIONS | options))


def same(one, other):
    np.testing.assert_array_equal(one.centroids, other.centroids)
    assert one[2:] == other[2:]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(dict(), marks=pytest.mark.quick),
        dict(init="random"),
        dict(init="k-means++"),
        dict(n_init=1),
    ],
)
def test_goes_on_from_any_checkpoint(tmp_path, monkeypatch, options):
    """Killed after its first, second, third … checkpoint, each time by the one before going on."""
    expected = tfkm.kmeans(POINTS, K, **(OPTIONS | options))
    save = checkpoint.Checkpoints.save
    left = [1]

    def dying(self, arrays):
        save(self, arrays)
        left[0] -= 1
        if not left[0]:
            raise Killed

    monkeypatch.setattr(checkpoint.Checkpoints, "save", dying)
    kills = 0
    while True:
        left[0] = 1 + kills % 3
        try:
            result = run(tmp_path, **options)
            break
        except Killed:
            kills += 1
    same(result, expected)
    assert kills > 5
    assert len(list(tmp_path.iterdir())) == 2


def test_together_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr(kmeans, "_TOGETHER_BYTES", 1)
    expected = tfkm.kmeans(POINTS, K, **OPTIONS)
    test_goes_on_from_any_checkpoint(tmp_path, monkeypatch, {})
    same(run(tmp_path), expected)  # of a fit that has ended


@pytest.mark.parametrize("change, named", [
    pytest.param(dict(random_state=1), "seed", marks=pytest.mark.quick),
    (dict(max_iter=5), "max_iter"), (dict(tol=0.5), "tol"),
    (dict(n_init=1), "n_init"), (dict(init="random"), "init"), (dict(backend="reference"), "backend"),
])  # fmt: skip
def test_another_fit_is_refused(tmp_path, change, named):
    run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=rf"checkpoint_dir: .* to a fit with {named}"):
        run(tmp_path, **change)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_other_points_and_another_k_are_refused(tmp_path):
    run(tmp_path)
    other = POINTS.copy()
    other[-1, -1] += 1e-3
    for points, k, named in (other, K, "data"), (POINTS[:-1], K, "data"), (POINTS, K + 1, "k"):
        with pytest.raises(ValueError, match=f"to a fit with {named} "):
            tfkm.kmeans(points, k, checkpoint_dir=tmp_path, **OPTIONS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-7],
        pytest.param(lambda b: b[:100] + b"?" + b[101:], marks=pytest.mark.quick),
        lambda b: b"",
    ],
)
def test_a_damaged_one_is_named_and_the_one_before_it_used(tmp_path, damage):
    expected = run(tmp_path)
    newest = max(tmp_path.iterdir())
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(RuntimeWarning, match=f"{newest.name}: damaged"):
        same(run(tmp_path), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(run(tmp_path), expected)


@pytest.mark.parametrize(
    "field, change, said",
    [
        ("rng_rest", lambda a: np.array([700.0, *a[1:]]), "rng.position: it needs an integer ≥ 0"),
        ("rng_rest", lambda a: np.array([-5.0, *a[1:]]), "rng.position: it needs an integer ≥ 0"),
        ("loop/going", lambda a: a + 2, "loop/going: it needs different numbers from 0 to 1"),
        ("loop/centroids", lambda a: a[:, :, :-1], r"loop/centroids: .* of shape \(2, 7, 5\)"),
        ("part/high/sums", lambda a: a + 1e300, "part/high/sums: it needs no more than the points"),
        ("part/shards", lambda a: a + 99, "part/shards: it needs an integer ≥ 1 and ≤ 2"),
    ],
)
def test_a_field_that_no_fit_leaves_is_named(tmp_path, monkeypatch, field, change, said):
    """Though its checksum is right."""
    save = checkpoint.Checkpoints.save

    def dying(self, arrays):
        wrong = {n: change(a) if n.endswith(field) else a for n, a in arrays.items()}
        save(self, wrong)
        if "part/shards" in arrays:
            raise Killed

    monkeypatch.setattr(checkpoint.Checkpoints, "save", dying)
    with pytest.raises(Killed):
        run(tmp_path)
    with pytest.raises(ValueError, match=f"checkpoint_dir: .*tfkm: .*{said}"):
        run(tmp_path)


def test_points_in_bfloat16(tmp_path, monkeypatch):
    """Which .npy has no dtype for; killed when rows that were drawn have been noted."""
    points = tf.cast(POINTS, tf.bfloat16).numpy()
    expected = tfkm.kmeans(points, K, **OPTIONS)
    save = checkpoint.Checkpoints.save

    def dying(self, arrays):
        save(self, arrays)
        assert any(name.endswith("/rows") for name in arrays)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.Checkpoints, "save", dying)
        with pytest.raises(Killed):
            tfkm.kmeans(points, K, checkpoint_dir=tmp_path, **OPTIONS)
    same(tfkm.kmeans(points, K, checkpoint_dir=tmp_path, **OPTIONS), expected)


def test_two_damaged_ones_begin_anew_and_say_so(tmp_path):
    expected = run(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    passes = []
    with pytest.warns(RuntimeWarning) as said:
        same(run(tmp_path, on_pass=passes.append), expected)
    assert [str(one.message).rpartition("); ")[2] for one in said] == [
        "the one before it is used", "there is none before it, so the fit starts again",
    ]  # fmt: skip
    assert passes[0].iteration == 1


def test_what_a_killed_writer_left_is_removed(tmp_path):
    number = threading.get_native_id()
    left = [f".checkpoint-00000001.tfkm.{pid}.tmp" for pid in (number, number + 1)]
    for name in left:
        (tmp_path / name).write_bytes(b"half")
    run(tmp_path)
    assert not any((tmp_path / name).exists() for name in left)
    # Of any other file, one of the same number is in nobody's way.
    (tmp_path / f".labels.npy.{number}.tmp").write_bytes(b"half")
    with whole_files.replacing(tmp_path / "labels.npy") as file:
        file.write(b"whole")
    assert (tmp_path / "labels.npy").read_bytes() == b"whole"
    assert not list(tmp_path.glob(".*"))


def test_numbers_of_numpy(tmp_path):
    more = dict(max_iter=np.int64(4), tol=np.float32(0), n_init=np.int32(2))
    same(tfkm.kmeans(POINTS, np.int64(K), checkpoint_dir=tmp_path, **OPTIONS | more), run(tmp_path))


def test_another_version_width_or_dtype_is_refused(tmp_path, monkeypatch):
    run(tmp_path)
    for points in POINTS.astype(np.float64), POINTS[:, :4]:
        with pytest.raises(ValueError, match="checkpoint_dir: .* to a fit with data"):
            tfkm.kmeans(points, K, checkpoint_dir=tmp_path, **OPTIONS)
    data = kmeans._data
    for name, value in ("d", D + 1), ("dtype", "float64"):  # should bytes be the same
        other = lambda *a, name=name, value=value: data(*a) | {name: value}  # noqa: E731
        monkeypatch.setattr(kmeans, "_data", other)
        with pytest.raises(ValueError, match=f"to a fit with {name} "):
            run(tmp_path)
    monkeypatch.setattr(kmeans, "_data", data)
    monkeypatch.setattr("tfkm.streams.kmeans.__version__", "99.0")
    with pytest.raises(ValueError, match="to a fit with version .*; this one has '99.0'"):
        run(tmp_path)


def test_what_cannot_be_written_is_said_and_nothing_lost(tmp_path):
    expected = run(tmp_path / "whole")
    most = 1 + sorted(len(path.read_bytes()) for path in (tmp_path / "whole").iterdir())[0] // 2
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (most, before[1])
    )  # what is written of a file ends there
    try:
        with pytest.raises(
            OSError, match=r"written \(File too large\); what was there before is whole"
        ):
            run(tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert all(path.suffix == ".tfkm" for path in (tmp_path / "full").iterdir())  # no half ones
    same(run(tmp_path / "full"), expected)


def test_a_reader_that_raises_in_the_middle(tmp_path):
    """In the third pass; the same call with a reader that works goes on after the second."""
    expected = run(tmp_path / "whole", init="random", n_init=1)
    source, broken, passes = Slow(), [], []

    def break_it(done):
        broken.append(done)
        source.fails = done.iteration == 2

    call = dict(checkpoint_dir=tmp_path / "kept", **(OPTIONS | dict(init="random", n_init=1)))
    with pytest.raises(RuntimeError, match="the disk is gone"):
        tfkm.kmeans(source, K, on_pass=break_it, **call)
    assert len(broken) == 2
    same(
        tfkm.kmeans(Slow(), K, on_pass=lambda done: passes.append(done.iteration), **call), expected
    )
    assert passes == [3, 4]


class Slow:
    """A reader of a millisecond for 50 points, whose fits have the same bits; it may fail."""

    name, d, dtype, weighted, rows, fails = "slow", D, POINTS.dtype, False, N, False

    def read(self, start):
        for at in range(start, N, 50):
            time.sleep(0.001)
            if self.fails and at > N // 2:
                raise RuntimeError("the disk is gone")
            yield Part(POINTS[at : at + 50], None)


_PROCESS = """
import sys, numpy as np, tfkm
from tfkm.streams import kmeans
kmeans._CHECKPOINT_SECONDS = 0
print("begun", flush=True)
points = np.load(sys.argv[1])
result = tfkm.kmeans(points, 20, checkpoint_dir=sys.argv[2], init="random", n_init=3, random_state=0, tol=0)
np.savez(sys.argv[3], centroids=result.centroids, inertia=result.inertia, n_iter=result.n_iter)
"""


def test_killed_processes_end_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.undo()  # whose chunks the processes do not have
    points = np.random.default_rng(1).standard_normal((40_000, 30)).astype(np.float32)
    np.save(tmp_path / "points.npy", points)
    expected = tfkm.kmeans(points, 20, init="random", n_init=3, random_state=0, tol=0)
    command = [
        sys.executable,
        "-c",
        _PROCESS,
        *(str(tmp_path / n) for n in ("points.npy", "kept", "out.npz")),
    ]
    for seconds in 0.15, 0.4, None:
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"begun\n"
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["centroids"], expected.centroids)
        assert float(found["inertia"]) == expected.inertia and found["n_iter"] == expected.n_iter
