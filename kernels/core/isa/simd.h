// Vectors of the instruction set that the file including this is compiled for.
//
// An instruction set (a level) is added in three places: its header here, named as it is, with the
// struct `Isa` that says what it has and what it does better than generic.h; its name and flags in
// CMakeLists.txt; its row in dispatch.cc.
#pragma once

#ifndef TFKM_LEVEL
#define TFKM_LEVEL base
#endif
#define TFKM_QUOTED(name) #name
#define TFKM_HEADER(level) TFKM_QUOTED(level.h)
#include TFKM_HEADER(TFKM_LEVEL)

namespace {

constexpr int kVectorBytes = Isa::kVectorBytes;

template <class T>
struct Simd {
  static constexpr int kLanes = kVectorBytes / sizeof(T);
  using Vector = typename Several<T, kLanes>::Vector;
  using Lane = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  using Index = typename Several<Lane, kLanes>::Vector;
};

using Floats = Simd<float>::Vector;
using Doubles = Simd<double>::Vector;

// Vectors of eight lanes: one, two or four. Their sums have the same bits for every instruction
// set.
template <class T>
using EightOf = std::conditional_t<
    sizeof(T) * 8 <= kVectorBytes, typename Several<T, 8>::Vector,
    std::conditional_t<sizeof(T) * 4 <= kVectorBytes, Halves<typename Simd<T>::Vector>,
                       Halves<Halves<typename Simd<T>::Vector>>>>;
using Eight = EightOf<double>;

// One value in every lane.
inline Floats splat(const float* p) { return broadcast<Floats>(p); }
inline Doubles splat(const double* p) { return broadcast<Doubles>(p); }
inline Simd<float>::Index splat(const int32_t* p) { return broadcast<Simd<float>::Index>(p); }
inline Simd<double>::Index splat(const int64_t* p) { return broadcast<Simd<double>::Index>(p); }

// Transposes a square of vectors by exchanging blocks of kHalf × kHalf, then of half that (Eklundh
// 1972). With fewer vectors than lanes, so many squares beside each other.
template <class T, int count, int kHalf = count / 2>
inline void turn(typename Simd<T>::Vector (&v)[count]) {
  constexpr auto lanes = std::make_integer_sequence<int, kVectorBytes / sizeof(T)>();
#pragma GCC unroll 16
  for (int i = 0; i < count; ++i)
    if (!(i & kHalf)) {
      auto a = v[i], b = v[i + kHalf];
      v[i] = even_blocks<kHalf>(a, b, lanes);
      v[i + kHalf] = odd_blocks<kHalf>(a, b, lanes);
    }
  if constexpr (kHalf > 1) turn<T, count, kHalf / 2>(v);
}

// Lane i of the result is the sum over v[i]: as turn, and what has met is added at once.
template <class T, int kHalf = kVectorBytes / sizeof(T) / 2>
inline typename Simd<T>::Vector sum_each(typename Simd<T>::Vector (&v)[kVectorBytes / sizeof(T)]) {
  constexpr auto lanes = std::make_integer_sequence<int, kVectorBytes / sizeof(T)>();
#pragma GCC unroll 16
  for (int i = 0; i < kHalf; ++i)
    v[i] = kept_blocks<kHalf>(v[i], v[i + kHalf], lanes) +
           other_blocks<kHalf>(v[i], v[i + kHalf], lanes);
  if constexpr (kHalf > 1) return sum_each<T, kHalf / 2>(v);
  return v[0];
}

}  // namespace
