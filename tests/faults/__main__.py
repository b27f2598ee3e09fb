"""Plants each fault, one at a time, and shows which session sees it.

python -m tests.faults [NAME …] [--near] [--jobs N] [--write FILE.md]: all, or those whose names or
files contain one of these words.

A fault is planted in a copy of the tree, below build/faults. What would see it is tried first: of `quick`,
then of `tests`; only where that passes, all of the session. A test has seen a fault if it fails with it and
passes without. `--write` puts what was seen into a page, whose other lines stay. Exit status 1 if `tests`
lets one pass, or `quick` more than one in ten.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.faults.planted import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "faults"
TREE, KERNELS, LIBRARIES = (HOME / name for name in ("tree", "kernels", "libraries"))
(TOOLS,) = sorted((ROOT / "build" / "tools").glob("*/bin"), key=os.path.getmtime)[-1:]
LIBRARY_NAMES = "_kernels", "_ops", "_cuda"
QUICK = ("-m", "quick and not full and not other_backend")
# About the texts themselves, about history and about other builds, of which the copy has none.
NOT_THERE = (
    "--ignore=tests/test_faults.py",
    "--ignore=tests/test_gate.py",
    "--deselect=tests/test_native.py::test_the_source_tree_does_not_hide_the_library",
)
OF_FILES, OF_ALL = 300, 3600  # seconds for tests; a fault may make something hang


class Compiled(NamedTuple):
    """Tests that ctest runs: what CMake has to build, and their names as a pattern."""

    targets: tuple[str, ...]
    names: str


_CORE = ("fuzz_accumulate", "test_seed", "test_batch", "test_distances")
COMPILED = {
    ("core", "quick"): Compiled(_CORE, "^quick_(fuzz|seed|batch|distances)$"),
    ("core", "tests"): Compiled(("core_tests",), "^(fuzz_)?accumulate$|^seed$|^batch|^distances$"),
    ("cuda", "quick"): Compiled(("test_cuda_tiny",), "^quick_cuda$"),
    ("cuda", "tests"): Compiled(("cuda_tests",), "^cuda$|^emulation$|^xla_cuda$"),
}
NOT_SEEN = "**not seen**"


class Seen(NamedTuple):
    """By session, the first test that sees a fault; "" for none."""

    quick: str
    tests: str


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--near", action="store_true", help="no more than what `seen_by` names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="a page with the table")
    options = parser.parse_args(arguments)
    words = options.names or [""]
    wanted = [f for f in FAULTS if any(word in f.name or word in f.file for word in words)]
    run = Run(options.jobs, options.near)
    run.prepare()
    written = read(options.write) if options.write and options.write.exists() else {}
    seen_of: dict[str, Seen] = {}
    for fault in wanted:
        seen_of[fault.name] = seen = run.see(fault)
        print(row(fault, seen), flush=True)
        if options.write and (seen.quick or not options.near):
            written[fault.name] = seen
            options.write.write_text(page(written))
    run.check({seen.tests for seen in seen_of.values()})
    missed = [sum(not cell for cell in cells) for cells in zip(*seen_of.values(), strict=True)]
    for session, n in zip(Seen._fields, missed, strict=True):
        print(f"`{session}` sees {len(wanted) - n} of {len(wanted)}.")
    return int(missed[1] > 0 or 10 * missed[0] > len(wanted))


def row(fault: Fault, seen: Seen | None) -> str:
    cells = ("not planted",) * 2 if seen is None else (_without_case(s) or NOT_SEEN for s in seen)
    return f"| {fault.name} | {fault.file} | {' | '.join(cells)} |"


def _without_case(test: str) -> str:
    return test.partition("[")[0]


def read(path: Path) -> dict[str, Seen]:
    """What a page says, by a fault's name."""
    found = re.findall(r"^\| (.+?) \| \S+ \| (.+?) \| (.+?) \|$", path.read_text(), re.MULTILINE)
    return {
        name: Seen(*(cell.replace(NOT_SEEN, "") for cell in cells))
        for name, *cells in found
        if "not planted" not in cells
    }


def page(seen_of: dict[str, Seen]) -> str:
    """Markdown, of all faults."""
    seen = [seen_of[fault.name] for fault in FAULTS if fault.name in seen_of]
    quick, tests = (sum(map(bool, cells)) for cells in zip(*seen, strict=True))
    rows = "\n".join(row(fault, seen_of.get(fault.name)) for fault in FAULTS)
    left = len(FAULTS) - len(seen)
    others = f" {left} others have not been planted yet." if left else ""
    about = (
        "A test that cannot fail tests nothing. `nox -s faults` exchanges one text of a source file for "
        "another, as the rule for ties for its reverse, runs the tests and puts the text back. It does so "
        "with every fault of `tests/faults/planted.py`. The tests near a fault run first, all others only "
        "where those pass; the table names the first test that fails with the fault and passes without it. "
        "`nox -s faults -- --write docs/faults.md` writes this page.",
        f"Of {len(seen)} faults `nox -s tests` sees {tests}, and `nox -s quick` alone {quick}.{others}",
    )
    prose = "\n\n".join(textwrap.fill(part, 100, break_on_hyphens=False) for part in about)
    return f"""# Faults that the tests see

{prose}

| fault | where | `quick` | `tests` |
|---|---|---|---|
{rows}
"""


