"""callbacks: told in order, with the same numbers; they can stop and nothing else."""

import contextlib
import io
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm import callbacks
from tfkm.seeding import draws
from tfkm.types import Status

pytestmark = pytest.mark.quick

N, D, K = 3000, 5, 7
POINTS = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
OPTIONS = dict(init="random", n_init=2, max_iter=3, random_state=0, tol=0)


class Noting(tfkm.Callback):
    def __init__(self):
        self.told = []

    def on_seed(self, done):
        self.told.append(("seed", done))

    def on_shard(self, done):
        self.told.append(("shard", done))

    def on_pass(self, done):
        self.told.append(("pass", done))

    def on_end(self, result):
        self.told.append(("end", result))

    def of(self, kind):
        return [told for name, told in self.told if name == kind]


@pytest.fixture(params=["memory", "stream"])
def data(request, monkeypatch):
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 64 * D * 4)
    if request.param == "memory":
        return POINTS
    return tf.data.Dataset.from_tensor_slices(POINTS).batch(500)


def test_all_is_told_and_nothing_shows(data):
    noting = Noting()
    result = tfkm.kmeans(data, K, callbacks=[noting], **OPTIONS)
    plain = tfkm.kmeans(data, K, **OPTIONS)
    np.testing.assert_array_equal(result.centroids, plain.centroids)
    assert [done.start for done in noting.of("seed")] == [0, 1]
    assert [(done.iteration, done.start) for done in noting.of("pass")] == [
        (i, s) for i in (1, 2, 3) for s in (0, 1)
    ]
    assert noting.told[-1][0] == "end" and noting.of("end")[0].inertia == result.inertia
    shards = noting.of("shard")
    if data is POINTS:
        assert not shards
        return
    assert [s.shard for s in shards[:3]] == [0, 1, 2] and shards[0].phase == "scan"
    assert shards[0].points is None and shards[0].seconds_left is None
    passes = [s for s in shards if s.phase == "pass"]
    assert {(s.shards, s.points) for s in passes} == {(3, N)}
    assert [s.done for s in shards[:3]] == [
        1024,
        2048,
        3000,
    ]  # before it is known how many there are
    assert [s.done for s in passes[:3]] == [1024, 2048, 3000] and passes[2].seconds_left == 0
    assert {s.phase for s in shards} == {"scan", "seed", "pass"}


def test_a_callback_stops_after_the_pass(data):
    class Stop(tfkm.Callback):
        def on_pass(self, done):
            return done.iteration == 2

    class StopShard(tfkm.Callback):
        def on_shard(self, done):
            return done.phase == "pass" and done.shard == 1

    expected = tfkm.kmeans(data, K, **(OPTIONS | dict(max_iter=2, n_init=1)))
    found = tfkm.kmeans(data, K, callbacks=[Stop()], **(OPTIONS | dict(n_init=1)))
    assert found.status is Status.STOPPED and found.n_iter == 2
    np.testing.assert_array_equal(found.centroids, expected.centroids)
    if data is not POINTS:
        found = tfkm.kmeans(data, K, callbacks=[StopShard()], **(OPTIONS | dict(n_init=1)))
        assert found.status is Status.STOPPED and found.n_iter == 1


def test_a_pass_that_goes_on_is_timed_from_there(monkeypatch, tmp_path):
    """Killed behind the second shard of a pass; a new bar begins where it goes on."""
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 64 * D * 4)
    monkeypatch.setattr("tfkm.streams.kmeans._CHECKPOINT_SECONDS", 0)

    class Dying(tfkm.Callback):
        def on_shard(self, done):
            if done.phase == "pass" and done.shard == 2:
                raise KeyError("killed")

    options = OPTIONS | dict(n_init=1, checkpoint_dir=tmp_path)
    with pytest.raises(KeyError, match="killed"):
        tfkm.kmeans(POINTS, K, callbacks=[Dying()], **options)
    noting, terminal = Noting(), io.StringIO()
    progress = tfkm.Progress(file=terminal, disable=False, mininterval=0, miniters=1)
    tfkm.kmeans(POINTS, K, callbacks=[noting, progress], **options)
    first = next(s for s in noting.of("shard") if s.phase == "pass")
    assert (first.shard, first.before, first.done) == (2, 2048, 3000)
    assert first.points_per_second == pytest.approx((3000 - 2048) / first.seconds)
    assert "pass 1" in terminal.getvalue()
    later = [s for s in noting.of("shard") if s.phase == "pass"][1:]
    assert later and all(s.before == 0 for s in later)


def test_progress_shows_passes_shards_and_inertia(monkeypatch):
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 64 * D * 4)
    terminal = io.StringIO()
    model = tfkm.KMeans(
        K,
        init="k-means||",
        max_iter=3,
        random_state=0,
        callbacks=[tfkm.Progress(file=terminal, disable=False, mininterval=0, miniters=1)],
    )
    model.fit(tf.data.Dataset.from_tensor_slices(POINTS).batch(500))
    shown = terminal.getvalue()
    for words in (
        "scan",
        "seed",
        "pass 2",
        "round 5 of 5",
        "inertia",
        "shard 2 of 3",
        "points/s",
        "3.00k/3.00k",
    ):
        assert words in shown


