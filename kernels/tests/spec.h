// Jobs drawn at random, and what core.h promises of their results, in scalar double. No test
// framework: a job whose results are wrong describes itself.
#pragma once

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "core.h"
#include "direct.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using tfkm::Dtype;

// Choices: from the fuzzer's bytes while there are any, then from a generator (splitmix64).
struct Draw {
  uint64_t state;
  const uint8_t* data = nullptr;
  size_t size = 0;

  uint64_t bits() {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  int64_t below(int64_t bound) {
    uint64_t value = 0;
    if (!size) return int64_t(bits() % uint64_t(bound));
    for (int64_t reach = 1; reach < bound && size; reach <<= 8, --size)
      value = value << 8 | *data++;
    return int64_t(value % uint64_t(bound));
  }
  bool one_in(int64_t count) {
    return below(count) == count - 1;
  }  // bytes of 0 draw the simplest job
  double unit() {
    return double(below(1 << 21) - (1 << 20)) * 0x1p-20;
  }  // −1 … 1, often not a float16
};

// The instruction sets that are tested: those of this processor, or the one that TFKM_ISA names.
// Empty if it is not there.
inline std::vector<tfkm::Level> tested_levels() {
  std::vector<tfkm::Level> tested;
  const char* only = std::getenv("TFKM_ISA");
  for (const tfkm::Level* level = tfkm::levels(); level->name; ++level)
    if (level->usable && (!only || !std::strcmp(only, level->name))) tested.push_back(*level);
  return tested;
}

using Accumulate = std::function<int(const tfkm::Job&, const tfkm::ParallelFor&)>;

// As tfkm::accumulate does it, on this level.
inline Accumulate accumulate_on(const tfkm::Level& level) {
  return [&level](const tfkm::Job& job, const tfkm::ParallelFor& parallel_for) {
    return tfkm::accumulate(job, parallel_for, level);
  };
}

// A ParallelFor whose tasks run in a random order, by threads or by one that plays all of them.
struct Threads {
  int workers;
  bool real;
  uint64_t order;

  tfkm::ParallelFor parallel_for() { return {run, this, workers, nullptr}; }

 private:
  static void run(void* pool, int64_t count, void (*task)(void*, int64_t, int), void* arg) {
    auto& self = *static_cast<Threads*>(pool);
    int workers = int(self.workers < count ? self.workers : count);
    Draw draw{self.order};
    std::vector<int64_t> order(count);
    for (int64_t i = 0; i < count; ++i) order[i] = i;
    for (int64_t i = count; i > 1; --i) std::swap(order[i - 1], order[draw.below(i)]);
    if (!self.real) {
      for (int64_t i : order) task(arg, i, int(draw.below(workers)));
      return;
    }
    std::atomic<int64_t> next{0};
    auto work = [&](int worker) {
      for (int64_t i; (i = next.fetch_add(1)) < count;) task(arg, order[i], worker);
    };
    std::vector<std::thread> others;
    for (int worker = 1; worker < workers; ++worker) others.emplace_back(work, worker);
    work(0);
    for (std::thread& thread : others) thread.join();
  }
};

// While it lives, this thread and those that it makes may take subnormal numbers for 0, as
// TensorFlow's do.
class Flushing {
 public:
#if defined(__x86_64__)
  explicit Flushing(bool flush) : mode_(_mm_getcsr()) {
    _mm_setcsr(flush ? mode_ | 0x8040u : mode_);
  }
  ~Flushing() { _mm_setcsr(mode_); }

 private:
  uint32_t mode_;
#else
  explicit Flushing(bool) {}
#endif
};

enum class Values {
  kIntegers,
  kEqual,
  kNoise,
  kOffset,
  kGroups,
  kNear,
  kMixed,
  kHuge,
  kTiny,
  kCount
};

struct Case {
  int64_t n, k, d;
  Dtype dtype;
  bool wide, sums = false, weights = false, before = false, bad_rows = false, tail = false,
             flush = false;
  Values values = Values::kIntegers;
  int64_t gap = 0;    // between rows, in values
  int64_t shift = 0;  // of every array from where malloc puts it, in values
  Threads threads{1, false, 0};

