"""draws: in proportion to weight, whatever the parts in which weights come."""

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from tfkm.seeding import draws
from tfkm.seeding.draws import Distinct, WithReplacement, by_weight

pytestmark = pytest.mark.quick

SEED = (1, 2, 3, 4)
WEIGHTS = np.array([1.0, 0, 4, 2, 0.5, 0, 3])


def test_with_replacement_over_several_chunks():
    own = WithReplacement(SEED, 20_000, 0)
    held = np.full(20_000, -1)
    for start in (0, 2, 4, 6):
        taking = own.add(start, WEIGHTS[start : start + 2])
        held[taking] = own.indices[taking]
    np.testing.assert_array_equal(held, own.indices)  # so rows can be held as they are taken
    some = np.flatnonzero(WEIGHTS)
    counts = np.bincount(own.indices, minlength=7)
    assert counts[some].sum() == 20_000 and own.total == WEIGHTS.sum()
    assert chisquare(counts[some], 20_000 * WEIGHTS[some] / WEIGHTS.sum()).pvalue > 1e-3
    pairs = np.bincount(7 * own.indices[::2] + own.indices[1::2], minlength=49).reshape(7, 7)
    expected = 10_000 * np.outer(WEIGHTS, WEIGHTS) / WEIGHTS.sum() ** 2
    assert chisquare(pairs[expected > 0], expected[expected > 0]).pvalue > 1e-3  # independent


def test_with_replacement_of_a_heavy_row_and_of_one_heavier_still():
    own = WithReplacement(SEED, 3, 0)
    own.add(0, np.array([2.0**60]))
    first = own.indices.copy()
    for start in range(1, 200):
        own.add(start, np.ones(1))
    np.testing.assert_array_equal(own.indices, first)
    own.add(200, np.full(5, 2.0**80))
    assert (own.indices >= 200).all()


@pytest.mark.parametrize("replace", [True, False])
def test_shards_are_drawn_from_as_one(replace):
    """In proportion, whatever the shard; the rows that are taken along are those of the indices."""
    n, size, kind = 100, 30_000 if replace else 50, WithReplacement if replace else Distinct
    weights = np.arange(n) % 7 * 1.0
    joined, rows = kind(SEED, size), np.full(size, -1)
    for number, start, stop, _ in draws.shards(n, 1):
        own = kind(SEED, size, number)
        for at in range(start, stop):
            own.add(at, weights[at : at + 1]) if replace else own.add(at, 1, weights[at : at + 1])
        if replace:
            taking = joined.join(own.indices, own.total)
            rows[taking] = own.indices[taking]
        else:
            source = joined.join(own.indices, own.keys)
            rows = np.concatenate([rows[: len(rows) if rows[0] >= 0 else 0], own.indices])[source]
    np.testing.assert_array_equal(rows, joined.indices)
    if replace:
        assert joined.total == weights.sum()
        counts, some = np.bincount(joined.indices, minlength=n), np.flatnonzero(weights)
        assert counts.sum() == counts[some].sum()
        assert chisquare(counts[some], size * weights[some] / weights.sum()).pvalue > 1e-3
    else:
        assert len(set(joined.indices)) == size and weights[joined.indices].all()


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
