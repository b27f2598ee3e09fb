"""What only the native backend promises: instruction sets and threads are invisible, forks work."""

import ctypes
import json
import os
import warnings

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm import exact
from tfkm.ops import backends, native_library
from tfkm.ops.backend import Problems
from tfkm.ops.native import Native
from tfkm.testing import CASES

DIGESTS = """
    import hashlib, json, sys
    import numpy as np, tensorflow as tf, tfkm
    from tfkm.ops import native_library
    from tfkm.ops.native import Native
    from tfkm.testing import CASES

    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
    digests = {}
    for name, case in CASES.items():
        result = tf.nest.flatten(tfkm.accumulate(*case(), backend="native"))
        points = np.asarray(case().points)
        uniforms = np.random.default_rng(0).random((min(len(points), 40) - 1, 11))
        counts, firsts = np.array([len(points)]), np.zeros(1, int)
        result.append(Native().kmeans_plusplus(points[None], counts, None, firsts, uniforms[None]))
        bits = b"".join(np.asarray(part).tobytes() for part in result)
        digests[name] = hashlib.sha256(bits).hexdigest()
    print(json.dumps([native_library.instruction_set(), digests]))
"""


@pytest.fixture(scope="module")
def expected(python):
    """With the best instruction set and two threads."""
    return json.loads(python(DIGESTS, "2"))[1]


@pytest.mark.parametrize(
    "isa, threads, form",
    [
        ("base", 1, ""),
        ("avx2", 7, "panels"),
        ("avx512", 4, "blocks"),
        ("avx512bf16", 2, "ordered"),
        *(
            pytest.param(*rest, marks=pytest.mark.full)
            for rest in (
                ("avx2", 2, ""),
                ("avx512", 7, ""),
                ("avx512", 4, "panels"),
                ("avx512bf16", 4, ""),
                ("avx512bf16", 2, "bfloat16"),
            )
        ),
    ],
)
def test_instruction_sets_threads_and_forms_are_invisible(python, expected, isa, threads, form):
    """Each case by each kernel, wherever it could be chosen."""
    if isa not in native_library.instruction_sets():
        pytest.skip(f"this processor has no {isa}")
    used, got = json.loads(python(DIGESTS, str(threads), TFKM_ISA=isa, TFKM_FORM=form))
    assert used == isa
    assert got == expected


@pytest.mark.quick
def test_passes_that_go_on_are_passes(monkeypatch):
    """Fits in which a pass looks at no more than its bounds leave open and adds up only what has changed,
    several of them in a call; with distances, too (which have no bounds); and in which each pass is one of
    its own."""
    kinds = []
    plain = Native.sweep

    def going_on(*arguments):
        before, measured = (
            (*arguments[6:], None, True)[:2] if len(arguments) < 8 else arguments[6:8]
        )
        sweep = plain(*arguments)
        kind = "first" if before is None else "measured" if measured else "bounded"
        kinds.extend([kind] * (1 if sweep.passes is None else sweep.passes.max()))
        return sweep

    def measured(*arguments):
        return plain(*(*arguments, None)[:7], True)

    def one_by_one(*arguments):
        return plain(*arguments[:8])

    def alone(*arguments):
        sweep = plain(*arguments[:6], None, True)
        if len(arguments) < 7 or arguments[6] is None:
            return sweep
        return sweep._replace(changed=(sweep.labels != arguments[6].labels).sum(axis=1))

    rng = np.random.default_rng(0)
    blobs = rng.standard_normal((400, 5)) * 1e-3 + rng.integers(0, 40, (400, 1)) + 1e4

    def bits():
        results = []
        for make in CASES.values():
            case = make()
            usable = len(case.points) if case.weights is None else np.count_nonzero(case.weights)
            k = min(20, len(case.centroids), usable)
            for metric in ("euclidean", "cosine"):
                options = dict(weights=case.weights, metric=metric, random_state=0)
                results.append(tfkm.kmeans(case.points, k, backend="native", **options))
        # Starts that end one by one; centroids that begin with nothing to hold; problems of unlike size.
        results.append(tfkm.kmeans(blobs, 30, n_init=4, random_state=1, backend="native"))
        far = np.concatenate([blobs[:3], np.full((5, 5), 2e4)])
        results.append(tfkm.kmeans(blobs, 8, init=far, backend="native"))
        batch = blobs.reshape(8, 50, 5)
        results.append(
            tfkm.kmeans_batch(batch, 4, n_points=range(40, 48), random_state=2, backend="native")
        )
        return [[np.asarray(part).tobytes() for part in result[:4]] for result in results]

    monkeypatch.setattr(Native, "sweep", going_on)
    ours = bits()
    assert kinds.count("bounded") > len(kinds) / 3
    for other in measured, one_by_one, alone:
        monkeypatch.setattr(Native, "sweep", other)
        assert bits() == ours