  void draw_rest(Draw& draw) {
    values = Values(draw.below(int64_t(Values::kCount)));
    sums = draw.one_in(2), weights = draw.one_in(2), bad_rows = draw.one_in(6),
    tail = draw.one_in(2);
    gap = draw.one_in(2) ? 1 + draw.below(70) : 0;
    shift = draw.one_in(2) ? 1 + draw.below(63) : 0;
    const int workers[] = {1, 2, 4, 7};
    threads = {workers[draw.below(4)], draw.one_in(16), uint64_t(draw.below(1 << 16))};
    flush = draw.one_in(2), before = sums && draw.one_in(2);
  }
  void print() const {
    std::printf(
        "  n=%lld k=%lld d=%lld dtype=%d wide=%d sums=%d weights=%d values=%d bad_rows=%d gap=%lld "
        "shift=%lld tail=%d workers=%d order=%llu flush=%d before=%d\n",
        (long long)n, (long long)k, (long long)d, int(dtype), wide, sums, weights, int(values),
        bad_rows, (long long)gap, (long long)shift, tail, threads.workers,
        (unsigned long long)threads.order, flush, before);
  }
};

// Memory that ends with its last value, where AddressSanitizer looks, or with more garbage, where a
// read too far shows in the results. 0xff… is a NaN in every floating type; intact() finds a write
// outside.
class Buffer {
 public:
  Buffer(int64_t count, int64_t size, const Case& c, uint8_t fill = 0xff)
      : begin_(c.shift * size),
        end_(begin_ + count * size),
        total_(end_ + (c.tail ? 256 : 0)),
        fill_(fill),
        bytes_(new uint8_t[total_ + !total_]) {
    std::memset(bytes_.get(), fill, total_);
  }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(bytes_.get() + begin_);
  }
  void clear(uint8_t value) { std::memset(bytes_.get() + begin_, value, end_ - begin_); }
  bool intact() const {
    for (int64_t i = 0; i < total_; ++i)
      if ((i < begin_ || i >= end_) && bytes_[i] != fill_) return false;
    return true;
  }

 private:
  int64_t begin_, end_, total_;
  uint8_t fill_;
  std::unique_ptr<uint8_t[]> bytes_;
};

template <class S>
S cast(double v) {
  if constexpr (std::is_integral_v<S>) {
    using Limits = std::numeric_limits<S>;
    return S(std::rint(std::fmin(std::fmax(v, double(Limits::min())), double(Limits::max()))));
  } else if constexpr (std::is_same_v<S, Bfloat16>) {
    float narrow = float(v);
    uint32_t bits;
    std::memcpy(&bits, &narrow, sizeof bits);
    return {uint16_t(bits >> 16)};
  } else if constexpr (std::is_same_v<S, Float16>) {
    return S(float(std::isfinite(v) ? std::fmin(std::fmax(v, -60000.0), 60000.0) : v));
  } else {
    return S(v);
  }
}

template <class F>
auto with_type(Dtype dtype, F f) {
  switch (dtype) {
    case Dtype::kFloat64: return f(double());
    case Dtype::kFloat16: return f(Float16());
    case Dtype::kBfloat16: return f(Bfloat16());
    case Dtype::kInt8: return f(int8_t());
    case Dtype::kUint8: return f(uint8_t());
    default: return f(float());
  }
}

// The least power of two above x, as tfkm/exact.py.
inline double power_of_two_above(double x) {
  return std::ldexp(1, std::ilogb(std::fmax(x, 0x1p-800)) + 1);
}

// An exact sum of terms that are cut by its grid, in units of the grid's finer step.
struct Sum {
  double step;
  __int128 total = 0;

