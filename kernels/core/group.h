// Points that pass the centroids together, and what is found of them.
#pragma once

#include <algorithm>

#include "direct.h"
#include "frame.h"

namespace {

template <class T>
struct Group {
  using Vector = typename Simd<T>::Vector;
  using Index = typename Simd<T>::Index;
  using Lane = typename Simd<T>::Lane;
  static constexpr int kLanes = kVectorBytes / sizeof(T);
  static constexpr int kBlock = kLanes * kVectors;

  int64_t rows;      // at most, whole blocks or batches; there is room for one block more
  T* packed;         // around the offset, as the form wants them
  T* sq_norms;       // (rows,) of the packed points
  T *best, *second;  // (rows,) least value of −2x·c + ‖c‖² and the second least, or less than it
  Lane* labels;      // (rows,) of the least

  Group(int64_t most_rows, int64_t packed_values, Arena& arena) : rows(most_rows) {
    int64_t room = rows + kBlock;
    arena.take(&packed, packed_values);
    arena.take(&sq_norms, room);
    arena.take(&best, room);
    arena.take(&second, room);
    arena.take(&labels, room);
  }
};

}  // namespace
