"""Arrays need no TensorFlow: not loaded where it is installed, not missed where it is not.

`nox -s bare` runs this file where it is not.
"""

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.quick

# What users of arrays do, each in one line; where a name is printed, so is what it gave.
ALL = """
import functools, os, tempfile
import numpy as np, pandas as pd, scipy.sparse
import tfkm
from tfkm import metrics

x = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
w, folder = np.arange(300.0), tempfile.mkdtemp()
path = os.path.join(folder, "x.npy")
np.save(path, x)
same = np.array_equal

model = tfkm.KMeans(5, random_state=0).fit(x, sample_weight=w)
mapped, sparse = np.load(path, mmap_mode="r"), scipy.sparse.csr_array(x)
for given in x.tolist(), pd.DataFrame(x), sparse, mapped, x[:, ::-1]:
    tfkm.KMeans(5, random_state=0).fit(given).predict(given)
assert same(model.predict(x), model.labels_) and model.transform(x).shape == (300, 5)
assert model.score(x, sample_weight=w) == -model.inertia_
for metric in "euclidean", "cosine":
    for init in "k-means++", "k-means||", "afk-mc2", "random":
        fit = tfkm.KMeans(4, init=init, metric=metric, random_state=0, max_iter=5).fit(x)
        assert same(fit.predict(x), fit.labels_)
for other in tfkm.MiniBatchKMeans, tfkm.BisectingKMeans:
    assert same(other(4, random_state=0).fit(x).predict(x[:9]), other(4, random_state=0).fit(x).labels_[:9])
tfkm.MiniBatchKMeans(4, random_state=0).partial_fit(x).partial_fit(x, sample_weight=w)

labels, distances = tfkm.assign(x, x[:5])
_, statistics = tfkm.accumulate(np.stack([x, x]), x[:5], w, n_points=[300, 7])
assert type(labels) is type(statistics.sums) is np.ndarray and statistics.sums.shape == (2, 5, 4)
assert type(tfkm.kmeans(x, 3, random_state=0).centroids) is np.ndarray
tfkm.kmeans_batch(np.stack([x, x]), 3, random_state=0)
for seeding in tfkm.kmeans_plusplus, tfkm.kmeans_parallel, tfkm.afk_mc2, tfkm.random_points:
    assert type(seeding(x, 4, random_state=0).indices) is np.ndarray
metrics.inertia_curve(x, [1, 3]), metrics.simplified_silhouette_score(x, x[:3])
metrics.davies_bouldin_score(x, model.labels_), metrics.calinski_harabasz_score(x, model.labels_)

stream = tfkm.KMeans(5, random_state=0, checkpoint_dir=os.path.join(folder, "c")).fit(path)
assert same(stream.cluster_centers_, tfkm.KMeans(5, random_state=0).fit(x).cluster_centers_)
stream.predict(path, out=os.path.join(folder, "labels.npy"))
model.save(os.path.join(folder, "m.npz"))
assert same(tfkm.load(os.path.join(folder, "m.npz")).predict(x), model.labels_)
"""


def run(code, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(code)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_none_is_loaded(tmp_path):
    run(ALL + "\nimport sys\nassert 'tensorflow' not in sys.modules", tmp_path)


def test_none_is_missed(tmp_path):
    """Importing it raises, as where it is not installed."""
    run("import sys\nsys.modules['tensorflow'] = None\n" + ALL, tmp_path)


@pytest.mark.parametrize(
    "code",
    [
        "tfkm.kmeans([[0.0], [1.0]], 1, backend='xla')",
        "tfkm.layers",
        "tfkm.set_xla_precision",
        "tfkm.KMeans(1).fit([[0.0]]).export('here')",
    ],
)
def test_what_needs_it_says_so(tmp_path, code):
    code = f"""
import sys
sys.modules["tensorflow"] = None
import tfkm
try:
    {code}
except (ImportError, RuntimeError) as error:
    print(error)
"""
    assert "needs TensorFlow: pip install 'tfkm[cpu]'" in run(code, tmp_path)


@pytest.mark.parametrize("first", ["tensorflow", "tfkm", "tfkm, a look for it,"])
def test_a_saved_model_with_the_op_loads_in_either_order(tmp_path, first):
    """The ops are registered when TensorFlow is imported, before tfkm or after it."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs TensorFlow")
    look = "a look" in first  # as whoever asks whether it is installed
    first = first.partition(",")[0]
    second = {"tensorflow": "tfkm", "tfkm": "tensorflow"}[first]
    run(
        f"""
import tensorflow as tf, tfkm
module = tf.Module()
module.f = tf.function(lambda x: tfkm.assign(x, [[0.0], [4.0]], backend="native").labels,
                       input_signature=[tf.TensorSpec([None, 1])])
tf.saved_model.save(module, r"{tmp_path}/model")
""",
        tmp_path,
    )
    found = run(
        f"""
import {first}
if {look}:
    import importlib.util
    assert importlib.util.find_spec("tensorflow")
import {second}
tfkm.KMeans(1).fit([[0.0]])
print(tensorflow.saved_model.load(r"{tmp_path}/model").f([[3.0]]).numpy())
""",
        tmp_path,
    )
    assert found == "[1]\n"