  Sum(double bound, double count) : step(bound * 0x1p-52 * count * 0x1p-53) {}
  void add(double term) { total += __int128(std::nearbyint(term / step)); }
  bool is(double high, double low) const {
    for (double word : {high / step, low / step})
      if (!(std::fabs(word) < 0x1p120) || word != std::nearbyint(word)) return false;
    return __int128(high / step) + __int128(low / step) == total;
  }
};

// The same for terms ≥ 0 of any size, in digits.
struct Total {
  int64_t digits[tfkm::kDigits + 1] = {};

  void add(double term) {
    int exponent;
    double fraction = std::frexp(term, &exponent);  // in [½, 1)
    for (int i = tfkm::kDigits; i >= 0 && fraction > 0;
         --i) {  // from the highest digit, so many bits as it has
      int shift = exponent - (tfkm::kDigitBits * i + tfkm::kLeastExponent);
      if (shift <= 0) continue;
      double digit = std::floor(std::ldexp(fraction, shift));
      digits[i] += int64_t(digit);
      fraction -= std::ldexp(digit, -shift);
    }
  }
  bool is(const double* others) const {
    int64_t carry = 0;
    for (int i = 0; i < tfkm::kDigits; ++i) {
      if (!(std::fabs(others[i]) <= 0x1p31)) return false;
      int64_t difference = digits[i] - int64_t(others[i]) + carry;
      if (difference % (int64_t(1) << tfkm::kDigitBits)) return false;
      carry = difference / (int64_t(1) << tfkm::kDigitBits);
    }
    return carry == 0;
  }
};

class Trial {
 public:
  Trial(const Case& c, Draw& draw)
      : c_(c),
        size_(with_type(c.dtype, [](auto s) { return sizeof s; })),
        stride_(c.d + c.gap),
        padded_d_((c.d + 7) / 8 * 8),
        points_(c.n ? (c.n - 1) * stride_ + c.d : 0, size_, c,
                c.dtype == Dtype::kInt8 || c.dtype == Dtype::kUint8 ? 0x7f : 0xff),
        centroids_(c.k * c.d, c.wide ? 8 : 4, c),
        weights_(c.n, 8, c),
        labels_(c.n, 4, c),
        distances_(c.n, c.wide ? 8 : 4, c),
        sums_{{c.k * c.d, 8, c}, {c.k * c.d, 8, c}},
        totals_{{c.k, 8, c}, {c.k, 8, c}},
        inertia_(tfkm::kDigits, 8, c),
        exact_(c.k * padded_d_),
        bound_(c.d) {
    with_type(c.dtype, [&](auto s) {
      c.wide ? fill<decltype(s), double>(draw) : fill<decltype(s), float>(draw);
    });
    job_.n = c.n, job_.k = c.k, job_.d = c.d;
    job_.points = {points_.as<void>(), stride_ * size_, size_, c.dtype};
    job_.centroids = centroids_.as<void>(), job_.wide = c.wide;
    job_.weights = c.weights ? weights_.as<double>() : nullptr;
    job_.labels = labels_.as<int32_t>(), job_.sq_distances = distances_.as<void>();
    if (c.sums) {
      job_.wanted = tfkm::Wanted::kDistancesAndSums;
      job_.high = {sums_[0].as<double>(), totals_[0].as<double>()};
      job_.low = {sums_[1].as<double>(), totals_[1].as<double>()};
      job_.inertia = inertia_.as<double>();
    }
    with_type(c.dtype, [&](auto s) { specify<decltype(s)>(); });
    if (c.before && !any_bad_) with_type(c.dtype, [&](auto s) { draw_before<decltype(s)>(draw); });
  }

