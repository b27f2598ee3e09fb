// What all levels with AVX-512 have in common.
#pragma once

#include <immintrin.h>

#include "generic.h"

namespace {

using Floats64 = Several<float, 16>::Vector;
using Doubles64 = Several<double, 8>::Vector;
using Ints64 = Several<int32_t, 16>::Vector;
using Longs64 = Several<int64_t, 8>::Vector;

// GCC 12 makes compare-and-blend of the generic minimum, and with -ffp-contract=off no fused
// product.
inline Floats64 fma(Floats64 a, Floats64 b, Floats64 c) {
  return (Floats64)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
inline Doubles64 fma(Doubles64 a, Doubles64 b, Doubles64 c) {
  return (Doubles64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
inline Floats64 least(Floats64 a, Floats64 b) {
  return (Floats64)_mm512_min_ps((__m512)a, (__m512)b);
}
inline Doubles64 least(Doubles64 a, Doubles64 b) {
  return (Doubles64)_mm512_min_pd((__m512d)a, (__m512d)b);
}
inline Floats64 most(Floats64 a, Floats64 b) {
  return (Floats64)_mm512_max_ps((__m512)a, (__m512)b);
}
inline Doubles64 most(Doubles64 a, Doubles64 b) {
  return (Doubles64)_mm512_max_pd((__m512d)a, (__m512d)b);
}

inline Floats64 tagged(Floats64 v, Ints64 mask, Ints64 tag) {
  return (Floats64)_mm512_ternarylogic_epi32((__m512i)v, (__m512i)mask, (__m512i)tag, 0xEA);
}
inline Doubles64 tagged(Doubles64 v, Longs64 mask, Longs64 tag) {
  return (Doubles64)_mm512_ternarylogic_epi64((__m512i)v, (__m512i)mask, (__m512i)tag, 0xEA);
}

template <>
inline Floats64 broadcast(const float* p) {
  return (Floats64)_mm512_set1_ps(*p);
}
template <>
inline Doubles64 broadcast(const double* p) {
  return (Doubles64)_mm512_set1_pd(*p);
}
template <>
inline Ints64 broadcast(const int32_t* p) {
  return (Ints64)_mm512_set1_epi32(*p);
}
template <>
inline Longs64 broadcast(const int64_t* p) {
  return (Longs64)_mm512_set1_epi64(*p);
}

template <>
inline Floats64 read_once(Floats64 v) {
  asm("" : "+v"(v));
  return v;
}
template <>
inline Doubles64 read_once(Doubles64 v) {
  asm("" : "+v"(v));
  return v;
}

inline unsigned lanes_below(Floats64 v, Floats64 bound) {
  return _mm512_cmp_ps_mask((__m512)v, (__m512)bound, _CMP_NGE_UQ);
}
inline unsigned lanes_below(Doubles64 v, Doubles64 bound) {
  return _mm512_cmp_pd_mask((__m512d)v, (__m512d)bound, _CMP_NGE_UQ);
}

// GCC 12 converts to a vector twice as long in halves, which it then puts together.
template <>
inline Doubles64 converted<Doubles64>(Several<float, 8>::Vector x) {
  return (Doubles64)_mm512_cvtps_pd((__m256)x);
}

template <>
inline Doubles64 some<Doubles64>(const double* x, int64_t count) {
  return (Doubles64)_mm512_maskz_loadu_pd(__mmask8((1 << count) - 1), x);
}
template <>
inline Doubles64 some<Doubles64>(const float* x, int64_t count) {
  return (Doubles64)_mm512_cvtps_pd(_mm256_maskz_loadu_ps(__mmask8((1 << count) - 1), x));
}
template <>
inline Several<float, 8>::Vector some<Several<float, 8>::Vector>(const float* x, int64_t count) {
  return (Several<float, 8>::Vector)_mm256_maskz_loadu_ps(__mmask8((1 << count) - 1), x);
}
template <>
inline Floats64 some<Floats64>(const float* x, int64_t count) {
  return (Floats64)_mm512_maskz_loadu_ps(__mmask16((1 << count) - 1), x);
}

// A whole vector of floats by one instruction, for which GCC 12 takes many: a seeding of uint8
// takes a third of the time.
inline Floats64 widened_floats(const uint8_t* x) {
  return (Floats64)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)x)));
}
inline Floats64 widened_floats(const int8_t* x) {
  return (Floats64)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)x)));
}
inline Floats64 widened_floats(const Float16* x) {
  return (Floats64)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)x));
}

}  // namespace
