// Vectors of the width that the file including this is compiled for; all in an anonymous namespace, so
// that no code of a wide instruction set is shared with a file of a narrow one.
#pragma once

#include <cstdint>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T>
struct Simd;

template <>
struct Simd<float> {
  typedef float Vector __attribute__((vector_size(kVectorBytes)));
  typedef int32_t Index __attribute__((vector_size(kVectorBytes)));
  using Lane = int32_t;
};

template <>
struct Simd<double> {
  typedef double Vector __attribute__((vector_size(kVectorBytes)));
  typedef int64_t Index __attribute__((vector_size(kVectorBytes)));
  using Lane = int64_t;
};

using Floats = Simd<float>::Vector;
using Doubles = Simd<double>::Vector;

// Eight doubles are one vector, two or four: the same lanes, so the same bits, for every instruction set.
typedef double Eight __attribute__((vector_size(64)));

template <class V>
constexpr int kLanesOf = sizeof(V) / sizeof(V{}[0]);

// GCC 12 makes compare-and-blend of the generic minimum, and with -ffp-contract=off no fused product.
#if defined(__AVX512F__)
inline Floats fma(Floats a, Floats b, Floats c) { return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
inline Doubles fma(Doubles a, Doubles b, Doubles c) { return (Doubles)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
inline Floats least(Floats a, Floats b) { return (Floats)_mm512_min_ps((__m512)a, (__m512)b); }
inline Doubles least(Doubles a, Doubles b) { return (Doubles)_mm512_min_pd((__m512d)a, (__m512d)b); }
inline Floats most(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }
inline Doubles most(Doubles a, Doubles b) { return (Doubles)_mm512_max_pd((__m512d)a, (__m512d)b); }
#elif defined(__AVX2__)
inline Floats fma(Floats a, Floats b, Floats c) { return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
inline Doubles fma(Doubles a, Doubles b, Doubles c) { return (Doubles)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
inline Floats least(Floats a, Floats b) { return (Floats)_mm256_min_ps((__m256)a, (__m256)b); }
inline Doubles least(Doubles a, Doubles b) { return (Doubles)_mm256_min_pd((__m256d)a, (__m256d)b); }
inline Floats most(Floats a, Floats b) { return (Floats)_mm256_max_ps((__m256)a, (__m256)b); }
inline Doubles most(Doubles a, Doubles b) { return (Doubles)_mm256_max_pd((__m256d)a, (__m256d)b); }
#elif defined(__aarch64__)
inline Floats fma(Floats a, Floats b, Floats c) { return (Floats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
inline Doubles fma(Doubles a, Doubles b, Doubles c) { return (Doubles)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
inline Floats least(Floats a, Floats b) { return (Floats)vminq_f32((float32x4_t)a, (float32x4_t)b); }
inline Doubles least(Doubles a, Doubles b) { return (Doubles)vminq_f64((float64x2_t)a, (float64x2_t)b); }
inline Floats most(Floats a, Floats b) { return (Floats)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
inline Doubles most(Doubles a, Doubles b) { return (Doubles)vmaxq_f64((float64x2_t)a, (float64x2_t)b); }
#else
template <class V>
inline V fma(V a, V b, V c) { return a * b + c; }
template <class V>
inline V least(V a, V b) { return a < b ? a : b; }
template <class V>
inline V most(V a, V b) { return a > b ? a : b; }
#endif

// The last bits of a value exchanged for a tag: mask keeps, tag is below it.
#if defined(__AVX512F__)
inline Floats tagged(Floats v, Simd<float>::Index mask, Simd<float>::Index tag) {
  return (Floats)_mm512_ternarylogic_epi32((__m512i)v, (__m512i)mask, (__m512i)tag, 0xEA);
}
inline Doubles tagged(Doubles v, Simd<double>::Index mask, Simd<double>::Index tag) {
  return (Doubles)_mm512_ternarylogic_epi64((__m512i)v, (__m512i)mask, (__m512i)tag, 0xEA);
}
#else
template <class V, class I>
inline V tagged(V v, I mask, I tag) { return (V)(((I)v & mask) | tag); }
#endif

template <class V, class T>
inline V load(const T* p) {  // p need not be aligned; V may be a number
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// One value in every lane, loaded by one instruction; GCC 12 adds a scalar 0 first for `Vector{} + *p`.
#if defined(__AVX512F__)
inline Floats splat(const float* p) { return (Floats)_mm512_set1_ps(*p); }
inline Doubles splat(const double* p) { return (Doubles)_mm512_set1_pd(*p); }
inline Simd<float>::Index splat(const int32_t* p) { return (Simd<float>::Index)_mm512_set1_epi32(*p); }
inline Simd<double>::Index splat(const int64_t* p) { return (Simd<double>::Index)_mm512_set1_epi64(*p); }
#else
inline Floats splat(const float* p) { return *p - Floats{}; }
inline Doubles splat(const double* p) { return *p - Doubles{}; }
inline Simd<float>::Index splat(const int32_t* p) { return Simd<float>::Index{} + *p; }
inline Simd<double>::Index splat(const int64_t* p) { return Simd<double>::Index{} + *p; }
#endif

// GCC 12 reads a value again for each product that it is in; not what this returns.
template <class V>
inline V read_once(V v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#endif
  return v;
}

template <class V, class T>
inline void store(T* p, V v) { __builtin_memcpy(p, &v, sizeof v); }

// A bit for each lane whose value is not at least the bound's: NaN is below.
#if defined(__AVX512F__)
inline unsigned lanes_below(Floats v, Floats bound) {
  return _mm512_cmp_ps_mask((__m512)v, (__m512)bound, _CMP_NGE_UQ);
}
inline unsigned lanes_below(Doubles v, Doubles bound) {
  return _mm512_cmp_pd_mask((__m512d)v, (__m512d)bound, _CMP_NGE_UQ);
}
#else
template <class V>
inline unsigned lanes_below(V v, V bound) {
  unsigned bits = 0;
  for (int l = 0; l < kLanesOf<V>; ++l) bits |= unsigned(!(v[l] >= bound[l])) << l;
  return bits;
}
#endif

// The first lanes of v, each `times` times.
template <int times, class V, int... l>
inline V repeated(V v, std::integer_sequence<int, l...>) { return __builtin_shufflevector(v, v, l / times...); }
template <int times, class V>
inline V repeated(V v) { return repeated<times>(v, std::make_integer_sequence<int, kLanesOf<V>>()); }

// Lanes of a and b: blocks of kHalf lanes of each in turn, those at even places, or those at odd ones.
template <int kHalf, class V, int... l>
inline V even_blocks(V a, V b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & kHalf ? int(sizeof...(l)) + l - kHalf : l)...);
}
template <int kHalf, class V, int... l>
inline V odd_blocks(V a, V b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & kHalf ? int(sizeof...(l)) + l : l + kHalf)...);
}
// Those of a at even places and of b at odd ones, or the others, where the first would be.
template <int kHalf, class V, int... l>
inline V kept_blocks(V a, V b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & kHalf ? int(sizeof...(l)) + l : l)...);
}
template <int kHalf, class V, int... l>
inline V other_blocks(V a, V b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & kHalf ? int(sizeof...(l)) + l - kHalf : l + kHalf)...);
}

// Transposes a square of vectors by exchanging blocks of kHalf × kHalf, then of half that (Eklundh 1972).
// With fewer vectors than lanes, so many squares beside each other.
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
    v[i] = kept_blocks<kHalf>(v[i], v[i + kHalf], lanes) + other_blocks<kHalf>(v[i], v[i + kHalf], lanes);
  if constexpr (kHalf > 1) return sum_each<T, kHalf / 2>(v);
  return v[0];
}

}  // namespace
