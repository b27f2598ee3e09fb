// AVX-512 with products of pairs of bfloat16, for bfloat16.h.
#pragma once

#include "avx512_vectors.h"

namespace {

struct Isa {
  static constexpr int kVectorBytes = 64, kRegisters = 32;
  static constexpr bool kWidens = true, kProductsOfPairs = true;
};

// Rounds 32 floats to bfloat16, a in the lower half of the vector. `lost` is what that takes from a
// and from b.
inline Floats64 rounded_pairs(Floats64 a, Floats64 b, Floats64 (&lost)[2]) {
  __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
  auto widened = [](__m256i halves) {
    return (Floats64)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
  };
  lost[0] = a - widened(_mm512_castsi512_si256(rounded));
  lost[1] = b - widened(_mm512_extracti64x4_epi64(rounded, 1));
  return (Floats64)rounded;
}

// Adds to each lane of `sum` both products of its pair with those of one factor.
inline Floats64 add_products(Floats64 sum, Floats64 pairs, Ints64 factor) {
  return (Floats64)_mm512_dpbf16_ps((__m512)sum, (__m512bh)pairs, (__m512bh)factor);
}

// As `least`, but in those lanes alone whose `own` is not this place.
inline Floats64 least_of_others(Floats64 low, Floats64 value, const int32_t* own, int place) {
  __mmask16 other = _mm512_cmpneq_epi32_mask(_mm512_loadu_si512(own), _mm512_set1_epi32(place));
  return (Floats64)_mm512_mask_min_ps((__m512)low, other, (__m512)low, (__m512)value);
}

// Lists `first` + l for each of the first `count` lanes l whose value is at most its bound, and
// returns how many. The others lower `others` to their value.
inline int list_low(const float* values, const float* bounds, int64_t count, int first,
                    float* others, int32_t* listed) {
  __mmask16 real = count < 16 ? __mmask16((1 << count) - 1) : __mmask16(-1);
  __mmask16 low =
      _mm512_mask_cmp_ps_mask(real, _mm512_loadu_ps(values), _mm512_loadu_ps(bounds), _CMP_LE_OQ);
  __m512 before = _mm512_loadu_ps(others);
  _mm512_storeu_ps(others, _mm512_mask_min_ps(before, ~low, before, _mm512_loadu_ps(values)));
  if (!low) return 0;
  __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  _mm512_storeu_si512(
      listed, _mm512_maskz_compress_epi32(low, _mm512_add_epi32(_mm512_set1_epi32(first), lanes)));
  return __builtin_popcount(low);
}

}  // namespace
