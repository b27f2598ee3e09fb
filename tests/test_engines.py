"""engines: whoever computes, the result has the same bits, and workers may be killed."""

import contextlib
import os
import signal
import time
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


def ancestors(pid):
    while pid := int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1]):
        yield pid


def workers():
    """Processes of actors, of this process's Ray: another test process may have one of its own."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            is_worker = (folder / "cmdline").read_bytes().startswith(b"ray::_Worker")
            if is_worker and os.getpid() in ancestors(folder.name):
                found.append(int(folder.name))
    return found


@pytest.mark.parametrize(
    "init", ["k-means||", *(pytest.param(i, marks=pytest.mark.full) for i in ("random", "array"))]
)
def test_workers_and_kills_do_not_show(cluster, paths, tmp_path, init):
    points = np.concatenate([POINTS[i::3] for i in range(3)])
    if init == "array":
        init = points[:K]
    memory = tfkm.kmeans(points, K, init=init, **OPTIONS)
    killed = []

    def kill(done):
        if done.iteration == 2:
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    found = tfkm.kmeans(
        paths,
        K,
        init=init,
        engine=tfkm.Ray(workers=2),
        on_pass=kill,
        checkpoint_dir=tmp_path / "kept",
        **OPTIONS,
    )
    np.testing.assert_array_equal(found.centroids, memory.centroids)
    assert found[2:] == memory[2:] and len(killed) == 1


@pytest.mark.full
def test_weights_of_any_kind_and_arrays(cluster, monkeypatch, tmp_path):
    """An array is put once, and one that maps a file goes by its path."""
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 64 * D * 4)
    weights = np.random.default_rng(1).random(N)
    options = dict(init="k-means||", **OPTIONS)
    memory = tfkm.kmeans(POINTS, K, weights=weights, **options)
    found = tfkm.kmeans(POINTS, K, weights=weights, engine=tfkm.Ray(workers=2), **options)
    np.testing.assert_array_equal(found.centroids, memory.centroids)
    assert found[2:] == memory[2:]

    np.save(tmp_path / "x.npy", POINTS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    puts, put = [], cluster.put
    monkeypatch.setattr(cluster, "put", lambda value: puts.append(value) or put(value))
    for points in mapped, POINTS:
        puts.clear()
        tfkm.kmeans(points, K, engine=tfkm.Ray(workers=2), **options)
        sources = [one for one in puts if isinstance(one, tfkm.streams.Source)]
        assert len(sources) == 1 and (type(sources[0]).__name__ == "Files") == (points is mapped)


@pytest.mark.parametrize("init", ["k-means++", "afk-mc2", tfkm.kmeans_plusplus])
def test_all_points_do_not_travel_to_the_driver(cluster, paths, init):
    with pytest.raises(ValueError, match=r"^init: .* take 'k-means\|\|'"):
        tfkm.kmeans(paths, K, init=init, engine=tfkm.Ray(workers=1))


# A cluster of one core; a node of two joins in the middle, with room for two workers more, and goes again.
# Where the number of workers is the cluster's, it is counted anew before the next pass.
_NODES = """
    import sys, time
    import numpy as np, ray
    from ray.cluster_utils import Cluster
    import tfkm
    from tfkm.engines import ray as engine
    from tfkm.seeding import draws
    draws._CHUNK_BYTES = 64 * 8 * 4
    workers = int(sys.argv[2]) or None
    cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=1, include_dashboard=False))
    ray.init(address=cluster.address, log_to_driver=False)
    nodes, used, lost = [], set(), []

    class Noting(engine._Workers):
        def __init__(self, *args):
            super().__init__(*args)
            Noting.one = self

        def _ask(self, worker):
            if worker in used:
                lost.append(worker)
            super()._ask(worker)

    engine._Workers = Noting
    in_order = engine.in_order

    def noting(*args):
        for submitted in in_order(*args):
            used.add(submitted.worker)
            yield submitted

    engine.in_order = noting

    class Change(tfkm.Callback):
        def on_pass(self, done):
            if done.iteration == 2:
                assert used == {0}
                nodes.append(cluster.add_node(num_cpus=2))
            if done.iteration == (2 if workers else 3):
                until = time.monotonic() + 200
                while len(Noting.one._ready()) < 3 and time.monotonic() < until:
                    time.sleep(0.2)

        def on_shard(self, done):
            if nodes and used == {0, 1, 2} and done.shard == 5:
                cluster.remove_node(nodes.pop())
                used.add("gone")

    options = dict(init="k-means||", n_init=1, random_state=0, max_iter=6, tol=0)
    own = tfkm.Ray(workers, wait=250)
    found = tfkm.kmeans(sys.argv[1], 7, engine=own, callbacks=[Change()], **options)
    alone = tfkm.kmeans(sys.argv[1], 7, **options)
    assert "gone" in used and set(lost) <= {1, 2} and lost, (used, lost)
    assert np.array_equal(found.centroids, alone.centroids) and found[2:] == alone[2:]
    ray.shutdown()
    cluster.shutdown()
