"""Long runs, by `nox -s soak`: kills at random moments, a stream larger than memory, a disk that is full.

What each found is printed; benchmarks/recorded/streams.md keeps it.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tfkm

N, D, K = 60_000, 20, 25
OPTIONS = dict(init="k-means||", n_init=2, random_state=0, max_iter=12, tol=0)

# Checkpoints after each shard, which are small, so that kills meet all moments.
_FIT = """
import sys, numpy as np, tfkm
from tfkm.seeding import draws
from tfkm.streams import kmeans
draws._CHUNK_BYTES = 2**16
kmeans._CHECKPOINT_SECONDS = 0
folder, workers = sys.argv[1], int(sys.argv[2])
if __name__ == "__main__":
    print("begun", flush=True)
    engine = tfkm.Ray(workers=workers) if workers else None
    where = dict(checkpoint_dir=folder + "/kept", engine=engine)
    result = tfkm.kmeans(folder + "/*.npy", {k}, **where, **{options})
    found = dict(centroids=result.centroids, inertia=result.inertia, n_iter=result.n_iter)
    np.savez(folder + "/out.npz", **found)
"""


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(points, module_chunks):
    return tfkm.kmeans(points, K, **OPTIONS)


@pytest.fixture(scope="module")
def module_chunks():
    from tfkm.seeding import draws

    before, draws._CHUNK_BYTES = draws._CHUNK_BYTES, 2**16
    yield
    draws._CHUNK_BYTES = before


def killed_until_done(folder, workers, moments, own):
    """Starts the same command until it ends by itself; kills it, or one of its workers, meanwhile."""
    code = _FIT.format(k=K, options=OPTIONS)
    kills = 0
    while True:
        command = [sys.executable, "-c", code, str(folder), str(workers)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout.readline() == b"begun\n"
        left = next(moments, None)
        try:
            code_of_end = process.wait(left)
            assert code_of_end == 0
            return kills
        except subprocess.TimeoutExpired:
            kills += 1
            if own or not (those := ray_workers()):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            else:
                os.kill(random.choice(those), signal.SIGKILL)
                assert process.wait(180) == 0  # the fit goes on by itself
                return kills
        finally:
            process.stdout.close()


def ray_workers():
    named = ((int(p.parent.name), p.read_bytes()) for p in Path("/proc").glob("[0-9]*/cmdline"))
    return [pid for pid, name in named if name.startswith(b"ray::_Worker")]


def check(folder, expected):
    with np.load(folder / "out.npz") as found:
        np.testing.assert_array_equal(found["centroids"], expected.centroids)
        assert float(found["inertia"]) == expected.inertia and found["n_iter"] == expected.n_iter


def prepared(folder, points):
    folder.mkdir()
    for i in range(3):
        np.save(folder / f"{i}.npy", points[i * N // 3 : (i + 1) * N // 3])
    return folder


def test_a_hundred_kills(tmp_path, points, expected):
    """Of the process itself: fits that are killed until they are done, at moments drawn at random."""
    moments = random.Random(0)
    kills = fits = 0
    began = time.time()
    while kills < 100:
        folder = prepared(tmp_path / str(fits), points)
        kills += killed_until_done(
            folder, 0, iter([moments.uniform(0, 1.5) for _ in range(4)]), True
        )
        check(folder, expected)
        fits += 1
    print(
        f"\n{fits} fits killed {kills} times, all with the same bits; {time.time() - began:.0f} s"
    )


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_kills_of_workers(tmp_path, points, expected, workers):
    pytest.importorskip("ray")
    moments = random.Random(workers)
    kills, began = 0, time.time()
    for fit in range(5):
        folder = prepared(tmp_path / str(fit), points)
        kills += killed_until_done(folder, workers, iter([moments.uniform(6, 12)]), False)
        check(folder, expected)
    print(
        f"\n{workers} workers of Ray: 5 fits, {kills} kills, the same bits; {time.time() - began:.0f} s"
    )


_LARGE = """
import resource, sys, time, numpy as np, tfkm
from tfkm.streams.blocks import Part

class Made:
    '''40 GB of points, made on the fly.'''
    name, d, dtype, weighted = "made", 128, np.dtype(np.float32), False
    rows = 40 * 2**30 // (128 * 4)
    def __init__(self):
        self.block = np.random.default_rng(0).standard_normal((8192, 128)).astype(np.float32)
    def read(self, start):
        for at in range(start - start % 8192, self.rows, 8192):
            part = self.block + np.float32(at % 7)
            yield Part(part[max(0, start - at) : self.rows - at], None)

began = time.time()
made = Made()
result = tfkm.kmeans(made, 16, init=made.block[:16], max_iter=2, tol=0)
seconds = time.time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{made.rows:,} points, 40 GB, {result.n_iter} passes: peak {peak:.2f} GB, {seconds:.0f} s")
sys.exit(0 if peak < 2 else 1)
"""


def test_forty_gigabytes_in_two():
    done = subprocess.run([sys.executable, "-c", _LARGE], stdout=subprocess.PIPE, text=True)
    print("\n" + done.stdout)
    assert done.returncode == 0


def test_a_full_disk(tmp_path, points, expected):
    """A tmpfs that has room for a few checkpoints only."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs to mount a tmpfs")
    try:
        with pytest.raises(OSError, match="No space left"):
            for _ in range(100):
                tfkm.kmeans(points, K, checkpoint_dir=folder, **OPTIONS)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        print(f"\nfull after {len(before)} checkpoints: {sorted(before)}")
        assert all(not name.startswith(".") for name in before)
        subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True)
        result = tfkm.kmeans(points, K, checkpoint_dir=folder, **OPTIONS)
        np.testing.assert_array_equal(result.centroids, expected.centroids)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
