// Terms of an exact sum in two words: tfkm/exact.py, in C++.
#pragma once

#include <cstring>
#include <initializer_list>

#include "arena.h"
#include "core.h"
#include "direct.h"

namespace {

// x + shift rounds x to a multiple of a power of two, half to even, if shift = 1.5 · 2⁵² of it and |x| is
// at most a third of shift; the difference is exact. Dividing, rounding and multiplying took twice as long.
// First high = term to the coarse step, then the rest to the fine one: together the term rounded
// to the fine step, as in exact.split, since a coarse step is an even number of fine ones.
struct Splitter {
  double coarse = 0, fine = 0;
  Splitter() = default;
  Splitter(double bound, double count) : coarse(1.5 * bound), fine(0.75 * bound * count * 0x1p-52) {}
};

template <class V>
inline void add_split(V term, V coarse, V fine, double* high, double* low) {
  V most = (term + coarse) - coarse;
  store(high, load<V>(high) + most);
  store(low, load<V>(low) + (((term - most) + fine) - fine));
}

// One worker's share of the sums. Rows are padded to whole vectors of eight.
class Sums {
 public:
  Sums(const tfkm::Job& job, Arena& arena) : job_(job), width_(round_up(job.d, 8)) {
    if (!job.high.sums) return;
    coarse_ = arena.take<double>(width_);
    fine_ = arena.take<double>(width_);
    for (double** words : {high_, low_}) {
      words[0] = arena.take<double>(job.k * width_);
      words[1] = arena.take<double>(job.k + 8);
    }
  }

  // By the worker itself, so that the pages are near it.
  void start() {
    const tfkm::Grid& grid = job_.grid;
    for (int64_t j = 0; j < width_; ++j) {
      Splitter splitter(j < job_.d ? grid.sums[j] : 1.0, grid.count);
      coarse_[j] = splitter.coarse, fine_[j] = splitter.fine;
    }
    weights_ = Splitter(grid.weights, grid.count);
    inertia_ = Splitter(grid.inertia, grid.count);
    for (double** words : {high_, low_}) {
      std::memset(words[0], 0, job_.k * width_ * sizeof(double));
      std::memset(words[1], 0, (job_.k + 8) * sizeof(double));
    }
    started_ = true;
  }
  bool started() const { return started_; }

  template <bool weighted, class S>
  void add(const S* x, int64_t label, double weight) {
    double *high = high_[0] + label * width_, *low = low_[0] + label * width_;
    for (int64_t j = 0; j < width_; j += 8) {
      Eight term = widened<Eight>(x + j, job_.d - j);
      if (weighted) term *= weight;
      add_split(term, load<Eight>(coarse_ + j), load<Eight>(fine_ + j), high + j, low + j);
    }
    if (weighted)
      add_split(weight, weights_.coarse, weights_.fine, high_[1] + label, low_[1] + label);
    else
      high_[1][label] += 1;
  }

  // Eight lanes, behind the weights of the clusters.
  void add_inertia(const double* sq_distances, const double* weights, int64_t count) {
    for (int64_t i = 0; i < count; i += 8) {
      Eight term = widened<Eight>(sq_distances + i, count - i);
      if (weights) term *= widened<Eight>(weights + i, count - i);
      add_split(term, Eight{} + inertia_.coarse, Eight{} + inertia_.fine, high_[1] + job_.k, low_[1] + job_.k);
    }
  }

  // Adds the clusters first … last − 1, and with them those of cluster 0 the inertia. Exact, so in any order.
  void merge(int64_t first, int64_t last) const {
    for (int word = 0; word < 2; ++word) {
      double* const* mine = word ? low_ : high_;
      const tfkm::Words& all = word ? job_.low : job_.high;
      for (int64_t i = first; i < last; ++i) {
        for (int64_t j = 0; j < job_.d; ++j) all.sums[i * job_.d + j] += mine[0][i * width_ + j];
        all.weights[i] += mine[1][i];
      }
      for (int64_t lane = 0; lane < 8 && first == 0; ++lane) *all.inertia += mine[1][job_.k + lane];
    }
  }

 private:
  const tfkm::Job& job_;
  int64_t width_;
  bool started_ = false;
  double *coarse_, *fine_;          // (width,)
  double *high_[2], *low_[2];       // (k, width), (k + 8,)
  Splitter weights_, inertia_;
};

}  // namespace
