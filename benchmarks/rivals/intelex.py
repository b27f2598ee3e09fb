"""scikit-learn-intelex: oneDAL behind scikit-learn's face."""

from __future__ import annotations

from importlib.metadata import version

from sklearnex.cluster import KMeans

from benchmarks.rivals.scikit_learn import Outcome, ScikitLearn


class Intelex(ScikitLearn):
    name = "scikit-learn-intelex"
    version = version("scikit-learn-intelex")
    KMeans = KMeans
    assign = accumulate = step = seed = stream = None  # scikit-learn's own

    @staticmethod
    def _outcome(model) -> Outcome:
        if not hasattr(model, "_onedal_estimator"):
            raise RuntimeError("it let scikit-learn compute this one")
        return ScikitLearn._outcome(model)