"""


@pytest.mark.parametrize("workers", [3, None])
@pytest.mark.full
def test_nodes_come_and_go(python, tmp_path, workers):
    pytest.importorskip("ray", reason="needs Ray: pip install 'tfkm[ray]'")
    np.save(tmp_path / "x.npy", POINTS)
    python(_NODES, str(tmp_path / "x.npy"), str(workers or 0))


# What the source does is written on a file, by the fit's first pass.
_PATIENCE = """
    import os, sys, time
    from pathlib import Path
    import numpy as np, ray
    import tfkm
    from tfkm.engines import ray as engine
    from tfkm.streams.blocks import Part
    does = Path(sys.argv[1])

    class Odd:
        name, d, dtype, weighted, rows = "odd", 2, np.dtype(np.float32), False, 1000

        def read(self, start):
            what = does.read_text()
            if what == "sleeps":
                time.sleep(600)
            if what == "dies":
                os._exit(1)
            yield Part(np.random.default_rng(0).random((1000, 2), np.float32)[start:], None)

    def says(error, words, what, source=Odd(), **settings):
        does.write_text("")
        own = tfkm.Ray(workers=4, **settings)

        def on_pass(done):
            does.write_text(what)
            own.wait = 3

        try:
            options = dict(init="random", n_init=1, max_iter=9, tol=0, on_pass=on_pass)
            tfkm.kmeans(source, 2, engine=own, **options)
        except error as found:
            assert words in str(found) and len(str(found).splitlines()) == 1, found
        else:
            raise AssertionError(words)

    class Broken(Odd):
        def __setstate__(self, state):
            raise KeyError("none of that here")

    source = Broken()
    source.some = 1  # or there is no state to set
    says(TimeoutError, "no worker has started after 0.01 s", "", wait=0.01)
    says(RuntimeError, "a worker cannot start: KeyError: 'none of that here'", "", source)
    assert ray.cluster_resources()["CPU"] >= 4  # started here, with room for all
    says(TimeoutError, "shard 0 is not done after 3 s", "sleeps")
    engine._TRIES = 2
    says(RuntimeError, "shard 0 was lost with its worker 2 times", "dies")
"""


@pytest.mark.full
def test_patience_has_an_end(python, tmp_path):
    """With a worker that does not come, one that is silent, and a shard that kills whoever takes it."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'tfkm[ray]'")
    python(_PATIENCE, str(tmp_path / "does"))


def test_no_worker_is_left(cluster, paths):
    """Not even one that was about to start again as the fit ended."""

    def kill(done):
        if done.iteration == OPTIONS["max_iter"]:
            os.kill(workers()[0], signal.SIGKILL)

    tfkm.kmeans(paths, K, init="random", engine=tfkm.Ray(workers=2), on_pass=kill, **OPTIONS)
    until = time.monotonic() + 60
    while workers():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_what_workers_cannot_read_is_refused(cluster, tmp_path):
    import tensorflow as tf

    with pytest.raises(ValueError, match="its length is known only after"):
        tfkm.kmeans(tf.data.Dataset.from_tensors(POINTS), K, engine=tfkm.Ray(workers=1))
    bad = POINTS.copy()
    bad[123, 4] = np.inf
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(ValueError, match=r"\[123, 4\]|\[123\]|row 123"):
        tfkm.kmeans(str(tmp_path / "bad.npy"), K, init="random", engine=tfkm.Ray(workers=1))


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


@pytest.mark.full
def test_devices_of_a_host(python):
    """Each has a thread of its own, and they do not show."""
    python(_MIRRORED)
