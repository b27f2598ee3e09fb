// A screen of half the cost: products of bfloat16 pairs, two for the price of one in float32. It
// only says which tiles of centroids may hold the nearest one; those go through the panels of
// float32 (docs/design/exactness.md has the bound).
//
// Lanes are points: a block of kPairVectors vectors against eight centroids; of a tile only the
// least is kept. Where the own centroid's distance is known, the least of all others mostly leaves
// nothing to look at again.
#pragma once

#include "panels.h"

namespace {

// Above this share of tiles to look at again, float32 alone. The screen costs about half of float32
// and a tile looked at again at least as much as in float32, so nothing above 0.5 can pay; packing
// rows one by one takes some of the rest. Not tuned.
constexpr double kWorthwhile = 0.2;

// Where an instruction set has no such products, and for double, no call does anything.
template <class T>
class HalvedScreen {
  static constexpr bool kPossible = kInBfloat16<T>;
  static constexpr int kLanes = Simd<T>::kLanes;
  using Vector = typename Simd<T>::Vector;

 public:
  HalvedScreen(const Frame<T>& frame, int64_t most_rows, Arena& arena)
      : frame_(frame), rows_(most_rows) {
    if (!kPossible || frame.rule.form != Form::kBfloat16) return;
    arena.take(&packed_, rows_ * frame.pairs);
    arena.take(&residuals_, rows_);
    arena.take(&bounds_, rows_);
    arena.take(&least_, frame.tiles * rows_);
    arena.take(&others_, rows_);
    arena.take(&listed_, rows_ + kLanes);
    arena.take(&batch_, batch_values(frame.d));
  }

  // The share of tiles that were left to look at again, so far.
  double again() const { return seen_ ? double(again_) / double(seen_ * frame_.tiles) : 0; }

  // Finds the least of the lanes, unless another form does better, as far as the rows before tell.
  // Returns whether it has.
  bool run(const T* x, int64_t stride, int64_t count, Group<T>& group, const Lanes<T>& lanes) {
    if constexpr (kPossible) {
      if (frame_.rule.form != Form::kBfloat16 ||
          double(again_) > kWorthwhile * double(seen_ * frame_.tiles))
        return false;
      pack(x, stride, count, group);
      screen<false>(count, nullptr);
      bound_tiles(count, group);
      again_ += look_again(x, stride, count, lanes);
      seen_ += count;
      return true;
    }
    return false;
  }

  // After `run`: lowers each value of `others` to what the tiles that were not looked at again may
  // have.
  void lower(int64_t count, const Group<T>& group, T* others) const {
    for (int64_t i = 0; i < count; ++i) {
      T value = others_[i] - off_by(i, group);
      others[i] = value < others[i] ? value : others[i];
    }
  }

  // Finds values that are not above those of all centroids but a row's own, a place in the frame or
  // −1. Returns whether it has.
  bool bound_others(const T* x, int64_t stride, int64_t count, const int32_t* own, Group<T>& group,
                    T* others) {
    if constexpr (kPossible) {
      if (frame_.rule.form != Form::kBfloat16) return false;
      pack(x, stride, count, group);
      screen<true>(count, own);
      for (int64_t i = 0; i < count; ++i) others[i] = others_[i] - off_by(i, group);
      return true;
    }
    return false;
  }

 private:
  // By how much a value of row i may be off.
  T off_by(int64_t i, const Group<T>& group) const {
    return frame_.pair_margin(group.sq_norms[i], residuals_[i]) / 2;
  }

  // (count, d) rows -> blocks of (pairs, kPairBlock), around the offset; ‖x‖² and what rounding
  // took from it.
  void pack(const T* x, int64_t stride, int64_t count, Group<T>& group) {
    const int64_t d = frame_.d;
    for (int64_t first = 0; first < round_up(count, kPairBlock); first += kLanes) {
      int32_t* out = packed_ + first / kPairBlock * kPairBlock * frame_.pairs + first % kPairBlock;
      Vector squares[kLanes] = {}, residuals[kLanes] = {};
      for (int64_t j = 0; j < d; j += 2 * kLanes) {
        Vector v[kLanes];
        for (int p = 0; p < kLanes; ++p) {
          v[p] = Vector{};
          if (first + p >= count) continue;
          const T* here = x + (first + p) * stride + j;
          Vector a = widened<Vector>(here, d - j) - load<Vector>(frame_.offset + j), b = {},
                 lost[2];
          if (j + kLanes < d)
            b = widened<Vector>(here + kLanes, d - j - kLanes) -
                load<Vector>(frame_.offset + j + kLanes);
          v[p] = rounded_pairs(a, b, lost);
          squares[p] = fma(a, a, fma(b, b, squares[p]));
          residuals[p] = fma(lost[0], lost[0], fma(lost[1], lost[1], residuals[p]));
        }
        turn<T>(v);
        for (int64_t l = 0; l < kLanes && j / 2 + l < frame_.pairs; ++l)
          store(out + (j / 2 + l) * kPairBlock, v[l]);
      }
      store(group.sq_norms + first, sum_each<T>(squares));
      store(residuals_ + first, sum_each<T>(residuals));
    }
  }

