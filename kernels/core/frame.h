// Centroids packed as the kernels read them.
#pragma once

#include <cfloat>
#include <cmath>

#include "arena.h"
#include "core.h"
#include "direct.h"
#include "order.h"
#include "parts.h"
#include "tuning.h"

namespace {

using tfkm::Job;

// 32 or 16 registers hold the accumulators, a step's vectors of points, and one of a centroid's
// value.
constexpr int kRows = Isa::kRegisters == 32 ? 12 : 6, kBatch = Isa::kRegisters == 32 ? 14 : 6;
constexpr int kVectors = 2;
constexpr int kTags = 32;  // centroids told apart by the last bits of a value, see registers.h

template <class T>
struct Frame {
  Rule rule;
  int64_t k, d, padded_d;  // padded to whole eights
  int64_t tile, tiles;     // centroids beside each other in `factors`
  T* rows;                 // (k, padded_d): as given, in the order of `factors`
  T* offset;               // (d,) the mean of some centroids, padded with zeros
  T* factors;              // (tiles, d, tile): −2(c − offset); for dots (d / lanes, tile, lanes)
  T* sq_norms;             // (tiles, tile): ‖c − offset‖², infinite where there is no centroid
  int64_t pairs;           // of features
  int32_t* halves;         // for bfloat16: factors in eights (tiles · tile / 8, pairs, 8)
  T least_share;  // of narrow_sq_distance that the true one is at least, with room for rounding
  T* residuals;   // (tiles, tile): what rounding to bfloat16 took, ‖ ‖²
  int32_t *order, *places;  // (k,), for bfloat16: the centroid at each place and the other way;
                            // null: each at its own

  Frame(const Job& job, const Rule& chosen, Arena& arena)
      : rule(chosen),
        k(job.k),
        d(job.d),
        padded_d(round_up(d, 8)),
        tile(width()),
        tiles((k + tile - 1) / tile),
        pairs((d + 1) / 2) {
    arena.take(&rows, k * padded_d);
    arena.take(&offset, round_up(d, 32));
    arena.take(&factors, tiles * round_up(d, kLanes) * tile);
    arena.take(&sq_norms, round_up(tiles * tile, kLanes));
    int64_t halved = rule.form == Form::kBfloat16 ? tiles * tile : 0;
    arena.take(&halves, halved * pairs);
    arena.take(&residuals, halved);
    arena.take(&order_, halved);
    arena.take(&places_, halved);
    arena.take(&keys_, halved);
    arena.take(&mean_, d);
    order = places = nullptr;
  }

  int64_t centroid_at(int64_t place) const { return order ? order[place] : place; }
  int64_t place_of(int64_t centroid) const { return places ? places[centroid] : centroid; }

  // Packs as `pack` does, with neighbours beside each other.
  void pack_in_order(const T* centroids, const tfkm::ParallelFor& parallel_for) {
    for (int64_t i = 0; i < k; ++i) order_[i] = int32_t(i);
    Neighbours<T>{centroids, d, tile, order_, mean_, keys_}.split(0, k);
    for (int64_t i = 0; i < k; ++i) places_[order_[i]] = int32_t(i);
    order = order_, places = places_;
    pack_around_offset(centroids, parallel_for);
  }

  void pack(const T* centroids, const tfkm::ParallelFor& parallel_for) {
    centre(centroids);
    pack_around_offset(centroids, parallel_for);
  }

  void pack_around_offset(const T* centroids, const tfkm::ParallelFor& parallel_for) {
    in_parts(parallel_for, tiles, 1 + (1 << 16) / (d * tile),
             [&](int64_t first, int64_t last, int) {
      for (int64_t t = first; t < last; ++t) {
        pack_tile(centroids, t);
        if (rule.form == Form::kBfloat16) halve_tile(t);
      }
    });
    T largest = 0, residual = 0;
    for (int64_t i = 0; i < k; ++i) largest = sq_norms[i] > largest ? sq_norms[i] : largest;
    for (int64_t i = 0; i < k && rule.form == Form::kBfloat16; ++i)
      residual = residuals[i] > residual ? residuals[i] : residual;
    set_margin(std::sqrt(double(largest)) * (1 + 0x1p-20));
    residual_ = T(std::sqrt(double(residual)) * (1 + 0x1p-20));
  }

  const T* row(int64_t i) const { return rows + i * padded_d; }

  // Returns by how much a value may be off where products underflow.
  T least_difference() const { return least_margin_; }

