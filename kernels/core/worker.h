// One thread's part: groups of rows from packing to sums.
#pragma once

#include <cmath>
#include <cstring>

#include "arena.h"
#include "direct.h"
#include "exact.h"
#include "frame.h"
#include "simd.h"

namespace {

// Packed points that stay in the second-level cache while the centroids pass, so many at a time.
// Measured over 256, 512, 768 KB × 32, 96, 256 KB: within 5 % but at (10000, 10000, 768), 296, 334, 342 GFLOP/s.
constexpr int64_t kPointBytes = 512 << 10, kCentroidBytes = 32 << 10;
constexpr int64_t kMostRows = 4096;

template <class S, class T>
class Worker {
  using Vector = typename Simd<T>::Vector;
  using Index = typename Simd<T>::Index;
  using Lane = typename Simd<T>::Lane;
  static constexpr int kLanes = kVectorBytes / sizeof(T);
  static constexpr int kBlock = kLanes * kVectors;
  // Four times that of tfkm/ops/validate.py, since this is around the offset.
  static constexpr double kLargestSqNorm = sizeof(T) == 4 ? double(FLT_MAX) / 4 : 0x1p902;

 public:
  static int64_t group_rows(int64_t d) {
    int64_t rows = kPointBytes / (d * int64_t(sizeof(T))) / kBlock * kBlock;
    return rows < kBlock ? kBlock : rows > kMostRows ? kMostRows : rows;
  }

  Worker(const Job& job, const Frame<T>& frame, const Steps* steps, Arena& arena)
      : job_(job), frame_(frame), steps_(steps) {
    int64_t rows = group_rows(job.d);
    packed_ = arena.take<T>(rows * job.d);
    sq_norms_ = arena.take<T>(rows);
    best_ = arena.take<T>(rows);
    second_ = arena.take<T>(rows);
    labels_ = arena.take<Lane>(rows);
    if (job.high.sums) {
      high_ = arena.take<double>(job.k * (job.d + 1) + 1);
      low_ = arena.take<double>(job.k * (job.d + 1) + 1);
    }
  }

  void clear() {
    if (!high_) return;
    std::memset(high_, 0, (job_.k * (job_.d + 1) + 1) * sizeof(double));
    std::memset(low_, 0, (job_.k * (job_.d + 1) + 1) * sizeof(double));
  }

  void rows(int64_t begin, int64_t count) {
    const S* x = static_cast<const S*>(job_.points) + begin * job_.stride;
    pack(x, count);
    screen(round_up(count, kBlock));
    for (int64_t i = 0; i < count; ++i) finish(x + i * job_.stride, begin + i, i);
  }

  void merge() const {
    for (int word = 0; word < 2; ++word) {
      const double* mine = word ? low_ : high_;
      const tfkm::Words& all = word ? job_.low : job_.high;
      int64_t k = job_.k, d = job_.d;
      for (int64_t i = 0; i < k; ++i) {
        for (int64_t j = 0; j < d; ++j) all.sums[i * d + j] += mine[i * (d + 1) + j];
        all.weights[i] += mine[i * (d + 1) + d];
      }
      *all.inertia += mine[k * (d + 1)];
    }
  }

 private:
  // (count, d) rows -> blocks of (d, kBlock), around the offset, and ‖x‖². Missing rows are zero.
  void pack(const S* x, int64_t count) {
    int64_t d = job_.d;
    for (int64_t block = 0; block < count; block += kBlock) {
      T* out = packed_ + block * d;
      for (int p = 0; p < kBlock; p += kLanes)
        for (int64_t j = 0; j < d; j += kLanes)
          pack_square(x + (block + p) * job_.stride + j, count - block - p, j, out + j * kBlock + p);
      Vector sums[kVectors] = {};
      for (int64_t j = 0; j < d; ++j)
        for (int m = 0; m < kVectors; ++m) {
          Vector v = load<Vector>(out + j * kBlock + m * kLanes);
          sums[m] = fma(v, v, sums[m]);
        }
      for (int m = 0; m < kVectors; ++m) store(sq_norms_ + block + m * kLanes, sums[m]);
    }
  }

  // kLanes rows and features at a time, turned in registers: with scalar stores a whole assignment at
  // (65536, 10, 784) took twice as long, as measured beside scikit-learn's.
  void pack_square(const S* x, int64_t rows, int64_t first, T* out) const {
    int64_t d = job_.d, stride = job_.stride, features = d - first < kLanes ? d - first : kLanes;
    Vector v[kLanes];
#pragma GCC unroll 16
    for (int p = 0; p < kLanes; ++p) {
      T row[kLanes] = {};
      if (p < rows) {
        if (features == kLanes)
          for (int j = 0; j < kLanes; ++j) row[j] = T(T(x[p * stride + j]) - frame_.offset[first + j]);
        else
          for (int j = 0; j < features; ++j) row[j] = T(T(x[p * stride + j]) - frame_.offset[first + j]);
      }
      v[p] = load<Vector>(row);
    }
    turn<kLanes / 2>(v);
    for (int j = 0; j < features; ++j) store(out + j * kBlock, v[j]);
  }

