"""Builds against each other, and the gate: what it compares with and what it lets pass."""

import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import compare, gate, history
from benchmarks.compare import CASES, Case, Comparison, Ratio, Side, ratio
from tfkm.testing import SHAPES

QUICK = {op: Case(op, (200, 4, 3)) for op in ("assign", "accumulate", "fit", "seed")}


def blocks(slowdown: float, noise: float, count: int = 30) -> list[np.ndarray]:
    """Seconds as two builds would take them, on a machine that is disturbed for a block at a time."""
    rng = np.random.default_rng(0)
    machine = np.exp(rng.normal(0, 0.3, (count, 1, 1)))
    pairs = machine * np.exp(rng.normal(0, noise, (count, 10, 2)))
    return list(pairs * [1.0, slowdown])


@pytest.mark.parametrize(
    "slowdown, fails, threaded_fails",
    [
        (0.5, False, False),
        (1.0, False, False),
        (1.02, False, False),
        (1.1, True, False),
        (1.4, True, True),
    ],
)
def test_the_interval_decides(slowdown, fails, threaded_fails):
    found = ratio("seed", blocks(slowdown, 0.05))
    assert found.low <= slowdown <= found.high
    assert gate.slower(found) == fails
    assert gate.slower(found._replace(name="threaded assign compact")) == threaded_fails


def test_few_and_noisy_blocks_are_undecided():
    found = ratio("seed", blocks(1.1, 0.5, count=5))
    assert not gate.slower(found) and gate.undecided(found)


def test_what_is_decided_gets_no_more_time():
    assert not any(gate.undecided(ratio("seed", blocks(s, 0.02))) for s in (0.5, 1.0, 1.2))


def test_cases_are_of_the_named_shapes():
    for name, case in CASES.items():
        if (shape := SHAPES.get(name.split()[-1])) is not None:
            assert case.shape[1:] == shape[1:], name


class Scripted:
    """A side that takes these seconds per call of each case, and counts how often it is asked."""

    def __init__(self, **seconds: float) -> None:
        self.taken, self.asked = seconds, dict.fromkeys(seconds, 0)

    def prepare(self, name: str, case: Case) -> str | None:
        return None if name in self.taken else "KeyError: no such op"

    def seconds(self, name: str, times: int) -> list[float]:
        self.asked[name] += 1
        return [self.taken[name] * (1.2 if self.asked[name] % 5 == 0 else 1.0)]  # some noise


def test_only_the_undecided_are_measured_on(monkeypatch):
    clock = SimpleNamespace(monotonic=itertools.count().__next__)  # a second passes when it is read
    monkeypatch.setattr(compare, "time", clock)
    before, now = Scripted(a=1.0, b=1.0, old=1.0), Scripted(a=1.0, b=1.1, new=1.0)
    cases = dict.fromkeys(("a", "b", "old", "new"), Case("assign", (1, 1, 1)))
    asked_on = []

    def undecided(found: Ratio) -> bool:
        asked_on.append(found.name)
        return found.name == "b"

    found = compare.measure({1: [before, now]}, cases, 8.0, undecided)
    assert asked_on == ["a", "b"]
    assert now.asked["b"] == before.asked["b"] > now.asked["a"] >= compare.FEWEST * compare.PAIRS
    assert [r.name for r in found.ratios] == ["a", "b"]
    assert list(found.before_cannot) == ["new"] and list(found.now_cannot) == ["old"]


def test_sides_answer_and_a_plant_costs_time(monkeypatch):
    """Two processes, one of them slowed fourfold: more than any noise."""
    monkeypatch.setattr(compare, "ROUND", 1e-3)
    sides = [Side(None, 1), Side(None, 1, planted={"assign": 3.0})]
    cases = QUICK | {"unknown": Case("sort", (1, 1, 1)), "too many": Case("seed", (10, 11, 1))}
    try:
        found = compare.measure({1: sides}, cases, seconds=0)
    finally:
        for side in sides:
            side.close()
    assert [r.name for r in found.ratios] == list(QUICK)
    assert all(r.before > 0 for r in found.ratios)
    assert found.ratios[0].ratio == max(r.ratio for r in found.ratios) > 1.5
    assert "KeyError: 'sort'" in found.before_cannot["unknown"]
    assert "too many" in found.now_cannot and "not compared" in str(found)


def test_a_side_that_dies_is_named():
    side = Side(None)
    side.close()
    with pytest.raises((RuntimeError, BrokenPipeError)):
        side.seconds("x", times=1)


def test_the_same_build_twice_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match="install the package first"):
        compare.compare(tmp_path, seconds=0)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """One commit, and a function to make more."""

    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def commit(file: str, text: str) -> str:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
        git("add", "-A")
        git("commit", "-m", file)
        return history.commit_of("HEAD")

    monkeypatch.setattr(history, "ROOT", tmp_path)
    monkeypatch.delenv("TFKM_GATE_BASE", raising=False)
    git("init", "-b", "main")
    commit.git = git
    return commit