  // Returns the margin: a gap above it is not rounding. As tfkm/ops/error_bound.py, plus what the
  // tags took from the values.
  T margin(T sq_norm, T best, T second) const {
    T norm = std::sqrt(sq_norm), reach = norm + largest_norm_;
    return per_product_ * (2 * norm + largest_norm_) + per_square_ * (reach * reach) +
           per_value_ * (std::fabs(best) + std::fabs(second)) + least_margin_;
  }

  // Returns the same for ‖x‖² − 2x·c + ‖c‖², whose first term has been rounded, too. `value` is the
  // rest.
  T square_margin(T sq_norm, T value = 0) const {
    return margin(sq_norm, value, 0) + per_sq_norm_ * sq_norm;
  }

  // Returns twice the error of a value in bfloat16 (docs/design/exactness.md), plus twice the
  // margin for the accumulation and for itself.
  T pair_margin(T sq_norm, T residual) const {
    T norm = std::sqrt(sq_norm), lost = std::sqrt(residual) + T(0x1p-22) * norm;
    return T(1.05) * 4 * (norm * residual_ + lost * (largest_norm_ + residual_)) +
           2 * margin(sq_norm, 0, 0);
  }

 private:
  static constexpr int kLanes = kVectorBytes / sizeof(T);

  int64_t width() const {
    switch (rule.form) {
      case Form::kRegisters: return 1;
      case Form::kBlocks: return kRows;
      case Form::kDots: return round_up(k, 2);
      default: return kVectors * kLanes;
    }
  }

  // Takes the mean of up to 256 centroids as the offset. Any offset is right; this one is near
  // enough to all of them.
  void centre(const T* centroids) {
    int64_t step = 1 + k / 256, count = (k + step - 1) / step;
    for (int64_t j = 0; j < round_up(d, 32); ++j) offset[j] = 0;
    for (int64_t i = 0; i < k; i += step)
      for (int64_t j = 0; j < d; ++j) offset[j] += centroids[i * d + j] / T(count);
  }

  void pack_tile(const T* centroids, int64_t t) {
    bool dots = rule.form == Form::kDots;
    for (int64_t r = 0; r < (dots ? kLanes : tile); ++r) {
      int64_t i = t * tile + r;
      const T* c = centroids + (i < k ? centroid_at(i) : 0) * d;
      double sq_norm = 0;
      for (int64_t j = 0; j < round_up(d, dots ? kLanes : 1); ++j) {
        T centred = i < k && j < d ? T(c[j] - offset[j]) : T(0);
        if (dots && r < tile)
          factors[(j / kLanes * tile + r) * kLanes + j % kLanes] = -2 * centred;
        else if (!dots)
          factors[(t * d + j) * tile + r] = -2 * centred;
        sq_norm += double(centred) * double(centred);
      }
      sq_norms[i] = i < k ? T(sq_norm) : T(INFINITY);
      if (i < k)
        for (int64_t j = 0; j < padded_d; ++j) rows[i * padded_d + j] = j < d ? c[j] : T(0);
    }
  }

  void halve_tile(int64_t t) {
    for (int64_t r = 0; r < tile; ++r) {
      int64_t i = t * tile + r;
      double residual = 0;
      for (int64_t q = 0; q < pairs; ++q) {
        uint32_t both = 0;
        for (int64_t j = 2 * q; j < 2 * q + 2 && j < d; ++j) {
          float factor = factors[(t * d + j) * tile + r];
          Bfloat16 half = nearest(factor);
          double lost = 0.5 * (double(factor) - double(half));
          residual += lost * lost;
          both |= uint32_t(half.bits) << (j % 2 * 16);
        }
        halves[(i / 8 * pairs + q) * 8 + i % 8] = int32_t(both);
      }
      residuals[i] = T(residual);
    }
  }

  void set_margin(double largest_norm) {
    auto growth = [&](double unit) { return (d + 8) * unit / (1 - (d + 8) * unit); };
    double unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53, mine = growth(unit), slack = 1.05 + 4 * mine;
    least_share = T(1 - slack * 4 * mine);
    largest_norm_ = T(largest_norm);
    per_product_ = T(slack * 2 * mine * largest_norm);
    per_sq_norm_ = T(slack * 2 * mine);
    per_square_ = T(slack * 4 * growth(0x1p-53));
    per_value_ = rule.form == Form::kRegisters ? T(slack * 2 * kTags * unit) : T(0);
    least_margin_ = 8 * (d + 8) * (sizeof(T) == 4 ? FLT_MIN : DBL_MIN);
  }

  int32_t *order_, *places_;
  T *keys_, *mean_;  // of order.h
  T largest_norm_, per_product_, per_sq_norm_, per_square_, per_value_, least_margin_,
      residual_ = 0;
};

}  // namespace
