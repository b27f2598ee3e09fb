"""Seedings of 100 million points, by `nox -s soak`: three minutes and 4 GB."""

import functools

import numpy as np
import pytest

import tfkm

N, TAIL = 100_000_000, 50
SEEDINGS = {
    "greedy": tfkm.kmeans_plusplus,
    "plain": functools.partial(tfkm.kmeans_plusplus, n_local_trials=1),
    "parallel": tfkm.kmeans_parallel,
    "afk_mc2": tfkm.afk_mc2,
}


@pytest.fixture(scope="module")
def points():
    """Half at 0, half at 1, and at the very end some at 3: a sum in float32 ends at 2²⁴ of them."""
    x = np.zeros((N, 1), np.float32)
    x[N // 2 :] = 1
    x[-TAIL:] = 3
    return x


@pytest.mark.parametrize("seeding", SEEDINGS.values(), ids=SEEDINGS)
def test_the_tail_is_reached(points, seeding):
    drawn = [seeding(points, 3, random_state=seed) for seed in (0, 1)]
    for centroids, indices in drawn:
        np.testing.assert_array_equal(np.sort(np.ravel(centroids)), [0, 1, 3])
        np.testing.assert_array_equal(points[np.ravel(indices)], centroids)


def test_a_draw_is_as_likely_at_the_end_as_at_the_beginning(points):
    """5 · 10⁷ costs of 1 lie in the second half: of 60 draws near a half are of the last half of theirs."""
    draws = [tfkm.kmeans_plusplus(points, 2, n_local_trials=1, random_state=s) for s in range(60)]
    second = np.array([np.ravel(indices)[1] for _, indices in draws])
    other = np.array([np.ravel(centroids)[1] for centroids, _ in draws])
    late = (second % (N // 2)) >= N // 4
    assert set(other) <= {0, 1, 3}
    # Binomial (60, ½): outside of [14, 46] once in 10⁵.
    assert 14 <= late.sum() <= 46
