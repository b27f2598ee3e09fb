"""Long runs, by `nox -s soak`: kills at random moments, a stream larger than memory, a disk that is full.

What each found is printed; benchmarks/recorded/streams.md keeps it.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tfkm
from tfkm.supervise import supervise

N, D, K = 60_000, 20, 25
OPTIONS = dict(init="k-means||", n_init=2, random_state=0, max_iter=12, tol=0)

# Checkpoints after each shard, which are small, so that kills meet all moments.
_SMALL = """
import faulthandler, json, os, random, signal, socket, sys, threading, time
from pathlib import Path
import numpy as np, tensorflow as tf, tfkm
from tfkm.seeding import draws
from tfkm.streams import kmeans
draws._CHUNK_BYTES = 2**16
kmeans._CHECKPOINT_SECONDS = 0
folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])

def fit(where, **more):
    result = tfkm.kmeans(str(folder / "*.npy"), **options, **more)
    found = dict(centroids=result.centroids, inertia=result.inertia, n_iter=result.n_iter)
    np.savez(where, **found)
    return result.n_iter
"""

_ALONE = """
print("begun", flush=True)
fit(folder / "out.npz", checkpoint_dir=folder / "kept")
"""

# One cluster of Ray for all fits; in each a worker is killed at a moment of the fit drawn at random.
_RAY = """
import ray
runs, draw = int(sys.argv[3]), random.Random(0)
quiet = dict(include_dashboard=False, log_to_driver=False)
ray.init(num_cpus=4, runtime_env={"env_vars": {"TF_CPP_MIN_LOG_LEVEL": "3"}}, **quiet)

def workers():
    named = ((int(p.parent.name), p.read_bytes()) for p in Path("/proc").glob("[0-9]*/cmdline"))
    return [pid for pid, name in named if name.startswith(b"ray::_Worker")]

def kill(moment, killed, ended):
    time.sleep(moment)
    while not ended.is_set():
        try:
            if those := workers():
                killed.append(draw.choice(those))
                os.kill(killed[0], signal.SIGKILL)
                return
        except (FileNotFoundError, ProcessLookupError):  # gone while we looked
            pass
        time.sleep(0.01)

lengths, times, kills = {}, {}, 0
for run in range(-4, runs):  # the first four are not killed, to learn how long they take
    count = 1 + run % 4
    while workers():
        time.sleep(0.05)
    faulthandler.dump_traceback_later(180, exit=True)  # a fit that hangs fails
    passes, killed, ended = [], [], threading.Event()
    if run >= 0:
        moment = draw.uniform(0, lengths[count])
        killer = threading.Thread(target=kill, args=(moment, killed, ended))
        killer.start()
    began = time.monotonic()
    on_pass = lambda done: passes.append(done.iteration)
    n_iter = fit(folder / "now.npz", engine=tfkm.Ray(workers=count), on_pass=on_pass)
    seconds = time.monotonic() - began
    if run >= 0:
        ended.set()
        killer.join()
    else:
        lengths[count] = seconds
    assert passes == list(range(1, n_iter + 1)), passes  # each pass once
    kills += len(killed)
    if killed:
        times.setdefault(count, []).append(seconds)
    os.replace(folder / "now.npz", folder / f"out-{run + 4}.npz")
for count, length in lengths.items():
    one = f"{count} workers of Ray: {length:.1f} s alone, killed {len(times[count])} times"
    print(f"{one}: median {np.median(times[count]):.1f} s, most {max(times[count]):.1f} s")
print(f"{runs} fits, {kills} kills")
"""

# Processes are forked after the imports, which take longest, and before TensorFlow has begun anything.
_CLUSTER = """
runs, draw = int(sys.argv[3]), random.Random(0)

def work(rank, addresses, ready, kept):
    task = {"type": "worker", "index": rank}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    os.write(ready, b".")
    log = open(kept / "passes", "a") if rank == 0 else None
    on_pass = lambda done: log and print(done.iteration, file=log, flush=True)
    try:
        engine = tfkm.MultiWorker(strategy)
        fit(kept / f"out{rank}.npz", engine=engine, checkpoint_dir=kept / "kept", on_pass=on_pass)
    except RuntimeError as error:
        (kept / f"said{rank}").write_text(str(error))
        os._exit(3)
    sys.exit()

def start(count, kept):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    read, write = os.pipe()
    pids = []
    for rank in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(read)
            work(rank, addresses, write, kept)
        pids.append(pid)
    os.close(write)
    for _ in pids:
        os.read(read, 1)
    os.close(read)
    return pids

def ended(pids, until):
    codes = {}
    while len(codes) < len(pids):
        for pid in set(pids) - set(codes):
            if os.waitpid(pid, os.WNOHANG)[0]:
                codes[pid] = time.monotonic()
        if time.monotonic() > until:
            for pid in set(pids) - set(codes):
                os.kill(pid, signal.SIGKILL)
            raise SystemExit(f"{len(pids) - len(codes)} of {len(pids)} hang")
        time.sleep(0.005)
    return max(codes.values())

