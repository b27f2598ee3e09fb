"""The CUDA kernels behind their launcher, driven by ctypes, on a driver without a card.

`nox -s cuda` builds that driver (kernels/tests/fake_driver.cc), puts it where it is looked for and sets
TFKM_EMULATION=1, so that nothing is skipped there. With a card they run on that. The rest needs neither.
"""

import contextlib
import ctypes
import functools
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import tfkm
from benchmarks.cuda import bench, build, limits, roofline, timed_card
from tfkm import exact
from tfkm.cuda import check, driver, nvrtc
from tfkm.ops import cuda, native_ops, sums, tensor_backends, xla, xla_call
from tfkm.testing import CASES, SHAPES, Shape, assert_same_assignment
from tfkm.types import Assignment

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def card():
    missing = pytest.fail if os.environ.get("TFKM_EMULATION") == "1" else pytest.skip
    try:
        card = driver.Card()
    except RuntimeError as error:
        missing(str(error))
    if emulated(card):
        return card
    if os.environ.get("TFKM_EMULATION") == "1":
        pytest.fail("there is a card")
    # TensorFlow would take its memory, and is to compute beside it. Too late where other tests came first.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return card


@pytest.fixture
def emulation(card):
    """For what holds on no real card."""
    if not emulated(card):
        pytest.skip("for the emulation")
    return card


def emulated(card):
    return card.name == "the emulation"


def load(card, points, wide=False):
    if emulated(card):
        card.load(points, wide, f"{points}{' in float64' if wide else ''}".encode())
    else:
        driver.load_compiled(card, points, wide)


@pytest.mark.parametrize("name", CASES)
def test_cases(card, name):
    """Labels, distances and sums have the bits of the kernels for the processor."""
    case = CASES[name]()
    points = case.points
    wide = case.centroids.dtype == np.float64
    load(card, points.dtype.name, wide)
    largest = np.abs(points.astype(np.float64)).max(0)
    most = 1.0 if case.weights is None else case.weights.max()
    grid = exact.grid(len(points), largest, most)
    prepared = driver.Prepared(card, points, case.centroids, case.weights, tuple(grid))
    prepared.launch()
    got = prepared.answer()
    assert_same_assignment(Assignment(*got[:2]), case)

    weights = None if case.weights is None else tf.constant(case.weights)
    grid = exact.Grid(*map(tf.constant, grid))
    assignment, total = native_ops.accumulate(
        tf.constant(points), tf.constant(case.centroids), weights, grid
    )
    expected = [*assignment, *total.high, *total.low]
    for mine, right in zip([*got[:2], *got.high, *got.low], expected, strict=True):
        np.testing.assert_array_equal(mine, right)
    assert got.inertia == float(sums.rounded(total).inertia)


@pytest.mark.parametrize("tile", ["wide", "even", "slim", "halves"])
def test_far_groups_on_every_tile(card, tile):
    load(card, "float32")
    case = CASES["two far groups"]()
    prepared = driver.Prepared(card, *case[:2], tile=tile)
    prepared.launch()
    assert_same_assignment(Assignment(*prepared.answer()[:2]), case)


def test_by_pointers_and_a_stream(emulation):
    """As docs/gpu.md has it for CuPy; here memory is the host's."""
    card = emulation
    load(card, "float32")
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
    load(card, "float32")
    x = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="do not take"):
        driver.Prepared(card, x, x, tile="none")


def test_a_cubin_that_is_refused_is_compiled_once_more(emulation, monkeypatch):
    images = {False: b"int4", True: b"int8"}
    monkeypatch.setattr(nvrtc, "cached", lambda *about, anew=False: images[anew])
    driver.load_compiled(emulation, "int8")
    images[True] = b"int2"
    with pytest.raises(RuntimeError, match="no kernels for int2"):
        driver.load_compiled(emulation, "int8")


def test_any_thread_may_use_a_card(card):
    load(card, "float32")
    case = CASES["ties"]()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(driver.solve, card, "float32", *case[:2]).result()
    assert_same_assignment(Assignment(*answer[:2]), case)


