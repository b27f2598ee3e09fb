"""engines: whoever computes, the result has the same bits, and workers may be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tfkm
from tfkm import supervise
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


def test_a_file_that_vanishes_is_named_by_workers(cluster, paths, tmp_path):
    def vanish(done):
        (tmp_path / "1.npy").unlink()

    with pytest.raises(FileNotFoundError, match="1.npy"):
        tfkm.kmeans(paths, K, init="random", engine=tfkm.Ray(workers=1), on_pass=vanish, **OPTIONS)


_MIRRORED = """
    import threading
    import numpy as np, tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, 3 * [tf.config.LogicalDeviceConfiguration()])
    import tfkm
    from tfkm.ops import xla
    from tfkm.seeding import draws
    draws._CHUNK_BYTES = 64 * 8 * 4
    used, program = {}, xla._program
    def on_device(name, points, centroids):
        used.setdefault(points.device[-5:], set()).add(threading.current_thread().name)
        return program(name, points, centroids)
    xla._program = on_device
    points = np.random.default_rng(0).standard_normal((20_000, 8)).astype(np.float32)
    engine = tfkm.Mirrored(tf.distribute.MirroredStrategy(["CPU:1", "CPU:2"]))
    for init in "k-means||", "random", points[:7]:
        options = dict(init=init, n_init=1, random_state=0, max_iter=4, tol=0, backend="xla")
        alone = tfkm.kmeans(points, 7, **options)
        used.clear()
        both = tfkm.kmeans(points, 7, engine=engine, **options)
        assert np.array_equal(both.centroids, alone.centroids) and both[2:] == alone[2:]
        threads = used["CPU:1"], used["CPU:2"]
        assert all(len(one) == 1 for one in threads) and threads[0] != threads[1], used
    points[123, 4] = np.nan
    try:
        tfkm.kmeans(points, 7, engine=engine, backend="xla")
    except ValueError as error:
        assert "123" in str(error)
    else:
        raise AssertionError("NaN was not seen")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tfkm on")]
"""


def test_devices_of_a_host(python):
    """Each has a thread of its own, and they do not show."""
    python(_MIRRORED)


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


def started(folder, count):
    """The last one first, and the first one a second later."""
    addresses = supervise._free_addresses(count)
    command, processes = [sys.executable, "-c", _PROCESS, str(folder)], []
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
