"""draws: in proportion to weight, whatever the parts in which weights come."""

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from tfkm.seeding.draws import Distinct, WithReplacement, by_weight

WEIGHTS = np.array([1.0, 0, 4, 2, 0.5, 0, 3])


def test_with_replacement_over_several_chunks():
    draws = WithReplacement(np.random.RandomState(0), 20_000)
    held = np.full(20_000, -1)
    for start in (0, 2, 4, 6):
        taking = draws.add(start, WEIGHTS[start : start + 2])
        held[taking] = draws.indices[taking]
    np.testing.assert_array_equal(held, draws.indices)  # so rows can be held as they are taken
    some = np.flatnonzero(WEIGHTS)
    counts = np.bincount(draws.indices, minlength=7)
    assert counts[some].sum() == 20_000 and draws.total == WEIGHTS.sum()
    assert chisquare(counts[some], 20_000 * WEIGHTS[some] / WEIGHTS.sum()).pvalue > 1e-3
    pairs = np.bincount(7 * draws.indices[::2] + draws.indices[1::2], minlength=49).reshape(7, 7)
    expected = 10_000 * np.outer(WEIGHTS, WEIGHTS) / WEIGHTS.sum() ** 2
    assert chisquare(pairs[expected > 0], expected[expected > 0]).pvalue > 1e-3  # independent


def test_with_replacement_of_a_heavy_row_and_of_one_heavier_still():
    draws = WithReplacement(np.random.RandomState(0), 3)
    draws.add(0, np.array([2.0**60]))
    first = draws.indices.copy()
    for start in range(1, 200):
        draws.add(start, np.ones(1))
    np.testing.assert_array_equal(draws.indices, first)
    draws.add(200, np.full(5, 2.0**80))
    assert (draws.indices >= 200).all()


@pytest.mark.parametrize("weights", [WEIGHTS, None], ids=["weighted", "plain"])
def test_distinct_does_not_depend_on_the_parts(weights):
    def drawn(size, cuts):
        draws, rows = Distinct(np.random.RandomState(3), size), np.zeros(0, np.int64)
        for start, stop in itertools.pairwise((0, *cuts, 7)):
            some = None if weights is None else weights[start:stop]
            source = draws.add(start, stop - start, some)
            rows = np.concatenate([rows, np.arange(start, stop)])[source]
        np.testing.assert_array_equal(rows, draws.indices)
        return draws.indices.tolist()

    for size in (1, 3, 5):
        expected = by_weight(np.random.RandomState(3), 7, weights, size, replace=False).tolist()
        assert len(set(expected)) == size
        for cuts in ((), (1,), (3, 4), range(1, 7)):
            assert drawn(size, cuts) == expected


def test_distinct_is_one_draw_after_the_other():
    weights = np.array([1.0, 3, 2])
    counts = dict.fromkeys(itertools.permutations(range(3), 2), 0)
    rng = np.random.RandomState(0)
    for _ in range(5000):
        counts[tuple(by_weight(rng, 3, weights, 2, replace=False).tolist())] += 1
    expected = [5000 * weights[i] / 6 * weights[j] / (6 - weights[i]) for i, j in counts]
    assert chisquare(list(counts.values()), expected).pvalue > 1e-3


def test_scaled_weights_draw_the_same_and_equal_ones_what_none_do():
    for replace in (True, False):
        draw = lambda w: by_weight(np.random.RandomState(1), 50, w, 9, replace).tolist()  # noqa: B023, E731
        weights = np.arange(50.0)
        assert draw(weights) == draw(weights * 8)
        assert draw(np.full(50, 0.3)) == draw(None)
