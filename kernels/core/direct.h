// The types that points come in, and the direct form of a distance.
#pragma once

#include <cstdint>
#include <type_traits>

#include "isa/simd.h"

namespace {

struct Bfloat16 {
  uint16_t bits;
  explicit operator float() const {
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    __builtin_memcpy(&value, &wide, sizeof value);
    return value;
  }
  explicit operator double() const { return float(*this); }
};

// Rounds half to even. A subnormal result counts as 0, as in the processor's products.
inline Bfloat16 nearest(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7f800000) == 0) return {0};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// Reads as many values as V has lanes, a vector that is a register or less.
template <class V, class S>
inline V widened_lanes(const S* x) {
  constexpr int kLanes = kLanesOf<V>;
  constexpr bool kAtOnce = Isa::kWidens && std::is_same_v<V, Floats> &&
                           (std::is_integral_v<S> || std::is_same_v<S, Float16>);
  using Single = typename Several<float, kLanes>::Vector;
  using Words = typename Several<uint32_t, kLanes>::Vector;
  if constexpr (kAtOnce) {
    return widened_floats(x);
  } else if constexpr (std::is_same_v<S, double>) {
    return load<V>(x);
  } else if constexpr (std::is_same_v<S, float>) {
    return converted<V>(load<Single>(x));
  } else if constexpr (std::is_integral_v<S>) {
    using Integers = typename Several<int32_t, kLanes>::Vector;
    auto wide = __builtin_convertvector(load<typename Several<S, kLanes>::Vector>(x), Integers);
    return converted<V>(__builtin_convertvector(wide, Single));
  } else if constexpr (std::is_same_v<S, Bfloat16>) {
    auto wide = __builtin_convertvector(load<typename Several<uint16_t, kLanes>::Vector>(x), Words);
    return converted<V>((Single)(wide << 16));
  } else {
    Single wide;
    for (int l = 0; l < kLanes; ++l) wide[l] = float(x[l]);
    return converted<V>(wide);
  }
}

// Reads as many values as the vector V of floats or doubles has lanes.
template <class V, class S>
inline V widened(const S* x) {
  constexpr int kLanes = kLanesOf<V>;
  if constexpr (kInHalves<V>)
    return {widened<decltype(V::low)>(x), widened<decltype(V::high)>(x + kLanes / 2)};
  else
    return widened_lanes<V>(x);
}

// Reads the first `count` of them and no more; the other lanes are 0.
template <class V, class S>
inline V widened(const S* x, int64_t count) {
  constexpr int kLanes = kLanesOf<V>;
  if (count >= kLanes) return widened<V>(x);
  if constexpr (kInHalves<V>) {
    using Half = decltype(V::low);
    if (count <= kLanes / 2) return {widened<Half>(x, count), Half{}};
    return {widened<Half>(x), widened<Half>(x + kLanes / 2, count - kLanes / 2)};
  } else if constexpr (std::is_floating_point_v<S>) {
    return some<V>(x, count);
  } else {
    S values[kLanes] = {};
    for (int64_t l = 0; l < count; ++l) values[l] = x[l];
    return widened<V>(values);
  }
}

// Converts eight doubles to eight lanes of T, or back.
template <class V, class From>
inline V eight_of(From x) {
  if constexpr (std::is_same_v<V, From>)
    return x;
  else if constexpr (kInHalves<V> && kInHalves<From>)
    return {eight_of<decltype(V::low)>(x.low), eight_of<decltype(V::high)>(x.high)};
  else if constexpr (kInHalves<From>)  // doubles to floats
    return joined(eight_of<typename Several<float, kLanesOf<V> / 2>::Vector>(x.low),
                  eight_of<typename Several<float, kLanesOf<V> / 2>::Vector>(x.high));
  else if constexpr (kInHalves<V>)  // floats to doubles
    return {converted<decltype(V::low)>(part<0, kLanesOf<V> / 2>(x)),
            converted<decltype(V::high)>(part<1, kLanesOf<V> / 2>(x))};
  else
    return converted<V>(x);
}

// Returns Σ(x − c)² in double: the direct form. It has 32 lanes and a fixed tree; with 8 lanes each
// addition would wait for the one before. c is padded with zeros to whole eights.
template <class S, class T>
inline __attribute__((always_inline)) double sq_distance(const S* x, const T* c, int64_t d) {
  Eight sums[4] = {};
  auto add = [&](Eight& sum, int64_t j, Eight point) {
    Eight difference = point - widened<Eight>(c + j);
    sum += difference * difference;
  };
  int64_t j = 0;
  for (; j + 32 <= d; j += 32)
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) add(sums[q], j + 8 * q, widened<Eight>(x + j + 8 * q));
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q, j += 8)
    if (j + 8 <= d)
      add(sums[q], j, widened<Eight>(x + j));
    else if (j < d)
      add(sums[q], j, widened<Eight>(x + j, d - j));
  return total((sums[0] + sums[2]) + (sums[1] + sums[3]));
}

// Returns the same in the type of the centroids, added in any order. No result may depend on it.
template <class S, class T>
inline T narrow_sq_distance(const S* x, const T* c, int64_t d) {
  using Vector = typename Simd<T>::Vector;
  constexpr int kLanes = kLanesOf<Vector>;
  Vector sums[2] = {};
  int64_t j = 0;
  auto add = [&](Vector& sum, Vector point, Vector centroid) {
    Vector difference = point - centroid;
    sum = fma(difference, difference, sum);
  };
  for (; j + 2 * kLanes <= d; j += 2 * kLanes) {
    add(sums[0], widened<Vector>(x + j), load<Vector>(c + j));
    add(sums[1], widened<Vector>(x + j + kLanes), load<Vector>(c + j + kLanes));
  }
  for (; j < d; j += kLanes)
    add(sums[0], widened<Vector>(x + j, d - j), widened<Vector>(c + j, d - j));
  sums[0] += sums[1];
  T sum = 0;
  for (int l = 0; l < kLanes; ++l) sum += sums[0][l];
  return sum;
}

}  // namespace
