"""What a process asks of a fit: limits of threads, forks, and Ctrl-C."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import tfkm
from tfkm import threads

X = np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32)


@pytest.fixture
def no_limit(monkeypatch):
    """No limit but the processors', of which there are five."""
    monkeypatch.setattr(threads, "_of_tensorflow", lambda: 0)
    monkeypatch.setattr(threads, "_processors", lambda: 5)
    monkeypatch.setattr(threads, "_affinity", lambda: 7)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.quick
def test_the_most_local_limit_of_threads_is_heard(no_limit, monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    tfkm.KMeans(2, random_state=0).fit(X[:9])  # which loads the library
    assert threads.count() == 5
    monkeypatch.setattr(threads, "_affinity", lambda: 4)
    assert threads.count() == 4
    for text, expected in ("3,2", 3), ("nonsense", 4), ("0", 4):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert threads.count() == expected
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(threads, "_of_tensorflow", lambda: 2)
    assert threads.count() == 2
    with threadpoolctl.threadpool_limits(1):
        assert threads.count() == 1
        with threadpoolctl.threadpool_limits(2):
            assert threads.count() == 2
        assert threads.count() == 1
    monkeypatch.setattr(threads, "_of_tensorflow", lambda: 6)
    assert threads.count() == 6  # no limit has stayed


def test_the_limits_of_a_process_are_heard(python):
    """The kernels take no more threads than asked for: those of the process are counted."""
    code = """
        import os, sys
        import numpy as np, tfkm, threadpoolctl
        os.sched_setaffinity(0, os.sched_getaffinity(0))
        x = np.random.default_rng(0).standard_normal((20000, 16)).astype(np.float32)
        if sys.argv[1] == "block":
            tfkm.KMeans(2, init=x[:2], n_init=1).fit(x[:100])  # too few for threads
        before = len(os.listdir("/proc/self/task"))
        with threadpoolctl.threadpool_limits(1 if sys.argv[1] == "block" else None):
            tfkm.KMeans(50, init=x[:50], n_init=1, max_iter=3).fit(x)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    if not os.path.isdir("/proc/self/task") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs /proc and two processors")
    one = int(python(code, "none", OMP_NUM_THREADS="1"))  # others may start some, too
    assert int(python(code, "block")) <= one < int(python(code, "none"))


CALLS = {
    "fit": lambda m: m.fit(X).labels_,
    "fit_predict": lambda m: m.fit_predict(X),
    "fit_transform": lambda m: m.fit_transform(X),
    "predict": lambda m: m.predict(X),
    "predict one": lambda m: m.predict(X[:1].astype(float)),
    "transform": lambda m: m.transform(X[:, ::-1]),
    "score": lambda m: m.score(X),
}
MODELS = {
    "KMeans": tfkm.KMeans(5, random_state=0),
    "cosine": tfkm.KMeans(5, metric="cosine", random_state=0),
    "MiniBatchKMeans": tfkm.MiniBatchKMeans(5, random_state=0),
    "BisectingKMeans": tfkm.BisectingKMeans(5, random_state=0),
}
FUNCTIONS = {
    "assign": lambda: tfkm.assign(X, X[:4]).labels,
    "accumulate": lambda: tfkm.accumulate(X, X[:4])[1].sums,
    "kmeans": lambda: tfkm.kmeans(X, 4, random_state=0).centroids,
    "kmeans_batch": lambda: tfkm.kmeans_batch(X.reshape(3, 1000, 8), 4, random_state=0).labels,
    "k-means++": lambda: tfkm.kmeans_plusplus(X, 9, random_state=0).indices,
    "k-means||": lambda: tfkm.kmeans_parallel(X, 9, random_state=0).indices,
    "silhouette": lambda: tfkm.metrics.simplified_silhouette_score(X, X[:4]),
}


def in_a_fork(function):
    """What `function` gives in a forked child, in a fresh process that has computed in TensorFlow."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, np.asarray(function()).tobytes()[:60_000])
        except RuntimeError as error:
            os.write(writing, f"RuntimeError: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    said = b""
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            os.set_blocking(reading, False)
            try:
                part = os.read(reading, 65536)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            if not part:
                break
            said += part
        else:
            os.kill(child, signal.SIGKILL)
            pytest.fail("it hangs")
    finally:
        os.waitpid(child, 0)
        os.close(reading)
    return said


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_estimators_go_on_in_a_forked_child(model):
    for name, call in CALLS.items():
        model.fit(X)
        expected = np.asarray(call(model)).tobytes()[:60_000]
        assert in_a_fork(lambda call=call: call(model.fit(X))) == expected, name


@needs_fork
@pytest.mark.quick
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_go_on_in_a_forked_child(function):
    assert in_a_fork(function) == np.asarray(function()).tobytes()[:60_000]


@needs_fork
@pytest.mark.quick
def test_a_forked_child_gets_threads_of_its_own():
    if not os.path.isdir("/proc/self/task") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs /proc and two processors")

    many = np.tile(X, (100, 1))

    def threads():
        tfkm.assign(many, X[:64])
        return np.int64(len(os.listdir("/proc/self/task")))

    tfkm.assign(many, X[:64])
    assert np.frombuffer(in_a_fork(threads), np.int64)[0] > 1


@needs_fork
@pytest.mark.quick
def test_what_cannot_go_on_in_a_forked_child_says_so():
    import tensorflow as tf

    tensor = tf.constant(X)
    for call in (
        lambda: tfkm.assign(tensor, tensor[:3]),
        lambda: tfkm.kmeans(X, 3, backend="xla"),
        lambda: tfkm.KMeans(3, backend="portable").fit(X),
    ):
        said = in_a_fork(call).decode()
        assert "RuntimeError" in said and "'spawn' or 'forkserver', or use backend='native'" in said


def interrupted(function):
    """The seconds from Ctrl-C, 0.3 s after `function` begins, to the KeyboardInterrupt out of it."""
    at = []

    def kick():
        at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, kick)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            function()
        return time.monotonic() - at[0]
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, handler)


