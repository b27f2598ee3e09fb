// One thread's part: groups of points from packing to sums.
#pragma once

#include <cmath>

#include "bfloat16.h"
#include "blocks.h"
#include "dots.h"
#include "exact.h"
#include "panels.h"
#include "registers.h"

namespace {

template <class S, class T>
class Worker {
  static constexpr int kLanes = Group<T>::kLanes;
  // Four times that of tfkm/ops/validate.py, since this is around the offset.
  static constexpr T kLargestSqNorm = sizeof(T) == 4 ? T(FLT_MAX / 4) : T(0x1p902);

 public:
  Worker(const Job& job, const Frame<T>& frame, Arena& arena)
      : job_(job), frame_(frame), group_(group_rows(job, frame), packed_values(job, frame), arena),
        lanes_(frame.rule.form >= Form::kPanels ? group_.rows + Group<T>::kBlock : 0, arena), sums_(job, arena)
#if defined(__AVX512BF16__)
        , pairs_(frame, group_.rows, arena)
#endif
  {
    sure_ = arena.take<typename Simd<T>::Lane>(group_.rows);
    distances_ = arena.take<double>(group_.rows);
  }

  int64_t group_rows() const { return group_.rows; }
  const Sums& sums() const { return sums_; }

  // The share of tiles that the screen in bfloat16 left to look at again, so far.
  double again() const {
#if defined(__AVX512BF16__)
    return seen_ ? double(again_) / double(seen_ * frame_.tiles) : 0;
#else
    return 0;
#endif
  }

  void rows(int64_t begin, int64_t end) {
    if (job_.high.sums && !sums_.started()) sums_.start();
    for (int64_t row = begin; row < end; row += group_.rows) {
      int64_t count = end - row < group_.rows ? end - row : group_.rows;
      const S* x = static_cast<const S*>(job_.points) + row * job_.stride;
      screen(x, count);
      finish(x, row, count);
    }
  }

 private:
  static int64_t group_rows(const Job& job, const Frame<T>& frame) {
    bool halved = frame.rule.form == Form::kBfloat16;
    int64_t row_bytes = halved ? 4 * (frame.pairs + frame.tiles) : job.d * int64_t(sizeof(T));
    int64_t rows = frame.rule.point_bytes / row_bytes;
    if (rows > kMostRows) rows = kMostRows;
    if (rows > job.n) rows = job.n;
    int step = frame.rule.form == Form::kPanels ? kBatch : halved ? kPairBlock : Group<T>::kBlock;
    return round_up(rows < 1 ? 1 : rows, step);
  }
  static int64_t packed_values(const Job& job, const Frame<T>& frame) {
    int64_t rows = group_rows(job, frame);
    bool batches = frame.rule.form == Form::kPanels || frame.rule.form == Form::kBfloat16;
    return batches ? round_up(rows, kBatch) / kBatch * batch_values(job.d) : rows * job.d;
  }

  void screen(const S* x, int64_t count) {
    switch (frame_.rule.form) {
      case Form::kRegisters:
        pack_blocks(x, job_.stride, count, frame_, group_);
        return screen_registers(frame_, group_, count);
      case Form::kBlocks:
        pack_blocks(x, job_.stride, count, frame_, group_);
        return screen_blocks(frame_, group_, count);
      case Form::kPanels:
      case Form::kBfloat16:
        clear_lanes(lanes_, count);
        if (!screen_halved(x, count)) screen_panels(x, job_.stride, count, frame_, lanes_, group_);
        return join_lanes(lanes_, count, group_);
      case Form::kDots:
        number_lanes(lanes_, count);
        screen_dots<S, T>(x, job_.stride, count, frame_, lanes_, group_);
        return join_lanes(lanes_, count, group_);
    }
  }

