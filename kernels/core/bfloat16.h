// A screen of half the cost: products of bfloat16 pairs, two for the price of one in float32. It only says which tiles of
// centroids may hold the nearest one; those go through the panels of float32 (docs/design.md has the bound).
// Lanes are points: a block of kPairVectors vectors against eight centroids; of a tile only the least is kept. Where the own
// centroid's distance is known, the least of all others mostly leaves nothing to look at again.
#pragma once

#if defined(__AVX512BF16__)
#include "panels.h"

namespace {

// Above this share of tiles to look at again, float32 alone. The screen costs about half of float32 and a tile looked at again
// at least as much as in float32, so nothing above 0.5 can pay; packing rows one by one takes some of the rest. Not tuned.
constexpr double kWorthwhile = 0.2;

struct Pairs {
  int64_t rows;
  uint32_t* packed;  // (rows / kPairBlock, pairs, kPairBlock)
  float* residuals;  // (rows,) ‖x − bfloat16(x)‖²
  float* bounds;     // (rows,) what a tile's least may be and still be looked at
  float* least;      // (tiles, rows)
  float* others;     // (rows,) the least of the tiles that are not looked at again
  int32_t* listed;   // (rows + 16,) rows to look at again in one tile
  float* batch;      // of those, packed

  template <class Frame>
  Pairs(const Frame& frame, int64_t most_rows, Arena& arena) : rows(most_rows) {
    if (frame.rule.form != Form::kBfloat16) return;
    packed = arena.take<uint32_t>(rows * frame.pairs);
    residuals = arena.take<float>(rows);
    bounds = arena.take<float>(rows);
    least = arena.take<float>(frame.tiles * rows);
    others = arena.take<float>(rows);
    listed = arena.take<int32_t>(rows + 16);
    batch = arena.take<float>(batch_values(frame.d));
  }
};

// (count, d) rows -> blocks of (pairs, kPairBlock), around the offset; ‖x‖² and what rounding took from it.
inline void pack_pairs(const float* x, int64_t stride, int64_t count, const Frame<float>& frame, Group<float>& group, Pairs& pairs) {
  for (int64_t first = 0; first < round_up(count, kPairBlock); first += 16) {
    uint32_t* out = pairs.packed + first / kPairBlock * kPairBlock * frame.pairs + first % kPairBlock;
    Floats squares[16] = {}, residuals[16] = {};
    for (int64_t j = 0; j < frame.d; j += 32) {
      Floats v[16];
      for (int p = 0; p < 16; ++p) {
        v[p] = Floats{};
        if (first + p >= count) continue;
        const float* here = x + (first + p) * stride + j;
        Floats a = widened<Floats>(here, frame.d - j) - load<Floats>(frame.offset + j), b = {};
        if (j + 16 < frame.d) b = widened<Floats>(here + 16, frame.d - j - 16) - load<Floats>(frame.offset + j + 16);
        __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
        auto lost = [&](Floats exact, __m256i halves) {
          return exact - (Floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
        };
        Floats lost_a = lost(a, _mm512_castsi512_si256(rounded)), lost_b = lost(b, _mm512_extracti64x4_epi64(rounded, 1));
        squares[p] = fma(a, a, fma(b, b, squares[p]));
        residuals[p] = fma(lost_a, lost_a, fma(lost_b, lost_b, residuals[p]));
        v[p] = (Floats)rounded;
      }
      turn<float>(v);
      for (int64_t l = 0; l < 16 && j / 2 + l < frame.pairs; ++l) store(out + (j / 2 + l) * kPairBlock, v[l]);
    }
    store(group.sq_norms + first, sum_each<float>(squares));
    store(pairs.residuals + first, sum_each<float>(residuals));
  }
}

// The least of a tile, or if but_own of all tiles up to this one and of all places but a row's own, into `others`.
template <bool but_own>
inline void screen_pair_tile(const Frame<float>& frame, const Pairs& pairs, int64_t block, int64_t t, const int32_t* own) {
  const uint32_t* x = pairs.packed + block * frame.pairs;
  float* out = (but_own ? pairs.others : pairs.least + t * pairs.rows) + block;
  Floats low[kPairVectors];
  for (int m = 0; m < kPairVectors; ++m) low[m] = but_own && t ? load<Floats>(out + m * 16) : Floats{} + INFINITY;
  for (int64_t part = t * frame.tile; part < (t + 1) * frame.tile; part += kPairRows) {
    const int32_t* c = frame.halves + part * frame.pairs;
    Floats sums[kPairRows][kPairVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kPairRows; ++r)
#pragma GCC unroll 3
      for (int m = 0; m < kPairVectors; ++m) sums[r][m] = splat(frame.sq_norms + part + r);
    for (int64_t q = 0; q < frame.pairs; ++q, c += kPairRows) {
      Floats v[kPairVectors];
#pragma GCC unroll 3
      for (int m = 0; m < kPairVectors; ++m) v[m] = load<Floats>(x + q * kPairBlock + m * 16);
#pragma GCC unroll 8
      for (int r = 0; r < kPairRows; ++r) {
        __m512bh factor = (__m512bh)splat(c + r);
#pragma GCC unroll 3
        for (int m = 0; m < kPairVectors; ++m)
          sums[r][m] = (Floats)_mm512_dpbf16_ps((__m512)sums[r][m], (__m512bh)v[m], factor);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kPairRows; ++r)
#pragma GCC unroll 3
      for (int m = 0; m < kPairVectors; ++m)
        if constexpr (but_own) {
          __m512i place = _mm512_set1_epi32(int(part + r));
          __mmask16 other = _mm512_cmpneq_epi32_mask(_mm512_loadu_si512(own + block + m * 16), place);
          low[m] = (Floats)_mm512_mask_min_ps((__m512)low[m], other, (__m512)low[m], (__m512)sums[r][m]);
        } else {
          low[m] = least(sums[r][m], low[m]);
        }
  }
  for (int m = 0; m < kPairVectors; ++m) store(out + m * 16, low[m]);
}

// own: (rows,) places, read only if but_own.
template <bool but_own>
inline void screen_pairs(const Frame<float>& frame, const Pairs& pairs, int64_t count, const int32_t* own) {
  int64_t step = kCentroidBytes / (frame.pairs * frame.tile * 4);
  if (step < 1) step = 1;
  for (int64_t first = 0; first < frame.tiles; first += step)
    for (int64_t block = 0; block < count; block += kPairBlock)
      for (int64_t t = first; t < first + step && t < frame.tiles; ++t)
        screen_pair_tile<but_own>(frame, pairs, block, t, own);
}

// How far a tile's least may lie above the least of all.
inline void bound_tiles(const Frame<float>& frame, const Group<float>& group, const Pairs& pairs, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) {
    Floats low = load<Floats>(pairs.least + i);
    for (int64_t t = 1; t < frame.tiles; ++t) low = least(low, load<Floats>(pairs.least + t * pairs.rows + i));
    store(pairs.bounds + i, low);
  }
  for (int64_t i = 0; i < count; ++i) pairs.bounds[i] += frame.pair_margin(group.sq_norms[i], pairs.residuals[i]);
}

// The rows whose bound tile t does not pass; how many. The others note its least.
inline int64_t list_rows(const Pairs& pairs, int64_t t, int64_t count) {
  int64_t listed = 0;
  const float* least = pairs.least + t * pairs.rows;
  for (int64_t i = 0; i < count; i += 16) {
    __mmask16 real = count - i < 16 ? __mmask16((1 << (count - i)) - 1) : __mmask16(-1);
    __mmask16 near = _mm512_mask_cmp_ps_mask(real, _mm512_loadu_ps(least + i), _mm512_loadu_ps(pairs.bounds + i), _CMP_LE_OQ);
    __m512 others = t ? _mm512_loadu_ps(pairs.others + i) : _mm512_set1_ps(INFINITY);
    _mm512_storeu_ps(pairs.others + i, _mm512_mask_min_ps(others, ~near, others, _mm512_loadu_ps(least + i)));
    if (!near) continue;
    __m512i index = _mm512_add_epi32(_mm512_set1_epi32(int(i)), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    _mm512_storeu_si512(pairs.listed + listed, _mm512_maskz_compress_epi32(near, index));
    listed += __builtin_popcount(near);
  }
  return listed;
}

// Those tiles in float32. The number of pairs of a row and a tile.
inline int64_t look_again(const float* x, int64_t stride, int64_t count, const Frame<float>& frame, const Pairs& pairs,
                   const Lanes<float>& lanes) {
  int64_t again = 0;
  for (int64_t t = 0; t < frame.tiles; ++t) {
    int64_t listed = list_rows(pairs, t, count);
    again += listed;
    for (int64_t first = 0; first < listed; first += kBatch) {
      int rows = listed - first < kBatch ? int(listed - first) : kBatch, at[kBatch];
      for (int r = 0; r < kBatch; ++r) at[r] = r < rows ? pairs.listed[first + r] : int(pairs.rows);  // a spare row
      for (int r = 0; r < rows; ++r) pack_row(x + at[r] * stride, frame, pairs.batch + r * kPieceStride);
      if (rows <= 4)
        screen_panel<float, 4>(frame, t, pairs.batch, at, lanes);
      else if (rows <= 8)
        screen_panel<float, 8>(frame, t, pairs.batch, at, lanes);
      else
        screen_panel<float, kBatch>(frame, t, pairs.batch, at, lanes);
    }
  }
  return again;
}

}  // namespace
#endif
