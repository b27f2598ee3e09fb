"""The gate: fails if this change makes a kernel slower than at the last accepted commit.

python -m benchmarks.gate [--seconds S] [--plant SHARE] [--prove RUNS -o FILE.md]

It compares with `benchmarks.history.baseline()`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.compare import ALL, CASES, Ratio, built, compare
from benchmarks.history import baseline, git
from benchmarks.rows import unique

# What is installed.
CODE = ("kernels", "tfkm", "CMakeLists.txt", "pyproject.toml")
# What the lower end of a ratio's interval may be, by threads. A slowdown of 10 % must not pass; at a limit
# of 1.1 every other one of exactly that would. On all cores single blocks of equal builds are a factor of
# 1.6 apart where other processes take a core now and then. docs/gate.md has how often what was seen.
ALLOWED = {1: 1.05, ALL: 1.2}
OVERRIDE = "- Slower: "  # a line with which the change's CHANGELOG accepts it, and says why


def allowed(ratio: Ratio) -> float:
    return ALLOWED[CASES[ratio.name].threads]


def slower(ratio: Ratio) -> bool:
    """Whether this case may not pass."""
    return ratio.low > allowed(ratio)


def undecided(ratio: Ratio) -> bool:
    """Whether this case, which passes so far, could be too slow: it gets more time, once."""
    return ratio.low <= allowed(ratio) < ratio.high


def code_differs(ref: str) -> bool:
    """Whether anything that is installed differs between that commit and the working tree."""
    return bool(
        git("diff", "--stat", ref, "--", *CODE) or git("status", "--porcelain", "--", *CODE)
    )


def accepted(diff: str, name: str) -> list[str]:
    """The lines by which a diff of CHANGELOG.md accepts a slowdown of that case, with a reason."""
    added = (line[1:] for line in diff.splitlines() if line.startswith("+" + OVERRIDE))
    return [line for line in added if name in line and line.split(name)[1].strip(" :,.")]


def gate(seconds: float, planted: dict[str, float]) -> int:
    """0 if this change may pass, else 1. Raises LookupError if TFKM_GATE_BASE is set to no commit."""
    try:
        ref = baseline()
        if not planted and not code_differs(ref):
            print(f"gate: nothing that is installed differs from {ref[:10]}; passed")
            return 0
        folder = built(ref)
    except (LookupError, OSError) as error:
        if os.environ.get("TFKM_GATE_BASE"):
            raise
        print(
            f"GATE: NOTHING WAS COMPARED. No build of a commit before this one is at hand: {error}"
        )
        return 0
    found = compare(folder, seconds, undecided, planted)
    print(found)
    if lost := found.now_cannot.keys() - found.before_cannot.keys():
        print(
            f"gate: FAILED, this build cannot run {', '.join(sorted(lost))}, which {ref[:10]} can"
        )
        return 1
    if not found.ratios:
        print(f"GATE: NOTHING WAS COMPARED. The build of {ref[:10]} cannot run any of the cases.")
        return 0
    too_slow = [r.name for r in found.ratios if slower(r)]
    if not too_slow:
        print(f"gate: passed against {ref[:10]}; every interval reaches below its limit")
        return 0
    diff = git("diff", ref, "--", "CHANGELOG.md")
    lines = {name: accepted(diff, name) for name in too_slow}
    if all(lines.values()):
        print(f"gate: slower in {', '.join(too_slow)}; the CHANGELOG accepts it:")
        print(*unique(itertools.chain(*lines.values())), sep="\n")
        return 0
    left = ", ".join(name for name in too_slow if not lines[name])
    print(
        f"gate: FAILED, slower than {ref[:10]} in {left}. If that has to be, add a line "
        f"'{OVERRIDE}the cases by name, and why' to CHANGELOG.md."
    )
    return 1


def prove(runs: int, seconds: float, share: float) -> Iterator[str]:
    """Lines of a table: so many gates with a slowdown planted in one case and so many with none, in turns.

    Of this very commit in two builds. Which case is slowed changes from run to run.
    """
    folder = built("HEAD")
    single = [name for name, case in CASES.items() if case.threads == 1]
    yield (
        f"Gates of one commit in two builds, {seconds:g} s each and as long again for what is undecided:\n"
        f"with a busy loop of {share:.0%} of each call's time in one case of one build, and with nothing\n"
        f"planted. The gate fails if the lower end of a case's interval is above {ALLOWED[1]}, on all\n"
        f"cores above {ALLOWED[ALL]}: there nothing is planted.\n"
    )
    yield "| run | planted | its interval | highest lower end of the others | seconds | load | outcome |"
    yield "| ---: | --- | --- | --- | ---: | ---: | --- |"
    failed = {True: 0, False: 0}
    for run in range(2 * runs):
        name = single[run // 2 % len(single)]
        planted = {name: share} if run % 2 == 0 else {}
        begin = time.monotonic()
        found = compare(folder, seconds, undecided, planted)
        took = time.monotonic() - begin
        fails = any(map(slower, found.ratios))
        failed[bool(planted)] += fails
        own = next((r for r in found.ratios if r.name in planted), None)
        others = max((r for r in found.ratios if r is not own), key=lambda r: r.low)
        cells = (name, f"{own.low:.3f} – {own.high:.3f}") if own else ("–", "")
        yield (
            f"| {run // 2 + 1} | {' | '.join(cells)} | {others.low:.3f}, {others.name} | {took:.0f} | "
            f"{os.getloadavg()[0]:.1f} | {'fails' if fails else 'passes'} |"
        )
    yield (
        f"\nIt failed in {failed[True]} of {runs} runs with a slowdown of {share:.0%} in one case, "
        f"in {failed[False]} of {runs} with none."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=float, default=30.0, help="of measuring, twice if need be; 30")
    add("--plant", type=float, default=0.0, help="slow this build by a share of each call's time")
    add("--prove", type=int, metavar="RUNS", help="so many with 10 %% in one case, and without")
    add("-o", "--output", type=Path, help="for the table of --prove")
    options = parser.parse_args(arguments)
    if not options.prove:
        try:
            return gate(
                options.seconds, dict.fromkeys(CASES, options.plant) if options.plant else {}
            )
        except LookupError as error:
            parser.error(f"TFKM_GATE_BASE: {error}")
    lines = []
    for line in prove(options.prove, options.seconds, options.plant or 0.1):
        print(line, flush=True)
        lines.append(line)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