  // Null, or what is wrong.
  const char* run(const Accumulate& accumulate) {
    return run(accumulate, c_.threads.parallel_for());
  }
  const char* run(const Accumulate& accumulate, const tfkm::ParallelFor& parallel_for) {
    labels_.clear(0xee), distances_.clear(0xee);
    for (int word : {0, 1}) sums_[word].clear(0), totals_[word].clear(0);
    inertia_.clear(0);
    int64_t changed = 0;
    job_.changed = &changed,
    job_.before = before_.empty() ? tfkm::Before::kNothing : tfkm::Before::kLabels;
    if (job_.goes_on()) std::copy(before_.begin(), before_.end(), job_.labels);
    if (job_.goes_on())
      for (int word : {0, 1}) {
        std::copy(sums_before_[word].begin(), sums_before_[word].end(), sums_[word].as<double>());
        std::copy(weights_before_[word].begin(), weights_before_[word].end(),
                  totals_[word].as<double>());
      }
    bool done;
    {
      Flushing like_tensorflow(c_.flush);
      done = accumulate(job_, parallel_for) == 0;
    }
    if (!done) return "no memory";
    if (!std::equal(right_labels_.begin(), right_labels_.end(), job_.labels)) return "label";
    for (int64_t i = 0; i < c_.n; ++i) {
      double mine = c_.wide ? distances_.as<double>()[i] : distances_.as<float>()[i];
      double right = c_.wide ? right_distances_[i] : float(right_distances_[i]);
      if (std::isnan(right) ? !std::isnan(mine) : std::memcmp(&mine, &right, sizeof mine) != 0)
        return "sq_distance";
    }
    if (c_.sums)
      if (const char* wrong = check_sums()) return wrong;
    int64_t differ = 0;
    for (size_t i = 0; i < before_.size(); ++i) differ += before_[i] != right_labels_[i];
    if (changed != differ) return "number of changed labels";
    for (const Buffer* b :
         {&labels_, &distances_, &sums_[0], &sums_[1], &totals_[0], &totals_[1], &inertia_})
      if (!b->intact()) return "wrote outside an array";
    return nullptr;
  }

  // Null, or what is wrong with labels that come without distances.
  const char* run_labels(const Accumulate& accumulate) {
    tfkm::Job alone = job_;
    alone.wanted = tfkm::Wanted::kLabels, alone.before = tfkm::Before::kNothing;
    alone.sq_distances = nullptr;
    labels_.clear(0xee);
    {
      Flushing like_tensorflow(c_.flush);
      if (accumulate(alone, c_.threads.parallel_for())) return "no memory";
    }
    for (int64_t i = 0; i < c_.n; ++i)
      if (job_.labels[i] != (std::isnan(right_distances_[i]) ? -1 : right_labels_[i]))
        return "label alone";
    return labels_.intact() ? nullptr : "wrote outside an array";
  }

  // Null, or what is wrong with passes that go on from one another by bounds while centroids move.
  // Needs sums.
  const char* run_on(const Accumulate& accumulate, Draw& draw) {
    const tfkm::Job job = job_;
    const std::vector<double> start = exact_;
    const char* wrong =
        c_.wide ? run_on<double>(accumulate, draw) : run_on<float>(accumulate, draw);
    job_ = job;
    for (int64_t i = 0; i < c_.k * c_.d; ++i) {
      double value = start[i / c_.d * padded_d_ + i % c_.d];
      c_.wide ? void(centroids_.as<double>()[i] = value)
              : void(centroids_.as<float>()[i] = float(value));
    }
    return wrong;
  }

 private:
  // As tfkm/ops/validate.py; rows drawn are far from it on one side or the other.
  double largest_sq_norm() const { return c_.wide ? 0x1p900 : FLT_MAX / 16; }

  // In a row around `centre`.
  double value(Draw& draw, double centre) const {
    bool integral = c_.dtype == Dtype::kInt8 || c_.dtype == Dtype::kUint8;
    double unit = integral ? 128 : 1;
    switch (c_.values) {
      case Values::kIntegers: return double(draw.below(5) - 2);
      case Values::kEqual: return 3;
      case Values::kNear: return unit + double(draw.below(4)) * (draw.one_in(2) ? 0x1p-20 : 0x1p-7);
      case Values::kMixed: return std::ldexp(draw.unit(), int(draw.below(60)) - 30);
      case Values::kHuge: {
        double most = c_.dtype == Dtype::kFloat64 || !c_.wide ? DBL_MAX : 1e38;
        return draw.unit() * std::fmin(most, std::sqrt(largest_sq_norm() / double(4 * c_.d)));
      }
      case Values::kTiny: return draw.unit() * (c_.dtype == Dtype::kFloat64 ? 0x1p-1060 : 0x1p-135);
      default: return centre + draw.unit() * unit;
    }
  }
  double centre(Draw& draw) const {
    if (c_.values == Values::kOffset) return far_;
    return c_.values == Values::kGroups ? draw.one_in(2) ? far_ : -100 * far_ : 0;
  }

