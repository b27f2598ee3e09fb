// Bounds on the distances of a point, by which most points keep their label unseen (Hamerly 2010).
//
// upper ≥ ‖x − c‖ of the own centroid and lower ≤ ‖x − c‖ of every other one. Where centroids move, the triangle inequality
// moves them: upper by as much as the own one, lower by as much as any other. While lower ≥ upper nothing else is near.
//
// Rounding. With u of T and g = γ_{d+8}(2⁻⁵³), a factor of grow = 1 + 8u + 8g is more than the rounding of a sum or a
// difference, a square root, a conversion to T and the direct form in double together, and leaves 1 + 3g. So upper ≥
// (1 + 3g)·‖x − c‖ + tiny holds from the start (`above`), and in each move, as drifts are made by `above`, too. So lower ≥ upper
// says more than that the own centroid is nearer: the direct form, off by a factor of 1 ± g, finds it nearer, too, with no tie; and
// all that it compares is above tiny², where nothing underflows to speak of. So the label is the one that a screen would find.
// NaN is never ≥, so a bad row is seen each time.
#pragma once

#include <cmath>

#include "frame.h"
#include "parts.h"

namespace {

template <class T>
class Bounds {
  static constexpr T kUnit = sizeof(T) == 4 ? T(0x1p-24) : T(0x1p-53), kTiny = sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-500);
  static constexpr T kUp = 1 + 4 * kUnit, kDown = 1 - 4 * kUnit;

 public:
  Bounds(const Job& job, Arena& arena)
      : job_(job), upper_(static_cast<T*>(job.upper)), lower_(static_cast<T*>(job.lower)),
        grow_(T(1 + 8 * double(kUnit) + 4 * double(job.d + 8) * 0x1p-52)) {
    int64_t k = job.moved_from ? job.k : 0;
    drifts_ = arena.take<T>(k);
    places_ = arena.take<int32_t>(k);
    moved_ = arena.take<T>(k * job.d);
  }

  bool kept() const { return upper_; }

  // Centroids that have moved: how many, these alone (moved(), d), and the place of one among them or −1.
  int64_t moved() const { return count_; }
  const T* moved_centroids() const { return moved_; }
  int32_t place_among_moved(int64_t centroid) const { return places_[centroid]; }

  void measure_drifts(const tfkm::ParallelFor& parallel_for) {
    if (!job_.moved_from) return;
    const T *from = static_cast<const T*>(job_.moved_from), *to = static_cast<const T*>(job_.centroids);
    in_parts(parallel_for, job_.k, 1 + (1 << 16) / job_.d, [&](int64_t first, int64_t last, int) {
      for (int64_t c = first; c < last; ++c) {
        double sum = 0;
        for (int64_t j = c * job_.d; j < (c + 1) * job_.d; ++j)
          sum += (double(to[j]) - double(from[j])) * (double(to[j]) - double(from[j]));
        drifts_[c] = above(sum);
      }
    });
    for (int64_t c = 0; c < job_.k; ++c) {
      if (drifts_[c] > most_)
        second_ = most_, most_ = drifts_[c], fastest_ = int32_t(c);
      else if (drifts_[c] > second_)
        second_ = drifts_[c];
      bool same = std::memcmp(from + c * job_.d, to + c * job_.d, job_.d * sizeof(T)) == 0;
      places_[c] = same ? -1 : int32_t(count_);
      if (!same) std::memcpy(moved_ + count_++ * job_.d, to + c * job_.d, job_.d * sizeof(T));
    }
  }

  // Moves the bounds of some rows, and lists those (from 0) that they leave open; how many. lower_before: as they were.
  int64_t move(int64_t first, int64_t count, int32_t* open, T* __restrict lower_before) const {
    T *__restrict upper = upper_ + first, *__restrict lower = lower_ + first;
    const int32_t* __restrict labels = job_.labels + first;
    const T* __restrict drifts = drifts_;
    T most = most_, second = second_;
    int32_t fastest = fastest_;
    for (int64_t i = 0; i < count; ++i) {
      lower_before[i] = lower[i];
      upper[i] = (upper[i] + drifts[labels[i]]) * kUp;
      lower[i] = (lower[i] - (labels[i] == fastest ? second : most)) * kDown;
    }
    int64_t listed = 0;
    for (int64_t i = 0; i < count; ++i) {
      open[listed] = int32_t(i);
      listed += !(lower[i] >= upper[i]);
    }
    return listed;
  }

  // The own distance as it is. Whether the row is still open.
  bool tighten(int64_t row, double sq_distance) const { return !(lower_[row] >= (upper_[row] = above(sq_distance))); }

  // The same by a squared distance not above those to what else has moved; all else was not nearer than `before`. If the own
  // centroid has not moved, all else that has not is known not to win.
  bool tighten(int64_t row, T others, T before, bool own_moved) const {
    T least = below(others);
    lower_[row] = least < before ? least : before;
    return !((own_moved ? lower_[row] : least) >= upper_[row]);
  }

  // Of rows with squared distances like these: of those given, or of `count` from the first on.
  void set(const int64_t* rows, int64_t first, int64_t count, const T* most, const T* others) const {
    if (rows)
      for (int64_t i = 0; i < count; ++i) upper_[rows[i]] = above(most[i]), lower_[rows[i]] = below(others[i]);
    else
      for (int64_t i = 0; i < count; ++i) upper_[first + i] = above(most[i]), lower_[first + i] = below(others[i]);
  }

 private:
  // Not less than the root of what is not less than this, and not more.
  template <class V>
  T above(V square) const { return T(std::sqrt(square < 0 ? 0 : square)) * grow_ + kTiny; }
  T below(T square) const { return square > 0 ? std::sqrt(square) / grow_ : T(0); }

  const Job& job_;
  T *upper_, *lower_;  // (n,)
  T grow_;
  T* drifts_;        // (k,)
  int32_t* places_;  // (k,)
  T* moved_;         // (count, d)
  int64_t count_ = 0;
  T most_ = 0, second_ = 0;
  int32_t fastest_ = 0;
};

}  // namespace
