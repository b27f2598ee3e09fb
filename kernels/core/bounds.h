// How far centroids may move until a point is looked at again: till then it keeps its label (Hamerly 2010).
//
// Of a point with its own centroid a, let the gap be min ‖x − c‖ − ‖x − a‖ over all others c. A move of the centroids takes
// from it no more than a's own drift and the largest of the others. What moves may have taken from the points of a in all
// passes so far is spent[a]; a point's margin is its gap, plus spent[a] as it was when it was looked at. So as long as
// margin ≥ spent[a] the gap is not below 0, and nothing is written.
//
// Rounding. With u of T and g = γ_{d+8}(2⁻⁵³), a factor of grow = 1 + 8u + 8g is more than the rounding of a sum, a square root,
// a conversion to T and the direct form in double together, and leaves 1 + 3g: `above` is at least (1 + 3g)·distance + tiny, and so
// is each drift. So a gap not below 0 says more than that a is nearer: the direct form, off by a factor of 1 ± g, finds it nearer,
// too, with no tie, and all that it compares is above tiny², where nothing underflows to speak of. So the label is the one that a
// screen would find. Sums of drifts are rounded up, margins down (kSlack). NaN is never ≥: such a row is seen each time.
#pragma once

#include <cmath>

#include "frame.h"
#include "parts.h"

namespace {

template <class T>
class Bounds {
  static constexpr T kUnit = sizeof(T) == 4 ? T(0x1p-24) : T(0x1p-53), kTiny = sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-500);
  static constexpr T kSlack = 16 * kUnit;

 public:
  Bounds(const Job& job, Arena& arena)
      : job_(job), margins_(static_cast<T*>(job.margins)),
        grow_(T(1 + 8 * double(kUnit) + 4 * double(job.d + 8) * 0x1p-52)) {
    int64_t k = moves() ? job.k : 0;
    arena.take(&spent_, job.bounds() ? job.k : 0);
    arena.take(&drifts_, k);
    arena.take(&places_, k);
    arena.take(&moved_, k * job.d);
  }

  bool kept() const { return job_.bounds(); }
  bool moves() const { return job_.before == tfkm::Before::kBounds; }  // whether centroids may have moved since

  // Centroids that have moved: how many, these alone (moved(), d), and the place of one among them or −1.
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

  // Lists those of some rows (from 0) that may have another label now; how many.
  int64_t list(int64_t first, int64_t count, int32_t* __restrict open) const {
    const T *__restrict margins = margins_ + first, *__restrict spent = spent_;
    const int32_t* __restrict labels = job_.labels + first;
    int64_t listed = 0;
    for (int64_t i = 0; i < count; ++i) {
      open[listed] = int32_t(i);
      listed += !(margins[i] >= spent[labels[i]]);
    }
    return listed;
  }

  // Where a row's label is known to be right but for centroids that have moved, and squared distances not below that to its own
  // centroid and not above those to all others that have moved: whether it stays right.
  bool stays(int64_t row, double own, T others) const {
    int32_t label = job_.labels[row];
    // Others that have not moved have taken nothing.
    T rest = margins_[row], moved = margin(own, others, label), most = T(most_but(label));
    rest = rest + most - kSlack * (std::fabs(rest) + most);
    margins_[row] = moved < rest ? moved : rest;
    // If the own centroid has not moved, none of those has come nearer.
    return (places_[label] < 0 ? moved : margins_[row]) >= spent_[label];
  }

  // Of a point with this label, and squared distances not below that to the own centroid and not above those to all others.
  template <class V>
  T margin(V own, T others, int32_t label) const {
    T far = below(others), near = above(own), spent = spent_[label];
    return far - near + spent - kSlack * (far + near + spent);
  }
  void set(int64_t row, T margin) const { margins_[row] = margin; }

 private:
  void measure_drifts(const tfkm::ParallelFor& parallel_for) {
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
        second_ = most_, most_ = drifts_[c], fastest_ = c;
      else if (drifts_[c] > second_)
        second_ = drifts_[c];
      bool same = std::memcmp(from + c * job_.d, to + c * job_.d, job_.d * sizeof(T)) == 0;
      places_[c] = same ? -1 : int32_t(count_);
      if (!same) std::memcpy(moved_ + count_++ * job_.d, to + c * job_.d, job_.d * sizeof(T));
    }
  }

  double most_but(int64_t centroid) const { return centroid == fastest_ ? second_ : most_; }

  // Not less than the root of what is not less than this, and not more.
  template <class V>
  T above(V square) const { return T(std::sqrt(square < 0 ? 0 : square)) * grow_ + kTiny; }
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
