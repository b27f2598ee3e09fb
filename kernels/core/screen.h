// Compares points with centroids by the form that suits the shape. Finds which centroid is the
// nearest, and how near the others may be.
#pragma once

#include "bfloat16.h"
#include "blocks.h"
#include "dots.h"
#include "panels.h"
#include "registers.h"
#include "rows.h"

namespace {

template <class T>
class Screen {
  static constexpr int kLanes = Group<T>::kLanes;
  // This is four times the limit of tfkm/ops/validate.py, since norms are taken around the offset.
  static constexpr T kLargestSqNorm = sizeof(T) == 4 ? T(FLT_MAX / 4) : T(0x1p902);

 public:
  // Returns how many of n points stay in cache together.
  static int64_t group_rows(const Frame<T>& frame, int64_t n) {
    bool halved = frame.rule.form == Form::kBfloat16;
    int64_t row_bytes = halved ? 4 * (frame.pairs + frame.tiles) : frame.d * int64_t(sizeof(T));
    int64_t rows = std::min({frame.rule.point_bytes / row_bytes, kMostRows, n});
    int step = frame.rule.form == Form::kPanels ? kBatch : halved ? kPairBlock : Group<T>::kBlock;
    return round_up(rows < 1 ? 1 : rows, step);
  }

  // Screens groups of that many of n points.
  Screen(const Frame<T>& frame, int64_t n, Arena& arena)
      : frame_(frame),
        group_(group_rows(frame, n), packed_values(frame, n), arena),
        lanes_(frame.rule.form >= Form::kPanels ? group_.rows + Group<T>::kBlock : 0, arena),
        halves_(frame, group_.rows, arena) {
    arena.take(&sure_, group_.rows);
    arena.take(&most_, group_.rows), arena.take(&others_, group_.rows);
  }

  int64_t rows() const { return group_.rows; }

  // Returns the share of tiles that the screen in bfloat16 has left to look at again, so far.
  double again() const { return halves_.again(); }

  // Screens up to rows() points. The functions below tell what was found for the i-th of them.
  void run(Rows<T> points, int64_t count) {
    const T* x = points.x;
    int64_t stride = points.stride;
    switch (frame_.rule.form) {
      case Form::kRegisters:
        pack_blocks(x, stride, count, frame_, group_);
        screen_registers(frame_, group_, count);
        break;
      case Form::kBlocks:
        pack_blocks(x, stride, count, frame_, group_);
        screen_blocks(frame_, group_, count);
        break;
      case Form::kPanels:
      case Form::kBfloat16:
        clear_lanes(lanes_, count);
        halved_ = halves_.run(x, stride, count, group_, lanes_);
        if (!halved_) screen_panels(x, stride, count, frame_, lanes_, group_);
        join_lanes(lanes_, count, group_);
        break;
      case Form::kDots:
        number_lanes(lanes_, count);
        screen_dots(x, stride, count, frame_, lanes_, group_);
        join_lanes(lanes_, count, group_);
    }
    for (int64_t i = 0; i < count; ++i) {
      T sq_norm = group_.sq_norms[i], best = group_.best[i], second = group_.second[i];
      T finite = second < T(INFINITY) ? second : best;  // k = 1
      sure_[i] =
          (second - best > frame_.margin(sq_norm, best, finite)) & (sq_norm <= kLargestSqNorm);
    }
  }

  bool sure(int64_t i) const { return sure_[i]; }
  // The place in the frame of the nearest centroid, if sure.
  int64_t place(int64_t i) const { return group_.labels[i]; }

  // Decides a point of which the screen was not sure: computes the direct form for all centroids
  // that are too near to tell apart. Returns the least squared distance, and the place of that
  // centroid.
  double decide(const T* x, int64_t i, int64_t* place) const {
    if (!(group_.sq_norms[i] <= kLargestSqNorm)) return *place = frame_.place_of(0), NAN;
    double least = sq_distance(x, frame_.row(*place), frame_.d);
    if (frame_.rule.form < Form::kPanels) {
      nearest_among(x, 0, 1, place, &least);
      return least;
    }
    // Each lane knows its least and second least value. Where both are near, all of its centroids
    // are tried.
    T best = group_.best[i], bound = best + frame_.margin(group_.sq_norms[i], best, best);
    for (int64_t l = 0, at = i * kLanes; l < kLanes; ++l, ++at)
      if (!(lanes_.second[at] > bound))
        nearest_among(x, l, kLanes, place, &least);
      else if (!(lanes_.best[at] > bound))
        nearest_of(x, lanes_.labels[at], place, &least);
    return least;
  }

  // Works out bounds of squared distances, (count,): most() is not below that of the nearest
  // centroid where sure, and others() is not above those of all other centroids.
  void bound(int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      T best = group_.best[i];
      most_[i] = group_.sq_norms[i] + best + off_by(i, best);
      others_[i] = sure_[i] ? group_.second[i] : best;
    }
    if (halved_) halves_.lower(count, group_, others_);
    lower_others(count);
  }
  const T* most() const { return most_; }
  const T* others() const { return others_; }

  // Works out others() alone, for points whose nearest centroid is meant to be `own`, a place in
  // the frame or −1. Nothing has to be decided, so this is as fast as the form.
  void bound_others(Rows<T> points, int64_t count, const int32_t* own) {
    if (!halves_.bound_others(points.x, points.stride, count, own, group_, others_)) {
      run(points, count);
      for (int64_t i = 0; i < count; ++i)
        others_[i] = group_.labels[i] == own[i] ? group_.second[i] : group_.best[i];
    }
    lower_others(count);
  }

 private:
  static int64_t packed_values(const Frame<T>& frame, int64_t n) {
    int64_t rows = group_rows(frame, n);
    bool batches = frame.rule.form == Form::kPanels || frame.rule.form == Form::kBfloat16;
    return batches ? round_up(rows, kBatch) / kBatch * batch_values(frame.d) : rows * frame.d;
  }

  // Turns values into squared distances that are not above the true ones.
  void lower_others(int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      others_[i] = group_.sq_norms[i] + others_[i] - off_by(i, others_[i]);
  }

  // Returns by how much a value may be off, together with ‖x‖².
  T off_by(int64_t i, T value) const {
    return frame_.square_margin(group_.sq_norms[i], value < T(INFINITY) ? value : T(0));
  }

  void nearest_among(const T* x, int64_t first, int64_t step, int64_t* place, double* least) const {
    for (int64_t c = first; c < frame_.k; c += step)
      // In T this form is off by a share of itself, unlike the screen's value, and by a little more
      // where squares underflow. So few centroids are left for the form in double.
      if (!(T(frame_.least_share) * narrow_sq_distance(x, frame_.row(c), frame_.d) >
            T(*least) + frame_.least_difference()))
        nearest_of(x, c, place, least);
  }

  void nearest_of(const T* x, int64_t c, int64_t* place, double* least) const {
    double distance = sq_distance(x, frame_.row(c), frame_.d);
    if (distance < *least ||
        (distance == *least && frame_.centroid_at(c) < frame_.centroid_at(*place)))
      *least = distance, *place = c;
  }

  const Frame<T>& frame_;
  Group<T> group_;
  Lanes<T> lanes_;
  HalvedScreen<T> halves_;
  typename Simd<T>::Lane* sure_;  // (rows,) whether the screen decided
  T *most_, *others_;             // (rows,)
  bool halved_ = false;           // whether by the screen in bfloat16
};

}  // namespace
