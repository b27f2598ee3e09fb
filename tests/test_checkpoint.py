"""checkpoints: a fit that was killed goes on to the same bits; a foreign or damaged one is named."""

import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

import tfkm
from tfkm.seeding import draws
from tfkm.streams import checkpoint, kmeans

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
    "options", [dict(), dict(init="random"), dict(init="k-means++"), dict(n_init=1)]
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
    (dict(random_state=1), "seed"), (dict(max_iter=5), "max_iter"), (dict(tol=0.5), "tol"),
    (dict(n_init=1), "n_init"), (dict(init="random"), "init"), (dict(backend="reference"), "backend"),
])  # fmt: skip
def test_another_fit_is_refused(tmp_path, change, named):
    run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=rf"checkpoint_dir: .* of a fit with {named}"):
        run(tmp_path, **change)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_other_points_and_another_k_are_refused(tmp_path):
    run(tmp_path)
    other = POINTS.copy()
    other[-1, -1] += 1e-3
    for points, k, named in (other, K, "data"), (POINTS[:-1], K, "data"), (POINTS, K + 1, "k"):
        with pytest.raises(ValueError, match=f"of a fit with {named} "):
            tfkm.kmeans(points, k, checkpoint_dir=tmp_path, **OPTIONS)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-7], lambda b: b[:100] + b"?" + b[101:], lambda b: b""]
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


def test_what_cannot_be_written_is_said_and_nothing_lost(tmp_path, monkeypatch):
    expected = run(tmp_path / "whole")
    kept = {}

    def full(self, arrays):
        kept.update({path.name: path.read_bytes() for path in (tmp_path / "full").iterdir()})
        if len(kept) < 3:
            return save(self, arrays)
        raise OSError(28, "No space left on device")

    save = checkpoint.Checkpoints.save
    monkeypatch.setattr(checkpoint.Checkpoints, "save", full)
    with pytest.raises(OSError, match="No space"):
        run(tmp_path / "full")
    monkeypatch.setattr(checkpoint.Checkpoints, "save", save)
    same(run(tmp_path / "full"), expected)


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
