"""`tfkm.KMeans.fit`: ten iterations from the same points as centroids, NumPy in, NumPy out."""

import tfkm
from benchmarks.duel import Work, accumulate_work, assign_work
from benchmarks.rivals import Outcome

MAX_ITER = 10


def test_fit(duel, named):
    # Of the points, as real seedings are: centroids beside the data leave thousands of clusters empty,
    # for which tfkm and scikit-learn do not choose the same points.
    duel = duel._replace(centroids=duel.points[: named.shape.k].copy())
    model = tfkm.KMeans(
        named.shape.k,
        init=duel.centroids,
        n_init=1,
        max_iter=MAX_ITER,
        tol=0,
        backend=named.backend,
    )

    def outcome(model: tfkm.KMeans) -> Outcome:
        return Outcome(model.labels_, model.cluster_centers_, model.inertia_, model.n_iter_)

    def work(found: Outcome) -> Work:
        passes = accumulate_work(*named.shape) * found.n_iter
        # Stopped short, the labels are found once more, for the last centroids.
        return passes + assign_work(*named.shape) if found.n_iter == MAX_ITER else passes

    duel(
        "fit",
        work=work,
        ours=lambda: model.fit(duel.points),
        outcome=outcome,
        labels_must_agree=False,
        max_iter=MAX_ITER,
    )
