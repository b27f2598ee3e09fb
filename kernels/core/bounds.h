// How far centroids may move before a point has to be looked at again: until then it keeps its
// label (Hamerly 2010).
//
// Let a be the centroid of a point x, and let the gap be min ‖x − c‖ − ‖x − a‖ over all others c. A
// move of the centroids takes from the gap at most a's own drift and the largest drift of the
// others. spent[a] is what all moves so far may have taken from the points of a. A point's margin
// is its gap plus spent[a], both as they were when it was last looked at. As long as margin ≥
// spent[a], the gap is not below 0 and nothing is written.
//
// Rounding. Let u be the unit of T and g = γ_{d+8}(2⁻⁵³). A factor of grow = 1 + 8u + 8g covers the
// rounding of a sum, a square root, a conversion to T and the direct form in double together, and
// leaves 1 + 3g. So `above` is at least (1 + 3g)·distance + tiny, and so is each drift. A gap that
// is not below 0 therefore says more than that a is nearer. The direct form is off by a factor of 1
// ± g at most, so it finds a nearer, too, without a tie. All that it compares is above tiny², where
// underflow does not matter. So the label is the one that a screen would find. Sums of drifts are
// rounded up and margins down (kSlack). NaN is never ≥, so such a row is looked at each time.
#pragma once

#include <cmath>

#include "frame.h"
#include "parts.h"

namespace {

template <class T>
class Bounds {
  static constexpr T kUnit = sizeof(T) == 4 ? T(0x1p-24) : T(0x1p-53),
                     kTiny = sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-500);
  static constexpr T kSlack = 16 * kUnit;

 public:
  Bounds(const Job& job, Arena& arena)
      : job_(job),
        margins_(static_cast<T*>(job.margins)),
        grow_(T(1 + 8 * double(kUnit) + 4 * double(job.d + 8) * 0x1p-52)) {
    int64_t k = moves() ? job.k : 0;
    arena.take(&spent_, job.bounds() ? job.k : 0);
    arena.take(&drifts_, k);
    arena.take(&places_, k);
    arena.take(&moved_, k * job.d);
  }

  bool kept() const { return job_.bounds(); }
  // Whether centroids may have moved since bounds were set.
  bool moves() const { return job_.before == tfkm::Before::kBounds; }

  // The centroids that have moved: how many there are, these alone as (moved(), d), and the place
  // of one among them or −1.
  int64_t moved() const { return count_; }
  const T* moved_centroids() const { return moved_; }
  int32_t place_among_moved(int64_t centroid) const { return places_[centroid]; }

  void move(const tfkm::ParallelFor& parallel_for) {
    if (moves()) measure_drifts(parallel_for);
    for (int64_t c = 0; kept() && c < job_.k; ++c) {
      if (moves()) job_.spent[c] = (job_.spent[c] + drifts_[c] + most_but(c)) * (1 + 0x1p-50);
      spent_[c] = T(job_.spent[c]) * (1 + 4 * kUnit);
    }
  }

  // Lists which of `count` rows, counted from 0, may have another label now. Returns how many.
  int64_t list(int64_t first, int64_t count, int32_t* __restrict open) const {
    const T* __restrict margins = margins_ + first, * __restrict spent = spent_;
    const int32_t* __restrict labels = job_.labels + first;
    int64_t listed = 0;
    for (int64_t i = 0; i < count; ++i) {
      open[listed] = int32_t(i);
      listed += !(margins[i] >= spent[labels[i]]);
    }
    return listed;
  }

  // Tells whether a row's label stays right, if only centroids that have moved could have come
  // nearer. `own` is not below the squared distance to its own centroid, `others` not above those
  // to all others that have moved.
  bool stays(int64_t row, double own, T others) const {
    int32_t label = job_.labels[row];
    // Centroids that have not moved have taken nothing.
    T rest = margins_[row], moved = margin(own, others, label), most = T(most_but(label));
    rest = rest + most - kSlack * (std::fabs(rest) + most);
    margins_[row] = moved < rest ? moved : rest;
    // If the own centroid has not moved, none of those has come nearer.
    return (places_[label] < 0 ? moved : margins_[row]) >= spent_[label];
  }

  // Returns the margin of a point with this label. `own` is not below the squared distance to its
  // own centroid, `others` not above those to all others.
  template <class V>
  T margin(V own, T others, int32_t label) const {
    T far = below(others), near = above(own), spent = spent_[label];
    return far - near + spent - kSlack * (far + near + spent);
  }
  void set(int64_t row, T margin) const { margins_[row] = margin; }

 private:
  void measure_drifts(const tfkm::ParallelFor& parallel_for) {
    const T *from = static_cast<const T*>(job_.moved_from),
            *to = static_cast<const T*>(job_.centroids);
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
        second_ = most_, most_ = drifts_[c], fastest_ = c;
      else if (drifts_[c] > second_)
        second_ = drifts_[c];
      bool same = std::memcmp(from + c * job_.d, to + c * job_.d, job_.d * sizeof(T)) == 0;
      places_[c] = same ? -1 : int32_t(count_);
      if (!same) std::memcpy(moved_ + count_++ * job_.d, to + c * job_.d, job_.d * sizeof(T));
    }
  }

  double most_but(int64_t centroid) const { return centroid == fastest_ ? second_ : most_; }

  // `above` is not below the root of what `square` is not below, `below` not above it.
  template <class V>
  T above(V square) const {
    return T(std::sqrt(square < 0 ? 0 : square)) * grow_ + kTiny;
  }
  T below(T square) const { return square > 0 ? std::sqrt(square) / grow_ : T(0); }

  const Job& job_;
  T* margins_;  // (n,)
  T grow_;
  T* spent_;         // (k,)
  double* drifts_;   // (k,)
  int32_t* places_;  // (k,)
  T* moved_;         // (count, d)
  int64_t count_ = 0, fastest_ = -1;
  double most_ = 0, second_ = 0;
};

}  // namespace