lengths, waits, kills, others = {}, [], 0, 0
for run in range(-4, runs):
    kept = folder / f"run{run + 4}"
    kept.mkdir()
    count, wanted, last = 1 + run % 4, 0 if run < 0 else draw.choice([1, 1, 2]), 0
    while True:
        pids = start(count, kept)
        began = time.monotonic()
        if not wanted:
            took = ended(pids, began + 60) - began
            lengths.setdefault(count, took)
        else:
            wanted -= 1
            time.sleep(draw.uniform(0, lengths[count]))
            victim = draw.randrange(count)
            os.kill(pids[victim], signal.SIGKILL)
            moment = time.monotonic()
            waits.append(ended(pids, moment + 30) - moment)
            kills += 1
            for rank in set(range(count)) - {victim}:
                said = kept / f"said{rank}"
                if said.exists():  # else it was done already
                    assert f"worker {victim} (" in said.read_text(), said.read_text()
                    said.unlink()
                    others += 1
        log = kept / "passes"
        passes = list(map(int, log.read_text().split())) if log.exists() else []
        # A pass is told of before it is noted; one that was noted is not made again.
        assert all(b in (a, a + 1) for a, b in zip(passes, passes[1:])), passes
        if (kept / "out0.npz").exists() and not wanted:
            break
        count = draw.randint(1, 4)
    os.replace(kept / "out0.npz", folder / f"out-{run + 4}.npz")
for count, length in sorted(lengths.items()):
    print(f"{count} processes of tf.distribute: {length:.1f} s alone")
print(f"{runs} fits, {kills} kills; {others} survivors, all named who was lost; the last one ended at most "
      f"{max(waits):.2f} s after the kill, median {np.median(waits):.2f} s")
"""

_SUPERVISED = """
strategy = tf.distribute.MultiWorkerMirroredStrategy()
rank = strategy.cluster_resolver.task_id
engine = tfkm.MultiWorker(strategy)
fit(folder / f"out{rank}.npz", engine=engine, checkpoint_dir=folder / "kept")
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


def command(code, folder, *arguments, **changes):
    options = json.dumps({"n_clusters": K, **OPTIONS, **changes})
    return [sys.executable, "-c", _SMALL + code, str(folder), options, *arguments]


def killed_until_done(folder, moments):
    """Starts the same command until it ends by itself; kills it meanwhile."""
    kills = 0
    while True:
        process = subprocess.Popen(command(_ALONE, folder), stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"begun\n"
        try:
            assert process.wait(next(moments, None)) == 0
            return kills
        except subprocess.TimeoutExpired:
            kills += 1
            process.kill()
            process.wait()
        finally:
            process.stdout.close()


def check(path, expected):
    with np.load(path) as found:
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
        kills += killed_until_done(folder, iter([moments.uniform(0, 1.5) for _ in range(4)]))
        check(folder / "out.npz", expected)
        fits += 1
    print(
        f"\n{fits} fits killed {kills} times, all with the same bits; {time.time() - began:.0f} s"
    )


@pytest.mark.parametrize("engine, runs", [("Ray", 52), ("tf.distribute", 52)])
def test_kills_of_workers(tmp_path, points, engine, runs, module_chunks):
    """1, 2, 3 and 4 workers in turn, of which one is killed; what each run gave is compared here."""
    if engine == "Ray":
        pytest.importorskip("ray")
    expected = tfkm.kmeans(points, K, **OPTIONS | {"n_init": 1})
    folder = prepared(tmp_path / "points", points)
    code, began = _RAY if engine == "Ray" else _CLUSTER, time.time()
    call = command(code, folder, str(runs), n_init=1)
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True)
    print(f"\n{done.stdout}{time.time() - began:.0f} s")
    assert done.returncode == 0
    outs = list(folder.glob("out-*.npz"))
    assert len(outs) == runs + 4
    for out in outs:
        check(out, expected)


def test_a_supervisor(tmp_path, points, expected):
    """Workers killed at any moment, that of their start among them; the supervisor starts all anew."""
    moments, kills, began = random.Random(0), 0, time.time()
    for run in range(8):
        folder = prepared(tmp_path / str(run), points)
        count, lives = 1 + run % 4, []

        def work(folder=folder, count=count, lives=lives):
            lives.append(supervise(command(_SUPERVISED, folder), count, restarts=2))

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(2):
            thread.join(moments.uniform(1, 20))
            those = [
                int(path.parent.name)
                for path in Path("/proc").glob("[0-9]*/cmdline")
                if str(folder).encode() in path.read_bytes()
            ]
            if thread.is_alive() and those:
                os.kill(moments.choice(those), signal.SIGKILL)
                kills += 1
        thread.join(240)
        assert lives == [0]
        for rank in range(count):
            check(folder / f"out{rank}.npz", expected)
    print(
        f"\n8 fits under the supervisor, {kills} kills, the same bits; {time.time() - began:.0f} s"
    )


# In a process that the system lets have 2 GB of memory: 40 GB made on the fly, or in a file that is sparse.
_LARGE = """
import resource, sys, time, numpy as np, tfkm
from tfkm.streams.blocks import Part
resource.setrlimit(resource.RLIMIT_DATA, (2 * 2**30, 2 * 2**30))

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

points, began = Made(), time.time()
if len(sys.argv) > 1:
    shape = (Made.rows, Made.d)
    file = np.lib.format.open_memmap(sys.argv[1], mode="w+", dtype=Made.dtype, shape=shape)
    for at in range(0, Made.rows, Made.rows // 64):  # the rest is a hole, and is read as zeros
        file[at : at + 8192] = points.block[: len(file[at : at + 8192])] + at // 2**20
    file.flush()
    del file
    points = sys.argv[1]
result = tfkm.kmeans(points, 16, init="k-means||", random_state=0, max_iter=2, tol=0)
seconds = time.time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{Made.rows:,} points, 40 GB, {result.n_iter} passes: peak {peak:.2f} GB, {seconds:.0f} s")
sys.exit(0 if peak < 2 else 1)
"""


@pytest.mark.parametrize("kind", ["made", "sparse file"])
def test_forty_gigabytes_in_two(tmp_path, kind):
    path = [] if kind == "made" else [str(tmp_path / "sparse.npy")]
    done = subprocess.run([sys.executable, "-c", _LARGE, *path], stdout=subprocess.PIPE, text=True)
    print(f"\n{kind}: {done.stdout}")
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
