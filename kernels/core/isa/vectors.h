// Vectors of any width, and what the compiler does with them on every processor.
//
// All of it is in an anonymous namespace, so that no code of a wide instruction set is shared with
// a file that is compiled for a narrow one.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

namespace {

using Float16 = _Float16;

template <class S, int count>
struct Several {
  typedef S Vector __attribute__((vector_size(count * sizeof(S))));
};

// Eight doubles are one vector, two or four: the same lanes, so the same bits, for every
// instruction set.
using Eight = Several<double, 8>::Vector;

template <class V>
constexpr int kLanesOf = sizeof(V) / sizeof(V{}[0]);

template <class V, class T>
inline V load(const T* p) {  // p need not be aligned; V may be a number
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class V, class T>
inline void store(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// The first lanes of v, each `times` times.
template <int times, class V, int... l>
inline V repeated(V v, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(v, v, l / times...);
}
template <int times, class V>
inline V repeated(V v) {
  return repeated<times>(v, std::make_integer_sequence<int, kLanesOf<V>>());
}

// Two halves as one vector.
template <class Half>
inline auto joined(Half low, Half high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

// Takes lanes of a and b, in blocks of kHalf lanes of each in turn: those at even places, or those
// at odd ones.
template <int kHalf, class V, int... l>
inline V even_blocks(V a, V b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & kHalf ? int(sizeof...(l)) + l - kHalf : l)...);
}
template <int kHalf, class V, int... l>
inline V odd_blocks(V a, V b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & kHalf ? int(sizeof...(l)) + l : l + kHalf)...);
}
// Takes those of a at even places and of b at odd ones; `other_blocks` takes the rest, in the same
// order.
template <int kHalf, class V, int... l>
inline V kept_blocks(V a, V b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & kHalf ? int(sizeof...(l)) + l : l)...);
}
template <int kHalf, class V, int... l>
inline V other_blocks(V a, V b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & kHalf ? int(sizeof...(l)) + l - kHalf : l + kHalf)...);
}

}  // namespace
