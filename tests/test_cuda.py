"""The CUDA kernels behind their launcher, driven by ctypes, on a driver without a card.

`nox -s cuda` builds that driver (kernels/tests/fake_driver.cc) and puts it where it is looked for. The rest
needs none.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from tfkm import exact
from tfkm.cuda import bench, build, check, driver, nvrtc
from tfkm.ops import cuda, xla_call
from tfkm.testing import CASES, SHAPES, Shape, assert_same_assignment
from tfkm.types import Assignment

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def card():
    try:
        card = driver.Card()
    except RuntimeError as error:
        pytest.skip(str(error))
    if card.name != "the emulation":
        pytest.skip("there is a card: tfkm.cuda.bench is for it")
    return card


def load(card, points, wide):
    card.load(points, wide, f"{points}{' in float64' if wide else ''}".encode())


@pytest.mark.parametrize("name", CASES)
def test_cases(card, name):
    """Labels, distances and sums have the bits of the kernels for the processor."""
    case = CASES[name]()
    points = case.points
    wide = case.centroids.dtype == np.float64
    load(card, points.dtype.name, wide)
    limits = (np.abs(a.astype(np.float64)).max(0) for a in case[:2])
    most = 1.0 if case.weights is None else case.weights.max()
    grid = exact.grid(len(points), *limits, most)
    prepared = driver.Prepared(card, points, case.centroids, case.weights, tuple(grid))
    prepared.launch()
    got = prepared.answer()
    assert_same_assignment(Assignment(*got[:2]), case)

    weights = None if case.weights is None else tf.constant(case.weights)
    grid = exact.Grid(*map(tf.constant, grid))
    assignment, sums = tfkm.ops.native.accumulate(
        tf.constant(points), tf.constant(case.centroids), weights, grid
    )
    expected = [*assignment, *sums.high, *sums.low]
    for mine, right in zip([*got[:2], *got.high, *got.low], expected, strict=True):
        np.testing.assert_array_equal(mine, right)


@pytest.mark.parametrize("tile", ["wide", "even", "slim", "halves"])
def test_far_groups_on_every_tile(card, tile):
    load(card, "float32", False)
    case = CASES["two far groups"]()
    prepared = driver.Prepared(card, *case[:2], tile=tile)
    prepared.launch()
    assert_same_assignment(Assignment(*prepared.answer()[:2]), case)


def test_by_pointers_and_a_stream(card):
    """As docs/gpu.md has it for CuPy; here memory is the host's."""
    load(card, "float32", False)
    x, c = CASES["ties"]()[:2]
    (n, d), k = x.shape, len(c)
    labels, sq = np.empty(n, np.int32), np.empty(n, np.float32)
    at = [array.ctypes.data for array in (x, c, labels, sq)]
    call = driver.Call(n=n, k=k, d=d, stride=d)
    call.points, call.centroids, call.labels, call.sq_distances = at
    scratch = np.empty(card.scratch_bytes(call) + 16, np.uint8)
    call.scratch = (scratch.ctypes.data + 15) // 16 * 16
    card.accumulate(call, stream=1)
    assert_same_assignment(Assignment(labels, sq), CASES["ties"]())


def test_refusals(card):
    load(card, "float32", False)
    x = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="do not take"):
        driver.Prepared(card, x, x, tile="none")
    with pytest.raises(RuntimeError, match="no kernels for int4"):
        card.load("float32", False, b"int4")


def test_self_check(card):
    """It takes all tiles, passes on these kernels and finds what is wrong with others."""
    load(card, "float32", False)

    def solve(points, centroids, change=lambda labels, sq: (labels, sq)):
        prepared = driver.Prepared(card, points, centroids)
        prepared.launch()
        return change(*prepared.answer()[:2])

    assert check.run(solve) == ""
    last = lambda labels, sq: (np.roll(labels, 1), sq)  # noqa: E731
    assert "label" in check.run(lambda *a: solve(*a, last))
    far = lambda labels, sq: (labels, sq * 1.001)  # noqa: E731
    assert "distances" in check.run(lambda *a: solve(*a, far))
    outside = lambda labels, sq: (labels + 1000, sq)  # noqa: E731
    assert "outside" in check.run(lambda *a: solve(*a, outside))


def test_bench(card, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "SHAPES", {"digits": SHAPES["digits"].cut()._replace(n=70, d=50)})
    monkeypatch.setattr(bench, "TILES", ("even",))
    out = tmp_path / "bench.json"
    emulated = lambda card, dtype: load(card, dtype, False)  # noqa: E731
    assert bench.main(["--quick", "--json", str(out)], emulated) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {row["op"] for row in rows} == {"assign", "accumulate"}
    assert "the emulation" in capsys.readouterr().out


# --- without a driver
# ---------------------------------------------------------------------------------------


def test_xla_takes_the_handlers():
    """TensorFlow's XLA knows the platform without a card, too."""
    assert xla_call.why_not(driver.launcher(), "tfkm_register_cuda") == ""


def test_without_a_gpu_it_says_so():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is one")
    state = tfkm.backends()["cuda"]
    assert not state.usable and "no GPU" in state.why
    with pytest.raises(RuntimeError, match="no GPU"):
        cuda.assign(tf.zeros([1, 1]), tf.zeros([1, 1]))


LOG = """ptxas info    : Compiling entry function 'screen_wide' for 'sm_90'
ptxas info    : Function properties for screen_wide
ptxas         .     88 bytes stack frame, 280 bytes spill stores, 300 bytes spill loads
ptxas info    : Used 128 registers, 88 bytes cumulative stack size, 24324 bytes smem
ptxas info    : Compiling entry function 'settle_wide' for 'sm_90'
ptxas info    : Function properties for settle_wide
ptxas         .     8 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 40 registers
"""


def test_a_spill_in_a_hot_kernel_is_found():
    taken = nvrtc.resources(LOG)
    assert taken["screen_wide"] == nvrtc.Resources(128, 280, 300, 88, 24324)
    assert taken["settle_wide"] == nvrtc.Resources(40, 8, 8, 8, 0)
    assert build.spills({"sm_90 float32": taken}) == [
        "sm_90 float32: screen_wide spills 280 and 300 bytes"
    ]


def test_the_record_has_no_spill_in_a_hot_kernel():
    record = json.loads((ROOT / "benchmarks/recorded/cuda_kernels.json").read_text())["kernels"]
    assert {name.split()[0] for name in record} == set(build.ARCHITECTURES)
    assert len(record) == len(build.ARCHITECTURES) * len(build.combinations())
    taken = {
        name: {kernel: nvrtc.Resources(*numbers) for kernel, numbers in kernels.items()}
        for name, kernels in record.items()
    }
    assert not build.spills(taken)


def test_the_document_has_the_tables_that_the_code_makes():
    roofline = pytest.importorskip("benchmarks.roofline")
    text = roofline.DOCUMENT.read_text()
    assert roofline.fill(text) == text, "run python -m benchmarks.roofline"


def test_the_self_check_has_every_tile():
    roofline = pytest.importorskip("benchmarks.roofline")
    assert set(check.SHAPES) == set(roofline.TILES)
    for tile, shape in check.SHAPES.items():
        assert roofline.tile_for(Shape(*shape)) == tile
