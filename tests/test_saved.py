"""Files of models: what comes back, and what is refused."""

import functools
import io
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.exceptions import NotFittedError

import tfkm
from tfkm.saving import model_files

pytestmark = pytest.mark.quick

POINTS = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
POINTS[::3] += 5
NAMED = pd.DataFrame(POINTS, columns=list("abcd"))
GIVEN = functools.partial(tfkm.kmeans_plusplus, given=POINTS[:2], n_local_trials=1)

MODELS = {
    "KMeans": lambda: tfkm.KMeans(5, random_state=0, tol=1e-3).fit(POINTS),
    "float64 with names": lambda: tfkm.KMeans(np.int64(5), random_state=0).fit(NAMED.astype(float)),
    "cosine": lambda: tfkm.KMeans(5, metric="cosine", random_state=0).fit(POINTS),
    "array": lambda: tfkm.KMeans(3, init=POINTS[:3], n_init=1).fit(POINTS),
    "list": lambda: tfkm.KMeans(1, init=POINTS[:1].tolist(), n_init=1).fit(POINTS),
    "settings": lambda: tfkm.KMeans(5, init=GIVEN, random_state=0).fit(POINTS),
    "function": lambda: tfkm.KMeans(5, init=tfkm.afk_mc2, random_state=0).fit(POINTS),
    "random state": lambda: tfkm.KMeans(5, random_state=np.random.RandomState(3)).fit(POINTS),
    "mini-batch": lambda: tfkm.MiniBatchKMeans(5, random_state=0).fit(NAMED),
    "part": lambda: tfkm.MiniBatchKMeans(5, random_state=0).partial_fit(POINTS[:99]),
    "stream": lambda: tfkm.KMeans(5, random_state=0).fit(
        tf.data.Dataset.from_tensor_slices(POINTS).batch(100)
    ),
    "no labels": lambda: tfkm.MiniBatchKMeans(5, random_state=0, compute_labels=False).fit(POINTS),
    "bisecting": lambda: tfkm.BisectingKMeans(6, random_state=0).fit(POINTS),
    "one bisected": lambda: tfkm.BisectingKMeans(1, random_state=0).fit(POINTS),
}


