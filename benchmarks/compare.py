"""The installed build against that of another commit, turn by turn.

python -m benchmarks.compare REF [--seconds S]

Processes with the one build and the other take turns at rounds of some 20 ms, so both see the same
machine. A round's time is that of its fastest call: on a shared machine some of many short calls run
undisturbed, most often on one thread. A block is four such pairs of one case, then it is the next
case's turn: a disturbance of seconds falls on parts of all. In each block both sides make their arrays
anew. The ratio of a case is the median of its blocks', a block's that of its pairs; the interval is
SciPy's bootstrap over blocks, since neighbouring pairs are disturbed together.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap

from benchmarks.history import ROOT, commit_of, git

BUILDS = ROOT / "build" / "compare"
ALL = 0  # threads: one for each core


class Case(NamedTuple):
    """op: see side.py; shape: points, clusters, features; threads: 1 or ALL."""

    op: str
    shape: tuple[int, int, int]
    threads: int = 1


# Every form of the native kernel, the seeding and a fit that is calls; 1 to 2 ms each, on one thread, so
# that it does not matter whether a second core is free. What only several threads have: on all cores.
CASES = {
    "assign embeddings": Case("assign", (2048, 1024, 128)),
    "assign pixels": Case("assign", (65536, 256, 3)),
    "accumulate codebook": Case("accumulate", (1024, 4096, 64)),
    "accumulate narrow": Case("accumulate", (65536, 16, 8)),
    "accumulate digits": Case("accumulate", (2048, 10, 784)),
    "seed": Case("seed", (2048, 32, 64)),
    "fit small": Case("fit", (1797, 10, 64)),
    "threaded assign compact": Case("assign", (16384, 256, 32), ALL),
    "threaded accumulate compact": Case("accumulate", (16384, 256, 32), ALL),
}
ROUND = 0.02  # seconds
PAIRS = 4  # in a block; even, since who begins changes
FEWEST = 8  # blocks of a case
PATIENCE = 300  # seconds for an answer; the longest is the import of TensorFlow
# Either one slows NumPy's BLAS.
NOT_PASSED_ON = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class Ratio(NamedTuple):
    """Of one case: this build's seconds over those of the one before, and the interval."""

    name: str
    before: float
    now: float
    ratio: float
    low: float
    high: float


class Comparison(NamedTuple):
    """The ratios of the cases that both builds run; of the others, what a build that fails says."""

    ratios: list[Ratio]
    before_cannot: dict[str, str]
    now_cannot: dict[str, str]

    def __str__(self) -> str:
        lines = [
            f"{'case':28}{'before ms':>11}{'now ms':>11}{'now / before':>14}   interval (95 %)"
        ]
        for r in self.ratios:
            times = f"{1e3 * r.before:11.3f}{1e3 * r.now:11.3f}"
            lines.append(f"{r.name:28}{times}{r.ratio:14.3f}   {r.low:.3f} – {r.high:.3f}")
        for which, cannot in ("before", self.before_cannot), ("now", self.now_cannot):
            lines += [
                f"{name:28}not compared: the build of {which} says {why}"
                for name, why in cannot.items()
            ]
        return "\n".join(lines)


def ratio(name: str, blocks: Sequence[np.ndarray]) -> Ratio:
    """Of blocks (pairs, 2) of seconds, before and now."""
    medians = np.array([np.median(block[:, 1] / block[:, 0]) for block in blocks])
    interval = bootstrap((medians,), np.median, method="percentile", rng=0).confidence_interval
    before, now = np.median(np.concatenate(blocks), axis=0)
    middle = float(np.median(medians))
    return Ratio(name, before, now, middle, float(interval.low), float(interval.high))


# --- builds ------------------------------------------------------------------------------------------


def built(ref: str) -> Path:
    """A folder with the package of that commit, compiled. Raises LookupError if there is none to be had."""
    folder = BUILDS / commit_of(ref)
    if not (folder / "tfkm").is_dir():
        BUILDS.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory() as source,
            tempfile.TemporaryDirectory(dir=BUILDS) as out,
        ):
            archive = f"{source}/source.tar"
            git("archive", "-o", archive, ref)
            shutil.unpack_archive(archive, source)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
            if subprocess.run([*pip, out, source]).returncode:  # which says why
                raise LookupError(f"the package of {ref!r} cannot be installed")
            os.rename(out, folder)
            os.mkdir(out)  # for TemporaryDirectory to remove
    return folder


