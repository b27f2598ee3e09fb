// Where lanes are centroids: what each lane has found for each point, and the least of the lanes.
#pragma once

#include "group.h"

namespace {

template <class T>
struct Lanes {  // each (rows, kLanes)
  T *best, *second;
  typename Simd<T>::Lane* labels;

  Lanes(int64_t rows, Arena& arena) {
    constexpr int kLanes = kVectorBytes / sizeof(T);
    arena.take(&best, rows * kLanes);
    arena.take(&second, rows * kLanes);
    arena.take(&labels, rows * kLanes);
  }
};

template <class T>
void clear_lanes(const Lanes<T>& lanes, int64_t count) {
  for (int64_t i = 0; i < round_up(count, kBatch) * Group<T>::kLanes; ++i)
    lanes.best[i] = lanes.second[i] = T(INFINITY), lanes.labels[i] = 0;
}

// Prepares lanes for at most one centroid each.
template <class T>
void number_lanes(const Lanes<T>& lanes, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    for (int l = 0; l < Group<T>::kLanes; ++l) {
      lanes.second[i * Group<T>::kLanes + l] = T(INFINITY);
      lanes.labels[i * Group<T>::kLanes + l] = l;
    }
}

// Finds the least of the lanes of each row, kLanes rows at a time.
template <class T>
void join_some(const Lanes<T>& lanes, int64_t row, Group<T>& group) {
  using Vector = typename Simd<T>::Vector;
  using Index = typename Simd<T>::Index;
  constexpr int kLanes = kVectorBytes / sizeof(T);
  Vector best[kLanes], second[kLanes], label[kLanes];
  for (int r = 0; r < kLanes; ++r) {
    best[r] = load<Vector>(lanes.best + (row + r) * kLanes);
    second[r] = load<Vector>(lanes.second + (row + r) * kLanes);
    label[r] = load<Vector>(lanes.labels + (row + r) * kLanes);
  }
  turn<T>(best), turn<T>(second), turn<T>(label);
  for (int l = 1; l < kLanes; ++l) {
    second[0] = least(least(second[0], second[l]), most(best[0], best[l]));
    label[0] = best[l] < best[0] ? label[l] : label[0];
    best[0] = least(best[l], best[0]);
  }
  store(group.best + row, best[0]);
  store(group.second + row, second[0]);
  store(group.labels + row, (Index)label[0]);
}

template <class T>
void join_lanes(const Lanes<T>& lanes, int64_t count, Group<T>& group) {
  for (int64_t row = 0; row < count; row += Group<T>::kLanes) join_some(lanes, row, group);
}

}  // namespace