def measured(monkeypatch, *ratios: Ratio, before_cannot=(), now_cannot=()) -> None:
    found = Comparison(list(ratios), *(dict.fromkeys(c, "no") for c in (before_cannot, now_cannot)))
    monkeypatch.setattr(gate, "built", lambda ref: ref)
    monkeypatch.setattr(gate, "compare", lambda *_: found)


FASTER = Ratio("seed", 1, 1, 1.0, 0.9, 1.2)
SLOWER = Ratio("fit small", 1, 2, 2.0, 1.9, 2.1)


def test_compares_with_the_commit_before_or_the_fork(repository, monkeypatch):
    first, second = repository("tfkm/a.py", "1"), repository("tfkm/a.py", "2")
    assert history.baseline() == first  # there is no origin
    repository.git("update-ref", "refs/remotes/origin/main", second)
    assert history.baseline() == first  # on that very commit
    repository("tfkm/a.py", "3"), repository("tfkm/a.py", "4")
    assert history.baseline() == second  # on a branch of two commits
    monkeypatch.setenv("TFKM_GATE_BASE", first[:8])
    assert history.baseline() == first
    monkeypatch.setenv("TFKM_GATE_BASE", "nowhere")
    with pytest.raises(LookupError, match="'nowhere' is no commit"):
        gate.gate(1.0, {})  # asked for by name: it does not pass as if there were no history


def test_a_branch_without_a_remote_is_compared_with_main(repository):
    first = repository("tfkm/a.py", "1")
    repository.git("checkout", "-b", "topic")
    repository("tfkm/a.py", "2"), repository("tfkm/a.py", "3")
    assert history.baseline() == first


def test_a_slow_case_fails_and_the_changelog_can_accept_it(repository, monkeypatch, capsys):
    repository("CHANGELOG.md", "# Changelog\n- Slower: an older one\n")
    repository("kernels/a.h", "slow")
    measured(monkeypatch, FASTER, SLOWER)
    assert gate.gate(1.0, {}) == 1
    said = capsys.readouterr().out
    assert "FAILED" in said and "in fit small." in said
    repository("CHANGELOG.md", "# Changelog\n- Slower: an older one\n- Slower: \n")
    repository.git("reset", "--soft", "HEAD~2")
    repository.git("commit", "-m", "both")
    assert gate.gate(1.0, {}) == 1  # it does not say why
    repository(
        "CHANGELOG.md", "# Changelog\n- Slower: an older one\n- Slower: seed, for exactness\n"
    )
    repository.git("reset", "--soft", "HEAD~2")
    repository.git("commit", "-m", "both")
    assert gate.gate(1.0, {}) == 1  # it is about another case
    lines = "# Changelog\n- Slower: an older one\n- Slower: fit small, for exactness\n"
    repository("CHANGELOG.md", lines)
    repository.git("reset", "--soft", "HEAD~2")
    repository.git("commit", "-m", "both")
    repository("kernels/a.h", "slower still")
    repository.git("reset", "--soft", "HEAD~2")
    repository.git("commit", "-m", "all")
    assert gate.gate(1.0, {}) == 0
    assert "fit small, for exactness" in capsys.readouterr().out


def test_a_fast_change_passes(repository, monkeypatch):
    repository("tfkm/a.py", "1"), repository("tfkm/a.py", "2")
    measured(monkeypatch, FASTER)
    assert gate.gate(1.0, {}) == 0


def test_what_is_not_installed_is_not_measured(repository, monkeypatch, capsys):
    repository("tfkm/a.py", "1"), repository("docs/a.md", "1")
    measured(monkeypatch, SLOWER)
    assert (
        gate.gate(1.0, {}) == 0 and "nothing that is installed differs" in capsys.readouterr().out
    )
    (history.ROOT / "tfkm" / "new.py").write_text("not committed")
    assert gate.gate(1.0, {}) == 1


def test_without_history_it_says_so(repository, monkeypatch, capsys):
    measured(monkeypatch, SLOWER)
    assert gate.gate(1.0, {}) == 0  # no commit at all
    repository("tfkm/a.py", "1")
    assert gate.gate(1.0, {}) == 0  # none before
    assert capsys.readouterr().out.count("NOTHING WAS COMPARED") == 2


def test_a_case_that_no_longer_runs_fails_and_one_that_never_ran_does_not(
    repository, monkeypatch, capsys
):
    repository("tfkm/a.py", "1"), repository("tfkm/a.py", "2")
    measured(monkeypatch, FASTER, before_cannot=["new"])
    assert gate.gate(1.0, {}) == 0
    measured(monkeypatch, FASTER, now_cannot=["b"])
    assert gate.gate(1.0, {}) == 1 and "cannot run b" in capsys.readouterr().out
    measured(monkeypatch, before_cannot=["a", "b"], now_cannot=["b"])
    assert gate.gate(1.0, {}) == 0 and "NOTHING WAS COMPARED" in capsys.readouterr().out


def test_a_ref_that_is_none_is_named():
    command = [sys.executable, "-m", "benchmarks.compare", "no-such-ref"]
    run = subprocess.run(command, cwd=history.ROOT, capture_output=True, text=True)
    assert run.returncode == 2 and "REF: 'no-such-ref' is no commit" in run.stderr
