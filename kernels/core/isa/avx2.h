// AVX2 with fused products and conversions of float16 (x86-64-v3).
#pragma once

#include <immintrin.h>

#include "generic.h"

namespace {

struct Isa {
  static constexpr int kVectorBytes = 32, kRegisters = 16;
  static constexpr bool kWidens = true, kProductsOfPairs = false;
};

using Floats32 = Several<float, 8>::Vector;
using Doubles32 = Several<double, 4>::Vector;

// GCC 12 makes compare-and-blend of the generic minimum, and with -ffp-contract=off no fused
// product.
inline Floats32 fma(Floats32 a, Floats32 b, Floats32 c) {
  return (Floats32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
inline Doubles32 fma(Doubles32 a, Doubles32 b, Doubles32 c) {
  return (Doubles32)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
inline Floats32 least(Floats32 a, Floats32 b) {
  return (Floats32)_mm256_min_ps((__m256)a, (__m256)b);
}
inline Doubles32 least(Doubles32 a, Doubles32 b) {
  return (Doubles32)_mm256_min_pd((__m256d)a, (__m256d)b);
}
inline Floats32 most(Floats32 a, Floats32 b) {
  return (Floats32)_mm256_max_ps((__m256)a, (__m256)b);
}
inline Doubles32 most(Doubles32 a, Doubles32 b) {
  return (Doubles32)_mm256_max_pd((__m256d)a, (__m256d)b);
}

template <>
inline Floats32 read_once(Floats32 v) {
  asm("" : "+v"(v));
  return v;
}
template <>
inline Doubles32 read_once(Doubles32 v) {
  asm("" : "+v"(v));
  return v;
}

template <>
inline Doubles32 converted<Doubles32>(Several<float, 4>::Vector x) {
  return (Doubles32)_mm256_cvtps_pd((__m128)x);
}

// The mask that reads `count` of eight words, or half as many of four long ones.
inline __m256i mask_of(int64_t words) {
  alignas(32) static constexpr int32_t kMasks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256((const __m256i*)(kMasks + 8 - words));
}
template <>
inline Floats32 some<Floats32>(const float* x, int64_t count) {
  return (Floats32)_mm256_maskload_ps(x, mask_of(count));
}
template <>
inline Doubles32 some<Doubles32>(const double* x, int64_t count) {
  return (Doubles32)_mm256_maskload_pd(x, mask_of(2 * count));
}
template <>
inline Doubles32 some<Doubles32>(const float* x, int64_t count) {
  __m128i mask = _mm256_castsi256_si128(mask_of(count));
  return (Doubles32)_mm256_cvtps_pd(_mm_maskload_ps(x, mask));
}

// A whole vector of floats by one instruction, for which GCC 12 takes many: a seeding of uint8
// takes a third of the time.
inline Floats32 widened_floats(const uint8_t* x) {
  return (Floats32)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)x)));
}
inline Floats32 widened_floats(const int8_t* x) {
  return (Floats32)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)x)));
}
inline Floats32 widened_floats(const Float16* x) {
  return (Floats32)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)x));
}

}  // namespace
