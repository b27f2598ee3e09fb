"""Exported models: what a process that has TensorFlow alone makes of them."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.exceptions import NotFittedError

import tfkm
from tfkm.testing import CASES

RNG = np.random.default_rng(0)
BLOBS = RNG.normal(size=(2000, 6)).astype(np.float32)
BLOBS[::2] += 4


def around(model, case):
    """The fitted model with the centers of a case, and its points."""
    case = CASES[case]()
    model.set_params(n_clusters=len(case.centroids)).fit(case.points[: 5 * len(case.centroids)])
    model.cluster_centers_ = case.centroids
    return model, case.points


def fitted(model, points):
    return model.fit(points), points


def some_zeros(points):
    return np.where(np.arange(len(points))[:, None] % 9 == 0, points.dtype.type(0), points)


IMAGES = RNG.integers(0, 256, (500, 12), np.uint8)


MODELS = {
    "KMeans": lambda: fitted(tfkm.KMeans(7, random_state=0), BLOBS),
    "uint8": lambda: fitted(tfkm.KMeans(7, random_state=0), IMAGES),
    "uint8 cosine": lambda: fitted(
        tfkm.KMeans(7, metric="cosine", random_state=0), some_zeros(IMAGES)
    ),
    "uint8 alone": lambda: fitted(tfkm.KMeans(7, random_state=0), IMAGES),
    "float64": lambda: fitted(tfkm.KMeans(7, random_state=0), BLOBS.astype(np.float64)),
    "cosine": lambda: fitted(tfkm.KMeans(7, metric="cosine", random_state=0), some_zeros(BLOBS)),
    "mini-batch": lambda: fitted(tfkm.MiniBatchKMeans(7, random_state=0), BLOBS),
    "bisecting": lambda: fitted(tfkm.BisectingKMeans(4, random_state=0), BLOBS),
    "one bisected": lambda: fitted(tfkm.BisectingKMeans(1, random_state=0), BLOBS),
    "far away": lambda: around(tfkm.KMeans(max_iter=1, tol=0), "offset 1e4"),
    "ties": lambda: around(tfkm.KMeans(max_iter=1, tol=0), "ties"),
}


DTYPES = {"uint8 alone": ["uint8"]}  # of which `serving_default` then is
IN_SESSION = ("KMeans", "cosine", "bisecting", "uint8 alone")


@pytest.fixture(scope="module")
def served(request, tmp_path_factory, python):
    """served(name) -> the model, its points, and what a process without tfkm made of them."""
    folder = tmp_path_factory.mktemp("served")
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if "served" in item.fixturenames
    }
    models = {name: make() for name, make in MODELS.items() if name in wanted}
    for name, (model, points) in models.items():
        model.export(folder / name, dtypes=DTYPES.get(name))
        np.save(folder / name / "points.npy", points)
    code = """
        import sys
        sys.modules["tfkm"] = None
        import numpy as np, tensorflow as tf
        names = sys.argv[1].split(",")
        for folder in sys.argv[2:]:
            points = np.load(folder + "/points.npy")
            x = tf.constant(points)
            model = tf.saved_model.load(folder)
            suffix = "_" + points.dtype.name
            suffix = suffix if "predict" + suffix in model.signatures else ""
            out = model.signatures["predict" + suffix](points=x)
            out["transformed"] = model.signatures["transform" + suffix](points=x)["distances"]
            if not suffix:
                out["default"] = model.signatures["serving_default"](points=x)["labels"]
            out["one"] = model.predict(x[:1])["labels"]
            out["none"] = model.predict(x[:0])["labels"]
            if folder.rpartition("/")[2] in names:
                # As a server does it: a session, the tensors that the signature names.
                with tf.compat.v1.Session(graph=tf.Graph()) as session:
                    graph = tf.compat.v1.saved_model.load(session, ["serve"], folder)
                    signature = graph.signature_def["serving_default"]
                    feed = {signature.inputs["points"].name: points}
                    out["in_session"] = session.run(signature.outputs["labels"].name, feed)
            np.savez(folder + "/out.npz", **{name: np.asarray(value) for name, value in out.items()})
        assert "tfkm.ops" not in sys.modules
    """
    python(code, ",".join(IN_SESSION), *(str(folder / name) for name in models))

    def results(name):
        return *models[name], dict(np.load(folder / name / "out.npz"))

    return results


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("uint8 cosine", "bisecting", "ties")
        else pytest.param(name, marks=pytest.mark.full)
        for name in MODELS
    ],
)
def test_a_process_without_tfkm_agrees(served, name):
    model, points, out = served(name)
    labels, transformed = model.predict(points), model.transform(points)
    assert out["labels"].dtype == np.int32
    np.testing.assert_array_equal(out["labels"], labels)
    np.testing.assert_array_equal(out["one"], labels[:1])
    assert out["none"].shape == (0,)
    np.testing.assert_allclose(out["transformed"], transformed, rtol=1e-6, atol=1e-6)
    own = transformed[np.arange(len(points)), labels]
    np.testing.assert_allclose(out["distances"], own, rtol=1e-6, atol=1e-6)
    if points.dtype == np.float32 or name in DTYPES:
        np.testing.assert_array_equal(out["default"], labels)
    if name in IN_SESSION:
        np.testing.assert_array_equal(out["in_session"], labels)


def test_only_stock_ops_that_need_no_compiler(tmp_path):
    tfkm.BisectingKMeans(3, random_state=0).fit(BLOBS).export(tmp_path)
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    ops = {node.op for function in graph.library.function for node in function.node_def}
    assert ops and not [op for op in ops if ">" in op or "Xla" in op]
    for function in graph.library.function:
        assert not function.attr["_XlaMustCompile"].b


def test_signatures(tmp_path):
    tfkm.KMeans(3, random_state=0).fit(BLOBS).export(tmp_path, dtypes=["uint8", "bfloat16"])
    model = tf.saved_model.load(tmp_path)
    assert set(model.signatures) == {
        "serving_default", "predict", "predict_bfloat16", "transform", "transform_bfloat16",
    }  # fmt: skip
    (points,) = model.signatures["predict"].structured_input_signature[1].values()
    assert points.shape.as_list() == [None, 6] and points.dtype == tf.uint8
    assert model.cluster_centers.shape == (3, 6)


@pytest.mark.parametrize("name", ["native", "xla"])
def test_other_backends(tmp_path, name):
    model = tfkm.KMeans(7, random_state=0).fit(BLOBS)
    model.export(tmp_path, backend=name)
    served = tf.saved_model.load(tmp_path)
    out = served.predict(tf.constant(BLOBS))
    np.testing.assert_array_equal(out["labels"], model.labels_)


def test_a_native_one_needs_tfkm_and_finds_it(tmp_path, python):
    tfkm.KMeans(7, random_state=0).fit(BLOBS).export(tmp_path, backend="native")
    code = """
        import sys, tensorflow as tf
        try:
            tf.saved_model.load(sys.argv[1])
        except RuntimeError as error:
            assert "'Tfkm>" in str(error)
        else:
            raise AssertionError("loaded")
        import tfkm
        tfkm.backends()
        model = tf.saved_model.load(sys.argv[1])
        print(model.predict(tf.zeros([2, 6]))["labels"].shape)
    """
    assert python(code, str(tmp_path)) == "(2,)\n"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_bad_values_raise(tmp_path, value):
    tfkm.KMeans(2, random_state=0).fit(BLOBS).export(tmp_path)
    served = tf.saved_model.load(tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError, match="points: a value is NaN"):
        served.predict(tf.fill([3, 6], np.float32(value)))


@pytest.mark.full
def test_a_large_batch_holds_no_distances(tmp_path, python):
    """n·k float64 would be 1.6 GB."""
    tfkm.KMeans(500, init="random", n_init=1, max_iter=1).fit(BLOBS[:, :2].copy()).export(tmp_path)
    code = """
        import resource, sys
        import tensorflow as tf
        model = tf.saved_model.load(sys.argv[1])
        model.predict(tf.zeros([5000, 2]))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        model.predict(tf.random.normal([400_000, 2]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    assert int(python(code, str(tmp_path))) * 1024 < 200e6


def test_wrong_arguments(tmp_path):
    model = tfkm.KMeans(2, random_state=0)
    with pytest.raises(NotFittedError):
        model.export(tmp_path / "m")
    model.fit(BLOBS)
    for dtypes in ([], "float32", ["int64"]):
        with pytest.raises(ValueError, match="dtypes: .*at least one, of float32"):
            model.export(tmp_path / "m", dtypes=dtypes)
    with pytest.raises(ValueError, match="backend: 'fast'"):
        model.export(tmp_path / "m", backend="fast")
    assert not (tmp_path / "m").exists()


def test_the_model_stays_as_it_was(tmp_path):
    model = tfkm.BisectingKMeans(3, random_state=0).fit(BLOBS)
    before = vars(model).copy()
    model.export(tmp_path)
    assert vars(model) == before


MANY = RNG.normal(size=(10_000, 16)).astype(np.float32)


@pytest.fixture(scope="module", params=["euclidean", "cosine", "far away", "float64"])
def fitted_to_many(request):
    points = {
        "cosine": some_zeros(MANY),
        "far away": MANY + np.float32(1e3),
        "float64": MANY.astype(np.float64),
    }.get(request.param, MANY)
    metric = "cosine" if request.param == "cosine" else "euclidean"
    return tfkm.KMeans(32, metric=metric, random_state=0, max_iter=5).fit(points), points


class TestConverted:
    """10,000 points through the runtimes of ONNX and TFLite."""

    def test_onnx(self, tmp_path, fitted_to_many):
        pytest.importorskip("tf2onnx")
        runtime = pytest.importorskip("onnxruntime")
        model, points = fitted_to_many
        model.export(tmp_path / "m.onnx", format="onnx", dtypes=[points.dtype.name])
        session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
        assert [i.name for i in session.get_inputs()] == ["points"]
        labels, distances = session.run(["labels", "distances"], {"points": points})
        np.testing.assert_array_equal(labels, model.predict(points))
        own = model.transform(points)[np.arange(len(points)), labels]
        np.testing.assert_allclose(distances, own, rtol=1e-5, atol=1e-6)
        assert session.run(["labels"], {"points": points[:1]})[0].shape == (1,)

    def test_tflite(self, tmp_path, fitted_to_many):
        model, points = fitted_to_many
        points = points.astype(np.float32)
        model.export(tmp_path / "m.tflite", format="tflite")
        labels, distances = tflite(tmp_path / "m.tflite", points)
        transformed = model.transform(points)
        least_two = np.sort(transformed, axis=1)[:, :2]
        clear = least_two[:, 1] - least_two[:, 0] > 1e-5 * least_two[:, 1]
        clear |= ~points.any(axis=1)  # with metric="cosine" their label is 0
        assert clear.mean() > 0.999
        np.testing.assert_array_equal(labels[clear], model.predict(points)[clear])
        own = transformed[np.arange(len(points)), labels]
        np.testing.assert_allclose(distances, own, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("format", ["onnx", "tflite"])
    def test_uint8(self, tmp_path, format):
        if format == "onnx":
            pytest.importorskip("tf2onnx")
            runtime = pytest.importorskip("onnxruntime")
        images = RNG.integers(0, 256, (1000, 12), np.uint8)
        model = tfkm.KMeans(7, random_state=0).fit(images)
        model.export(tmp_path / "m", format=format, dtypes=["uint8"])
        if format == "onnx":
            session = runtime.InferenceSession(tmp_path / "m", providers=["CPUExecutionProvider"])
            labels = session.run(["labels"], {"points": images})[0]
        else:
            labels = tflite(tmp_path / "m", images)[0]
        np.testing.assert_array_equal(labels, model.labels_)

    def test_ties_go_to_the_lowest_index(self, tmp_path):
        pytest.importorskip("tf2onnx")
        runtime = pytest.importorskip("onnxruntime")
        model, points = around(tfkm.KMeans(max_iter=1, tol=0), "ties")
        model.export(tmp_path / "m", format="onnx")
        session = runtime.InferenceSession(tmp_path / "m", providers=["CPUExecutionProvider"])
        labels = session.run(["labels"], {"points": points})[0]
        np.testing.assert_array_equal(labels, model.predict(points))

    def test_what_cannot_be_converted(self, tmp_path):
        tree = tfkm.BisectingKMeans(2, random_state=0).fit(BLOBS)
        with pytest.raises(ValueError, match="format: 'onnx'; a BisectingKMeans"):
            tree.export(tmp_path / "m", format="onnx")
        model = tfkm.KMeans(2, random_state=0).fit(BLOBS)
        for options, words in (
            (
                dict(format="pickle"),
                "format: 'pickle'; allowed are 'saved_model', 'onnx', 'tflite'",
            ),
            (dict(format="onnx", backend="native"), "backend: 'native'; format='onnx'"),
            (dict(format="tflite", dtypes=["float64"]), "format='tflite' takes one of float32"),
            (dict(format="onnx", dtypes=["uint8", "float32"]), "format='onnx' takes one of"),
        ):
            with pytest.raises(ValueError, match=words):
                model.export(tmp_path / "m", **options)
        assert not list(tmp_path.iterdir())


def tflite(path, points):
    """Labels and distances by TFLite's interpreter."""
    interpreter = tf.lite.Interpreter(model_path=str(path))
    runner = interpreter.get_signature_runner()
    out = runner(points=points)
    return out["labels"], out["distances"]
