// Centroids as the kernels want them.
#pragma once

#include <cfloat>
#include <cmath>

#include "arena.h"
#include "core.h"
#include "simd.h"
#include "tuning.h"

namespace {

using tfkm::Job;

// Accumulators, a step's vectors of points and one of a centroid's value fill 32 registers or 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRows = 12, kBatch = 14;
#else
constexpr int kRows = 6, kBatch = 6;
#endif
constexpr int kVectors = 2;
constexpr int kTags = 32;  // centroids told apart by the last bits of a value, see registers.h

template <class T>
struct Frame {
  Rule rule;
  int64_t k, d, padded_d;  // padded to whole eights
  int64_t tile, tiles;     // centroids beside each other in `factors`
  T* rows;                 // (k, padded_d): as given
  T* offset;               // (d,) the mean of some centroids, padded with zeros
  T* factors;              // (tiles, d, tile): −2(c − offset); for dots (d / lanes, tile, lanes)
  T* sq_norms;             // (tiles, tile): ‖c − offset‖², infinite where there is no centroid

  Frame(const Job& job, Arena& arena)
      : rule(rule_for(job.d, job.k, kLanes)), k(job.k), d(job.d), padded_d(round_up(d, 8)), tile(width()),
        tiles((k + tile - 1) / tile) {
    rows = arena.take<T>(k * padded_d);
    offset = arena.take<T>(round_up(d, 16));
    factors = arena.take<T>(tiles * round_up(d, kLanes) * tile);
    sq_norms = arena.take<T>(round_up(tiles * tile, kLanes));
  }

  void pack(const T* centroids, const tfkm::ParallelFor& parallel_for) {
    centre(centroids);
    struct Context {
      Frame* frame;
      const T* centroids;
      int64_t step;
    } context{this, centroids, 1 + (1 << 16) / (d * tile)};
    parallel_for.run(
        parallel_for.pool, (tiles + context.step - 1) / context.step,
        [](void* arg, int64_t part, int) {
          auto& c = *static_cast<Context*>(arg);
          int64_t last = (part + 1) * c.step;
          if (last > c.frame->tiles) last = c.frame->tiles;
          for (int64_t t = part * c.step; t < last; ++t) c.frame->pack_tile(c.centroids, t);
        },
        &context);
    T largest = 0;
    for (int64_t i = 0; i < k; ++i) largest = sq_norms[i] > largest ? sq_norms[i] : largest;
    set_margin(std::sqrt(double(largest)) * (1 + 0x1p-20));
  }

  // As xla_kernels._margin, and what the tags took from the values: a gap above this is not rounding.
  T margin(T sq_norm, T best, T second) const {
    T norm = std::sqrt(sq_norm), reach = norm + largest_norm_;
    return per_product_ * (2 * norm + largest_norm_) + per_square_ * (reach * reach) +
           per_value_ * (std::fabs(best) + std::fabs(second)) + least_margin_;
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

  // Any offset is right; the mean of up to 256 centroids is near enough to all of them.
  void centre(const T* centroids) {
    int64_t step = 1 + k / 256, count = (k + step - 1) / step;
    for (int64_t j = 0; j < round_up(d, 16); ++j) offset[j] = 0;
    for (int64_t i = 0; i < k; i += step)
      for (int64_t j = 0; j < d; ++j) offset[j] += centroids[i * d + j] / T(count);
  }

  void pack_tile(const T* centroids, int64_t t) {
    bool dots = rule.form == Form::kDots;
    for (int64_t r = 0; r < (dots ? kLanes : tile); ++r) {
      int64_t i = t * tile + r;
      const T* c = centroids + i * d;
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

  void set_margin(double largest_norm) {
    auto growth = [&](double unit) { return (d + 8) * unit / (1 - (d + 8) * unit); };
    double unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53, mine = growth(unit), slack = 1.05 + 4 * mine;
    largest_norm_ = T(largest_norm);
    per_product_ = T(slack * 2 * mine * largest_norm);
    per_square_ = T(slack * 4 * growth(0x1p-53));
    per_value_ = rule.form == Form::kRegisters ? T(slack * 2 * kTags * unit) : T(0);
    least_margin_ = 8 * (d + 8) * (sizeof(T) == 4 ? FLT_MIN : DBL_MIN);
  }

  T largest_norm_, per_product_, per_square_, per_value_, least_margin_;
};

}  // namespace