PHASES = {
    "seeding": {},
    "pass": dict(init="first points", n_init=1),
    "starts": dict(init="random", n_init=200),
}


@pytest.mark.quick
@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupt_is_heard_and_changes_nothing(phase):
    check_an_interrupt(phase, "native", 200_000, 600)


def test_an_interrupt_is_heard_among_ties():
    """Of one group of rows, each of which tries all centroids."""
    check_an_interrupt("pass", "native", 100_000, 8192, np.ones((1, 16), np.float32))


@pytest.mark.every_backend
@pytest.mark.parametrize("phase", ["seeding", "pass"])
@pytest.mark.parametrize("backend", ["xla", "reference"])
def test_an_interrupt_is_heard_within_a_pass_in_tensorflow(backend, phase):
    """Where every centroid ties for every point, one pass takes longer than the interrupt may."""
    tied = np.ones((1, 16), np.float32)
    check_an_interrupt(phase, backend, 400_000, 600, tied if phase == "pass" else None)


def test_an_interrupt_ends_what_tensorflow_computes():
    import tensorflow as tf

    from tfkm.ops import interruptible

    @tf.function
    def long():
        return tf.while_loop(lambda i: i < 10**8, lambda i: (i + 1,), (0,))[0]

    def timed():
        return interruptible.run(2**40, lambda: long().numpy())

    assert interrupted(timed) < 5  # seconds, of a hundred
    with tf.device("CPU:0"):
        where, thread = interruptible.run(
            2**40, lambda: (tf.constant(0.0).device, threading.current_thread())
        )
    assert where.endswith("CPU:0") and thread is not threading.main_thread()
    with pytest.raises(ZeroDivisionError):
        interruptible.run(2**40, lambda: 1 // 0)


def check_an_interrupt(phase, backend, n, k, tied=None):
    x = np.random.default_rng(1).standard_normal((n, 16)).astype(np.float32)
    model = tfkm.KMeans(3, random_state=0, backend=backend).fit(X)
    before = vars(model).copy()
    options = dict(PHASES[phase])
    if options.get("init") == "first points":
        options["init"] = x[:k] if tied is None else np.repeat(tied, k, axis=0)
    model.set_params(n_clusters=k, max_iter=100_000, tol=0, **options)
    late = interrupted(lambda: model.fit(x))
    assert late < 2  # seconds, where others keep the processors busy; whole, each takes minutes
    assert model.cluster_centers_ is before["cluster_centers_"]
    assert np.array_equal(model.set_params(n_clusters=3).predict(X), model.labels_)
