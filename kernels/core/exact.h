// Exact sums in two words or in digits: tfkm/exact.py in C++.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <initializer_list>

#include "arena.h"
#include "core.h"
#include "direct.h"
#include "tuning.h"

namespace {

// Splits a term in two words. x + shift rounds x to a multiple of a power of two, half to even, if
// shift is 1.5 · 2⁵² times that power and |x| is at most a third of shift. The difference to x is
// exact. To divide, round and multiply took twice as long.
//
// The high word takes the term rounded to the coarse step, the low word the rest rounded to the
// fine step. Together they are the term rounded to the fine step, as in exact.split, since a coarse
// step is an even number of fine ones.
struct Splitter {
  double coarse = 0, fine = 0;
  Splitter() = default;
  Splitter(double bound, double count)
      : coarse(1.5 * bound), fine(0.75 * bound * count * 0x1p-52) {}
};

template <class V>
inline void add_split(V term, V coarse, V fine, double* high, double* low) {
  V most = (term + coarse) - coarse;
  store(high, load<V>(high) + most);
  store(low, load<V>(low) + (((term - most) + fine) - fine));
}

// An exact sum of any numbers, in digits.
class Digits {
 public:
  explicit Digits(double* digits) : digits_(digits) {}

  void clear() { std::memset(digits_, 0, tfkm::kDigits * sizeof(double)), added_ = 0; }
  const double* begin() const { return digits_; }

  void add(double x) {
    if (x == 0) return;
    if (!(std::fabs(x) <= DBL_MAX)) {
      digits_[0] = NAN;
      return;
    }
    uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const uint64_t exponent = bits >> 52 & 0x7ff, fraction = bits & ((uint64_t(1) << 52) - 1);
    const uint64_t mantissa = exponent ? fraction | uint64_t(1) << 52 : fraction,
                   place = exponent ? exponent - 1 : 0;
    const unsigned __int128 placed = static_cast<unsigned __int128>(mantissa)
                                     << place % tfkm::kDigitBits;
    double* digit = digits_ + place / tfkm::kDigitBits;
    const double sign = x < 0 ? -1 : 1;
    for (int i = 0; i < 3; ++i) {
      uint32_t part = uint32_t(placed >> (i * tfkm::kDigitBits));
      if (part) digit[i] += sign * part;
    }
    if (++added_ == 1 << 20) carry();
  }
  void add(const Digits& other) {
    for (int i = 0; i < tfkm::kDigits; ++i) digits_[i] += other.digits_[i];
  }

  // Brings digits to 32 bits and a sign, so that a sum has one form alone.
  void carry() {
    double over = 0;
    for (int i = 0; i < tfkm::kDigits; ++i) {
      double digit = digits_[i] + over;
      over = i + 1 < tfkm::kDigits ? std::floor(digit * 0x1p-32 + 0.5) : 0;
      digits_[i] = digit - over * 0x1p32;
    }
    added_ = 0;
  }

 private:
  double* digits_;  // (kDigits,)
  int added_ = 0;
};

// One worker's share of the sums. Rows are padded to whole vectors of eight.
class Sums {
 public:
  Sums(const tfkm::Job& job, Arena& arena) : job_(job), width_(round_up(job.d, 8)) {
    if (!job.sums()) return;
    arena.take(&coarse_, width_);
    arena.take(&fine_, width_);
    for (double** words : {high_, low_}) {
      arena.take(&words[0], job.k * width_);
      arena.take(&words[1], job.k);
    }
    arena.take(&digits_, tfkm::kDigits);
  }

  // Clears the sums. The worker does this itself, so that the pages are near it.
  void start() {
    const tfkm::Grid& grid = job_.grid;
    for (int64_t j = 0; j < width_; ++j) {
      Splitter splitter(j < job_.d ? grid.sums[j] : 1.0, grid.count);
      coarse_[j] = splitter.coarse, fine_[j] = splitter.fine;
    }
    weights_ = Splitter(grid.weights, grid.count);
    for (double** words : {high_, low_}) {
      std::memset(words[0], 0, job_.k * width_ * sizeof(double));
      std::memset(words[1], 0, job_.k * sizeof(double));
    }
    inertia_ = Digits(digits_);
    inertia_.clear();
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

  // Adds costs, weight · squared distance, of up to kMostRows points to the inertia. Writes over
  // `costs`, which needs room for whole eights. Costs are cut into multiples of ever finer steps,
  // so that adding them in vectors is exact. Two steps are enough unless costs differ by more than
  // 2³⁰.
  void add_inertia(double* costs, const double* weights, int64_t count) {
    Eight most = {}, bad = {};  // bad: infinity or NaN where a cost is none to add so
    for (int64_t i = 0; i < count; i += 8) {
      Eight cost = widened<Eight>(costs + i, count - i);
      if (weights) cost *= widened<Eight>(weights + i, count - i);
      store(costs + i, cost);
      most = where_less(most, cost, cost, most);
      bad += cost * 4096;
    }
    if (!(total(bad) <= DBL_MAX)) {
      add_singly(costs, count);
      return;
    }
    double largest = 0;
    for (int lane = 0; lane < 8; ++lane) largest = most[lane] > largest ? most[lane] : largest;
    constexpr int kBits = 41;  // of a cut: a lane adds up 2⁹ of them, and 8 lanes 2⁵³ steps
    static_assert(kMostRows <= 8 << 9, "more additions than are exact");
    while (largest > 0) {
      int exponent = std::max(std::ilogb(largest) + 1 - kBits, tfkm::kLeastExponent);
      const double step = std::ldexp(1, exponent), shift = 0x1.8p52 * step;
      Eight sums = {}, left = {};
      for (int64_t i = 0; i < count; i += 8) {
        Eight cost = load<Eight>(costs + i), cut = (cost + shift) - shift, rest = cost - cut;
        sums += cut;
        store(costs + i, rest);
        rest = where_less(rest, Eight{}, -rest, rest);
        left = where_less(left, rest, rest, left);
      }
      inertia_.add(total(sums));
      largest = 0;
      for (int lane = 0; lane < 8; ++lane) largest = left[lane] > largest ? left[lane] : largest;
    }
  }

  // Adds the clusters first … last − 1 to the results, and the inertia along with cluster 0. Sums
  // are exact, so the order is free.
  void merge(int64_t first, int64_t last) const {
    for (int word = 0; word < 2; ++word) {
      double* const* mine = word ? low_ : high_;
      const tfkm::Words& all = word ? job_.low : job_.high;
      for (int64_t i = first; i < last; ++i) {
        for (int64_t j = 0; j < job_.d; ++j) all.sums[i * job_.d + j] += mine[0][i * width_ + j];
        all.weights[i] += mine[1][i];
      }
    }
    if (first == 0) {
      Digits all(job_.inertia);
      all.add(inertia_);
      all.carry();
    }
  }

 private:
  // Adds costs that are no numbers, or near the largest there are.
  void add_singly(const double* costs, int64_t count) {
    for (int64_t i = 0; i < count; ++i) inertia_.add(costs[i]);
  }

  const tfkm::Job& job_;
  int64_t width_;
  bool started_ = false;
  double *coarse_, *fine_;     // (width,)
  double *high_[2], *low_[2];  // (k, width), (k,)
  Splitter weights_;
  double* digits_;  // (kDigits,) of the inertia
  Digits inertia_{nullptr};
};

}  // namespace
