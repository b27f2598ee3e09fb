"""The gate: fails if this change makes a kernel slower than at the last accepted commit.

python -m benchmarks.gate [--seconds S] [--plant SHARE] [--prove RUNS -o FILE.md]

What it compares with: TFKM_GATE_BASE; else where this branch left origin/main; on that branch, the
commit before.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import Ratio, built, commit_of, compare, git, table

# What is installed.
CODE = ("kernels", "tfkm", "CMakeLists.txt", "pyproject.toml")
# What the lower end of a ratio's interval may be. A slowdown of 10 % must not pass; at a limit of 1.1 every
# other one of exactly that would. docs/gate.md has how often each outcome was seen.
ALLOWED = 1.05
OVERRIDE = "- Slower: "  # a line with which the change's CHANGELOG accepts it, and says why


def slower(ratio: Ratio) -> bool:
    """Whether this case may not pass."""
    return ratio.low > ALLOWED


def baseline() -> str:
    """TFKM_GATE_BASE; else where this branch left origin/main; on that branch, the commit before."""
    if ref := os.environ.get("TFKM_GATE_BASE"):
        return commit_of(ref)
    head = commit_of("HEAD")
    try:
        fork = git("merge-base", "origin/main", "HEAD")
    except LookupError:
        fork = head
    return commit_of("HEAD~1") if fork == head else fork


def code_differs(ref: str) -> bool:
    """Whether anything that is installed differs between that commit and the working tree."""
    return bool(
        git("diff", "--stat", ref, "--", *CODE) or git("status", "--porcelain", "--", *CODE)
    )


def accepted(diff: str) -> list[str]:
    """The lines by which a diff of CHANGELOG.md accepts a slowdown, with a reason."""
    added = (line[1:] for line in diff.splitlines() if line.startswith("+" + OVERRIDE))
    return [line for line in added if line.removeprefix(OVERRIDE).strip()]


def gate(seconds: float, plant: float = 0.0) -> int:
    """0 if this change may pass, else 1."""
    try:
        ref = baseline()
    except (LookupError, OSError) as error:
        print(f"GATE: NOTHING WAS COMPARED. No commit before this one is at hand: {error}")
        return 0
    if not plant and not code_differs(ref):
        print(f"gate: nothing that is installed differs from {ref[:10]}; passed")
        return 0
    ratios, cannot = compare(built(ref), seconds, plant)
    print(table(ratios, cannot))
    too_slow = [r.name for r in ratios if slower(r)]
    if not too_slow:
        print(f"gate: passed against {ref[:10]}; no interval lies above {ALLOWED}")
        return 0
    if lines := accepted(git("diff", ref, "--", "CHANGELOG.md")):
        print(f"gate: slower in {', '.join(too_slow)}; the CHANGELOG accepts it:", *lines, sep="\n")
        return 0
    print(
        f"gate: FAILED, slower than {ref[:10]} in {', '.join(too_slow)}. If that has to be, add a line "
        f"'{OVERRIDE}which, and why' to CHANGELOG.md."
    )
    return 1


def prove(runs: int, seconds: float, plant: float, output: Path | None) -> None:
    """So many gates with a planted slowdown and so many without, in turns, of this very commit."""
    folder = built("HEAD")
    lines = [
        f"Runs of the gate's measurement, {seconds:g} s each, of one commit in two builds: with nothing",
        f"planted, and with a busy loop of {plant:.0%} of each call's time in one of them. Least and",
        f"greatest lower end of a case's interval; the gate fails above {ALLOWED}.\n",
        "| run | planted | cases above the limit | lower ends | outcome |",
        "| ---: | --- | ---: | --- | --- |",
    ]
    failed = {plant: 0, 0.0: 0}
    for run in range(1, runs + 1):
        for share in failed:
            ratios, _ = compare(folder, seconds, share)
            too_slow = sum(slower(r) for r in ratios)
            failed[share] += too_slow > 0
            lows = [r.low for r in ratios]
            ends = f"{min(lows):.3f} – {max(lows):.3f}"
            outcome = "fails" if too_slow else "passes"
            lines.append(
                f"| {run} | {share:.0%} | {too_slow} of {len(lows)} | {ends} | {outcome} |"
            )
            print(lines[-1], flush=True)
    lines.append(
        f"\nIt failed in {failed[plant]} of {runs} runs with a slowdown of {plant:.0%}, "
        f"in {failed[0.0]} of {runs} with none."
    )
    print(lines[-1])
    if output:
        output.write_text("\n".join(lines) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of measuring; 60")
    parser.add_argument(
        "--plant", type=float, help="slow this build by a share of each call's time"
    )
    parser.add_argument(
        "--prove", type=int, metavar="RUNS", help="so many with --plant, and without"
    )
    parser.add_argument("-o", "--output", type=Path, help="for the table of --prove")
    options = parser.parse_args(arguments)
    if options.prove:
        prove(options.prove, options.seconds, options.plant or 0.1, options.output)
        return 0
    return gate(options.seconds, options.plant or 0.0)


if __name__ == "__main__":
    sys.exit(main())
