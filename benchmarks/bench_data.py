"""Whole default fits, seeding and all, on noise and on real data; each with another seed."""

from benchmarks.duel import accumulate_work
from benchmarks.rivals import Seed


def test_default_fit(duel, fitted):
    n, k, d = duel.case.shape
    seed = Seed()
    duel(
        "default fit",
        (duel.points, k, seed),
        lambda found: accumulate_work(n, k, d) * found.n_iter,
        seed=seed,
    )
