// Lanes are points: a block of two vectors of points, transposed, meets kRows centroids, whose
// values are broadcast. The least and second least stay in registers over a tile. −2 and ‖c‖² are
// folded into the packed centroids and the start of the accumulators.
#pragma once

#include "group.h"

namespace {

// Packs (count, d) rows as blocks of (d, kBlock), around the offset, and works out ‖x‖². Missing
// rows are zero. kLanes rows and features at a time are turned in registers: with scalar stores a
// whole assignment at (65536, 10, 784) took twice as long.
template <class T>
void pack_wide(const T* x, int64_t stride, int64_t count, const Frame<T>& frame, Group<T>& group) {
  using Vector = typename Simd<T>::Vector;
  constexpr int kLanes = Group<T>::kLanes, kBlock = Group<T>::kBlock;
  int64_t d = frame.d;
  for (int64_t block = 0; block < count; block += kBlock) {
    T* out = group.packed + block * d;
    for (int m = 0; m < kVectors; ++m) {
      Vector sum = {};
      int64_t first = block + m * kLanes, rows = count - first;
      for (int64_t j = 0; j < d; j += kLanes) {
        int64_t features = d - j;
        Vector v[kLanes], offset = widened<Vector>(frame.offset + j, features);
#pragma GCC unroll 16
        for (int p = 0; p < kLanes; ++p)
          v[p] = p < rows ? widened<Vector>(x + (first + p) * stride + j, features) - offset
                          : Vector{};
        turn<T>(v);
#pragma GCC unroll 16
        for (int l = 0; l < kLanes; ++l)
          if (l < features) {
            sum = fma(v[l], v[l], sum);
            store(out + (j + l) * kBlock + m * kLanes, v[l]);
          }
      }
      store(group.sq_norms + first, sum);
    }
  }
}

// Packs as pack_wide does, for d ≤ 8, where half of each vector of 16 lanes would be empty. Rows p
// and p + 8 share a vector.
template <class T>
void pack_narrow(const T* x, int64_t stride, int64_t count, const Frame<T>& frame,
                 Group<T>& group) {
  using Vector = typename Simd<T>::Vector;
  using Half = typename Several<T, 8>::Vector;
  constexpr int kLanes = Group<T>::kLanes, kBlock = Group<T>::kBlock;
  int64_t d = frame.d;
  Half offset = load<Half>(frame.offset);
  for (int64_t first = 0; first < round_up(count, kBlock); first += kLanes) {
    auto row = [&](int64_t i) {
      return i < count ? widened<Half>(x + i * stride, d) - offset : Half{};
    };
    Vector v[8], sum = {};
#pragma GCC unroll 8
    for (int p = 0; p < 8; ++p) v[p] = joined(row(first + p), row(first + p + 8));
    turn<T>(v);
    T* out = group.packed + first / kBlock * kBlock * d + first % kBlock;
    for (int64_t j = 0; j < d; ++j) {
      sum = fma(v[j], v[j], sum);
      store(out + j * kBlock, v[j]);
    }
    store(group.sq_norms + first, sum);
  }
}

template <class T>
void pack_blocks(const T* x, int64_t stride, int64_t count, const Frame<T>& frame,
                 Group<T>& group) {
  if constexpr (Group<T>::kLanes == 16)
    if (frame.d <= 8) return pack_narrow(x, stride, count, frame, group);
  pack_wide(x, stride, count, frame, group);
}

template <class T>
void screen_tiles(const Frame<T>& frame, Group<T>& group, int64_t block, int64_t first,
                  int64_t last) {
  using Vector = typename Simd<T>::Vector;
  using Index = typename Simd<T>::Index;
  using Lane = typename Simd<T>::Lane;
  constexpr int kLanes = Group<T>::kLanes, kBlock = Group<T>::kBlock;
  int64_t d = frame.d;
  const T* x = group.packed + block * d;
  Vector best[kVectors], second[kVectors];
  Index label[kVectors];
  for (int m = 0; m < kVectors; ++m) {
    best[m] = load<Vector>(group.best + block + m * kLanes);
    second[m] = load<Vector>(group.second + block + m * kLanes);
    label[m] = load<Index>(group.labels + block + m * kLanes);
  }
  for (int64_t t = first; t < last; ++t) {
    const T* c = frame.factors + t * d * kRows;
    const T* start = frame.sq_norms + t * kRows;
    Vector sums[kRows][kVectors];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int m = 0; m < kVectors; ++m) sums[r][m] = splat(start + r);
    for (int64_t j = 0; j < d; ++j) {
      Vector v[kVectors];
#pragma GCC unroll 4
      for (int m = 0; m < kVectors; ++m) v[m] = load<Vector>(x + j * kBlock + m * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        Vector factor = splat(c + j * kRows + r);
#pragma GCC unroll 4
        for (int m = 0; m < kVectors; ++m) sums[r][m] = fma(factor, v[m], sums[r][m]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int m = 0; m < kVectors; ++m) {
        Vector value = sums[r][m];
        second[m] = least(second[m], most(value, best[m]));
        label[m] = value < best[m] ? Index{} + Lane(t * kRows + r) : label[m];
        best[m] = least(value, best[m]);
      }
  }
  for (int m = 0; m < kVectors; ++m) {
    store(group.best + block + m * kLanes, best[m]);
    store(group.second + block + m * kLanes, second[m]);
    store(group.labels + block + m * kLanes, label[m]);
  }
}

template <class T>
void screen_blocks(const Frame<T>& frame, Group<T>& group, int64_t count) {
  count = round_up(count, Group<T>::kBlock);
  for (int64_t i = 0; i < count; ++i)
    group.best[i] = group.second[i] = T(INFINITY), group.labels[i] = 0;
  int64_t step = std::max<int64_t>(kCentroidBytes / (frame.d * kRows * int64_t(sizeof(T))), 1);
  for (int64_t first = 0; first < frame.tiles; first += step) {
    int64_t last = first + step < frame.tiles ? first + step : frame.tiles;
    for (int64_t block = 0; block < count; block += Group<T>::kBlock)
      screen_tiles(frame, group, block, first, last);
  }
}

}  // namespace
