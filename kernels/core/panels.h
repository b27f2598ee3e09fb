// Lanes are centroids: a panel of kVectors vectors of them against a batch of points, whose values are
// broadcast. Points are not transposed; each lane keeps the least it has seen until all panels have passed.
#pragma once

#include "lanes.h"

namespace {

// Points lie in pieces of kPiece features, so that one register and constants reach all points of a batch.
constexpr int kPiece = 256, kPieceStride = kPiece + 16;

constexpr int64_t batch_values(int64_t d) { return (d + kPiece - 1) / kPiece * kBatch * kPieceStride; }

// The points of one batch, around the offset; returns nothing of rows beyond `count`, which are zero.
template <class S, class T>
void pack_batch(const S* x, int64_t stride, int64_t count, const Frame<T>& frame, T* out, T* sq_norms) {
  using Vector = typename Simd<T>::Vector;
  constexpr int kLanes = kVectorBytes / sizeof(T);
  for (int r = 0; r < kBatch; ++r) {
    Vector sums[2] = {};
    for (int64_t j = 0; j < frame.d; j += kLanes) {
      T* to = out + (j / kPiece * kBatch + r) * kPieceStride + j % kPiece;
      Vector v = {};
      if (r < count)
        v = widened<Vector>(x + r * stride + j, frame.d - j) - widened<Vector>(frame.offset + j, frame.d - j);
      Vector& sum = sums[j / kLanes % 2];
      sum = fma(v, v, sum);
      store(to, v);
    }
    T sum = 0;
    for (int l = 0; l < kLanes; ++l) sum += sums[0][l] + sums[1][l];
    sq_norms[r] = sum;
  }
}

// A packed batch against panel t, beginning with row `row`.
template <class T, int rows>
void screen_panel(const Frame<T>& frame, int64_t t, const T* x, int64_t row, const Lanes<T>& lanes) {
  using Vector = typename Simd<T>::Vector;
  using Index = typename Simd<T>::Index;
  using Lane = typename Simd<T>::Lane;
  constexpr int kLanes = kVectorBytes / sizeof(T), kWidth = kVectors * kLanes;
  const T* factors = frame.factors + t * frame.d * kWidth;
  Vector sums[rows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (int m = 0; m < kVectors; ++m) sums[r][m] = load<Vector>(frame.sq_norms + t * kWidth + m * kLanes);
  for (int64_t begin = 0; begin < frame.d; begin += kPiece, x += kBatch * kPieceStride) {
    int64_t features = frame.d - begin < kPiece ? frame.d - begin : kPiece;
    for (int64_t j = 0; j < features; ++j, factors += kWidth) {
      Vector factor[kVectors];
#pragma GCC unroll 2
      for (int m = 0; m < kVectors; ++m) factor[m] = load<Vector>(factors + m * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
        for (int m = 0; m < kVectors; ++m)
          sums[r][m] = fma(splat(x + r * kPieceStride + j), factor[m], sums[r][m]);
    }
  }
  Index index;
  for (int l = 0; l < kLanes; ++l) index[l] = Lane(t * kWidth + l);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    int64_t at = (row + r) * kLanes;
    Vector best = load<Vector>(lanes.best + at), second = load<Vector>(lanes.second + at);
    Index label = load<Index>(lanes.labels + at);
#pragma GCC unroll 2
    for (int m = 0; m < kVectors; ++m) {
      Vector value = sums[r][m];
      second = least(second, most(value, best));
      label = value < best ? index + Lane(m * kLanes) : label;
      best = least(value, best);
    }
    store(lanes.best + at, best);
    store(lanes.second + at, second);
    store(lanes.labels + at, label);
  }
}

}  // namespace
