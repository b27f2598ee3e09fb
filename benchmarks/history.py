"""Where this change began. `python -m benchmarks.history` prints that commit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def git(*arguments: str) -> str:
    """Return what git prints. Raises LookupError with git's message if it fails."""
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        raise LookupError(run.stderr.strip() or f"git {' '.join(arguments)} failed")
    return run.stdout.strip()


def commit_of(ref: str) -> str:
    """Return the full hash of a commit. Raises LookupError if there is none."""
    try:
        return git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    except (LookupError, OSError) as error:
        raise LookupError(f"{ref!r} is no commit in this repository's history") from error


def baseline() -> str:
    """Return the commit that this change is compared with.

    It is TFKM_GATE_BASE; else where this branch left origin/main, or main; on that itself the commit
    before.
    """
    if ref := os.environ.get("TFKM_GATE_BASE"):
        return commit_of(ref)
    head = commit_of("HEAD")
    for main in ("origin/main", "main"):
        try:
            fork = git("merge-base", main, "HEAD")
        except LookupError:
            continue
        if fork != head:
            return fork
    return commit_of("HEAD~1")


if __name__ == "__main__":
    print(baseline())