  // Whether that was the way to go for these rows, as far as the rows before tell.
  bool screen_halved([[maybe_unused]] const S* x, [[maybe_unused]] int64_t count) {
#if defined(__AVX512BF16__)
    if constexpr (sizeof(T) == 4) {
      if (frame_.rule.form != Form::kBfloat16 || again_ > kWorthwhile * double(seen_ * frame_.tiles)) return false;
      pack_pairs(x, job_.stride, count, frame_, group_, pairs_);
      screen_pairs(frame_, pairs_, count);
      bound_tiles(frame_, group_, pairs_, count);
      again_ += look_again(x, job_.stride, count, frame_, pairs_, lanes_);
      seen_ += count;
      return true;
    }
#endif
    return false;
  }

  void finish(const S* x, int64_t row, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      T sq_norm = group_.sq_norms[i], best = group_.best[i], second = group_.second[i];
      sure_[i] = (second - best > frame_.margin(sq_norm, best, second)) & (sq_norm <= kLargestSqNorm);
    }
    if (!job_.high.sums)
      each<false, false>(x, row, count);
    else if (job_.weights)
      each<true, true>(x, row, count);
    else
      each<true, false>(x, row, count);
  }

  template <bool with_sums, bool weighted>
  void each(const S* x, int64_t row, int64_t count) {
    int32_t* labels = job_.labels + row;
    T* distances = static_cast<T*>(job_.sq_distances) + row;
    for (int64_t i = 0; i < count; ++i, x += job_.stride) {
      int64_t label = group_.labels[i];
      double distance = __builtin_expect(sure_[i], 1)
                            ? sq_distance(x, frame_.row(label), job_.d)
                            : unsure(x, i, &label);
      distances[i] = T(distance);
      label = frame_.centroid_at(label);
      labels[i] = int32_t(label);
      if (!with_sums) continue;
      distances_[i] = distance;
      int64_t before = job_.before ? job_.before[row + i] : -1;
      if (before == label) continue;
      double weight = weighted ? job_.weights[row + i] : 1.0;
      if (before >= 0) sums_.template add<true>(x, before, -weight);  // each word of −term is that of term, negated
      sums_.template add<weighted>(x, label, weight);
    }
    if (with_sums) sums_.add_inertia(distances_, weighted ? job_.weights + row : nullptr, count);
  }

  // The nearest centroid by the direct form, of those that row i's screen could not tell apart.
  double unsure(const S* x, int64_t i, int64_t* label) const {
    if (!(group_.sq_norms[i] <= kLargestSqNorm)) return *label = frame_.place_of_first(), NAN;
    double least = sq_distance(x, frame_.row(*label), job_.d);
    if (frame_.rule.form < Form::kPanels) {
      nearest_among(x, 0, 1, label, &least);
      return least;
    }
    // Each lane knows its own least and second least; where both are near, all of its centroids are tried.
    T best = group_.best[i], bound = best + frame_.margin(group_.sq_norms[i], best, best);
    for (int64_t l = 0, at = i * kLanes; l < kLanes; ++l, ++at)
      if (!(lanes_.second[at] > bound))
        nearest_among(x, l, kLanes, label, &least);
      else if (!(lanes_.best[at] > bound))
        nearest_of(x, lanes_.labels[at], label, &least);
    return least;
  }

  void nearest_among(const S* x, int64_t first, int64_t step, int64_t* label, double* least) const {
    for (int64_t c = first; c < job_.k; c += step)
      // Rounded in T this is off by a share of itself, unlike the screen's value: few are left.
      if (!(T(frame_.least_share) * narrow_sq_distance(x, frame_.row(c), job_.d) > T(*least))) nearest_of(x, c, label, least);
  }

  void nearest_of(const S* x, int64_t c, int64_t* label, double* least) const {
    double distance = sq_distance(x, frame_.row(c), job_.d);
    if (distance < *least || (distance == *least && frame_.centroid_at(c) < frame_.centroid_at(*label)))
      *least = distance, *label = c;
  }

  const Job& job_;
  const Frame<T>& frame_;
  Group<T> group_;
  Lanes<T> lanes_;
  Sums sums_;
  typename Simd<T>::Lane* sure_;  // (rows,) whether the screen decided
  double* distances_;             // (rows,)
#if defined(__AVX512BF16__)
  Pairs pairs_;
  int64_t seen_ = 0, again_ = 0;
#endif
};

}  // namespace
