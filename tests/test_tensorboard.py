"""TensorBoard: that it finds what a fit writes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfkm

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing import event_accumulator  # noqa: E402

POINTS = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)


def curves(folder):
    """The scalars of a run: names -> (steps, values)."""
    events = event_accumulator.EventAccumulator(str(folder), {event_accumulator.TENSORS: 0})
    events.Reload()

    def values(name):
        found = events.Tensors(name)
        return [e.step for e in found], [float(tf.make_ndarray(e.tensor_proto)) for e in found]

    return {name: values(name) for name in events.Tags()["tensors"]}


def test_curves_are_those_of_the_passes(tmp_path):
    passes = []
    board = tfkm.tensorboard.TensorBoard(tmp_path)
    tfkm.kmeans(
        POINTS, 7, n_init=2, random_state=0, on_pass=lambda done: passes.append(done),
        callbacks=[board],
    )  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["start_0", "start_1"]
    for start in (0, 1):
        own = [done for done in passes if done.start == start]
        found = curves(tmp_path / f"start_{start}")
        assert found["inertia"][0] == [done.iteration for done in own]
        np.testing.assert_allclose(found["inertia"][1], [done.inertia for done in own], rtol=1e-6)
        np.testing.assert_allclose(found["shift"][1], [done.shift for done in own], rtol=1e-6)
        rates = [500 / done.seconds for done in own]
        np.testing.assert_allclose(found["points per second"][1], rates, rtol=1e-6)
        assert found["seconds until seeded"][0] == [0]


def test_empty_clusters_are_counted(tmp_path):
    """Of three centroids two are where no point is nearest to them."""
    far = np.float32([[0, 0, 0], [1e3, 0, 0], [2e3, 0, 0]])
    board = tfkm.tensorboard.TensorBoard(tmp_path)
    tfkm.kmeans(POINTS, 3, init=far, callbacks=[board])
    assert curves(tmp_path / "start_0")["empty clusters"][1][:2] == [2.0, 0.0]


def test_a_stream_has_a_rate_too(tmp_path):
    dataset = tf.data.Dataset.from_tensor_slices(POINTS).batch(100)
    passes = []
    tfkm.kmeans(
        dataset, 3, random_state=0, on_pass=lambda done: passes.append(done),
        callbacks=[tfkm.tensorboard.TensorBoard(tmp_path)],
    )  # fmt: skip
    rates = curves(tmp_path / "start_0")["points per second"][1]
    np.testing.assert_allclose(rates, [500 / done.seconds for done in passes], rtol=1e-6)


def test_the_projector_shows_points_and_centroids(tmp_path):
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.projector import projector_plugin
    from werkzeug import test

    model = tfkm.KMeans(4, random_state=0).fit(POINTS)
    names = [f"point\t{i}" for i in range(500)]
    tfkm.tensorboard.write_projector(
        tmp_path, POINTS, model.labels_, centroids=model.cluster_centers_, names=names
    )
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    context = base_plugin.TBContext(
        logdir=str(tmp_path),
        multiplexer=multiplexer,
        data_provider=data_provider.MultiplexerDataProvider(multiplexer, str(tmp_path)),
    )
    apps = projector_plugin.ProjectorPlugin(context).get_plugin_apps()

    def asked(app, **query):
        return test.Client(apps[app]).get("/", query_string={"run": ".", **query}).data

    (embedding,) = json.loads(asked("/info"))["embeddings"]
    assert embedding["tensorName"] == "points" and embedding["tensorShape"] == [504, 3]
    tensor = np.frombuffer(asked("/tensor", name="points"), np.float32).reshape(504, 3)
    np.testing.assert_allclose(tensor, np.concatenate([POINTS, model.cluster_centers_]), rtol=1e-6)
    lines = asked("/metadata", name="points").decode().splitlines()
    assert lines[0] == "name\tlabel" and lines[1] == f"point 0\t{model.labels_[0]}"
    assert lines[-1] == "centroid 3\t3" and len(lines) == 505


def test_wrong_lengths(tmp_path):
    with pytest.raises(ValueError, match=r"labels: shape \(3,\)"):
        tfkm.tensorboard.write_projector(tmp_path, POINTS, [0, 1, 2])


def test_a_profile_names_the_phases(tmp_path):
    """As the trace has them: no viewer is needed to find their names in it."""
    far = np.float32([[0, 0, 0], [1e3, 0, 0], [2e3, 0, 0]])  # two that no point is nearest to
    tf.profiler.experimental.start(str(tmp_path / "profile"))
    tfkm.kmeans(POINTS, 3, init=far, checkpoint_dir=tmp_path / "fit")
    tfkm.accumulate(tf.constant(POINTS), far)
    tf.profiler.experimental.stop()
    (trace,) = tmp_path.rglob("*.xplane.pb")
    content = trace.read_bytes()
    sources = [path.read_text() for path in Path(tfkm.__file__).parent.rglob("*.py")]
    phases = {phase for text in sources for phase in re.findall(r'@traced\("(.+?)"\)', text)}
    assert {"tfkm: scan", "tfkm: seed", "tfkm: pass", "tfkm: checkpoint"} < phases
    assert not [phase for phase in phases if phase.encode() not in content]
