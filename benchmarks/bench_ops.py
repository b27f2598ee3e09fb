"""The ops, one step and short fits, on the named shapes; `assign` also as n, k, d or the dtype changes."""

from benchmarks import machine
from benchmarks.duel import Work, accumulate_work, assign_work
from benchmarks.rivals import Outcome

MAX_ITER = 10


def test_assign(duel, named):
    duel("assign", (duel.points, duel.centroids), lambda _: assign_work(*named.shape))


if "GPU" not in machine.absent():

    def test_assign_with_copies(duel, copied):
        arguments = (duel.points, duel.centroids)
        duel("assign with copies", arguments, lambda _: assign_work(*copied.shape))


def test_assign_swept(duel, swept):
    work = assign_work(*swept.shape, duel.points.itemsize)
    duel("assign", (duel.points, duel.centroids), lambda _: work)


def test_accumulate(duel, named):
    duel("accumulate", (duel.points, duel.centroids), lambda _: accumulate_work(*named.shape))


def test_step(duel, stepped):
    duel("step", (duel.points, duel.centroids), lambda _: accumulate_work(*stepped.shape))


def test_seed(duel, seeded):
    n, k, d = seeded.shape
    # A distance to each new centroid at least; one candidate a round.
    duel("seed", (duel.points, k), lambda _: Work(2 * n * k * d, 4 * (n * d + k * d)))


def test_fit(duel, named):
    def work(found: Outcome) -> Work:
        passes = accumulate_work(*named.shape) * found.n_iter
        # Stopped short, the labels are found once more, for the last centroids.
        return passes + assign_work(*named.shape) if found.n_iter == MAX_ITER else passes

    duel("fit", (duel.points, duel.centroids, MAX_ITER), work)
