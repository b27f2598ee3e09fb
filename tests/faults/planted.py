"""The faults that the tests have to find: one text of a file exchanged for another.

A fault names where its tests are, so that these are tried first: files of `tests/`, or `core` and `cuda`
for the tests that ctest runs. A change that adds a promise adds a fault that breaks it.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """name: of the fault. file: where it is. before, after: its text, without and with the fault. seen_by:
    test files without `test_`, or `core` or `cuda`, that are tried first."""

    name: str
    file: str
    before: str
    after: str
    seen_by: str


_CORE = [
    ("step without its count", "exact.h", "0.75 * bound * count * 0x1p-52", "0.75 * bound * 0x1p-52"),
    ("sum that rounds", "exact.h", "V most = (term + coarse) - coarse;", "V most = term;"),
    ("lost weight", "exact.h", "if (weighted) term *= weight;", ""),
    ("lost low words", "exact.h", "word < 2; ++word) {\n      double* const*", "word < 1; ++word) {\n      double* const*"),
    ("lost lane of the inertia", "exact.h", "lane < 8 && first", "lane < 7 && first"),
    ("tie to the last", "screen.h", "frame_.centroid_at(c) < frame_.centroid_at(*place)", "frame_.centroid_at(c) > frame_.centroid_at(*place)"),
    ("screen without a margin", "screen.h", "second - best > frame_.margin(sq_norm, best, finite)", "second - best > 0"),
    ("second lane not tried", "screen.h", "if (!(lanes_.second[at] > bound))", "if (false)"),
    ("bad rows not seen", "screen.h", "& (sq_norm <= kLargestSqNorm)", ""),
    ("margin without products", "frame.h", "per_product_ = T(slack * 2 * mine * largest_norm);", "per_product_ = 0;"),
    ("margin without tags", "frame.h", "T(slack * 2 * kTags * unit)", "T(0)"),
    ("bfloat16 margin too small", "frame.h", "lost * (largest_norm_ + residual_))", "T(0))"),
    ("offset missing in a centroid", "frame.h", "T centred = i < k && j < d ? T(c[j] - offset[j])", "T centred = i < k && j < d ? T(c[j])"),
    ("padded centroid that counts", "frame.h", "sq_norms[i] = i < k ? T(sq_norm) : T(INFINITY);", "sq_norms[i] = T(sq_norm);"),
    ("bound that others do not spend", "bounds.h", "+ drifts_[c] + most_but(c))", "+ drifts_[c])"),
    ("bound that the own does not spend", "bounds.h", "(job_.spent[c] + drifts_[c]", "(job_.spent[c]"),
    ("stale fastest", "bounds.h", "second_ = most_, most_ = drifts_[c], fastest_ = c;", "most_ = drifts_[c], fastest_ = c;"),
    ("bound of what is unsure", "worker.h", "screen_.sure(i) ? margin : -T(INFINITY)", "margin"),
    ("point left in its old cluster", "worker.h", "sums_.template add<true>(x, before, -weight);  // each word of −term is that of term, negated", ""),
    ("tail of features", "direct.h", "else if (j < d)\n      add(sums[q]", "else if (j + 1 < d)\n      add(sums[q]"),
    ("tail of a widened row", "rows.h", "for (; i < count; ++i) out[i] = T(x[i]);", "for (; i + 1 < count; ++i) out[i] = T(x[i]);"),
    ("gap between rows not skipped", "rows.h", "widen_(points_, first * stride_ + i * stride, d_, scratch + i * d_)", "widen_(points_, (first + i) * d_, d_, scratch + i * d_)"),
    ("tail of rows", "blocks.h", "v[p] = p < rows ?", "v[p] = p + 1 < rows ?"),
    ("second that is not the least", "blocks.h", "second[m] = least(second[m], most(value, best[m]));\n        label", "second[m] = most(value, best[m]);\n        label"),
    ("segment of another", "registers.h", "segment[m] = low[m] < best[m] ? Index{} + Lane(first) : segment[m];", "segment[m] = Index{} + Lane(first);"),
    ("tail of dots", "dots.h", "if (j < d) step(j, [&](const T* p) { return widened<Vector>(p, d - j); });", ""),
    ("piece of a panel", "panels.h", "x += kBatch * kPieceStride) {\n    int64_t features", "x += kPieceStride) {\n    int64_t features"),
    ("lane that is not joined", "lanes.h", "for (int l = 1; l < kLanes; ++l) {\n    second", "for (int l = 2; l < kLanes; ++l) {\n    second"),
    ("part beyond the end", "parts.h", "last < c.count ? last : c.count", "last"),
    ("subnormals flushed", "subnormals.h", "mode_ & ~0x8040u", "mode_ | 0x8040u"),
    ("points of another problem", "batch.cc", "own[0] * all.next * bytes_of", "index * all.next * bytes_of"),
    ("weights of another problem", "batch.cc", "all.weights + own[2] * all.n", "all.weights + own[0] * all.n"),
    ("pass beyond what is left to decide", "batch.cc", "if (!(weight > 0)) return false;", ""),
    ("labels of padding", "batch.cc", "std::fill_n(job.labels + job.n, others, -1);", "std::fill_n(job.labels + job.n, others, 0);"),
    ("candidates without a margin", "seed.h", "enough[r] = nearest_[begin + r] - sq_norm + frame.square_margin(sq_norm);", "enough[r] = nearest_[begin + r] - sq_norm - frame.square_margin(sq_norm);"),
    ("last of the best candidates", "seed.h", "if (gains[c] > gains[best]) best = c;", "if (gains[c] >= gains[best]) best = c;"),
    ("seeding without weights", "seed.h", "return seeding_.weights ? seeding_.weights[i] * double(nearest) : double(nearest);", "return double(nearest);"),
    ("ball without its radius", "narrow.h", "T reach = radius + std::sqrt(far);", "T reach = std::sqrt(far);"),
]  # fmt: skip

_CUDA = [
    ("no barrier in a tile", "tile.h", "if (more) loader.store(memory, buffer);\n        __syncthreads();", "if (more) loader.store(memory, buffer);"),
    ("no barrier in fragments", "fragments.h", "if (more) loader.store(memory, buffer);\n        __syncthreads();", "if (more) loader.store(memory, buffer);"),
    ("no barrier before joining", "screen.h", "      shares.labels.set(at, nearest[m].label);\n    }\n    __syncthreads();", "      shares.labels.set(at, nearest[m].label);\n    }"),
    ("no barrier before candidates", "screen.h", "      __syncthreads();\n      try_candidates", "      try_candidates"),
    ("no barrier of an octet", "screen.h", "    __syncwarp(octet_mask());\n", ""),
    ("no barrier before lists", "sums.h", "group.add(i, labels.get(i));\n  __syncthreads();", "group.add(i, labels.get(i));"),
    ("barrier for some", "screen.h", "    if (job.splits > 1) continue;\n    measure(job, found);\n    __syncthreads();", "    if (job.splits > 1) continue;\n    measure(job, found);\n    if (found.labels.get(threadIdx.x % 32) >= 0) __syncthreads();"),
    ("tail of points", "screen.h", "found.rows.set(i, base + i < job.n ?", "found.rows.set(i, base + i + 1 < job.n ?"),
    ("tail of features on a card", "tile.h", "row != kNoRow && j < job.d ?", "row != kNoRow && j + 1 < job.d ?"),
    ("tail of centroids", "screen.h", "(job.k + Tile::kColumns - 1) / Tile::kColumns, split", "(job.k + Tile::kColumns - 2) / Tile::kColumns, split"),
    ("tail of a distance", "warp.h", "if (j >= d) break;", "if (j >= d - 1) break;"),
    ("tie rule of a card", "screen.h", "if (sq < least)", "if (sq <= least)"),
    ("no margin on a card", "screen.h", "nearest.second - nearest.best > room", "nearest.second > nearest.best"),
    ("no margin for bfloat16 on a card", "margin.h", "return margin + T(1.05) * 4", "return margin + T(0) * 4"),
    ("sums that round on a card", "sums.h", "__dsub_rn(__dadd_rn(term, by.coarse), by.coarse)", "term"),
    ("order of a fragment", "fragments.h", "row(2 * m + i % 2)) * kStride + q + i / 2 * 4", "row(2 * m + i / 2)) * kStride + q + i % 2 * 4"),
]  # fmt: skip

_PYTHON = [
    ("grid without weights", "exact.py", "inertia = weights * power_of_two_above(total)", "inertia = count * power_of_two_above(total)", "properties accumulate"),
    ("power of two not above", "exact.py", "math.frexp(max(x, _SMALLEST))[1])", "math.frexp(max(x, _SMALLEST))[1] - 1)", "exact"),
    ("empty cluster takes the nearest", "update.py", "order = candidates[np.argsort(-sq_distances[candidates], kind=\"stable\")]", "order = candidates[np.argsort(sq_distances[candidates], kind=\"stable\")]", "update"),
    ("a moved point stays where it was", "update.py", "sums[labels[index]] -= weight * point", "pass", "update"),
    ("a point on its centroid is moved", "update.py", "eligible = sq_distances > 0", "eligible = sq_distances >= 0", "update"),
    ("the last point of a cluster is moved", "update.py", "if left[labels[index]] > weight:", "if left[labels[index]] >= weight:", "update"),
    ("empty cluster goes to the origin", "update.py", "result = np.array(previous, np.float64)", "result = np.zeros(np.shape(previous))", "update lloyd"),
    ("tol without its unit", "lloyd.py", "threshold = tol * mean_variance_of(problem) if tol > 0 else 0.0", "threshold = tol", "lloyd"),
    ("worst of the starts", "lloyd.py", "best = [min(best + ends, key=lambda end: end.inertia)]", "best = [max(best + ends, key=lambda end: end.inertia)]", "lloyd kmeans"),
    ("inertia of the centroids before", "iteration.py", "if (moved[i] == centroids[i]).all():", "if True:", "properties"),
    ("one pass too many", "iteration.py", "stop = same | within | told | (done == max_iter)", "stop = same | within | told | (done > max_iter)", "lloyd"),
    ("variance around the first point", "iteration.py", "variances = statistics.inertia / n - from_centroids", "variances = statistics.inertia / n", "lloyd"),
    ("weights of another block", "starts.py", "weights[None, start : start + len(block)]", "weights[None, : len(block)]", "lloyd sparse"),
    ("cosine inertia doubled", "starts.py", "inertia = statistics.inertia / 2 + directions.weight", "inertia = statistics.inertia + directions.weight", "spherical"),
    ("seeds not of length 1", "lloyd.py", "if problem.directions is not None:\n            centroids = unit", "if False:\n            centroids = unit", "spherical"),
    ("zeros not told apart", "spherical.py", "lengths = tf.where(is_unit | is_zero,", "lengths = tf.where(is_unit,", "spherical"),
    ("almost of length 1", "spherical.py", "<= 4 * np.finfo", "<= 4e5 * np.finfo", "spherical"),
    ("more than fits into a cluster", "size_limits.py", "np.full(k, limits.most - limits.least)", "np.full(k, limits.most)", "size_limits"),
    ("limits that cannot be kept", "size_limits.py", "if size_max * k < n:", "if size_max * k < 0:", "size_limits"),
    ("integers rounded to float32", "points.py", "array = array.astype(np.float64)\n    if array.dtype.type not in", "array = array.astype(np.float32)\n    if array.dtype.type not in", "points"),
    ("values that are not looked at", "points.py", "    if not fine:\n        validate.finite_rows(name", "    if False:\n        validate.finite_rows(name", "kmeans lloyd"),
    ("norm of one feature", "ops/validate.py", "return largest * largest * values.shape[-1] <= largest_sq_norm(compute)", "return largest * largest <= largest_sq_norm(compute)", "validate"),
    ("negative weights", "ops/validate.py", "wrong = np.argwhere(~(weights >= 0) | np.isinf(weights))", "wrong = np.argwhere(~np.isfinite(weights))", "validate"),
    ("more rows than there are", "ops/validate.py", "wrong = (tensor < 0) | (tensor > n)", "wrong = tensor < 0", "n_points validate"),
    ("widths not compared", "ops/validate.py", "if points.shape[-1] != d:", "if False:", "validate"),
    ("norms that overflow", "ops/validate.py", "float(compute.max) / 16 if", "float(compute.max) if", "validate"),
    ("padding in cluster 0", "ops/batched.py", "return Assignment(tf.pad(labels, missing, constant_values=-1), tf.pad(distances, missing))", "return Assignment(tf.pad(labels, missing), tf.pad(distances, missing))", "properties n_points"),
    ("all problems have the first points", "ops/batched.py", "return tf.ensure_shape(tensor[index], tensor.shape[1:])", "return tf.ensure_shape(tensor[0], tensor.shape[1:])", "batched"),
    ("largest without the negative", "ops/__init__.py", "return np.maximum(-low.astype(np.float64), high)  # −(−128) is not an int8", "return high.astype(np.float64)", "properties accumulate"),
    ("padding has a derivative", "ops/gradients.py", "apart = tf.where(labels[..., None] < 0, tf.zeros_like(apart), apart)", "pass", "n_points gradients"),
    ("derivative with the wrong sign", "ops/gradients.py", "to_centroids = tf.reduce_sum(up, axis=0)[:, None] * c - tf.matmul(up, x, transpose_a=True)", "to_centroids = tf.matmul(up, x, transpose_a=True) - tf.reduce_sum(up, axis=0)[:, None] * c", "gradients"),
    ("xla without a margin", "ops/xla_kernels.py", "unclear = valid & (gap <= _margin(sq_norm, frame, lost))", "unclear = valid & (gap <= 0 * sq_norm)", "properties assign"),
    ("xla takes the last of ties", "ops/xla_kernels.py", "return _first(distances <= tf.reduce_min(distances), axis=0)", "return tf.shape(distances)[0] - 1 - _first(tf.reverse(distances <= tf.reduce_min(distances), [0]), axis=0)", "properties assign"),
    ("xla adds padding", "ops/xla_kernels.py", "w = tf.where(real, tf.slice(weights, *some), _ZERO)", "w = tf.slice(weights, *some)", "properties accumulate"),
    ("portable without a margin", "ops/portable.py", "near = values <= (tf.reduce_min(values, axis=1) + _margin(x, frame))[:, None]", "near = values < tf.reduce_min(values, axis=1)[:, None]", "properties assign"),
    ("portable without weights", "ops/portable.py", "w = None if weights is None else weights[rows]", "w = None", "properties accumulate"),
    ("one dtype for another", "ops/native.py", "order = (tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.uint8)", "order = (tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.uint8, tf.int8)", "properties kmeans"),
    ("rows that lie backwards", "ops/native.py", "and points.strides[-2] >= 0", "", "properties lloyd"),
    ("misaligned values", "ops/native.py", "and points.ctypes.data % size == 0", "", "points kmeans native"),
    ("bounds of the new centroids", "ops/native.py", "(margins, spent), moved_from = before.bounds, before.centroids", "(margins, spent), moved_from = before.bounds, centroids", "native"),
    ("another library's struct", "ops/native_library.py", "if tuple(theirs) != ours:", "if False:", "native"),
    ("potential without weights", "seeding/potential.py", "return near if self._weights is None else near * self._weights[start : start + rows]", "return near", "seeding properties"),
    ("farther is nearer", "seeding/potential.py", "nearer = distances < nearest", "nearer = distances <= np.inf", "seeding streams"),
    ("weight of what was given", "seeding/parallel.py", "sizes = potential.sizes()[len(problem.given) :]", "sizes = potential.sizes()[: potential._count - len(problem.given)]", "seeding"),
    ("chain that takes all", "seeding/mcmc.py", "if ratios[j] > acceptances[j] * ratios[at]:", "if True:", "seeding"),
    ("draw from the first chunk", "seeding/draws.py", "targets = self._rng.uniform(size=len(self.indices)) * self.total\n        # No draw", "targets = self._rng.uniform(size=len(self.indices)) * here\n        # No draw", "draws seeding"),
    ("rows of weight zero", "seeding/draws.py", "where=weights > 0)", "where=weights >= 0)", "draws seeding properties"),
    ("given centroids are chosen anew", "seeding/__init__.py", "return np.concatenate([given, chosen]) if len(given) else chosen", "return chosen", "seeding kmeans"),
    ("block that is not full", "streams/blocks.py", "    if points is not None:\n        yield Block(start, points[:filled]", "    if points is not None and filled > 1:\n        yield Block(start, points[:filled]", "streams properties"),
    ("weights of a stream", "streams/passes.py", "weights = block.weights if weighted else None", "weights = None", "streams properties"),
    ("shard that is not merged", "streams/passes.py", "np.add(a, b, out=a)", "pass", "streams properties"),
    ("labels that look the same", "streams/passes.py", "changed = (~same.all(axis=1)).astype(np.int64)", "changed = (~same.any(axis=1)).astype(np.int64)", "streams properties"),
    ("data that changed", "streams/stream.py", "if known.get(row, found) != found:", "if False:", "streams"),
    ("part of another dtype", "streams/checked.py", "if points.dtype != dtype:", "if False:", "streams"),
    ("more candidates than help", "seeding/parallel.py", "if rounds * size > _MOST * problem.points.n:", "if False:", "seeding"),
    ("disk that is full", "files.py", "        with writing(self.path):\n            return", "        if True:\n            return", "files"),
    ("checkpoint that is believed", "streams/checkpoint.py", "if hashlib.sha256(content).digest() != digest:", "if False:", "checkpoint"),
    ("checkpoint of another fit", "streams/checkpoint.py", "if fit.get(name) != value:", "if False:", "checkpoint"),
    ("labels of the last block", "streams/labels.py", "        n += len(labels)\n    header(n)", "        n = len(labels)\n    header(n)", "streams"),
    ("file that has grown shorter", "streams/files.py", "if start + read != file.rows:", "if False:", "streams"),
    ("second file from its start", "streams/files.py", "start = max(0, start - file.rows)", "start = 0", "streams"),
    ("count that forgets", "minibatch.py", "means, counts = state.means.copy(), state.counts + weights", "means, counts = state.means.copy(), state.counts * 0 + weights", "minibatch"),
    ("no cluster is moved", "minibatch.py", "if (state.counts == 0).any() or since >= 10 * len(counts):", "if False:", "minibatch"),
    ("least inertia is split", "bisecting.py", "at = int(np.argmax([leaf.score for leaf in leaves]))", "at = int(np.argmin([leaf.score for leaf in leaves]))", "bisecting"),
    ("tree without weights", "bisecting.py", "weights = None if weights is None else weights[leaf.rows]\n    result", "weights = None\n    result", "bisecting"),
    ("nearest other is the own", "metrics.py", "others = np.delete(centroids, label, axis=0)", "others = centroids", "metrics"),
    ("codes that never die", "layers.py", "dead = weights < share * self.decay**self.patience", "dead = weights < 0", "layers_keras"),
    ("labels beyond the centers", "estimators/kept.py", "labels.min() >= 0 and labels.max() < k", "True", "saved"),
    ("failed fit that stays", "estimators/base.py", "            vars(self).clear()\n            vars(self).update(before)\n", "", "estimators kmeans"),
    ("score without weights", "estimators/base.py", "return -self._inertia_of(points, weights)", "return -self._inertia_of(points, None)", "properties kmeans"),
    ("squared distances", "estimators/base.py", "return tf.sqrt(sq_distances)", "return sq_distances", "kmeans"),
    ("file longer than it is", "model_files.py", "if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():", "if False:", "saved"),
    ("file that is overwritten", "files.py", "if path.exists() and not force:", "if False:", "cli files"),
    ("missing values are zeros", "files.py", "if column.null_count:\n            raise", "if False:\n            raise", "files"),
    ("header of numbers is a point", "tables.py", "return True if len(first) > 1 and not all(below) else None", "return False", "files"),
    ("seed that is not heard", "cli.py", "random_state=seed,\n        backend=backend,\n        callbacks", "random_state=0,\n        backend=backend,\n        callbacks", "cli"),
]  # fmt: skip

FAULTS = [
    *(Fault(name, f"kernels/core/{file}", a, b, "core") for name, file, a, b in _CORE),
    *(Fault(name, f"kernels/cuda/{file}", a, b, "cuda") for name, file, a, b in _CUDA),
    *(Fault(name, f"tfkm/{file}", a, b, seen_by) for name, file, a, b, seen_by in _PYTHON),
]
