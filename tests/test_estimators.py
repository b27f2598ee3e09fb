"""What all estimators owe scikit-learn's tools: routing, output, searches in other processes."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn import cluster
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tfkm import BisectingKMeans, KMeans, MiniBatchKMeans

DIGITS = load_digits().data[:600]
KINDS = [KMeans, MiniBatchKMeans, BisectingKMeans]
# scikit-learn expects the same of its own three: with weights, the random draws of seeding and of batches
# differ from those for repeated points (scikit-learn issue 16298).
EXPECTED_FAILURES = {
    f"check_sample_weight_equivalence_on_{kind}_data": "draws differ for weights and repetitions"
    for kind in ("dense", "sparse")
}
# Parameters that scikit-learn's have not.
MORE = {
    KMeans: {"metric": "euclidean"}
    | dict.fromkeys(("size_min", "size_max", "checkpoint_dir", "engine", "callbacks"))
}


@parametrize_with_checks(
    [kind() for kind in KINDS], expected_failed_checks=lambda _: EXPECTED_FAILURES
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", KINDS)
def test_has_scikit_learns_parameters(kind):
    theirs = getattr(cluster, kind.__name__)().get_params()
    assert kind().get_params() == theirs | {"backend": None} | MORE.get(kind, {})


@pytest.mark.quick
@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_fit_changes_nothing(kind):
    frame = pd.DataFrame(DIGITS[:, :3], columns=["a", "b", "c"])
    model = kind(4, random_state=0).fit(frame)
    before = model.predict(frame)
    bad = [DIGITS[:3], np.full((9, 2), np.nan), np.full((9, 2), 1e200)]
    fits = [model.fit, model.partial_fit] if kind is MiniBatchKMeans else [model.fit]
    for fit in fits:
        for points in bad:
            with pytest.raises(ValueError):
                fit(points)
        with pytest.raises(ValueError, match=r"sample_weight\[0\] is -1"):
            fit(frame, sample_weight=-np.ones(600))
    assert model.n_features_in_ == 3 and model.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.predict(frame), before)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_routed(kind):
    weights = np.random.default_rng(0).uniform(size=600)
    with sklearn.config_context(enable_metadata_routing=True):
        model = kind(5, random_state=0).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        pipeline = Pipeline([("scale", StandardScaler()), ("cluster", model)])
        pipeline.named_steps["scale"].set_fit_request(sample_weight=False)
        pipeline.fit(DIGITS, sample_weight=weights)
        score = pipeline.score(DIGITS, sample_weight=weights)
    scaled = StandardScaler().fit_transform(DIGITS)
    direct = kind(5, random_state=0).fit(scaled, sample_weight=weights)
    np.testing.assert_array_equal(pipeline["cluster"].labels_, direct.labels_)
    assert score == direct.score(scaled, sample_weight=weights) != direct.score(scaled)


@pytest.mark.parametrize("kind", KINDS)
def test_output_is_a_frame_where_asked(kind):
    model = kind(4, random_state=0).set_output(transform="pandas")
    distances = model.fit_transform(pd.DataFrame(DIGITS, index=range(600, 1200)))
    names = [f"{kind.__name__.lower()}{j}" for j in range(4)]
    assert distances.columns.tolist() == names == model.get_feature_names_out().tolist()
    assert distances.index[0] == 600
    np.testing.assert_array_equal(
        distances, model.set_output(transform="default").transform(DIGITS)
    )


@pytest.mark.parametrize("kind", [MiniBatchKMeans, BisectingKMeans])
def test_is_silent_of_duplicates_where_scikit_learn_is(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        for estimator in kind, getattr(cluster, kind.__name__):
            estimator(4, random_state=0).fit(DIGITS[[0, 1, 1, 1, 1]])


@pytest.mark.parametrize("kind", KINDS)
def test_requests_are_scikit_learns(kind):
    theirs = getattr(cluster, kind.__name__)
    names = [name for name in dir(theirs) if name.startswith("set_")]
    assert [name for name in dir(kind) if name.startswith("set_")] == names


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_routes_weights(kind):
    weights = np.random.default_rng(0).uniform(size=600)
    with sklearn.config_context(enable_metadata_routing=True):
        model = kind(random_state=0).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        search = GridSearchCV(
            model, {"n_clusters": [2, 3]}, cv=[(np.arange(300), np.arange(300, 600))]
        )
        search.fit(DIGITS, sample_weight=weights)
    direct = kind(2, random_state=0).fit(DIGITS[:300], sample_weight=weights[:300])
    score = direct.score(DIGITS[300:], sample_weight=weights[300:])
    assert search.cv_results_["split0_test_score"][0] == score


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_fits_in_workers_of_joblib(python, backend):
    """Of an array above 1 MB, which processes get as a read-only memory map."""
    code = """
        import sys
        import joblib, numpy as np, tfkm

        points = np.random.default_rng(0).standard_normal((20_000, 8))
        kinds = [KMeans, MiniBatchKMeans, BisectingKMeans] * 2
        models = [kind(3, random_state=0, max_iter=3) for kind in kinds]
        there = joblib.Parallel(2, backend=sys.argv[1])(joblib.delayed(m.fit)(points) for m in models)
        for model, fitted in zip(models, there):
            np.testing.assert_array_equal(model.fit(points).cluster_centers_, fitted.cluster_centers_)
            np.testing.assert_array_equal(fitted.predict(points), model.labels_)
        print("the same")
    """
    # TensorFlow's threads do not survive a fork.
    assert python(code, backend, JOBLIB_START_METHOD="spawn") == "the same\n"


@pytest.mark.parametrize("kind", KINDS)
def test_negative_weights_in_score_are_named(kind):
    model = kind(3, random_state=0).fit(DIGITS)
    with pytest.raises(
        ValueError, match=r"^sample_weight: sample_weight\[0\] is -1.0; each must be"
    ):
        model.score(DIGITS, sample_weight=-np.ones(600))


@pytest.mark.parametrize("kind", [KMeans, BisectingKMeans])
def test_copy_x_false_leaves_x_alone(kind):
    points = np.asfortranarray(DIGITS)
    kept = points.copy()
    model = kind(4, random_state=0, copy_x=False).fit(points)
    np.testing.assert_array_equal(points, kept)
    np.testing.assert_array_equal(model.labels_, kind(4, random_state=0).fit(kept).labels_)


def test_a_search_in_other_processes_finds_the_same():
    pipeline = Pipeline([("scale", StandardScaler()), ("cluster", KMeans())])
    grid = {
        "cluster": [kind(random_state=0) for kind in KINDS],
        "cluster__n_clusters": [2, 8],
    }
    here, there = (
        GridSearchCV(clone(pipeline), grid, cv=2, n_jobs=n_jobs).fit(DIGITS) for n_jobs in (1, 2)
    )
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(here.cv_results_[name], there.cv_results_[name])
    assert here.best_params_["cluster__n_clusters"] == 8


@pytest.mark.parametrize(
    "warn, category",
    [
        (lambda: KMeans(4, random_state=0).fit(DIGITS[[0, 1, 1, 1, 1]]), ConvergenceWarning),
        (lambda: KMeans(1, algorithm="elkan").fit(DIGITS), RuntimeWarning),
        (lambda: KMeans(2, init=DIGITS[:2], n_init=3).fit(DIGITS), RuntimeWarning),
        (lambda: MiniBatchKMeans(2, init=DIGITS[:2], n_init=3).fit(DIGITS), RuntimeWarning),
        (lambda: MiniBatchKMeans(4, init_size=3).fit(DIGITS), RuntimeWarning),
    ],
)
def test_warnings_point_at_the_call(warn, category):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn()
    (one,) = (w for w in caught if w.category is category)
    assert one.filename == __file__


@pytest.mark.quick
@pytest.mark.parametrize("make", [KMeans, MiniBatchKMeans, BisectingKMeans])
def test_a_fit_that_fails_leaves_the_model_as_it_was(make):
    points = np.arange(40.0).reshape(20, 2)
    model = make(3, random_state=0).fit(points)
    labels = model.predict(points)
    with pytest.raises(ValueError, match="n_samples=2 should be >= n_clusters=3"):
        model.fit(np.zeros((2, 7)))  # after their width was taken
    assert model.n_features_in_ == 2
    np.testing.assert_array_equal(model.predict(points), labels)
