// Lanes are features: one pass over a point makes its products with all centroids, of which there
// are at most as many as lanes. For few centroids reading the points is the limit. So points are
// read once, as they lie, and ahead.
#pragma once

#include "lanes.h"
#include "rows.h"

namespace {

// Multiplies `rows` points with all centroids. The products are yet to be summed over the lanes,
// and each point's square follows them if there is room.
//
// Meanwhile what comes kAhead bytes later is fetched. At (65536, 10, 784) an assignment takes 6.9
// ms with anything from 16 to 64 KiB. It took 10.4 ms when half a point was fetched here and half
// with its distance, a group of 64 KiB ahead, and 13.1 ms with nothing fetched.
template <class T, int centroids, int rows, int each>
inline __attribute__((always_inline)) void multiply(const T* x, int64_t stride,
                                                    const Frame<T>& frame,
                                                    typename Simd<T>::Vector (&sums)[rows][each]) {
  using Vector = typename Simd<T>::Vector;
  constexpr int kLanes = Group<T>::kLanes;
  int64_t d = frame.d;
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 17
    for (int c = 0; c < each; ++c) sums[r][c] = Vector{};
  const T* factors = frame.factors;
  auto step = [&](int64_t j, auto values) __attribute__((always_inline)) {
    Vector offset = load<Vector>(frame.offset + j), v[rows];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const T* here = x + r * stride + j;
      __builtin_prefetch(reinterpret_cast<const char*>(here) + kAhead);
      v[r] = values(here) - offset;
      if constexpr (each > centroids) sums[r][centroids] = fma(v[r], v[r], sums[r][centroids]);
    }
#pragma GCC unroll 16
    for (int c = 0; c < centroids; ++c) {
      Vector factor = read_once(load<Vector>(factors + c * kLanes));
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) sums[r][c] = fma(factor, v[r], sums[r][c]);
    }
    factors += centroids * kLanes;
  };
  int64_t j = 0;
  for (; j + kLanes <= d; j += kLanes) step(j, [](const T* p) { return widened<Vector>(p); });
  if (j < d) step(j, [&](const T* p) { return widened<Vector>(p, d - j); });
}

template <class T, int centroids, int rows>
void screen_rows(const T* x, int64_t stride, const Frame<T>& frame, int64_t row, Lanes<T>& lanes,
                 Group<T>& group) {
  using Vector = typename Simd<T>::Vector;
  constexpr int kLanes = Group<T>::kLanes;
  Vector sums[rows][centroids + 1];
  multiply<T, centroids>(x, stride, frame, sums);
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    Vector v[kLanes] = {};
#pragma GCC unroll 16
    for (int c = 0; c < centroids + 1 && c < kLanes; ++c)
      v[c] = sums[r][c];  // the square's sum comes along
    Vector value = sum_each<T>(v);
    T square = 0;
    if constexpr (centroids < kLanes)
      square = value[centroids];
    else
      for (int l = 0; l < kLanes; ++l) square += sums[r][centroids][l];
    group.sq_norms[row + r] = square;
    store(lanes.best + (row + r) * kLanes, value + load<Vector>(frame.sq_norms));
  }
}

// Finds each lane's value, in lanes.best, and ‖x‖² of (count, d) rows. Takes as many points at a
// time as registers hold.
template <class T, int centroids = kVectorBytes / sizeof(T)>
void screen_dots(const T* x, int64_t stride, int64_t count, const Frame<T>& frame, Lanes<T>& lanes,
                 Group<T>& group) {
  constexpr int most = (Isa::kRegisters - 1) / (centroids + 2);
  constexpr int rows = most < 1 ? 1 : most > 4 ? 4 : most;
  if constexpr (centroids > 2)
    if (frame.tile < centroids)
      return screen_dots<T, centroids - 2>(x, stride, count, frame, lanes, group);
  int64_t row = 0;
  for (; row + rows <= count; row += rows)
    screen_rows<T, centroids, rows>(x + row * stride, stride, frame, row, lanes, group);
  for (; row < count; ++row)
    screen_rows<T, centroids, 1>(x + row * stride, stride, frame, row, lanes, group);
}

}  // namespace