  template <class S, class T>
  void fill(Draw& draw) {
    S* x = points_.as<S>();
    T* c = centroids_.as<T>();
    double* w = weights_.as<double>();
    far_ = double(1000 + draw.below(9001));
    bool duplicates = draw.one_in(2);
    for (int64_t i = 0; i < c_.n; ++i) {
      double middle = centre(draw);
      for (int64_t j = 0; j < c_.d; ++j) x[i * stride_ + j] = cast<S>(value(draw, middle));
      double some = std::ldexp(double(draw.below(1 << 21)), int(draw.below(60)) - 30);
      w[i] = draw.one_in(4) ? 0 : draw.one_in(4) ? 1 : some;
    }
    for (int64_t i = 0; i < c_.k; ++i) {
      double middle = centre(draw);
      int64_t source = duplicates ? draw.below(i + c_.n + 1) : 0;
      for (int64_t j = 0; j < c_.d; ++j) {
        double v = source < 1          ? value(draw, middle)
                   : source - 1 < c_.n ? double(x[(source - 1) * stride_ + j])
                                       : exact_[(source - 1 - c_.n) * padded_d_ + j];
        exact_[i * padded_d_ + j] = c[i * c_.d + j] = T(v);
      }
    }
    if (c_.bad_rows && !std::is_integral_v<S>)
      for (int64_t i = 0; i < c_.n; i += 1 + draw.below(7)) {
        double large = c_.wide && c_.dtype != Dtype::kFloat64 ? NAN : c_.wide ? 1e300 : 1e30;
        double bad[] = {NAN, INFINITY, -INFINITY, c_.dtype == Dtype::kFloat16 ? NAN : large};
        x[i * stride_ + draw.below(c_.d)] = cast<S>(bad[draw.below(4)]);
      }
    count_ = power_of_two_above(double((c_.n + 1) << draw.below(3)));
  }

  template <class S>
  void specify() {
    const S* points = points_.as<S>();
    int64_t d = c_.d;
    double most_weight = 1;  // of all parts of the sum, so not 0
    std::vector<double> most(d);
    // As kernels/core/tiny.h: values whose squares underflow are compared multiplied by a power of
    // two.
    double largest_centroid = 0;
    for (double value : exact_) largest_centroid = std::fmax(largest_centroid, std::fabs(value));
    std::vector<double> scaled_point(padded_d_), scaled_centroids = exact_;
    for (double& value : scaled_centroids) value *= 0x1p540;
    for (int64_t i = 0; i < c_.n; ++i) {
      const S* x = points + i * stride_;
      double sq_norm = 0, least = NAN;
      double largest = largest_centroid;
      for (int64_t j = 0; j < d; ++j) {
        sq_norm += double(x[j]) * double(x[j]);
        largest = std::fmax(largest, std::fabs(double(x[j])));
      }
      const bool tiny = c_.wide && largest < 0x1p-480;
      const double scale = tiny ? 0x1p540 : 1;
      for (int64_t j = 0; j < d; ++j) scaled_point[j] = double(x[j]) * scale;
      int32_t label = 0;
      if (sq_norm <= largest_sq_norm()) {
        for (int64_t c = 0; c < c_.k; ++c) {
          double distance = sq_distance(scaled_point.data(),
                                        &(tiny ? scaled_centroids : exact_)[c * padded_d_], d);
          if (c == 0 || distance < least) least = distance, label = int32_t(c);
        }
        least /= scale, least /= scale;
        for (int64_t j = 0; j < d; ++j) most[j] = std::fmax(most[j], std::fabs(double(x[j])));
      }
      right_labels_.push_back(label), right_distances_.push_back(least);
      if (c_.weights) most_weight = std::fmax(most_weight, job_.weights[i]);
    }
    double weights = count_ * power_of_two_above(most_weight);
    for (int64_t j = 0; j < d; ++j) bound_[j] = weights * power_of_two_above(most[j]);
    job_.grid = {bound_.data(), weights, count_};
    if (!c_.sums) return;

    for (int64_t i = 0; i < c_.k; ++i) {
      for (int64_t j = 0; j < d; ++j) right_sums_.emplace_back(bound_[j], count_);
      right_weights_.emplace_back(weights, count_);
    }
    for (int64_t i = 0; i < c_.n; ++i) {
      if (std::isnan(right_distances_[i])) {
        any_bad_ = true;
        continue;
      }
      double weight = c_.weights ? job_.weights[i] : 1;
      int32_t label = right_labels_[i];
      const S* x = points + i * stride_;
      for (int64_t j = 0; j < d; ++j) right_sums_[label * d + j].add(weight * double(x[j]));
      right_weights_[label].add(weight);
    }
  }

