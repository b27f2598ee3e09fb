// The largest magnitude of each feature, in one pass at the speed of memory.
#pragma once

#include <cmath>
#include <cstring>

#include "parts.h"
#include "rows.h"

namespace {

// Finds the largest magnitude of each feature. Without their sign, floats are in the order of their
// bits, and NaN comes last.
template <class T>
class Largest {
  using Index = typename Simd<T>::Index;
  using Lane = typename Simd<T>::Lane;
  static constexpr int kLanes = kLanesOf<Index>;
  static constexpr Lane kNoSign = ~(Lane(1) << (8 * sizeof(Lane) - 1));

 public:
  // Returns how many vectors hold whole rows, if rows lie side by side and are short; else how many
  // hold one row.
  static int64_t vectors(int64_t d, bool dense) {
    return dense && d < 8 * kLanes ? d : (d + kLanes - 1) / kLanes;
  }

  // largest: (vectors,), 0 before the first rows.
  static void add(Rows<T> points, int64_t count, int64_t d, Index* largest) {
    const bool dense = points.stride == d;
    if (dense && d < 8 * kLanes) {
      const T* x = points.x;
      int64_t left = count * d;
      for (; left >= d * kLanes; left -= d * kLanes, x += d * kLanes)
        for (int64_t v = 0; v < d; ++v) take(load<Index>(x + v * kLanes), largest + v);
      for (int64_t v = 0; left > 0; ++v, left -= kLanes, x += kLanes)
        take(some(x, left), largest + v);
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      const T* x = points.row(i);
      int64_t j = 0, v = 0;
      for (; j + kLanes <= d; j += kLanes) take(load<Index>(x + j), largest + v++);
      if (j < d) take(some(x + j, d - j), largest + v);
    }
  }

  static void finish(const Index* largest, int64_t vectors, int64_t d, double* out) {
    for (int64_t v = 0; v < vectors; ++v)
      for (int l = 0; l < kLanes; ++l) {
        const int64_t at = v * kLanes + l;
        if (vectors != d && at >= d) continue;  // behind the end of a row
        Lane bits = largest[v][l];
        T value;
        std::memcpy(&value, &bits, sizeof value);
        double& most = out[at % d];
        if (value > most || std::isnan(value)) most = value;
      }
  }

 private:
  static void take(Index bits, Index* largest) {
    bits &= kNoSign;
    *largest = bits > *largest ? bits : *largest;
  }
  static Index some(const T* x, int64_t count) {
    T values[kLanes] = {};
    std::memcpy(values, x, size_t(count < kLanes ? count : kLanes) * sizeof(T));
    return load<Index>(values);
  }
};

template <class T>
void all_magnitudes(const tfkm::Magnitudes& call, const tfkm::ParallelFor& parallel_for) {
  using Index = typename Simd<T>::Index;
  // Of rows at a time: in the second-level cache while they are widened.
  constexpr int64_t kBytes = 1 << 16;
  Source<T> source(call.points, call.d);
  const bool dense = source.scratch(1) || call.points.row == call.d * int64_t(sizeof(T));
  const int64_t rows = 1 + kBytes / (call.d * int64_t(sizeof(T))),
                vectors = Largest<T>::vectors(call.d, dense);
  const int workers = parallel_for.workers;
  Arena arena;
  Index* largest;
  T* widened;
  arena.take(&largest, workers * vectors);
  arena.take(&widened, workers * source.scratch(rows));
  arena.allocate();
  std::memset(static_cast<void*>(largest), 0, size_t(workers * vectors) * sizeof(Index));
  in_parts(parallel_for, call.n, rows, [&](int64_t first, int64_t last, int worker) {
    Rows<T> points = source.rows(first, last - first, widened + worker * source.scratch(rows));
    Largest<T>::add(points, last - first, call.d, largest + worker * vectors);
  });
  for (int64_t j = 0; j < call.d; ++j) call.out[j] = 0;
  for (int w = 0; w < workers; ++w)
    Largest<T>::finish(largest + w * vectors, vectors, call.d, call.out);
}

}  // namespace