def test_self_check(card, monkeypatch):
    """It takes all tiles, and passes on these kernels."""
    if emulated(card):
        monkeypatch.setattr(check, "MANY", 1600)  # a second turn, there
    load(card, "float32")
    assert check.run(functools.partial(driver.solve, card, "float32")) == ""


def test_self_check_as_a_process(emulation, monkeypatch, capsys):
    monkeypatch.setattr(check, "SHAPES", {"even": (70, 20, 9)})
    monkeypatch.setattr(check, "MANY", 200)
    for points, wide in ("float32", 0), ("bfloat16", 1):
        assert check.main([points, str(wide)], load) == 0
    monkeypatch.setattr(driver.Prepared, "launch", lambda self: None)  # NaN for all
    assert check.main(["float32", "0"], load) == check._WRONG
    assert "labels outside" in capsys.readouterr().out

    def fail(error):
        def solve(*problem):
            raise RuntimeError(f"cuStreamSynchronize: {error}")

        monkeypatch.setattr(driver, "solve", solve)
        return check.main(["float32", "0"], load)

    assert fail("an illegal memory access") == check._WRONG
    assert "an illegal memory access" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="out of memory"):
        fail("out of memory")


def test_bench(emulation, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "SHAPES", {"digits": SHAPES["digits"].cut()._replace(n=70, d=50)})
    monkeypatch.setattr(bench, "TILES", ("even",))
    monkeypatch.setattr(bench, "SWEEP", SHAPES["digits"]._replace(d=8))
    monkeypatch.setattr(check, "SHAPES", {"even": (70, 20, 9)})  # test_self_check has them all
    monkeypatch.setattr(check, "MANY", 200)
    out = tmp_path / "bench.json"
    most = limits.Limits(2e12, 4e12, 1e12)
    assert bench.main(["--quick", "--json", str(out)], load, lambda card: most) == 0
    found = json.loads(out.read_text())
    rows = found["rows"]
    assert found["limits"] == most._asdict()
    for row in rows:
        assert min(row["ms"], row["with_copies"]) > 0
        assert row["of_flops"] == pytest.approx(row["tflops"] / 2)
        assert row["of_fragments"] == pytest.approx(row["tflops"] / 4)
        assert row["of_bandwidth"] == pytest.approx(row["gbytes"] / 1000)
    assert {row["op"] for row in rows} == {"assign", "accumulate"}
    assert "the emulation" in capsys.readouterr().out


# --- without a driver
# ---------------------------------------------------------------------------------------


def test_xla_takes_the_handlers():
    """TensorFlow's XLA knows the platform without a card, too."""
    assert xla_call.why_not(driver.launcher(), "tfkm_register_cuda") == ""


LIMITS = """
    from pathlib import Path
    from tfkm.cuda import nvrtc
    source = Path("{source}")
    program = nvrtc._Compiler(nvrtc._library()).compile("compute_90", source, []).cubin.decode()
    for instruction, in_a_turn in ("mma.sync", 8), ("fma.rn.f32", 16):
        count = program.count(instruction)
        assert count and count % in_a_turn == 0, (instruction, count)
    assert "ld.global.v4.f32" in program or "ld.global.nc.v4.f32" in program
    assert nvrtc.compile_source(source, "sm_90").cubin
"""


def test_the_limits_of_a_card_are_not_optimised_away(python):
    """Compiled, not run. NVRTC looks for a driver, and does not survive the emulation's."""
    pytest.importorskip("nvidia.cuda_nvrtc", reason="NVRTC is in the dependency group cuda")
    python(LIMITS.replace("{source}", str(limits.SOURCE)), LD_LIBRARY_PATH="")


def test_a_source_tree_makes_its_own_launcher(monkeypatch):
    """For python -m benchmarks.cuda.bench where nothing is installed."""
    library = timed_card.compiled_launcher()
    assert library.tfkm_register_cuda and library.tfkm_cuda_use
    call = driver.Call(n=9, k=2, d=3, stride=3)
    assert library.tfkm_cuda_scratch_bytes(ctypes.byref(call), 1) > 0
    monkeypatch.setattr(timed_card.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="was not built, and there is no C"):
        timed_card.compiled_launcher()


