"""engines.MultiWorker and supervise: processes of tf.distribute agree, and none waits for a lost one."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm import supervise
from tfkm.engines import multi_worker
from tfkm.seeding import draws

N, D, K = 20_000, 8, 7
POINTS = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


_PROCESS = """
import json, os, sys
folder, rank = sys.argv[1], json.loads(os.environ["TF_CONFIG"])["task"]["index"]
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import time
import numpy as np, tfkm
from tfkm.seeding import draws
draws._CHUNK_BYTES = 64 * 8 * 4

def slowly(done):
    print(done.iteration, flush=True)
    time.sleep(0.2)

    if done.iteration == 3 and os.environ.get("DIES") == str(rank) and not os.path.exists(folder + "/died"):
        open(folder + "/died", "w").close()
        os.kill(os.getpid(), 9)

try:
    result = tfkm.kmeans(
        folder + "/*.npy", 7, engine=tfkm.MultiWorker(strategy), checkpoint_dir=folder + "/kept",
        init="k-means||", random_state=0, max_iter=9, tol=0, on_pass=slowly,
    )
    np.savez(folder + f"/out{rank}.npz", centroids=result.centroids, inertia=result.inertia)
except RuntimeError as error:
    print(error, flush=True)
    os._exit(3)  # TensorFlow's own end would wait for the lost one
"""


def started(folder, count, code=_PROCESS):
    """The last one first, and the first one a second later."""
    addresses = supervise._free_addresses(count)
    command, processes = [sys.executable, "-c", code, str(folder)], []
    for rank in reversed(range(count)):
        task = {"type": "worker", "index": rank}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        environment = {**os.environ, "TF_CONFIG": config}
        processes.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        )
        time.sleep(1)
    return processes[::-1]


def test_processes_of_tf_distribute(tmp_path, monkeypatch):
    """One of two is killed; the other says so and ends; one alone goes on, and ends with the same bits."""
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 64 * D * 4)
    expected = tfkm.kmeans(POINTS, K, init="k-means||", random_state=0, max_iter=9, tol=0)
    np.save(tmp_path / "a.npy", POINTS[:7000])
    np.save(tmp_path / "b.npy", POINTS[7000:])
    first, second = started(tmp_path, 2)
    while second.stdout.readline() != "3\n":
        assert second.poll() is None
    second.kill()
    said, _ = first.communicate(timeout=90)
    assert first.returncode == 3 and "a process of the 2 was lost: worker 1 (127.0.0.1:" in said
    second.communicate()

    (alone,) = started(tmp_path, 1)
    said, _ = alone.communicate(timeout=90)
    passes = [int(line) for line in said.split()]
    assert alone.returncode == 0 and passes[0] > 2 and passes[-1] == 9  # it did not begin anew
    with np.load(tmp_path / "out0.npz") as found:
        np.testing.assert_array_equal(found["centroids"], expected.centroids)
        assert float(found["inertia"]) == expected.inertia


@pytest.mark.full
def test_a_process_that_is_silent_is_named(tmp_path):
    """It is there and takes connections, but does nothing; as one whose machine swaps."""
    np.save(tmp_path / "a.npy", POINTS)
    first, second = started(tmp_path, 2)
    while second.stdout.readline() != "3\n":
        assert second.poll() is None
    second.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    said, _ = first.communicate(timeout=90)
    took = time.monotonic() - began
    second.kill()
    second.communicate()
    assert first.returncode == 3 and "/task:1" in said, said
    assert took < 45  # some 10 s on an idle machine


def test_all_that_are_lost_are_named_and_asked_at_once(monkeypatch):
    """By those who do not answer; where all do, by all that TensorFlow names."""
    some = SimpleNamespace(_others={f"worker {i} (host:{i})": f"host:{i}" for i in range(1, 5)})
    said = "Two are gone:\n  /task:1 by its heartbeat\n  /task:3 too\nMore."
    lost = tf.errors.UnavailableError(None, None, said)

    def answers(address):
        time.sleep(0.5)
        return address not in gone

    monkeypatch.setattr(multi_worker, "_answers", answers)
    began, gone = time.monotonic(), {"host:2", "host:4"}
    named = multi_worker._Processes._lost(some, lost)
    assert named == "worker 2 (host:2), worker 4 (host:4)" and time.monotonic() - began < 1.5
    gone = set()
    assert multi_worker._Processes._lost(some, lost) == "/task:1 by its heartbeat; /task:3 too"


_AGREE = """
import faulthandler, json, os, sys
faulthandler.dump_traceback_later(300, exit=True)  # where it hangs, if it does
folder, rank = sys.argv[1], json.loads(os.environ["TF_CONFIG"])["task"]["index"]
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import numpy as np, tfkm
from tfkm.seeding import draws
draws._CHUNK_BYTES = 256 * 8 * 4
passes = []

