"""Compiles every kernel for every architecture, and fails on a spill where it would cost.

`python -m benchmarks.cuda.build`, which `nox -s cuda` runs where there is neither a card nor TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.cuda import limits
from tfkm.cuda import nvrtc

# A100; H100 and H200; B100, B200 and GB200; RTX 50 and RTX PRO 6000 Blackwell.
ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")
# Whose inner loops are the time of a pass. The others run over k, or over few points.
HOT = "screen_"


class Resources(NamedTuple):
    """What a kernel takes. registers: of a thread; the others in bytes: of a thread, shared of a
    block."""

    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int


Record = dict[str, dict[str, Resources]]


def build(architectures: Iterable[str], out: Path | None) -> Record:
    """{"sm_90 float32": {kernel: its resources}}; cubins into `out`, if given."""

    def one(job: tuple[str, str, bool]) -> tuple[str, dict[str, Resources]]:
        arch, points, wide = job
        compiled = nvrtc.compile_kernels(arch, points, wide)
        name = f"{arch} {points}{' in float64' if wide else ''}"
        if out is not None:
            (out / f"{name.replace(' ', '_')}.cubin").write_bytes(compiled.cubin)
        return name, dict(sorted(resources(compiled.log).items()))

    jobs = [(arch, *pair) for arch in architectures for pair in nvrtc.PAIRS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(pool.map(one, jobs))


def resources(log: str) -> dict[str, Resources]:
    """Return what each kernel takes, from the log of the compiler."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:

        def number(pattern: str, part: str = part) -> int:
            match = re.search(pattern, part)
            return int(match[1]) if match else 0

        found[part.partition("'")[0]] = Resources(
            number(r"Used (\d+) registers"),
            number(r"(\d+) bytes spill stores"),
            number(r"(\d+) bytes spill loads"),
            number(r"(\d+) bytes stack frame"),
            number(r"(\d+) bytes smem"),
        )
    return found


def by_nvcc(nvcc: str, architectures: Iterable[str]) -> list[str]:
    """What nvcc, for which the kernels are written as well, says of those that it refuses."""
    options = [
        nvcc,
        "-cubin",
        "-std=c++17",
        "--expt-relaxed-constexpr",
        "-allow-unsupported-compiler",
    ]

    def one(job: tuple[str, str, bool]) -> str:
        arch, points, wide = job
        with tempfile.TemporaryDirectory() as folder:
            files = [str(nvrtc.sources() / "kernels.cu"), "-o", str(Path(folder) / "kernels.cubin")]
            command = [*options, f"-arch={arch}", *nvrtc.definitions(points, wide), *files]
            done = subprocess.run(command, capture_output=True, text=True)
        return f"nvcc refuses {points} for {arch}: {done.stderr}" if done.returncode else ""

    jobs = [(arch, *pair) for arch in architectures for pair in nvrtc.PAIRS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(filter(None, pool.map(one, jobs)))


def spills(record: Record) -> list[str]:
    """Hot kernels whose registers did not suffice."""
    return [
        f"{name}: {kernel} spills {taken.spill_stores} and {taken.spill_loads} bytes"
        for name, kernels in record.items()
        for kernel, taken in kernels.items()
        if kernel.startswith(HOT) and taken.spill_stores + taken.spill_loads
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", action="append", help=f"default: {' '.join(ARCHITECTURES)}")
    parser.add_argument("--out", type=Path, help="folder for the cubins")
    parser.add_argument(
        "--record", type=Path, help="file of what each kernel takes, to compare with"
    )
    parser.add_argument("--update", action="store_true", help="write the record instead")
    parser.add_argument("--nvcc", help="this nvcc instead of NVRTC, and no record")
    options = parser.parse_args()
    if options.nvcc:
        wrong = by_nvcc(options.nvcc, options.arch or ARCHITECTURES)
        print("\n".join(wrong) or "nvcc takes the kernels of every dtype")
        return 1 if wrong else 0
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    record = build(options.arch or ARCHITECTURES, options.out)
    wrong = spills(record)
    for arch in options.arch or ARCHITECTURES:
        nvrtc.compile_source(limits.SOURCE, arch)
    if options.record and options.update:
        options.record.write_text(text(record))
    elif options.record and options.record.read_text() != text(record):
        wrong.append(f"{options.record} has other figures: --update writes these")
    kernels = sum(map(len, record.values()))
    print("\n".join(wrong) or f"{kernels} kernels in {len(record)} cubins; none that is hot spills")
    return 1 if wrong else 0


def text(record: Record) -> str:
    """The record as JSON, a line for each cubin; of a kernel the numbers of `Resources`."""
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(k)}" for name, k in record.items())
    version = ".".join(map(str, nvrtc.version()))
    return f'{{"nvrtc": "{version}", "kernels": {{\n{lines}\n}}}}\n'


if __name__ == "__main__":
    sys.exit(main())