def test_without_the_launcher_it_says_so(monkeypatch):
    monkeypatch.setattr(driver, "_launcher_path", lambda: None)
    with pytest.raises(RuntimeError, match="tfkm/_cuda.so, was not built"):
        driver.launcher.__wrapped__()


def test_without_a_gpu_it_says_so():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is one")
    state = tfkm.backends()["cuda"]
    assert not state.usable and "no GPU" in state.why
    with pytest.raises(RuntimeError, match="no GPU"):
        cuda.assign(tf.zeros([1, 1]), tf.zeros([1, 1]))


class Gpu(NamedTuple):
    name: str
    about: dict


def gpu(number, *capability):
    about = {"device_name": "a card", "compute_capability": capability}
    return Gpu(f"/physical_device:GPU:{number}", about)


@pytest.fixture
def pretended(forget, monkeypatch, tmp_path):
    """Two cards and between them an older one, after one that TensorFlow is not to see. The processor plays
    them with its own kernels. What is loaded."""
    loaded = []

    class Launcher:
        @staticmethod
        def tfkm_cuda_load(image, kernels):
            assert b"'sm_90'" in image

        @staticmethod
        def tfkm_cuda_use(*kernels):
            loaded.append(kernels[:3])

    def logical(kind=None):
        return [tf.config.LogicalDevice(f"/device:CPU:{i}", "GPU") for i in (0, 9, 0)]

    call = xla_call.call

    def on_the_processor(name, arguments, results, platform):
        *others, inertia = results
        sums = inertia.dtype == tf.int64
        if sums:
            results = [*others, xla_call.Value(tf.float64, [exact.DIGITS])]
        with tf.device("CPU:0"):
            *others, last = call(name, arguments, results)
            if sums:
                last = tf.concat([tf.cast(last, tf.int64), [0]], axis=0)
            return [*others, last]

    assert native_ops.why_not_in_xla() == ""
    gpus = [gpu(1, 9, 0), gpu(2, 7, 5), gpu(3, 9, 0)]
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config, "list_logical_devices", logical)
    monkeypatch.setattr(tf.config, "get_logical_device_configuration", lambda gpu: None)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: gpu.about)
    monkeypatch.setattr(nvrtc, "cached", lambda *about: repr(about).encode())
    monkeypatch.setattr(driver, "launcher", Launcher)
    monkeypatch.setattr(driver, "version", lambda: 12080)
    monkeypatch.setattr(check, "COMMAND", [sys.executable, "-c", ""])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(xla_call, "why_not", lambda library, register="": "")
    monkeypatch.setattr(xla_call, "call", on_the_processor)
    return loaded


@pytest.mark.full
def test_kernels_of_every_dtype_are_proved_on_every_card(pretended):
    assert tfkm.backends()["cuda"].usable
    assert tensor_backends.select(None) is cuda
    numbers = [(list(nvrtc.TYPES).index(points), wide) for points, wide in nvrtc.PAIRS]
    assert pretended == [(device, *pair) for device in (1, 3) for pair in numbers]


def test_cards_that_are_too_old(pretended, monkeypatch):
    for about in gpu(0, 7, 0), Gpu("/physical_device:GPU:0", {}):
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind, gpu=about: [gpu])
        with pytest.raises(RuntimeError, match="no GPU from sm_80 on"):
            cuda._prepare()
    with pytest.raises(RuntimeError, match="sm_75 is older than Ampere"):
        nvrtc._target("sm_75")


CHILDREN = {
    "float32: a self-check ended by SIGABRT": "import os; os.abort()",
    "float32: a self-check took more than 0.5 s": "import time; time.sleep(60)",
    "float32: wrong sums": "import sys; print('wrong sums'); sys.exit(3)",
}


@pytest.mark.parametrize("why", CHILDREN)
def test_kernels_that_fail_in_a_process_of_their_own(pretended, forget, monkeypatch, why):
    """They are not tried in this one, nor in the next."""
    if "0.5 s" in why:
        monkeypatch.setattr(check, "LIMIT", 0.5)
    monkeypatch.setattr(check, "COMMAND", [sys.executable, "-c", CHILDREN[why]])
    monkeypatch.setattr(check, "run", lambda *about: pytest.fail("tried"))
    for command in check.COMMAND, ["false"]:
        monkeypatch.setattr(check, "COMMAND", command)
        state = tfkm.backends()["cuda"]
        assert not state.usable and why in state.why
        forget()


