// All distances of points to a few centroids in the direct form, with the bits that an assignment
// returns.
#pragma once

#include "parts.h"
#include "rows.h"

namespace {

template <class T>
void all_distances(const tfkm::Distances& call, const tfkm::ParallelFor& parallel_for) {
  // Of points that meet a centroid while it is in the first-level cache.
  constexpr int64_t kRows = 32;
  const int64_t padded_d = round_up(call.d, 8);
  Source<T> source(call.points, call.d);
  Arena arena;
  T *centroids, *widened;
  arena.take(&centroids, call.k * padded_d);
  arena.take(&widened, parallel_for.workers * source.scratch(kRows));
  arena.allocate();
  std::memset(centroids, 0, size_t(call.k * padded_d) * sizeof(T));
  for (int64_t c = 0; c < call.k; ++c)
    std::memcpy(centroids + c * padded_d, static_cast<const T*>(call.centroids) + c * call.d,
                size_t(call.d) * sizeof(T));
  in_parts(parallel_for, call.n, kRows, [&](int64_t first, int64_t last, int worker) {
    Rows<T> points = source.rows(first, last - first, widened + worker * source.scratch(kRows));
    T* out = static_cast<T*>(call.out) + first * call.k;
    for (int64_t c = 0; c < call.k; ++c)
      for (int64_t i = 0; i < last - first; ++i)
        out[i * call.k + c] = T(sq_distance(points.row(i), centroids + c * padded_d, call.d));
  });
}

}  // namespace