class Odd(Exception):  # which cannot be unpickled
    def __init__(self, one, other):
        super().__init__("odd")

def fit(name="a.npy", on_pass=None, **more):
    options = dict(init="k-means||", n_init=1, max_iter=6, tol=0) | more
    return tfkm.kmeans(f"{folder}/{name}", 7, engine=tfkm.MultiWorker(strategy), on_pass=on_pass, **options)

def says(error, words, **more):
    try:
        fit(**more)
    except error as found:
        assert words in str(found), found
    else:
        raise AssertionError(words)

def odd(done):
    if rank == 1:
        raise Odd(1, 2)

def third(done):
    passes.append(done.iteration)
    if done.iteration == 3 and len(passes) == 3:
        raise KeyError("stop")

np.random.seed(rank)  # and no random_state
result = fit(on_pass=lambda done: rank == 1 and done.iteration == 4)
found = dict(centroids=result.centroids, n_iter=result.n_iter, status=result.status.name)
np.savez(f"{folder}/out{rank}.npz", **found)
says(RuntimeError, "Odd('odd')", on_pass=odd)
says(ValueError, "5000", name="bad.npy")
says(ValueError, "'k-means||'", init="k-means++")
kept = dict(on_pass=third, random_state=0, checkpoint_dir=f"{folder}/kept{rank}")
says(KeyError, "stop", **kept)
fit(**kept)
assert passes == [1, 2, 3, 3, 4, 5, 6], passes
"""


def test_processes_agree(tmp_path, monkeypatch):
    """On the seed where none is given, on a stop, an exception or a checkpoint of one of them."""
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 256 * D * 4)
    bad = POINTS.copy()
    bad[5000, 5] = np.nan  # in the second shard, which the second process reads
    np.save(tmp_path / "a.npy", POINTS)
    np.save(tmp_path / "bad.npy", bad)
    processes = started(tmp_path, 2, _AGREE)
    for process in processes:
        process.communicate(timeout=400)
    assert [process.returncode for process in processes] == [0, 0]
    random = np.random.RandomState(0)
    expected = tfkm.kmeans(POINTS, K, init="k-means||", random_state=random, max_iter=4, tol=0)
    for rank in range(2):
        with np.load(tmp_path / f"out{rank}.npz") as found:
            np.testing.assert_array_equal(found["centroids"], expected.centroids)
            assert found["n_iter"] == 4 and found["status"] == "STOPPED"
    assert (tmp_path / "kept0").is_dir() and not (tmp_path / "kept1").exists()


@pytest.mark.full
def test_a_supervisor_starts_all_anew(tmp_path, monkeypatch):
    """The second of two kills itself after its third pass; the fit ends all the same."""
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 64 * D * 4)
    expected = tfkm.kmeans(POINTS, K, init="k-means||", random_state=0, max_iter=9, tol=0)
    np.save(tmp_path / "a.npy", POINTS)
    monkeypatch.setenv("DIES", "1")
    (tmp_path / "fit.py").write_text(_PROCESS)
    script = [sys.executable, "-m", "tfkm.supervise", "-n", "2", "--restarts", "1"]
    done = subprocess.run(
        [*script, str(tmp_path / "fit.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "killed by signal 9; 1 restarts are left" in done.stderr
    for rank in range(2):
        with np.load(tmp_path / f"out{rank}.npz") as found:
            np.testing.assert_array_equal(found["centroids"], expected.centroids)
            assert float(found["inertia"]) == expected.inertia


_COUNTS = """
import json, os, sys, time
config = json.loads(os.environ["TF_CONFIG"])
index, count = config["task"]["index"], len(set(config["cluster"]["worker"]))
with open(sys.argv[1], "a") as file:
    file.write(f"{index} of {count}\\n")
if index == 1:
    sys.exit(7)
time.sleep(600)  # as one that waits for a lost one
"""


def test_a_supervisor_gives_up(tmp_path):
    log = tmp_path / "log"
    began = time.monotonic()
    assert supervise.supervise([sys.executable, "-c", _COUNTS, str(log)], 2, restarts=2) == 7
    assert time.monotonic() - began < 60  # the sleeping ones were killed
    assert log.read_text().splitlines().count("1 of 2") == 3
    assert supervise.supervise([sys.executable, "-c", ""], 3) == 0
