"""callbacks: told in order, with the same numbers; they can stop and nothing else."""

import io

import numpy as np
import pytest
import tensorflow as tf

import tfkm
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
    for words in "scan", "seed", "pass 2, inertia", "shard 3 of 3", "points/s", "3.00k/3.00k":
        assert words in shown


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="callbacks: <built-in"):
        tfkm.kmeans(POINTS, K, callbacks=[print])