@pytest.mark.parametrize("command", [["false"], ["no such program"], ["sh", "-c", "kill -9 $$"]])
def test_where_no_other_process_may_use_the_card(pretended, monkeypatch, tmp_path, command):
    """This one decides, and nothing is kept."""
    monkeypatch.setattr(check, "COMMAND", command)
    monkeypatch.setattr(check, "run", lambda *about: "")
    assert tfkm.backends()["cuda"].usable
    assert not list(tmp_path.glob("**/*.verdict"))


FAULTS = {
    "label": lambda a: a._replace(labels=np.roll(a.labels, 1)),
    "outside": lambda a: a._replace(labels=a.labels + 1000),
    "distances": lambda a: a._replace(sq_distances=a.sq_distances * 1.001),
    "wrong sums": lambda a: a._replace(low=(0 * a.low[0], *a.low[1:])),
    "wrong weights": lambda a: a._replace(high=(a.high[0], np.roll(a.high[1], 1))),
    "wrong inertia": lambda a: a._replace(inertia=a.inertia * (1 + 1e-9)),
}  # fmt: skip


@pytest.mark.parametrize("rows", ["few", "many"])
def test_the_self_check_finds_faults(pretended, rows):
    """Where all points are wrong, and where only they are that come again."""

    def solve(*problem, fault):
        answer = driver.Answer(*cuda._solve("float32", *problem))
        many = len(answer.labels) == check.MANY
        return fault(answer) if answer.low is not None and many == (rows == "many") else answer

    for name, fault in FAULTS.items():
        if rows == "few" or name != "outside":
            assert name in check.run(functools.partial(solve, fault=fault))


def test_kernels_that_fail_for_one_dtype_are_not_taken(pretended, monkeypatch):
    """None takes the next backend, and the proof is not asked for again."""
    asked = []

    def run(solve, points, wide):
        asked.append((points, wide))
        return "wrong sums" if points == "uint8" else ""

    monkeypatch.setattr(check, "run", run)
    for _ in range(2):
        state = tfkm.backends()["cuda"]
        assert not state.usable and "uint8: wrong sums" in state.why
        assert tensor_backends.select(None) is xla
        with pytest.raises(RuntimeError, match="wrong sums"):
            tensor_backends.select("cuda")
    assert len(asked) == nvrtc.PAIRS.index(("uint8", False)) + 1


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
    taken = build.resources(LOG)
    assert taken["screen_wide"] == build.Resources(128, 280, 300, 88, 24324)
    assert taken["settle_wide"] == build.Resources(40, 8, 8, 8, 0)
    assert build.spills({"sm_90 float32": taken}) == [
        "sm_90 float32: screen_wide spills 280 and 300 bytes"
    ]


def test_the_record_has_no_spill_in_a_hot_kernel():
    record = json.loads((ROOT / "benchmarks/recorded/cuda_kernels.json").read_text())["kernels"]
    assert {name.split()[0] for name in record} == set(build.ARCHITECTURES)
    assert len(record) == len(build.ARCHITECTURES) * len(nvrtc.PAIRS)
    taken = {
        name: {kernel: build.Resources(*numbers) for kernel, numbers in kernels.items()}
        for name, kernels in record.items()
    }
    assert not build.spills(taken)


def test_the_document_has_the_tables_that_the_code_makes():
    text = roofline.DOCUMENT.read_text()
    assert roofline.fill(text) == text, "run python -m benchmarks.cuda.roofline"


def test_the_self_check_has_every_tile():
    assert set(check.SHAPES) == set(roofline.TILES)
    for tile, shape in check.SHAPES.items():
        assert roofline.tile_for(Shape(*shape)) == tile


def test_no_developer_tool_is_in_the_package():
    """It has what compiles, launches and checks at run time."""
    files = {path.stem for path in (ROOT / "tfkm" / "cuda").glob("*.py")}
    assert files == {"__init__", "check", "driver", "nvrtc"}