# --- measuring ---------------------------------------------------------------------------------------


class Side:
    """A process with one of the builds. folder: where it is; None for the one that is installed.

    threads: to compute with; ALL for one a core. planted: slowdowns of cases, see side.py.
    """

    def __init__(
        self,
        folder: Path | None,
        threads: int = ALL,
        planted: Mapping[str, float] | None = None,
    ) -> None:
        env = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
        env |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONSAFEPATH": "1"}
        if folder is not None:
            env["PYTHONPATH"] = str(folder)
        # Where TensorFlow also says that all is well.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("side.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=env,
            cwd=tempfile.gettempdir(),
        )  # fmt: skip
        self._planted = planted or {}
        self.path = self._answer()["tfkm"]
        if threads:
            self.ask(threads=threads)

    def prepare(self, name: str, case: Case) -> str | None:
        """New arrays for this case. Why it cannot run it, if so."""
        return self.ask(name=name, op=case.op, shape=case.shape).get("error")

    def seconds(self, name: str, times: int) -> list[float]:
        """Of each of so many calls."""
        return self.ask(name=name, times=times, planted=self._planted.get(name, 0.0))["seconds"]

    def ask(self, **question) -> dict:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            self._process.kill()
            raise RuntimeError(f"a side has not answered for {PATIENCE} s")
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"a side ended with status {status} and said: {said}")
        return json.loads(line)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def measure(
    sides: Mapping[int, Sequence[Side]],
    cases: Mapping[str, Case],
    seconds: float,
    undecided: Callable[[Ratio], bool] | None = None,
) -> Comparison:
    """Those cases for so many seconds, then for as many again those that are `undecided`.

    sides: before and now, by the number of threads.
    """
    cannot: tuple[dict[str, str], dict[str, str]] = {}, {}
    blocks: dict[str, list[np.ndarray]] = {}
    for name, case in cases.items():
        for side, errors in zip(sides[case.threads], cannot, strict=True):
            if error := side.prepare(name, case):
                errors[name] = error
        if not any(name in errors for errors in cannot):
            blocks[name] = []

    def take_turns(names: Sequence[str]) -> None:
        end = time.monotonic() + seconds
        while names and (time.monotonic() < end or len(blocks[names[-1]]) < FEWEST):
            for name in names:
                blocks[name].append(_block(sides[cases[name].threads], name, cases[name]))

    def ratios() -> list[Ratio]:
        return [ratio(name, taken) for name, taken in blocks.items()]

    take_turns(list(blocks))
    if undecided is not None:
        take_turns([r.name for r in ratios() if undecided(r)])
    return Comparison(ratios(), *cannot)


def _block(sides: Sequence[Side], name: str, case: Case) -> np.ndarray:
    """(PAIRS, 2) seconds, before and now, on new arrays; who begins changes from pair to pair."""
    for side in sides:
        side.prepare(name, case)
    times = math.ceil(ROUND / min(min(side.seconds(name, 3)) for side in sides))
    pairs = np.empty((PAIRS, 2))
    for pair in range(PAIRS):
        for which in (0, 1) if pair % 2 else (1, 0):
            pairs[pair, which] = min(sides[which].seconds(name, times))
    return pairs


def compare(
    folder: Path,
    seconds: float,
    undecided: Callable[[Ratio], bool] | None = None,
    planted: Mapping[str, float] | None = None,
) -> Comparison:
    """The installed build against the one in that folder; planted: slowdowns of the installed one."""
    with contextlib.ExitStack() as closed:
        sides = {}
        for threads in 1, ALL:
            before, now = Side(folder, threads), Side(None, threads, planted)
            sides[threads] = [closed.enter_context(contextlib.closing(s)) for s in (before, now)]
            if Path(before.path) == Path(now.path):
                raise RuntimeError(f"both sides are {now.path}: install the package first")
        return measure(sides, CASES, seconds, undecided)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("ref", metavar="REF", help="a commit, tag or branch to compare with")
    parser.add_argument("--seconds", type=float, default=60.0, help="of measuring; 60")
    options = parser.parse_args(arguments)
    try:
        folder = built(options.ref)
    except LookupError as error:
        parser.error(f"REF: {error}")
    print(compare(folder, options.seconds))


if __name__ == "__main__":
    main()
