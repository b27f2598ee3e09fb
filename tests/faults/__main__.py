"""Plants each fault, one at a time, and shows which session sees it.

python -m tests.faults [NAME …] [--write FILE.md]: all, or those whose names contain one of these words.

A fault is planted in a copy of the tree, below build/faults. What would see it is tried first: of `quick`,
then of `tests`; only where that passes, all of the session. Exit status 1 if `tests` lets one pass, or
`quick` more than one in ten.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.planted import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "faults"
TREE, KERNELS = HOME / "tree", HOME / "kernels"
(TOOLS,) = sorted((ROOT / "build" / "tools").glob("*/bin"), key=os.path.getmtime)[-1:]
QUICK = ("-m", "quick and not full and not other_backend")
LIMIT = 900  # seconds; a fault may make something hang


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", type=Path, help="a page with the table")
    options = parser.parse_args(arguments)
    wanted = [f for f in FAULTS if not options.names or any(n in f.name for n in options.names)]
    copy_tree()
    if wrong := python_tests(*QUICK):
        raise SystemExit(f"without a fault {wrong} fails already")
    compiled = [fault for fault in wanted if fault.seen_by in ("core", "cuda")]
    if compiled and not build("core_tests", "cuda_tests", "_kernels"):
        raise SystemExit("without a fault the compiler fails already")
    lines, missed = (
        ["| fault | where | `quick` | `tests` |", "|---|---|---|---|"],
        {"quick": 0, "tests": 0},
    )
    print(*lines, sep="\n", flush=True)
    for fault in wanted:
        seen = see(fault)
        for session in missed:
            missed[session] += not seen[session]
        cells = (seen[session] or "**not seen**" for session in missed)
        lines.append(f"| {fault.name} | {fault.file} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    lines.append(
        f"\n`tests` sees {len(wanted) - missed['tests']} of {len(wanted)}, "
        f"`quick` {len(wanted) - missed['quick']}."
    )
    print(lines[-1])
    if options.write:
        options.write.write_text("\n".join(lines) + "\n")
    return int(missed["tests"] > 0 or 10 * missed["quick"] > len(wanted))


def copy_tree() -> None:
    """Copy what git knows of, only where it differs: what has been compiled stays."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, TREE / name
        if source.is_file() and not (
            target.exists() and target.read_bytes() == source.read_bytes()
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def see(fault: Fault) -> dict[str, str]:
    """By session, what saw the fault; "" for nothing."""
    file = TREE / fault.file
    text = file.read_text()
    if text.count(fault.before) != 1:
        raise SystemExit(
            f"{fault.name}: {fault.file} has its text {text.count(fault.before)} times, not once"
        )
    library = TREE / "tfkm" / "_kernels.so"
    file.write_text(text.replace(fault.before, fault.after))
    try:
        if fault.seen_by in ("core", "cuda"):
            return see_compiled(fault, library)
        files = [f"tests/test_{name}.py" for name in fault.seen_by.split()]
        quick = python_tests(*QUICK, *files) or python_tests(*QUICK)
        return {"quick": quick, "tests": quick or python_tests(*files) or python_tests()}
    finally:
        file.write_text(text)
        library.unlink(missing_ok=True)


def see_compiled(fault: Fault, library: Path) -> dict[str, str]:
    if fault.seen_by == "cuda":
        if not build("test_cuda_tiny"):
            return dict.fromkeys(("quick", "tests"), "the compiler")
        quick = compiled_tests("quick_cuda")
        if quick or not build("cuda_tests"):
            return {"quick": quick, "tests": quick or "the compiler"}
        return {"quick": quick, "tests": compiled_tests("^cuda$|emulation|xla_cuda")}
    if not build("fuzz_accumulate", "test_seed", "test_batch"):
        return dict.fromkeys(("quick", "tests"), "the compiler")
    quick = compiled_tests("quick_fuzz|quick_seed|quick_batch")
    if not quick and build("_kernels"):
        shutil.copyfile(KERNELS / "_kernels.so", library)
        quick = python_tests(*QUICK)
    if not quick:
        build("core_tests")
    return {
        "quick": quick,
        "tests": quick or compiled_tests("^accumulate|^seed|^batch|^fuzz") or python_tests(),
    }


def build(*targets: str) -> bool:
    """Compile; whether the compiler took it."""
    cmake, path = str(TOOLS / "cmake"), f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    flags = ("-DCMAKE_BUILD_TYPE=None", "-DTFKM_TESTS=ON", "-DTFKM_OPTIMISE=OFF")
    configure = [cmake, "-S", str(TREE), "-B", str(KERNELS), "-G", "Ninja", *flags]
    compile_ = [cmake, "--build", str(KERNELS), "--target", *targets]
    for command in configure, compile_:
        if subprocess.run(
            command, capture_output=True, env={**os.environ, "PATH": path}
        ).returncode:
            return False
    return True


def compiled_tests(names: str) -> str:
    """The first of these tests of ctest that fails."""
    command = [
        str(TOOLS / "ctest"),
        "--test-dir",
        str(KERNELS),
        "-R",
        names,
        "-j2",
        "--timeout",
        "300",
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    failed = re.findall(r"^\s+\d+ - (\S+) \(", run.stdout, re.MULTILINE)
    return f"ctest {failed[0]}" if failed else "ctest" if run.returncode else ""


def python_tests(*arguments: str) -> str:
    """The first test that fails; the process itself if it is killed or hangs."""
    environment = {**os.environ, "PYTHONPATH": str(TREE), "TF_CPP_MIN_LOG_LEVEL": "3"}
    several = [] if any(a.endswith(".py") for a in arguments) else ["-n", "2", "--dist=loadfile"]
    command = [str(Path(sys.executable).with_name("pytest")), "-x", "-q", "-p", "no:cacheprovider"]
    began = time.monotonic()
    try:
        run = subprocess.run(
            [*command, *several, *arguments],
            cwd=TREE, env=environment, capture_output=True, text=True, timeout=LIMIT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"hangs for {time.monotonic() - began:.0f} s"
    if run.returncode in (0, 5):  # 5: none of them is one of this session
        return ""
    found = [
        line.split()[1]
        for line in run.stdout.splitlines()
        if line.startswith(("FAILED ", "ERROR "))
    ]
    return found[0].partition("[")[0] if found else f"exit status {run.returncode}"


if __name__ == "__main__":
    sys.exit(main())