@pytest.mark.quick
def test_bounds_leave_few_points_to_look_at():
    """Far clusters, of which two change: points elsewhere become NaN, and no one looks."""
    rng = np.random.default_rng(0)
    centres = 1e3 * rng.standard_normal((20, 3))
    points = np.concatenate([centre + rng.standard_normal((100, 3)) for centre in centres])
    table, grid = Problems(np.zeros((1, 3), np.int64)), exact.grid(2000, np.full((1, 3), 1e4))
    first = Native().sweep(points[None], centres[None], None, grid, table, None, False)
    moved = centres.copy()
    moved[:2] += 0.1
    points[200:] = np.nan
    second = Native().sweep(points[None], moved[None], None, grid, table, first, False)
    assert (second.labels == np.arange(20).repeat(100)).all() and second.changed == 0
    assert second.sq_distances is None and np.isnan(second.statistics.inertia).any()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own(python):
    """The parent's threads do not exist in the child, which would wait for them for ever."""
    code = """
        import os, sys
        import numpy as np, tensorflow as tf, tfkm
        from tfkm.ops import native_library
        points = tf.random.stateless_uniform((50_000, 8), [0, 0])
        assign = native_library.ops().tfkm_assign  # TensorFlow's own ops may hang in a forked child
        expected = assign(points, points[:50]).labels.numpy()
        centroids = points[:50]
        child = os.fork()
        if child == 0:
            labels = assign(points, centroids).labels.numpy()
            os._exit(0 if np.array_equal(labels, expected) else 1)
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    python(code)


def test_the_instruction_set_may_be_asked_for_first(python):
    """TensorFlow finds no ops in a library that something else has opened before it."""
    code = """
        import tfkm
        from tfkm.ops import native_library
        native_library.instruction_set()
        assert tfkm.backends()["native"].usable
    """
    python(code)


def test_import_starts_no_thread(python):
    code = """
        import os
        import tensorflow
        before = len(os.listdir("/proc/self/task"))
        import tfkm
        from tfkm.ops import native_library
        native_library.ops()
        assert len(os.listdir("/proc/self/task")) == before
    """
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("this system has no /proc")
    python(code)


def test_calls_side_by_side():
    """Parallel calls of tf.data share the threads or run alone; all give the same."""
    rng = np.random.default_rng(0)
    points, centroids = rng.random((40_000, 8), np.float32), rng.random((64, 8), np.float32)
    batches = tf.data.Dataset.from_tensor_slices(points).batch(1000)
    mapped = batches.map(
        lambda x: tfkm.assign(x, centroids, backend="native").labels, num_parallel_calls=4
    )
    expected = tfkm.assign(points, centroids, backend="native").labels
    for _ in range(5):
        np.testing.assert_array_equal(np.concatenate(list(mapped)), expected)


def test_shapes_are_inferred():
    function = tf.function(lambda x, c: tfkm.accumulate(x, c, backend="native"))
    (labels, distances), statistics = function.get_concrete_function(
        tf.TensorSpec([None, 3]), tf.TensorSpec([5, 3])
    ).structured_outputs
    assert labels.shape.as_list() == distances.shape.as_list() == [None]
    assert [s.shape.as_list() for s in statistics] == [[5, 3], [5], []]


@pytest.mark.parametrize(
    "points, centroids, message",
    [
        (np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32), "as many features"),
        (np.zeros((2, 3), np.float32), np.zeros((0, 3), np.float32), "at least one row"),
        (np.zeros((2, 3), np.float64), np.zeros((2, 3), np.float32), "float64 for float64"),
    ],
)
@pytest.mark.quick
def test_the_op_itself_checks_its_input(points, centroids, message):
    """What the waist has checked before; a graph loaded from elsewhere has not passed it."""
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        native_library.ops().tfkm_assign(points, centroids)


def test_the_source_tree_does_not_hide_the_library(monkeypatch):
    """`python -m …` in the folder of the source tree takes the package from there."""
    expected = native_library.path()
    monkeypatch.setattr(native_library.importlib.util, "find_spec", lambda name: None)
    assert native_library.path() == expected


@pytest.mark.quick
@pytest.mark.parametrize("differs", ["not at all", "no number", "number", "Batch", "Passes"])
def test_a_library_of_other_sources_is_refused(forget, monkeypatch, differs):
    tfkm.backends()  # what is asked once for all is asked of the real one

    class Other:
        _name = "old/_kernels.so"

    real = native_library.library()
    if differs != "no number":
        Other.tfkm_abi = staticmethod(real.tfkm_abi)
    if differs == "number":
        monkeypatch.setattr(native_library, "_ABI", native_library._ABI + 1)
    if differs in ("Batch", "Passes"):
        known = getattr(native_library, differs)
        grown = type(differs, (known,), {"_fields_": [("more", ctypes.c_void_p)]})
        monkeypatch.setattr(native_library, differs, grown)
    monkeypatch.setattr(
        native_library.ctypes, "CDLL", lambda path: real if differs == "not at all" else Other
    )
    forget()
    state = tfkm.backends()["native"]
    assert state.usable == (differs == "not at all")
    if not state.usable:
        assert "old/_kernels.so was built from other sources than this" in state.why
        assert backends.select(None).name == "xla"


def test_without_the_library_it_says_so(forget, monkeypatch):
    monkeypatch.setattr(native_library.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(native_library, "_installed_files", lambda: [])
    assert "were not built; install from source with a C++17" in tfkm.backends()["native"].why
    with pytest.warns(RuntimeWarning, match=r"6 to 29 times"):
        assert backends.select(None).name == "xla"
    with pytest.raises(RuntimeError, match=r"'native' cannot be used here: .*C\+\+17 compiler"):
        tfkm.assign([[0.0]], [[1.0]], backend="native")


def test_what_is_lost_without_the_library_is_told_once_for_arrays_and_tensors(forget, monkeypatch):
    monkeypatch.setattr(native_library.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(native_library, "_installed_files", lambda: [])
    x = np.zeros((3, 1))
    told = []
    for points in x, tf.constant(x):
        forget()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tfkm.assign(points, points[:1])
            tfkm.accumulate(tf.constant(x), x[:1])
            tfkm.kmeans(points, 1)
        told.append([str(warning.message) for warning in caught])
    assert told[0] == told[1] and len(told[0]) == 1
    assert "C++17 compiler" in told[0][0] and "6 to 29 times" in told[0][0]


@pytest.mark.quick
@pytest.mark.parametrize("exponent", [900, 1015, 1018])
def test_an_inertia_near_the_largest_number(exponent):
    """Costs that cannot be cut into steps in vectors are added one by one."""
    points, weights = np.array([[0.0], [3.0]]), np.array([1.0, 2.0**exponent])
    _, statistics = tfkm.accumulate(points, points[:1], weights, backend="native")
    assert float(statistics.inertia) == 9 * 2.0**exponent