def shown_of(data, **options):
    """What `Progress` writes on a terminal, each state of a bar a line."""
    terminal = io.StringIO()
    progress = tfkm.Progress(file=terminal, disable=False, mininterval=0, ncols=150)
    result = tfkm.kmeans(data, K, callbacks=[progress], **(OPTIONS | options))
    lines = [line.strip() for line in terminal.getvalue().replace("\n", "\r").split("\r")]
    return [line for line in lines if line], result


def test_progress_shows_the_phases_of_an_array():
    lines, result = shown_of(POINTS, init="k-means++", backend="reference")
    phases = ["scan", "start 1 of 2, seeding", "start 2 of 2, seeding", "start 1 of 2, pass 1"]
    phases += [f"start {i} of 2, pass {p}" for p in (2, 3) for i in (1, 2)] + ["done"]
    places = [[line.startswith(phase + ":") for line in lines].index(True) for phase in phases]
    assert places == sorted(places)
    assert "start 2 of 2, seeding:  71%" in "\n".join(lines) and f"5/{K} [" in "\n".join(lines)
    assert any("pass 3" in line and "inertia" in line and "shift" in line for line in lines)
    assert f"{result.n_iter} passes, inertia {result.inertia:.6g}" in lines[-1]


def test_progress_of_a_stream_of_one_shard_moves_within_it(monkeypatch):
    """A shard is 16 chunks."""
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 256 * D * 4)
    dataset = tf.data.Dataset.from_tensor_slices(POINTS).batch(500)
    lines, result = shown_of(dataset, init="k-means||", n_init=1)
    for phase in "seeding, round 3 of 5", "pass 2":
        own = "\n".join(line for line in lines if line.startswith(phase + ":"))
        assert all(f" {share}%" in own for share in (9, 51, 100)), phase
    assert "inertia" in lines[-1] and lines[-1].startswith("done: 100%")


def test_steps_of_the_compiled_seeding_are_told_while_it_goes():
    points = np.random.default_rng(1).standard_normal((300_000, 16)).astype(np.float32)
    told = []

    class Listening(tfkm.Callback):
        def on_step(self, done):
            told.append(done)
            if done.unit == "centroids" and done.done > 5:
                raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        tfkm.kmeans(points, 3000, callbacks=[Listening()], backend="native")
    last = told[-1]
    assert (last.phase, last.total, last.unit) == ("seed", 3000, "centroids")
    assert 5 < last.done < 3000 and last.share == last.done / 3000


_INTERRUPTED = """
import io, os, signal, threading, numpy as np, tfkm
points = np.random.default_rng(0).standard_normal((200_000, 32)).astype(np.float32)
class Interrupting(tfkm.Callback):
    def on_step(self, done):
        if done.unit == "centroids" and done.done > 2:
            os.kill(os.getpid(), signal.SIGINT)
progress = tfkm.Progress(file=io.StringIO(), disable=False)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
try:
    tfkm.kmeans(points, 3000, callbacks=[progress, Interrupting()], backend="native")
except KeyboardInterrupt:
    print("heard", progress._bar)
"""


def test_an_interrupt_is_heard_while_progress_is_told(python):
    assert python(_INTERRUPTED).splitlines()[-1] == "heard None"


def test_progress_in_a_notebook_is_shown_though_its_stream_is_no_terminal(monkeypatch):
    def shown():
        stream = io.StringIO()
        tfkm.kmeans(POINTS, K, callbacks=[tfkm.Progress(file=stream)], **OPTIONS)
        return stream.getvalue()

    shell = type("Shell", (), {"kernel": None, "config": {}})()
    assert shown() == ""
    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": lambda: shell}))
    assert "done: " in shown()


def test_a_fit_has_one_bar_for_all_its_phases(monkeypatch):
    """A notebook keeps a line for each bar that there was."""
    from tqdm import tqdm

    made = []

    class Bar(tqdm):
        def __init__(self, *args, **kwargs):
            made.append(self)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(callbacks, "_tqdm", lambda: Bar)
    dataset = tf.data.Dataset.from_tensor_slices(POINTS).batch(500)
    for points in POINTS, dataset:
        made.clear()
        lines, _ = shown_of(points)
        assert len(made) == 1
        assert lines[-1].startswith("done: ") and any("points/s" in line for line in lines) == (
            points is dataset
        )


@pytest.mark.parametrize("fails", [False, True])
def test_callbacks_are_closed_whatever_comes(data, fails):
    class Closing(tfkm.Callback):
        closed = 0

        def on_pass(self, done):
            if fails:
                raise KeyError("broken")

        def close(self):
            self.closed += 1

    closing, progress = Closing(), tfkm.Progress(file=io.StringIO(), disable=False)
    with pytest.raises(KeyError) if fails else contextlib.nullcontext():
        tfkm.kmeans(data, K, callbacks=[progress, closing], **OPTIONS)
    assert closing.closed == 1 and progress._bar is None


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="callbacks: <built-in"):
        tfkm.kmeans(POINTS, K, callbacks=[len])