  // Transposes a square of vectors by exchanging blocks of kHalf × kHalf, then of half that (Eklundh 1972).
  template <int kHalf>
  static void turn(Vector (&v)[kLanes]) {
    Index upper, lower;
    for (int l = 0; l < kLanes; ++l) {
      upper[l] = l & kHalf ? kLanes + l - kHalf : l;
      lower[l] = l & kHalf ? kLanes + l : l + kHalf;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i)
      if (!(i & kHalf)) {
        Vector a = v[i], b = v[i + kHalf];
        v[i] = __builtin_shuffle(a, b, upper);
        v[i + kHalf] = __builtin_shuffle(a, b, lower);
      }
    if constexpr (kHalf > 1) turn<kHalf / 2>(v);
  }

  // The least and second least value and the first index of the least, for `count` packed rows.
  void screen(int64_t count) {
    for (int64_t i = 0; i < count; ++i) best_[i] = second_[i] = T(INFINITY), labels_[i] = 0;
    int64_t d = job_.d;
    int64_t step = kCentroidBytes / (d * kRows * int64_t(sizeof(T)));
    if (step < 1) step = 1;
    for (int64_t first = 0; first < frame_.tiles; first += step) {
      int64_t last = first + step < frame_.tiles ? first + step : frame_.tiles;
      for (int64_t block = 0; block < count; block += kBlock) tiles(block, first, last);
    }
  }

  void tiles(int64_t block, int64_t first, int64_t last) {
    int64_t d = job_.d;
    const T* x = packed_ + block * d;
    Vector best[kVectors], second[kVectors];
    Index label[kVectors];
    for (int m = 0; m < kVectors; ++m) {
      best[m] = load<Vector>(best_ + block + m * kLanes);
      second[m] = load<Vector>(second_ + block + m * kLanes);
      label[m] = load<Index>(labels_ + block + m * kLanes);
    }
    for (int64_t t = first; t < last; ++t) {
      const T* c = frame_.factors + t * d * kRows;
      const T* start = frame_.sq_norms + t * kRows;
      Vector sums[kRows][kVectors];
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
        for (int m = 0; m < kVectors; ++m) sums[r][m] = Vector{} + start[r];
      for (int64_t j = 0; j < d; ++j) {
        Vector v[kVectors];
#pragma GCC unroll 4
        for (int m = 0; m < kVectors; ++m) v[m] = load<Vector>(x + j * kBlock + m * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          Vector factor = Vector{} + c[j * kRows + r];
#pragma GCC unroll 4
          for (int m = 0; m < kVectors; ++m) sums[r][m] = fma(factor, v[m], sums[r][m]);
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
        for (int m = 0; m < kVectors; ++m) {
          Vector value = sums[r][m];
          second[m] = least(second[m], most(value, best[m]));
          label[m] = value < best[m] ? Index{} + Lane(t * kRows + r) : label[m];
          best[m] = least(value, best[m]);
        }
    }
    for (int m = 0; m < kVectors; ++m) {
      store(best_ + block + m * kLanes, best[m]);
      store(second_ + block + m * kLanes, second[m]);
      store(labels_ + block + m * kLanes, label[m]);
    }
  }

  void finish(const S* x, int64_t row, int64_t i) {
    int64_t d = job_.d, label = labels_[i];
    double sq_norm = double(sq_norms_[i]), distance;
    if (!(sq_norm <= kLargestSqNorm)) {
      label = 0;
      distance = NAN;
    } else if (double(second_[i]) - double(best_[i]) > frame_.margin(sq_norm)) {
      distance = sq_distance(x, frame_.exact + label * d, d);
    } else {
      distance = directly(x, &label);
    }
    job_.labels[row] = int32_t(label);
    job_.sq_distances[row] = distance;
    if (high_) add(x, label, distance, job_.weights ? job_.weights[row] : 1.0);
  }

  double directly(const S* x, int64_t* label) const {
    double least = INFINITY;
    *label = 0;
    for (int64_t c = 0; c < job_.k; ++c) {
      double distance = sq_distance(x, frame_.exact + c * job_.d, job_.d);
      if (distance < least) least = distance, *label = c;
    }
    return least;
  }

  void add(const S* x, int64_t label, double distance, double weight) {
    int64_t d = job_.d, k = job_.k;
    double* high = high_ + label * (d + 1);
    double* low = low_ + label * (d + 1);
    for (int64_t j = 0; j < d; ++j) steps_[j].add(weight * double(x[j]), high + j, low + j);
    steps_[d].add(weight, high + d, low + d);
    steps_[d + 1].add(weight * distance, high_ + k * (d + 1), low_ + k * (d + 1));
  }

  const Job& job_;
  const Frame<T>& frame_;
  const Steps* steps_;  // (d + 2,): of the features, the weight, the inertia
  T *packed_, *sq_norms_, *best_, *second_;
  Lane* labels_;
  double *high_ = nullptr, *low_ = nullptr;  // (k, d + 1) sums and weights, then the inertia
};

}  // namespace
