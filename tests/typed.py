"""What a type checker makes of the public names: mypy reads it, nothing runs it."""

from typing import Any

import numpy as np
from typing_extensions import assert_type

import tfkm

x = np.zeros((10, 2), np.float32)

assert_type(tfkm.assign(x, x[:2], backend="native"), tfkm.Assignment)
assert_type(tfkm.accumulate(x, x[:2]), tuple[tfkm.Assignment, tfkm.Statistics])
tfkm.assign(x, x[:2], backend=1)  # type: ignore[arg-type]
tfkm.assign(x)  # type: ignore[call-arg]
assert_type(tfkm.kmeans(x, 2), tfkm.Result)
assert_type(tfkm.kmeans_batch(x[None], 2), tfkm.BatchResult)
assert_type(tfkm.kmeans_plusplus(x, 2), tfkm.Seeds)

assert_type(tfkm.KMeans(2, metric="cosine").fit(x), tfkm.KMeans)
assert_type(tfkm.MiniBatchKMeans(2).fit(x).partial_fit(x), tfkm.MiniBatchKMeans)
assert_type(tfkm.BisectingKMeans(2).fit(x), tfkm.BisectingKMeans)
tfkm.KMeans(n_clusters="2")  # type: ignore[arg-type]
tfkm.KMeans(2, colour="red")  # type: ignore[call-arg]
model = tfkm.KMeans(2)
assert_type(model.score(x), float)
assert_type(model.inertia_, float)
assert_type(model.n_iter_, int)
assert_type(model.cluster_centers_, np.ndarray)
assert_type(model.predict(x), Any)  # of the kind of x
