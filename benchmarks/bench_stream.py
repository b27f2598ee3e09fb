"""`MiniBatchKMeans` over a tf.data.Dataset: one pass over batches that come one after another."""

from benchmarks.duel import accumulate_work

BATCH = 4096


def test_stream(duel, streamed):
    n, k, d = streamed.shape
    rows = min(BATCH, n)
    batches = duel.points[: n // rows * rows].reshape(-1, rows, d)
    duel = duel._replace(points=batches.reshape(-1, d))
    duel("stream", (batches, duel.centroids), lambda _: accumulate_work(len(batches) * rows, k, d))
