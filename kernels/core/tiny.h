// Values in double whose squares underflow. Below 2^-480 a squared distance has too few bits left,
// and a point would be as near to all centroids. Where a point and all centroids are so small, they
// are multiplied by a power of two before they are compared. That is exact, so the label is right.
// The distance is given back unscaled, as 0 where double has nothing smaller. This is so rare that
// the direct form does for all: nothing is screened and no row is left unread.
//
// Values in float need none of this: they all count as near ties there, and those are decided in
// double.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "core.h"
#include "exact.h"
#include "parts.h"
#include "rows.h"

namespace {

constexpr double kTiny = 0x1p-480, kUntiny = 0x1p540;

inline double largest_magnitude(const double* values, int64_t count) {
  double largest = 0;
  for (int64_t i = 0; i < count; ++i)
    largest = std::fabs(values[i]) > largest ? std::fabs(values[i]) : largest;
  return largest;
}

inline bool squares_underflow(const tfkm::Job& job) {
  return job.wide &&
         largest_magnitude(static_cast<const double*>(job.centroids), job.k * job.d) < kTiny;
}

// One thread's part of such a job.
class TinyWorker {
 public:
  explicit TinyWorker(const tfkm::Job& job)
      : job_(job), source_(job.points, job.d), padded_d_(round_up(job.d, 8)), sums_(job, arena_) {
    arena_.allocate();
    if (job.sums()) sums_.start();
    row_.resize(padded_d_), centroids_.resize(job.k * padded_d_), scaled_.resize(job.k * padded_d_);
    for (int64_t i = 0; i < job.k * job.d; ++i) {
      double value = static_cast<const double*>(job.centroids)[i];
      int64_t at = i / job.d * padded_d_ + i % job.d;
      centroids_[at] = value, scaled_[at] = value * kUntiny;
    }
  }

  const Sums& sums() const { return sums_; }
  int64_t changed() const { return changed_; }

  void rows(int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      source_.copy(i, row_.data());
      double sq_norm = 0, distance = NAN;
      for (int64_t j = 0; j < job_.d; ++j) sq_norm += row_[j] * row_[j];
      int32_t label = job_.wanted == tfkm::Wanted::kLabels ? -1 : 0;
      if (sq_norm <= kLargestSqNorm) label = nearest(&distance);
      if (job_.measures()) static_cast<double*>(job_.sq_distances)[i] = distance;
      if (job_.bounds())
        static_cast<double*>(job_.margins)[i] = -INFINITY;  // to be looked at again
      take(i, label, distance);
    }
  }

 private:
  static constexpr double kLargestSqNorm = 0x1p902;  // as in screen.h

  int32_t nearest(double* distance) {
    const bool tiny = largest_magnitude(row_.data(), job_.d) < kTiny;
    std::vector<double> scaled = row_;
    if (tiny)
      for (double& value : scaled) value *= kUntiny;
    int32_t label = 0;
    double least = INFINITY;
    for (int64_t c = 0; c < job_.k; ++c) {
      double here =
          sq_distance(scaled.data(), (tiny ? scaled_ : centroids_).data() + c * padded_d_, job_.d);
      if (here < least) least = here, label = int32_t(c);
    }
    *distance = tiny ? least / kUntiny / kUntiny : least;
    return label;
  }

  void take(int64_t i, int32_t label, double distance) {
    int32_t before = job_.labels[i];
    job_.labels[i] = label;
    if (!job_.sums()) return;
    double weight = job_.weights ? job_.weights[i] : 1, cost[8] = {distance};
    if (job_.measures()) sums_.add_inertia(cost, job_.weights ? &weight : nullptr, 1);
    if (job_.goes_on()) {
      if (before == label) return;
      ++changed_;
      sums_.add<true>(row_.data(), before, -weight);
    }
    if (job_.weights)
      sums_.add<true>(row_.data(), label, weight);
    else
      sums_.add<false>(row_.data(), label, weight);
  }

  const tfkm::Job& job_;
  Source<double> source_;
  int64_t padded_d_, changed_ = 0;
  Arena arena_;
  Sums sums_;
  std::vector<double> row_, centroids_, scaled_;  // (padded_d,), (k, padded_d)
};

inline void accumulate_tiny(const tfkm::Job& job, const tfkm::ParallelFor& parallel_for) {
  std::vector<std::unique_ptr<TinyWorker>> workers;
  workers.reserve(size_t(parallel_for.workers));
  for (int w = 0; w < parallel_for.workers; ++w) workers.emplace_back(new TinyWorker(job));
  in_parts(parallel_for, job.n, 1 + (1 << 14) / job.k,
           [&](int64_t first, int64_t last, int worker) { workers[worker]->rows(first, last); });
  for (auto& worker : workers) {
    if (job.sums()) worker->sums().merge(0, job.k);
    if (job.goes_on()) *job.changed += worker->changed();
  }
}

}  // namespace
