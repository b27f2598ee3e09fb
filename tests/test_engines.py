"""engines: whoever computes, the result has the same bits, and workers may be killed."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfkm
from tfkm.seeding import draws

N, D, K = 20_000, 8, 7
POINTS = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
OPTIONS = dict(n_init=1, random_state=0, max_iter=5, tol=0)


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'tfkm[ray]'")
    environment = {"env_vars": {"TF_CPP_MIN_LOG_LEVEL": "3"}}
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield ray
    ray.shutdown()


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 64 * D * 4)  # of the driver; workers are told rows
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", POINTS[i::3])
    return str(tmp_path / "*.npy")


def workers():
    """Processes of actors."""
    named = (
        (int(path.parent.name), path.read_bytes()) for path in Path("/proc").glob("[0-9]*/cmdline")
    )
    return [pid for pid, name in named if name.startswith(b"ray::_Worker")]


def test_workers_and_kills_do_not_show(cluster, paths, tmp_path):
    points = np.concatenate([POINTS[i::3] for i in range(3)])
    for init in "k-means||", "random", points[:K]:
        memory = tfkm.kmeans(points, K, init=init, **OPTIONS)
        killed = []

        def kill(done, killed=killed):
            if done.iteration == 2:
                killed.append(workers()[0])
                os.kill(killed[0], signal.SIGKILL)

        engine = tfkm.Ray(workers=2)
        kept = None if isinstance(init, str) else tmp_path / "kept"
        found = tfkm.kmeans(
            paths, K, init=init, engine=engine, on_pass=kill, checkpoint_dir=kept, **OPTIONS
        )
        np.testing.assert_array_equal(found.centroids, memory.centroids)
        assert found[2:] == memory[2:] and len(killed) == 1


def test_what_workers_cannot_read_is_refused(cluster, tmp_path):
    import tensorflow as tf

    with pytest.raises(ValueError, match="its length is not known"):
        tfkm.kmeans(tf.data.Dataset.from_tensors(POINTS), K, engine=tfkm.Ray(workers=1))
    bad = POINTS.copy()
    bad[123, 4] = np.inf
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(ValueError, match=r"\[123, 4\]|\[123\]|row 123"):
        tfkm.kmeans(str(tmp_path / "bad.npy"), K, engine=tfkm.Ray(workers=1))


_PROCESS = """
import json, os, sys
rank, ports, folder = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3]
workers = [f"127.0.0.1:{port}" for port in ports]
task = {"type": "worker", "index": rank}
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import time
import numpy as np, tfkm
from tfkm.seeding import draws
draws._CHUNK_BYTES = 64 * 8 * 4

def slowly(done):
    print(done.iteration, flush=True)
    time.sleep(0.2)

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


def started(folder, count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = ",".join(str(s.getsockname()[1]) for s in sockets)
    for one in sockets:
        one.close()
    command = [sys.executable, "-c", _PROCESS]
    return [
        subprocess.Popen(
            [*command, str(rank), ports, str(folder)], stdout=subprocess.PIPE, text=True
        )
        for rank in range(count)
    ]


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
    assert first.returncode == 3 and "a process of the 2 was lost" in said
    second.communicate()

    (alone,) = started(tmp_path, 1)
    said, _ = alone.communicate(timeout=90)
    passes = [int(line) for line in said.split()]
    assert alone.returncode == 0 and passes[0] > 2 and passes[-1] == 9  # it did not begin anew
    with np.load(tmp_path / "out0.npz") as found:
        np.testing.assert_array_equal(found["centroids"], expected.centroids)
        assert float(found["inertia"]) == expected.inertia
