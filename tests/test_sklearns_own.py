"""What was written for scikit-learn's k-means runs unchanged: its own tests, of our classes."""

# Of attributes with an underscore in front, which nobody but scikit-learn may use.
PRIVATE = [
    "test_kmeans_init_auto_with_initial_centroids",  # _n_init
    "test_n_init_auto",
    "test_minibatch_kmeans_init_size",  # _init_size
    "test_sample_weight_init",  # _init_centroids
    "test_sample_weight_zero",
]


def test_scikit_learns_own_tests_pass(python):
    code = """
        import contextlib, sys
        import pytest, sklearn.cluster, tfkm

        for kind in tfkm.KMeans, tfkm.MiniBatchKMeans, tfkm.BisectingKMeans:
            setattr(sklearn.cluster, kind.__name__, kind)

        class Passed:
            count = 0

            def pytest_runtest_logreport(self, report):
                self.count += report.when == "call" and report.passed

        passed, tests = Passed(), "sklearn.cluster.tests.test_"
        arguments = "-q --tb=short -p no:cacheprovider -W ignore --pyargs".split()
        arguments += [tests + "k_means", tests + "bisect_k_means", "-k", sys.argv[1]]
        with contextlib.redirect_stdout(sys.stderr):
            code = pytest.main(arguments, plugins=[passed])
        assert sys.modules[tests + "k_means"].KMeans is tfkm.KMeans
        print(passed.count)
        sys.exit(code)
    """
    passed = python(code, f"not ({' or '.join(PRIVATE)})", SKLEARN_TESTS_GLOBAL_RANDOM_SEED="42")
    assert int(passed) > 250
