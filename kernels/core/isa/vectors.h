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

// A vector of twice the lanes, as two. GCC 12 keeps a vector that is wider than a register in
// memory, and takes its lanes one by one to convert it or to read a part.
template <class V>
struct Halves {
  V low, high;
  auto operator[](int lane) const {
    constexpr int kLanes = sizeof(V) / sizeof(V{}[0]);
    return lane < kLanes ? low[lane] : high[lane - kLanes];
  }
  friend Halves operator+(Halves a, Halves b) { return {a.low + b.low, a.high + b.high}; }
  friend Halves operator-(Halves a, Halves b) { return {a.low - b.low, a.high - b.high}; }
  friend Halves operator*(Halves a, Halves b) { return {a.low * b.low, a.high * b.high}; }
  friend Halves operator+(Halves a, double b) { return {a.low + b, a.high + b}; }
  friend Halves operator-(Halves a, double b) { return {a.low - b, a.high - b}; }
  friend Halves operator*(Halves a, double b) { return {a.low * b, a.high * b}; }
  friend Halves operator-(Halves a) { return {-a.low, -a.high}; }
  template <class B>
  Halves& operator+=(B b) {
    return *this = *this + b;
  }
  template <class B>
  Halves& operator*=(B b) {
    return *this = *this * b;
  }
};

template <class V>
constexpr bool kInHalves = false;
template <class V>
constexpr bool kInHalves<Halves<V>> = true;

template <class V>
constexpr int kLanesOf = sizeof(V) / sizeof(V{}[0]);

template <class V, class T>
inline V load(const T* p) {  // p need not be aligned; V may be a number
  if constexpr (kInHalves<V>) {
    return {load<decltype(V::low)>(p), load<decltype(V::high)>(p + kLanesOf<V> / 2)};
  } else {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
}

template <class V, class T>
inline void store(T* p, V v) {
  if constexpr (kInHalves<V>)
    store(p, v.low), store(p + kLanesOf<V> / 2, v.high);
  else
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

// Takes the lanes of c where those of a are less than those of b, else those of d.
template <class V>
inline V where_less(V a, V b, V c, V d) {
  if constexpr (kInHalves<V>)
    return {where_less(a.low, b.low, c.low, d.low), where_less(a.high, b.high, c.high, d.high)};
  else
    return a < b ? c : d;
}

// Returns ((v₀ + v₄) + (v₂ + v₆)) + ((v₁ + v₅) + (v₃ + v₇)), and so on for other numbers of lanes.
template <class V, int... l>
inline auto folded(V v, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(v, v, l...) +
         __builtin_shufflevector(v, v, int(sizeof...(l)) + l...);
}
template <class V>
inline auto total(V v) {
  if constexpr (kInHalves<V>)
    return total(v.low + v.high);
  else if constexpr (kLanesOf<V> == 2)
    return v[0] + v[1];
  else
    return total(folded(v, std::make_integer_sequence<int, kLanesOf<V> / 2>()));
}

// Two halves as one vector, and a part of that many lanes of one.
template <class Half, int... l>
inline auto joined(Half low, Half high, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(low, high, l...);
}
template <class Half>
inline auto joined(Half low, Half high) {
  return joined(low, high, std::make_integer_sequence<int, 2 * kLanesOf<Half>>());
}
template <int first, class V, int... l>
inline auto part(V v, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(v, v, first + l...);
}
template <int number, int lanes, class V>
inline auto part(V v) {
  return part<number * lanes>(v, std::make_integer_sequence<int, lanes>());
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
