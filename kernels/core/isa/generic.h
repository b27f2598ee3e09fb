// The operations that an instruction set may do better, written for any of them. An overload or a
// specialisation in its own header is taken instead.
#pragma once

#include "vectors.h"

namespace {

// a·b + c. Two roundings here, one where there is an instruction for it: no result depends on that.
template <class V>
inline V fma(V a, V b, V c) {
  return a * b + c;
}
template <class V>
inline V least(V a, V b) {
  return a < b ? a : b;
}
template <class V>
inline V most(V a, V b) {
  return a > b ? a : b;
}

// Exchanges the last bits of a value for a tag: mask keeps, tag is below it.
template <class V, class I>
inline V tagged(V v, I mask, I tag) {
  return (V)(((I)v & mask) | tag);
}

// One value in every lane. GCC 12 adds a scalar 0 first for `V{} + *p` of floats.
template <class V, class T>
inline V broadcast(const T* p) {
  if constexpr (std::is_integral_v<T>)
    return V{} + *p;
  else
    return *p - V{};
}

// GCC 12 reads a value again for each product that it is in; it does not read again what this
// returns.
template <class V>
inline V read_once(V v) {
  return v;
}

// A bit for each lane whose value is not at least the bound's: NaN is below.
template <class V>
inline unsigned lanes_below(V v, V bound) {
  unsigned bits = 0;
  for (int l = 0; l < kLanesOf<V>; ++l) bits |= unsigned(!(v[l] >= bound[l])) << l;
  return bits;
}

// Converts between floats and doubles, lane by lane.
template <class V, class Single>
inline V converted(Single x) {
  return __builtin_convertvector(x, V);
}

// Reads the first `count` values, fewer than V has lanes, and no more; the other lanes are 0.
template <class V, class S>
inline V some(const S* x, int64_t count) {
  S values[kLanesOf<V>] = {};
  for (int64_t l = 0; l < count; ++l) values[l] = x[l];
  auto all = load<typename Several<S, kLanesOf<V>>::Vector>(values);
  if constexpr (std::is_same_v<decltype(all), V>)
    return all;
  else
    return converted<V>(all);
}

}  // namespace