class Run:
    """Tests of the copy, with a fault or without. near: only those that a fault names."""

    def __init__(self, jobs: int, near: bool) -> None:
        self._jobs, self._near = jobs, near

    def prepare(self) -> None:
        """Make the copy, and see that all passes there."""
        copy_tree()
        if not self._build(*LIBRARY_NAMES):
            raise SystemExit("without a fault the compiler fails already")
        install_from(KERNELS)
        LIBRARIES.mkdir(exist_ok=True)
        for name in LIBRARY_NAMES:
            shutil.copyfile(KERNELS / f"{name}.so", LIBRARIES / f"{name}.so")
        if not self._near and (wrong := self._python(*QUICK)):
            raise SystemExit(f"without a fault {wrong} fails already")

    def see(self, fault: Fault) -> Seen:
        """What `quick` sees, `tests` sees, which has all of it."""
        with planted(fault):
            quick = first(self._tries(fault, "quick", *QUICK))
            return Seen(quick, quick or first(self._tries(fault, "tests")))

    def check(self, saw: set[str]) -> None:
        """See that these tests, which saw a fault, pass without."""
        python = sorted(test for test in saw if test.startswith("tests/"))
        if python and (wrong := self._python(*python, limit=OF_ALL)):
            raise SystemExit(f"without a fault {wrong} fails, too")
        if compiled := [test.removeprefix("ctest ") for test in saw if test.startswith("ctest ")]:
            targets = {name for tests in COMPILED.values() for name in tests.targets}
            if not self._build(*targets) or self._ctest(f"^({'|'.join(compiled)})$"):
                raise SystemExit(f"without a fault one of {', '.join(compiled)} fails, too")

    def _tries(self, fault: Fault, session: str, *marks: str) -> Iterator[str]:
        """What each of the session's parts sees, the nearest first."""
        words = fault.seen_by.split()
        for part in {"core", "cuda"}.intersection(words):
            tests = COMPILED[part, session]
            yield self._ctest(tests.names) if self._build(*tests.targets) else "the compiler"
        files = [f"tests/test_{word}.py" for word in words if word not in ("core", "cuda")]
        if fault.file.startswith("kernels/") and (files or not self._near):
            if not self._build(*LIBRARY_NAMES):
                yield "the compiler"
            install_from(KERNELS)
        if files:
            yield self._python(*marks, *files)
        if not self._near:
            yield self._python(*marks)

    def _build(self, *targets: str) -> bool:
        """Compile; whether the compiler took it."""
        cmake, path = str(TOOLS / "cmake"), f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
        flags = ("-DCMAKE_BUILD_TYPE=None", "-DTFKM_TESTS=ON", "-DTFKM_OPTIMISE=OFF")
        configure = [cmake, "-S", str(TREE), "-B", str(KERNELS), "-G", "Ninja", *flags]
        compile_ = [cmake, "--build", str(KERNELS), f"-j{self._jobs}", "--target", *targets]
        environment = {**os.environ, "PATH": path}
        return all(
            subprocess.run(command, capture_output=True, env=environment).returncode == 0
            for command in (configure, compile_)
        )

    def _ctest(self, names: str) -> str:
        """The first of these tests of ctest that fails."""
        command = [str(TOOLS / "ctest"), "--test-dir", str(KERNELS), "-R", names]
        command += [f"-j{self._jobs}", "--timeout", "300", "--stop-on-failure"]
        run = subprocess.run(command, capture_output=True, text=True)
        failed = re.findall(r"^\s+\d+ - (\S+) \(", run.stdout, re.MULTILINE)
        return f"ctest {failed[0]}" if failed else "ctest" if run.returncode else ""

    def _python(self, *arguments: str, limit: int = OF_FILES) -> str:
        """The first test that fails; the process itself if it is killed or hangs."""
        of_files = any(argument.startswith("tests/") for argument in arguments)
        alone = of_files or self._jobs == 1
        several = () if alone else ("-n", str(self._jobs), "--dist=loadfile")
        command = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
        environment = {**os.environ, "PYTHONPATH": str(TREE), "TF_CPP_MIN_LOG_LEVEL": "3"}
        began = time.monotonic()
        try:
            run = subprocess.run(
                [*command, *NOT_THERE, *several, *arguments],
                cwd=TREE, env=environment, capture_output=True, text=True,
                timeout=limit if of_files else OF_ALL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"hangs for {time.monotonic() - began:.0f} s"
        if run.returncode in (0, 5):  # 5: none of them is one of this session
            return ""
        if found := re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", run.stdout, re.MULTILINE):
            return found[1]
        if run.returncode == 4:
            raise SystemExit(run.stderr)
        return f"exit status {run.returncode}"


def first(found: Iterable[str]) -> str:
    return next(filter(None, found), "")


def copy_tree() -> None:
    """Copy what git knows of, only where it differs: what has been compiled stays."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    for name in names:
        source, target = ROOT / name, TREE / name
        if not (target.exists() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for target in list(TREE.rglob("*")):
        if target.is_file() and str(target.relative_to(TREE)) not in names:
            target.unlink()


def install_from(folder: Path) -> None:
    for name in LIBRARY_NAMES:
        shutil.copyfile(folder / f"{name}.so", TREE / "tfkm" / f"{name}.so")


@contextlib.contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """The file with the fault, and after it the file and the libraries without."""
    file = TREE / fault.file
    text = file.read_text()
    if text.count(fault.before) != 1:
        raise SystemExit(f"{fault.name}: its text is not once in {fault.file}")
    file.write_text(text.replace(fault.before, fault.after))
    try:
        yield
    finally:
        file.write_text(text)
        install_from(LIBRARIES)


if __name__ == "__main__":
    sys.exit(main())
