"""Whole default fits, seeding and all, on noise and on real data."""

from benchmarks.duel import accumulate_work


def test_default_fit(duel, fitted):
    n, k, d = duel.case.shape
    duel("default fit", (duel.points, k, 0), lambda found: accumulate_work(n, k, d) * found.n_iter)