  // The least of a tile, or if but_own of all tiles up to this one and of all places but a row's
  // own, into `others_`.
  template <bool but_own>
  void screen_tile(int64_t block, int64_t t, const int32_t* own) {
    const int32_t* x = packed_ + block * frame_.pairs;
    T* out = (but_own ? others_ : least_ + t * rows_) + block;
    Vector low[kPairVectors];
    for (int m = 0; m < kPairVectors; ++m)
      low[m] = but_own && t ? load<Vector>(out + m * kLanes) : Vector{} + T(INFINITY);
    for (int64_t part = t * frame_.tile; part < (t + 1) * frame_.tile; part += kPairRows) {
      const int32_t* c = frame_.halves + part * frame_.pairs;
      Vector sums[kPairRows][kPairVectors];
#pragma GCC unroll 8
      for (int r = 0; r < kPairRows; ++r)
#pragma GCC unroll 3
        for (int m = 0; m < kPairVectors; ++m) sums[r][m] = splat(frame_.sq_norms + part + r);
      for (int64_t q = 0; q < frame_.pairs; ++q, c += kPairRows) {
        Vector v[kPairVectors];
#pragma GCC unroll 3
        for (int m = 0; m < kPairVectors; ++m) v[m] = load<Vector>(x + q * kPairBlock + m * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kPairRows; ++r) {
          auto factor = splat(c + r);
#pragma GCC unroll 3
          for (int m = 0; m < kPairVectors; ++m)
            sums[r][m] = add_products(sums[r][m], v[m], factor);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kPairRows; ++r)
#pragma GCC unroll 3
        for (int m = 0; m < kPairVectors; ++m)
          if constexpr (but_own)
            low[m] = least_of_others(low[m], sums[r][m], own + block + m * kLanes, int(part + r));
          else
            low[m] = least(sums[r][m], low[m]);
    }
    for (int m = 0; m < kPairVectors; ++m) store(out + m * kLanes, low[m]);
  }

  // own: (rows,) places, read only if but_own.
  template <bool but_own>
  void screen(int64_t count, const int32_t* own) {
    int64_t step = std::max<int64_t>(kCentroidBytes / (frame_.pairs * frame_.tile * 4), 1);
    for (int64_t first = 0; first < frame_.tiles; first += step)
      for (int64_t block = 0; block < count; block += kPairBlock)
        for (int64_t t = first; t < first + step && t < frame_.tiles; ++t)
          screen_tile<but_own>(block, t, own);
  }

  // How far a tile's least may lie above the least of all.
  void bound_tiles(int64_t count, const Group<T>& group) {
    for (int64_t i = 0; i < count; i += kLanes) {
      Vector low = load<Vector>(least_ + i);
      for (int64_t t = 1; t < frame_.tiles; ++t)
        low = least(low, load<Vector>(least_ + t * rows_ + i));
      store(bounds_ + i, low);
      store(others_ + i, Vector{} + T(INFINITY));
    }
    for (int64_t i = 0; i < count; ++i)
      bounds_[i] += frame_.pair_margin(group.sq_norms[i], residuals_[i]);
  }

  // The rows whose bound tile t does not pass; how many. The others note its least.
  int64_t list_rows(int64_t t, int64_t count) {
    int64_t listed = 0;
    for (int64_t i = 0; i < count; i += kLanes)
      listed += list_low(least_ + t * rows_ + i, bounds_ + i, count - i, int(i), others_ + i,
                         listed_ + listed);
    return listed;
  }

  // Those tiles in float32. The number of pairs of a row and a tile.
  int64_t look_again(const T* x, int64_t stride, int64_t count, const Lanes<T>& lanes) {
    int64_t again = 0;
    for (int64_t t = 0; t < frame_.tiles; ++t) {
      int64_t listed = list_rows(t, count);
      again += listed;
      for (int64_t first = 0; first < listed; first += kBatch) {
        int rows = listed - first < kBatch ? int(listed - first) : kBatch, at[kBatch];
        for (int r = 0; r < kBatch; ++r)
          at[r] = r < rows ? listed_[first + r] : int(rows_);  // a spare row
        for (int r = 0; r < rows; ++r)
          pack_row(x + at[r] * stride, frame_, batch_ + r * kPieceStride);
        if (rows <= 4)
          screen_panel<T, 4>(frame_, t, batch_, at, lanes);
        else if (rows <= 8)
          screen_panel<T, 8>(frame_, t, batch_, at, lanes);
        else
          screen_panel<T, kBatch>(frame_, t, batch_, at, lanes);
      }
    }
    return again;
  }

  const Frame<T>& frame_;
  int64_t rows_, seen_ = 0, again_ = 0;
  int32_t* packed_ = nullptr;  // (rows / kPairBlock, pairs, kPairBlock)
  T* residuals_ = nullptr;     // (rows,) ‖x − bfloat16(x)‖²
  T* bounds_ = nullptr;        // (rows,) what a tile's least may be and still be looked at
  T* least_ = nullptr;         // (tiles, rows)
  T* others_ = nullptr;        // (rows,) the least of the tiles that are not looked at again
  int32_t* listed_ = nullptr;  // (rows + kLanes,) rows to look at again in one tile
  T* batch_ = nullptr;         // of those, packed
};

}  // namespace