def same(a, b):
    """Equal to the bit, in nested values and in what has none of its own equality."""
    return pickle.dumps(a) == pickle.dumps(b) or (
        all(map(same, a, b)) if isinstance(a, tuple) else np.array_equal(a, b)
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(tmp_path, name):
    model = MODELS[name]()
    model.save(tmp_path / "m")
    again = tfkm.load(tmp_path / "m")
    assert type(again) is type(model)
    assert vars(again).keys() == vars(model).keys()
    for key, value in vars(model).items():
        if isinstance(value, functools.partial):
            assert again.init.func is value.func and again.init.keywords["n_local_trials"] == 1
            np.testing.assert_array_equal(again.init.keywords["given"], POINTS[:2])
        elif isinstance(value, np.random.RandomState):
            assert same(vars(again)[key].random_sample(5), value.random_sample(5))
        else:
            assert same(vars(again)[key], value), key
    points = (NAMED if hasattr(model, "feature_names_in_") else POINTS).astype(
        model.cluster_centers_.dtype
    )
    np.testing.assert_array_equal(again.predict(points), model.predict(points))
    np.testing.assert_array_equal(again.transform(points), model.transform(points))
    assert again.score(points) == model.score(points)
    if isinstance(model, tfkm.MiniBatchKMeans):
        for batch in (points[:100], points[100:200], points[200:]):
            model.partial_fit(batch)
            again.partial_fit(batch)
        np.testing.assert_array_equal(again.cluster_centers_, model.cluster_centers_)
        assert again.n_steps_ == model.n_steps_
    elif name != "random state":  # which has gone on above
        refitted = again.fit(points).cluster_centers_
        np.testing.assert_array_equal(refitted, model.fit(points).cluster_centers_)


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        tfkm.KMeans(2).save(tmp_path / "m")

    def init(X, n_clusters, random_state):
        return X[:n_clusters]

    with pytest.raises(TypeError, match="init: .*callable of your own.*never runs code"):
        tfkm.KMeans(2, init=init, n_init=1).fit(POINTS).save(tmp_path / "m")

    class Mine(tfkm.KMeans):
        pass

    with pytest.raises(TypeError, match="Mine: only estimators of tfkm"):
        Mine(2).fit(POINTS).save(tmp_path / "m")
    assert not list(tmp_path.iterdir())
    tfkm.KMeans(2).fit(POINTS).save(tmp_path / "m")
    with pytest.raises(FileExistsError, match="force=True"):
        tfkm.KMeans(2).fit(POINTS).save(tmp_path / "m")
    tfkm.KMeans(3).fit(POINTS).save(tmp_path / "m", force=True)
    assert tfkm.load(tmp_path / "m").n_clusters == 3


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The content of the file of a MiniBatchKMeans with 3 clusters of 4 features, and of a tree."""
    folder = tmp_path_factory.mktemp("saved")
    tfkm.MiniBatchKMeans(3, random_state=0).partial_fit(POINTS).save(folder / "m")
    tfkm.BisectingKMeans(4, random_state=0).fit(POINTS).save(folder / "tree")
    return (folder / "m").read_bytes(), (folder / "tree").read_bytes()


def test_a_damaged_file_is_refused_or_whole(tmp_path, saved):
    """Any bit turned, any end: never a model with other numbers, never another exception."""
    rng, content, path = np.random.default_rng(0), saved[0], tmp_path / "damaged.npz"
    path.write_bytes(content)
    expected, refused = tfkm.load(path), 0
    damaged = [content[: rng.integers(len(content))] for _ in range(30)]
    for at in rng.integers(len(content), size=150):
        damaged.append(
            content[:at] + bytes([content[at] ^ 1 << rng.integers(8)]) + content[at + 1 :]
        )
    for some in damaged:
        path.write_bytes(some)
        try:
            got = tfkm.load(path)
        except ValueError as error:
            assert "damaged.npz: " in str(error)
            refused += 1
        else:  # turned where nothing is read, such as a date
            np.testing.assert_array_equal(got.cluster_centers_, expected.cluster_centers_)
            assert got.get_params() == expected.get_params()
    assert refused > 150


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(FileNotFoundError, match="x.npz: there is no such file"):
        tfkm.load(path)
    with pytest.raises(ValueError, match="not a regular file"):
        tfkm.load(tmp_path)
    for write in (
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(pickle.dumps(tfkm.KMeans(2))),
        lambda: np.savez(path, points=POINTS),
        lambda: np.savez(path, header=np.array(5)),
        lambda: np.savez_compressed(path, header=np.array(model_files.FORMAT)),
        lambda: np.savez(path, header=np.array([{}], object)),
    ):
        write()
        with pytest.raises(ValueError, match="x.npz: (not a tfkm model|format)"):
            tfkm.load(path)
    np.savez(path, header=np.array("tfkm k-means model, version 99\n{}"))
    with pytest.raises(ValueError, match="x.npz: format .*version 99.*reads .*version 2"):
        tfkm.load(path)


def test_a_pickle_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return exec, ("raise SystemExit('run')",)

    path, content = tmp_path / "x.npz", io.BytesIO()
    np.lib.format.write_array(content, np.array(Bomb(), object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", content.getvalue())
    with pytest.raises(ValueError, match="x.npz: not a tfkm model"):
        tfkm.load(path)


def test_a_claimed_size_is_not_believed(tmp_path):
    """A terabyte in 200 bytes."""
    path, content = tmp_path / "x.npz", io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (2**37,)}
    np.lib.format.write_array_header_1_0(content, shape)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", content.getvalue())
    with pytest.raises(ValueError, match="not as long as its shape"):
        tfkm.load(path)


def changed(content, path, change):
    """The file with another header and arrays; its checksums agree."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    form, _, text = str(arrays.pop("header")).partition("\n")
    header = json.loads(text)
    change(header, arrays)
    np.savez(path, header=np.array(f"{form}\n{json.dumps(header)}"), **arrays)


def put(part, key, value):
    return lambda header, arrays: header[part].__setitem__(key, value)


def array(key, value):
    return lambda header, arrays: arrays.__setitem__(key, np.asarray(value))


FORGED = {
    "kind": lambda h, a: h.update(kind="Pipeline"),
    "kind of kind": lambda h, a: h.update(kind=["KMeans"]),
    "other kind": lambda h, a: h.update(kind="KMeans"),
    "no parameters": lambda h, a: h.pop("parameters"),
    "unknown parameter": put("parameters", "command", "rm"),
    "bad parameter": put("parameters", "n_clusters", -1),
    "folder": put("parameters", "checkpoint_dir", "/etc"),
    "method": put("learnt", "predict", 5),
    "class": put("learnt", "__class__", "str"),
    "no centers": lambda h, a: h["learnt"].pop("cluster_centers_"),
    "no state": lambda h, a: h["learnt"].pop("_state"),
    "missing array": lambda h, a: a.pop("cluster_centers_"),
    "NaN": array("cluster_centers_", np.full((3, 4), np.nan, np.float32)),
    "no clusters": array("cluster_centers_", np.empty((0, 4), np.float32)),
    "integers": array("cluster_centers_", np.ones((3, 4), np.int32)),
    "other centers": array("cluster_centers_", np.ones((3, 4), np.float32)),
    "width": put("learnt", "n_features_in_", 5),
    "label": array("labels_", np.full(300, 3, np.int32)),
    "negative label": array("labels_", np.full(300, -1, np.int32)),
    "counts": array("_state.counts", [-1.0, 1.0, 1.0]),
    "since": lambda h, a: h["learnt"]["_state"]["fields"].update(since=-1),
    "dtype": lambda h, a: h["learnt"]["_state"]["fields"].update(dtype={"dtype": "object"}),
    "record": put("learnt", "labels_", {"fields": {}}),
    "names": put("learnt", "feature_names_in_", {"texts": ["a"]}),
    "seeding": put("parameters", "init", {"seeding": "os.system", "settings": {}}),
    "list": put("parameters", "init", [[1.0]]),
    "random state": array("_random_state", np.ones(3, np.uint32)),
    "steps": put("learnt", "n_steps_", "many"),
    "missing keys": lambda h, a: a.pop("_random_state"),
    "random position": lambda h, a: h["learnt"]["_random_state"]["random_state"].__setitem__(1, 700),
    "random position below 0": lambda h, a: h["learnt"]["_random_state"]["random_state"].__setitem__(1, -5),
    "random normal": lambda h, a: h["learnt"]["_random_state"]["random_state"].__setitem__(3, 1e400),
    "all keys 0": array("_random_state", np.zeros(624, np.uint32)),
    "counts beyond all": array("_state.counts", np.full(3, 1e308)),
    "inertia": put("learnt", "inertia_", -1.0),
    "backend": put("parameters", "backend", "none such"),
    "setting": put("parameters", "init", {"seeding": "random", "settings": {"rounds": 5}}),
    "texts for centers": array("cluster_centers_", np.full((3, 4), "x")),
    "deep": put("parameters", "init", functools.reduce(lambda x, _: {"fields": {"x": x}}, range(300), 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_files_are_refused(tmp_path, saved, name):
    changed(saved[0], tmp_path / "x.npz", FORGED[name])
    with pytest.raises(ValueError, match="x.npz: "):
        tfkm.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "children",
    [
        [[0, -1], [-2, -3], [-4, 1]],  # round and round
        [[1, 2], [1, -1], [-2, -3]],
        [[1, -1], [-2, 2], [-3, -5]],
        [[2, -1], [-2, -3], [1, -4]],
        [[1, -1], [-2, 2], [-3, -3]],
    ],
)
def test_a_tree_without_an_end_is_refused(tmp_path, saved, children):
    changed(saved[1], tmp_path / "x.npz", array("_tree.children", np.array(children)))
    with pytest.raises(ValueError, match="x.npz: .*children: it needs"):
        tfkm.load(tmp_path / "x.npz")


KINDS = {
    "KMeans": tfkm.KMeans,
    "cosine": functools.partial(tfkm.KMeans, metric="cosine"),
    "mini-batch": tfkm.MiniBatchKMeans,
    "bisecting": tfkm.BisectingKMeans,
}
HAND = np.float32([[4, -1, 2, 0], [5, 5, 5, 5], [0, 0, -1, 3]])


def set_by_hand(kind, how):
    model = KINDS[kind](3, random_state=0)
    if how != "bare":
        model.fit(POINTS)
    if how == "in place":
        model.cluster_centers_[:] = HAND
    else:
        model.cluster_centers_ = HAND.tolist() if how == "list" else HAND.copy()
    return model


@pytest.mark.parametrize("how", ["assigned", "in place", "list", "bare"])
@pytest.mark.parametrize("kind", KINDS)
def test_centers_set_by_hand_are_gone_on_from(tmp_path, kind, how):
    model = set_by_hand(kind, how)
    points, centers = POINTS.astype(np.float64), HAND.astype(np.float64)
    if kind == "cosine":  # of what a center has only the direction counts
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    sq_distances = np.square(points[:, None] - centers).sum(2)
    labels = sq_distances.argmin(1)
    distances = sq_distances / 2 if kind == "cosine" else np.sqrt(sq_distances)
    least = (sq_distances / 2 if kind == "cosine" else sq_distances).min(1).sum()
    model.save(tmp_path / "m")
    for some in (model, pickle.loads(pickle.dumps(model)), tfkm.load(tmp_path / "m")):
        np.testing.assert_array_equal(some.predict(POINTS), labels)
        np.testing.assert_array_equal(some.predict(tf.constant(POINTS)), labels)
        np.testing.assert_allclose(some.transform(POINTS), distances, rtol=1e-5, atol=1e-6)
        assert some.score(POINTS) == pytest.approx(-least, rel=1e-6)
    model.export(tmp_path / "served")
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_array_equal(served.predict(tf.constant(POINTS))["labels"], labels)


def test_partial_fit_goes_on_from_centers_set_by_hand(tmp_path):
    """Each with the weight that its cluster had; of one that was not edited no digit is lost."""
    rng = np.random.default_rng(1)
    batches = np.split(rng.normal(size=(90, 4)).astype(np.float32), 9)
    options = dict(random_state=0, reassignment_ratio=0.0)
    model, other = tfkm.MiniBatchKMeans(3, **options), tfkm.MiniBatchKMeans(3, **options)
    for batch in batches:
        model.partial_fit(batch)
        other.partial_fit(batch)
    model.cluster_centers_[1] += 100
    moved = model.cluster_centers_[1].astype(np.float64)
    weight = model._state.counts[1]
    model.save(tmp_path / "m")
    batch = moved.astype(np.float32) + np.float32([[1, 0, 0, 0], [3, 0, 0, 0]])
    expected = (moved * weight + batch.astype(np.float64).sum(0)) / (weight + 2)
    for some in (model, tfkm.load(tmp_path / "m")):
        some.partial_fit(batch)
        np.testing.assert_allclose(some.cluster_centers_[1], expected, rtol=1e-6)
        kept = [0, 2]
        np.testing.assert_array_equal(some._state.means[kept], other._state.means[kept])
    bare = tfkm.MiniBatchKMeans(3, **options)
    bare.cluster_centers_ = HAND * 50
    bare.partial_fit(HAND[:1] * 50 + 1)  # fewer points than clusters: there is nothing to seed
    np.testing.assert_allclose(bare.cluster_centers_, HAND * 50 + [[0.5], [0], [0]])


def test_other_numbers_of_centers_set_by_hand(tmp_path):
    model = tfkm.MiniBatchKMeans(5, random_state=0).fit(POINTS)
    model.cluster_centers_ = HAND
    model.save(tmp_path / "m")
    again = tfkm.load(tmp_path / "m")
    assert not hasattr(again, "labels_")  # of clusters that are no more
    np.testing.assert_array_equal(again.predict(HAND), [0, 1, 2])
    assert again.partial_fit(HAND).transform(HAND).shape == (3, 3)


@pytest.mark.parametrize(
    "centers, said",
    [
        (HAND[:, :3], r"cluster_centers_: shape \(3, 3\); the model was fitted on 4 features"),
        (HAND[0], r"cluster_centers_: shape \(4,\); it needs shape \(k, d\)"),
        (HAND[:0], r"cluster_centers_: shape \(0, 4\)"),
        (HAND * np.float32([1, np.nan, 1, 1]), r"cluster_centers_\[0, 1\] is NaN"),
        (HAND * np.float32(1e30), r"cluster_centers_.* overflows"),
        (HAND.astype(str), "cluster_centers_: dtype <U.*; it needs real numbers"),
    ],
)
def test_bad_centers_set_by_hand_are_named(tmp_path, centers, said):
    for kind in KINDS:
        if "overflows" in said and kind == "cosine":
            continue  # which takes no more than the direction
        model = set_by_hand(kind, "assigned")
        model.cluster_centers_ = centers
        uses = [model.predict, model.transform, model.score]
        uses += [model.partial_fit] if kind == "mini-batch" else []
        for use in uses:
            with pytest.raises((ValueError, TypeError), match=said):
                use(POINTS)
        for keep in (model.save, model.export):
            with pytest.raises((ValueError, TypeError), match=said):
                keep(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_center_without_a_direction_is_named():
    model = set_by_hand("cosine", "assigned")
    model.cluster_centers_[1] = 0
    with pytest.raises(ValueError, match="cluster_centers_: row 1 is all zeros; .*a direction"):
        model.predict(POINTS)
