// Lanes are points with all their features in registers (d ≤ 8), packed as blocks. Every centroid
// passes.
//
// With so few products per value, what follows a value decides the speed. The last bits of a value
// are exchanged for the number of its centroid within kTags of them, so that the least value brings
// its index along. That takes 4 operations for a value instead of 5, and none that competes with
// the products. The margin allows for the bits.
#pragma once

#include "group.h"

namespace {

// 0 … kTags − 1, as they look to a load of T.
template <class T>
struct Tags {
  typename Simd<T>::Lane at[kTags] = {};
  constexpr Tags() {
    for (int tag = 0; tag < kTags; ++tag) at[tag] = tag;
  }
};

template <class T, int d>
void screen_features(const Frame<T>& frame, Group<T>& group, int64_t block) {
  using Vector = typename Simd<T>::Vector;
  using Index = typename Simd<T>::Index;
  using Lane = typename Simd<T>::Lane;
  constexpr int kLanes = Group<T>::kLanes, kBlock = Group<T>::kBlock;
  static constexpr Tags<T> tags_of;
  const Index keep = Index{} + Lane(-kTags);
  Vector x[d][kVectors], best[kVectors], second[kVectors];
  Index segment[kVectors];
#pragma GCC unroll 8
  for (int j = 0; j < d; ++j)
#pragma GCC unroll 4
    for (int m = 0; m < kVectors; ++m)
      x[j][m] = load<Vector>(group.packed + block * d + j * kBlock + m * kLanes);
  for (int m = 0; m < kVectors; ++m)
    best[m] = second[m] = Vector{} + T(INFINITY), segment[m] = Index{};

  for (int64_t first = 0; first < frame.k; first += kTags) {
    int tags = frame.k - first < kTags ? int(frame.k - first) : kTags;
    Vector low[kVectors], next[kVectors];
    for (int m = 0; m < kVectors; ++m) low[m] = next[m] = Vector{} + T(INFINITY);
#pragma GCC unroll 2
    for (int tag = 0; tag < tags; ++tag) {
      const T* c = frame.factors + (first + tag) * d;
      Vector start = splat(frame.sq_norms + first + tag), factor[d];
      Index number = splat(tags_of.at + tag);
#pragma GCC unroll 8
      for (int j = 0; j < d; ++j) factor[j] = splat(c + j);
#pragma GCC unroll 4
      for (int m = 0; m < kVectors; ++m) {
        Vector value = start;
#pragma GCC unroll 8
        for (int j = 0; j < d; ++j) value = fma(x[j][m], factor[j], value);
        value = tagged(value, keep, number);
        next[m] = least(next[m], most(value, low[m]));
        low[m] = least(value, low[m]);
      }
    }
    for (int m = 0; m < kVectors; ++m) {
      second[m] = least(second[m], least(next[m], most(low[m], best[m])));
      segment[m] = low[m] < best[m] ? Index{} + Lane(first) : segment[m];
      best[m] = least(low[m], best[m]);
    }
  }
  for (int m = 0; m < kVectors; ++m) {
    store(group.best + block + m * kLanes, best[m]);
    store(group.second + block + m * kLanes, second[m]);
    store(group.labels + block + m * kLanes, segment[m] + ((Index)best[m] & ~keep));
  }
}

template <class T, int d = kMostInRegisters>
void screen_registers(const Frame<T>& frame, Group<T>& group, int64_t count) {
  if (frame.d == d)
    for (int64_t block = 0; block < count; block += Group<T>::kBlock)
      screen_features<T, d>(frame, group, block);
  else if constexpr (d > 1)
    screen_registers<T, d - 1>(frame, group, count);
}

}  // namespace