  // Labels of another pass, most of them the same as now, and the sums that belong to them.
  template <class S>
  void draw_before(Draw& draw) {
    for (int word : {0, 1})
      sums_before_[word].resize(c_.k * c_.d), weights_before_[word].resize(c_.k);
    auto add = [&](auto& words, int64_t at, double term, double bound) {
      double coarse = bound * 0x1p-52, fine = coarse * count_ * 0x1p-53;
      double most = std::nearbyint(term / coarse) * coarse;
      words[0][at] += most, words[1][at] += std::nearbyint((term - most) / fine) * fine;
    };
    for (int64_t i = 0; i < c_.n; ++i) {
      int64_t label = draw.one_in(4) ? draw.below(c_.k) : right_labels_[i];
      before_.push_back(int32_t(label));
      double weight = c_.weights ? job_.weights[i] : 1;
      for (int64_t j = 0; j < c_.d; ++j)
        add(sums_before_, label * c_.d + j, weight * double(points_.as<S>()[i * stride_ + j]),
            bound_[j]);
      add(weights_before_, label, weight, job_.grid.weights);
    }
  }

  template <class T>
  const char* run_on(const Accumulate& accumulate, Draw& draw) {
    Buffer margins(c_.n, sizeof(T), c_), spent(c_.k, sizeof(double), c_);
    spent.clear(0);
    T* c = centroids_.as<T>();
    std::vector<T> from(c, c + c_.k * c_.d), own(c_.n);
    std::vector<int32_t> alone(c_.n), before(c_.n, -1);
    std::vector<double> words(2 * c_.k * (c_.d + 1)), digits(tfkm::kDigits);
    auto words_in = [&](double* at) { return tfkm::Words{at, at + c_.k * c_.d}; };
    tfkm::Job plain = job_;
    plain.labels = alone.data(), plain.sq_distances = own.data(),
    plain.before = tfkm::Before::kNothing;
    plain.wanted = tfkm::Wanted::kDistancesAndSums;
    plain.high = words_in(words.data()), plain.low = words_in(words.data() + words.size() / 2);
    plain.inertia = digits.data();
    job_.wanted = tfkm::Wanted::kSumsAndBounds, job_.margins = margins.as<T>(),
    job_.spent = spent.as<double>();
    for (int word : {0, 1}) sums_[word].clear(0), totals_[word].clear(0);
    for (int pass = 0; pass < 6; ++pass) {
      int64_t changed = 0, differ = 0;
      job_.before = pass ? tfkm::Before::kBounds : tfkm::Before::kNothing;
      job_.changed = &changed, job_.moved_from = from.data();
      std::fill(words.begin(), words.end(), 0.0);
      {
        Flushing like_tensorflow(c_.flush);
        auto parallel_for = c_.threads.parallel_for();
        if (accumulate(job_, parallel_for) || accumulate(plain, parallel_for)) return "no memory";
      }
      if (!std::equal(alone.begin(), alone.end(), job_.labels))
        return "label of a pass that goes on";
      for (int word : {0, 1}) {
        const tfkm::Words& sums = word ? plain.low : plain.high;
        if (std::memcmp(sums.sums, sums_[word].as<double>(), c_.k * c_.d * 8))
          return "sum of a pass that goes on";
        if (std::memcmp(sums.weights, totals_[word].as<double>(), c_.k * 8))
          return "weight of a pass that goes on";
      }
      if (!with_type(c_.dtype, [&](auto s) {
        return bounded<decltype(s)>(margins.as<T>(), spent.as<double>());
      }))
        return "bound";
      for (int64_t i = 0; i < c_.n; ++i) differ += before[i] != alone[i];
      if (pass && changed != differ) return "number of changed labels";
      for (const Buffer* b : {&labels_, &margins, &spent})
        if (!b->intact()) return "wrote outside an array";
      before = alone;
      std::copy(c, c + c_.k * c_.d, from.begin());
      // Most or few of the centroids move towards another one, by so large a share of the way.
      T share = T(std::ldexp(1, -int(draw.below(30))));
      bool most = draw.one_in(2);
      for (int64_t i = 0; i < c_.k; ++i) {
        if (draw.one_in(8) == most) continue;
        int64_t to = draw.below(c_.k) * c_.d;
        for (int64_t j = 0; j < c_.d; ++j)
          c[i * c_.d + j] += share * (from[to + j] - c[i * c_.d + j]);
      }
    }
    return nullptr;
  }

