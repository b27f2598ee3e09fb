// Lanes are centroids: a panel of kVectors vectors of them meets a batch of points, whose values
// are broadcast. Points are not transposed. Each lane keeps the least it has seen until all panels
// have passed.
#pragma once

#include "lanes.h"

namespace {

// Points lie in pieces of kPiece features, so that one register and constants reach all points of a
// batch.
constexpr int kPiece = 256, kPieceStride = kPiece + 16;

constexpr int64_t batch_values(int64_t d) {
  return (d + kPiece - 1) / kPiece * kBatch * kPieceStride;
}

// Packs one point, around the offset, into its place in a batch. Returns ‖x‖².
template <class T>
T pack_row(const T* x, const Frame<T>& frame, T* out) {
  using Vector = typename Simd<T>::Vector;
  constexpr int kLanes = kVectorBytes / sizeof(T);
  Vector sums = {};
  for (int64_t piece = 0; piece < frame.d; piece += kPiece, out += kBatch * kPieceStride)
    for (int64_t j = piece; j < frame.d && j < piece + kPiece; j += kLanes) {
      Vector v = widened<Vector>(x + j, frame.d - j) - load<Vector>(frame.offset + j);
      sums = fma(v, v, sums);
      store(out + j - piece, v);
    }
  T sum = 0;
  for (int l = 0; l < kLanes; ++l) sum += sums[l];
  return sum;
}

// Compares a packed batch of `rows` points, which are the group's `at`, with panel t.
template <class T, int rows>
void screen_panel(const Frame<T>& frame, int64_t t, const T* x, const int* at,
                  const Lanes<T>& lanes) {
  using Vector = typename Simd<T>::Vector;
  using Index = typename Simd<T>::Index;
  using Lane = typename Simd<T>::Lane;
  constexpr int kLanes = kVectorBytes / sizeof(T), kWidth = kVectors * kLanes;
  const T* factors = frame.factors + t * frame.d * kWidth;
  Vector sums[rows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (int m = 0; m < kVectors; ++m)
      sums[r][m] = load<Vector>(frame.sq_norms + t * kWidth + m * kLanes);
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
    int64_t here = int64_t(at[r]) * kLanes;
    Vector best = load<Vector>(lanes.best + here), second = load<Vector>(lanes.second + here);
    Index label = load<Index>(lanes.labels + here);
#pragma GCC unroll 2
    for (int m = 0; m < kVectors; ++m) {
      Vector value = sums[r][m];
      second = least(second, most(value, best));
      label = value < best ? index + Lane(m * kLanes) : label;
      best = least(value, best);
    }
    store(lanes.best + here, best);
    store(lanes.second + here, second);
    store(lanes.labels + here, label);
  }
}

template <class T>
void screen_panels(const T* x, int64_t stride, int64_t count, const Frame<T>& frame,
                   const Lanes<T>& lanes, Group<T>& group) {
  int64_t values = batch_values(frame.d);
  for (int64_t i = 0; i < count; ++i)
    group.sq_norms[i] = pack_row(x + i * stride, frame,
                                 group.packed + i / kBatch * values + i % kBatch * kPieceStride);
  for (int64_t t = 0; t < frame.tiles; ++t)
    for (int64_t row = 0; row < count; row += kBatch) {
      int at[kBatch];
      for (int r = 0; r < kBatch; ++r) at[r] = int(row) + r;
      screen_panel<T, kBatch>(frame, t, group.packed + row / kBatch * values, at, lanes);
    }
}

}  // namespace