  // Whether the gap of each point, worked out in long double, is at least what its margin says.
  template <class S, class T>
  bool bounded(const T* margins, const double* spent) const {
    for (int64_t i = 0; i < c_.n; ++i) {
      long double own = 0, other = INFINITY;
      for (int64_t c = 0; c < c_.k; ++c) {
        long double sum = 0;
        for (int64_t j = 0; j < c_.d; ++j) {
          long double difference = double(points_.as<S>()[i * stride_ + j]) -
                                   (long double)centroids_.as<T>()[c * c_.d + j];
          sum += difference * difference;
        }
        if (c == job_.labels[i])
          own = std::sqrt(sum);
        else
          other = std::min(other, std::sqrt(sum));
      }
      if ((long double)margins[i] - spent[job_.labels[i]] > other - own) return false;
    }
    return true;
  }

  const char* check_sums() const {
    int64_t d = c_.d;
    Total inertia;
    for (int64_t i = 0; i < c_.n && !any_bad_; ++i)
      inertia.add((c_.weights ? job_.weights[i] : 1) * right_distances_[i]);
    for (int64_t i = any_bad_; i < c_.k; ++i) {  // bad rows are in cluster 0 and in the inertia
      for (int64_t j = i * d; j < (i + 1) * d; ++j)
        if (!right_sums_[j].is(job_.high.sums[j], job_.low.sums[j])) return "sum";
      if (!right_weights_[i].is(job_.high.weights[i], job_.low.weights[i])) return "weight";
    }
    return any_bad_ || inertia.is(job_.inertia) ? nullptr : "inertia";
  }

  Case c_;
  int64_t size_, stride_, padded_d_;
  Buffer points_, centroids_, weights_, labels_, distances_, sums_[2], totals_[2], inertia_;
  std::vector<double> exact_, bound_;  // (k, padded_d) the centroids, (d,) the grid's
  double far_ = 0, count_ = 1;
  tfkm::Job job_{};
  std::vector<int32_t> right_labels_;
  std::vector<double> right_distances_;
  std::vector<Sum> right_sums_, right_weights_;
  std::vector<int32_t> before_;
  std::vector<double> sums_before_[2], weights_before_[2];
  bool any_bad_ = false;
};

}  // namespace
