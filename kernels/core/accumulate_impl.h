// The fused kernel, once for all instruction sets: included by accumulate_<isa>.cc.
//
// Lanes are points: a block of two vectors of points, transposed, against kRows centroids, whose
// values are broadcast. The least and second least stay in registers over a tile; −2 and ‖c‖² are folded
// into the packed centroids and the start of the accumulators. Points whose two least are nearer
// than the rounding (docs/design.md) are decided by the direct form in double. So labels and distances
// have the same bits for every instruction set, and the sums for every order of addition.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core.h"
#include "simd.h"

namespace {

using tfkm::Job;
using tfkm::ParallelFor;

// Accumulators, two vectors of points, one of a centroid's value: 2·kRows + 3 registers of 32 or 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRows = 12;
#else
constexpr int kRows = 6;
#endif
constexpr int kVectors = 2;

// Packed points that stay in the second-level cache while the centroids pass, so many at a time.
// Measured over 256, 512, 768 KB × 32, 96, 256 KB: within 5 % but at (10000, 10000, 768), 296, 334, 342 GFLOP/s.
constexpr int64_t kPointBytes = 512 << 10, kCentroidBytes = 32 << 10;
constexpr int64_t kMostRows = 4096;

constexpr int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

// --- the types that points come in ------------------------------------------------------------

struct Bfloat16 {
  uint16_t bits;
  explicit operator float() const {
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    __builtin_memcpy(&value, &wide, sizeof value);
    return value;
  }
  explicit operator double() const { return float(*this); }
};
using Float16 = _Float16;

// --- memory ------------------------------------------------------------------------------------

// One piece of memory, cut into aligned arrays; each constructor of a scratch is run twice, first to measure.
class Arena {
 public:
  ~Arena() { std::free(base_); }
  template <class T>
  T* take(int64_t count) {
    T* here = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += round_up(count * int64_t(sizeof(T)), 64);
    return here;
  }
  bool allocate() {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, used_ ? used_ : 64) != 0) return false;
    base_ = static_cast<char*>(memory);
    used_ = 0;
    return true;
  }

 private:
  char* base_ = nullptr;
  int64_t used_ = 0;
};

// --- exact sums ----------------------------------------------------------------------------------

// Half to even for any double, without the instruction of SSE4.1; |x| ≥ 2⁵¹ has no more than a half below 1 ulp.
inline double rounded(double x) {
  constexpr double shift = 0x1.8p52;
  double near = (x + shift) - shift;
  return std::fabs(x) < 0x1p51 ? near : x;
}

struct Steps {
  double coarse, per_coarse, fine, per_fine;
  Steps() = default;
  Steps(double bound, double count)
      : coarse(bound * 0x1p-52), per_coarse(1 / coarse),
        fine(coarse * count * 0x1p-53), per_fine(1 / fine) {}
  inline void add(double term, double* high, double* low) const {
    term = rounded(term * per_fine) * fine;
    double h = rounded(term * per_coarse) * coarse;
    *high += h;
    *low += term - h;
  }
};

// --- the direct form ------------------------------------------------------------------------------

// Σ(x − c)² in double, in eight lanes and a fixed tree: the same bits for every instruction set.
template <class S>
inline double sq_distance(const S* x, const double* c, int64_t d) {
  double lanes[8] = {};
  int64_t j = 0;
  for (; j + 8 <= d; j += 8)
    for (int l = 0; l < 8; ++l) {
      double difference = double(x[j + l]) - c[j + l];
      lanes[l] += difference * difference;
    }
  for (int l = 0; j + l < d; ++l) {
    double difference = double(x[j + l]) - c[j + l];
    lanes[l] += difference * difference;
  }
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// --- centroids, packed -----------------------------------------------------------------------------

template <class T>
struct Frame {
  int64_t k, d, tiles;
  double* exact;  // (k, d)
  T* offset;      // (d,) the mean
  T* factors;     // (tiles, d, kRows): −2(c − offset)
  T* sq_norms;    // (tiles, kRows): ‖c − offset‖², infinite where there is no centroid
  double largest_norm;

  Frame(const Job& job, Arena& arena) : k(job.k), d(job.d), tiles((job.k + kRows - 1) / kRows) {
    exact = arena.take<double>(k * d);
    offset = arena.take<T>(d);
    factors = arena.take<T>(tiles * d * kRows);
    sq_norms = arena.take<T>(tiles * kRows);
  }

  void pack(const T* centroids) {
    for (int64_t i = 0; i < k * d; ++i) exact[i] = double(centroids[i]);
    for (int64_t j = 0; j < d; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += exact[i * d + j] / double(k);
      offset[j] = T(sum);
    }
    double largest = 0;
    for (int64_t i = 0; i < tiles * kRows; ++i) {
      T* column = factors + i / kRows * d * kRows + i % kRows;
      double sq_norm = 0;
      for (int64_t j = 0; j < d; ++j) {
        T c = i < k ? T(centroids[i * d + j] - offset[j]) : T(0);
        column[j * kRows] = -2 * c;
        sq_norm += double(c) * double(c);
      }
      sq_norms[i] = i < k ? T(sq_norm) : T(INFINITY);
      if (i < k && sq_norm > largest) largest = sq_norm;
    }
    largest_norm = std::sqrt(largest);
    set_margin();
  }

  // As xla_kernels._margin: a gap above this is not rounding.
  double margin(double sq_norm) const {
    double norm = std::sqrt(sq_norm), reach = norm + largest_norm;
    return per_product * (2 * norm + largest_norm) + per_square * reach * reach + least_margin;
  }

 private:
  double per_product, per_square, least_margin;

  void set_margin() {
    auto growth = [&](double unit) { return (d + 8) * unit / (1 - (d + 8) * unit); };
    double mine = growth(sizeof(T) == 4 ? 0x1p-24 : 0x1p-53), slack = 1.05 + 4 * mine;
    per_product = slack * 2 * mine * largest_norm;
    per_square = slack * 4 * growth(0x1p-53);
    least_margin = 8 * (d + 8) * (sizeof(T) == 4 ? FLT_MIN : DBL_MIN);
  }
};

// --- a group of rows ---------------------------------------------------------------------------------

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
    const S* x = static_cast<const S*>(job_.points) + begin * job_.d;
    pack(x, count);
    screen(round_up(count, kBlock));
    for (int64_t i = 0; i < count; ++i) finish(x + i * job_.d, begin + i, i);
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
          pack_square(x + (block + p) * d + j, count - block - p, j, out + j * kBlock + p);
      Vector sums[kVectors] = {};
      for (int64_t j = 0; j < d; ++j)
        for (int m = 0; m < kVectors; ++m) {
          Vector v = load<Vector>(out + j * kBlock + m * kLanes);
          sums[m] = fma(v, v, sums[m]);
        }
      for (int m = 0; m < kVectors; ++m) store(sq_norms_ + block + m * kLanes, sums[m]);
    }
  }

  // kLanes rows and features at a time, turned in registers: scalar stores took three times as long.
  void pack_square(const S* x, int64_t rows, int64_t first, T* out) const {
    int64_t d = job_.d, features = d - first < kLanes ? d - first : kLanes;
    Vector v[kLanes];
#pragma GCC unroll 16
    for (int p = 0; p < kLanes; ++p) {
      T row[kLanes] = {};
      if (p < rows) {
        if (features == kLanes)
          for (int j = 0; j < kLanes; ++j) row[j] = T(T(x[p * d + j]) - frame_.offset[first + j]);
        else
          for (int j = 0; j < features; ++j) row[j] = T(T(x[p * d + j]) - frame_.offset[first + j]);
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

// --- the whole ------------------------------------------------------------------------------------------

template <class S, class T>
int run(const Job& job, const ParallelFor& parallel_for) {
  using W = Worker<S, T>;
  int64_t rows = W::group_rows(job.d), groups = (job.n + rows - 1) / rows;
  int workers = int(parallel_for.workers < groups ? parallel_for.workers : groups);
  int64_t words = job.high.sums ? job.d + 2 : 0;

  Arena arena;
  auto lay_out = [&](auto&& with_worker) {
    Frame<T> frame(job, arena);
    Steps* steps = arena.take<Steps>(words);
    for (int w = 0; w < workers; ++w) with_worker(W(job, frame, steps, arena));
    return 0;
  };
  lay_out([](const W&) {});
  if (!arena.allocate()) return 1;

  Frame<T> frame(job, arena);
  frame.pack(static_cast<const T*>(job.centroids));
  Steps* steps = arena.take<Steps>(words);
  for (int64_t j = 0; j < words; ++j) {
    const tfkm::Grid& grid = job.grid;
    steps[j] = Steps(j < job.d ? grid.sums[j] : j == job.d ? grid.weights : grid.inertia, grid.count);
  }
  char* memory = static_cast<char*>(std::malloc(workers * sizeof(W) + 1));
  if (!memory) return 1;
  W* all = reinterpret_cast<W*>(memory);
  for (int w = 0; w < workers; ++w) (new (all + w) W(job, frame, steps, arena))->clear();

  struct Context {
    W* all;
    int64_t n, rows;
  } context{all, job.n, rows};
  parallel_for.run(
      parallel_for.pool, groups,
      [](void* arg, int64_t group, int worker) {
        auto& c = *static_cast<Context*>(arg);
        int64_t begin = group * c.rows;
        c.all[worker].rows(begin, begin + c.rows < c.n ? c.rows : c.n - begin);
      },
      &context);
  if (job.high.sums)
    for (int w = 0; w < workers; ++w) all[w].merge();
  std::free(memory);
  return 0;
}

int accumulate_here(const Job& job, const ParallelFor& parallel_for) {
  using tfkm::Dtype;
  switch (job.dtype) {
    case Dtype::kFloat64: return run<double, double>(job, parallel_for);
    case Dtype::kFloat32:
      return job.wide ? run<float, double>(job, parallel_for) : run<float, float>(job, parallel_for);
    case Dtype::kFloat16:
      return job.wide ? run<Float16, double>(job, parallel_for) : run<Float16, float>(job, parallel_for);
    case Dtype::kBfloat16:
      return job.wide ? run<Bfloat16, double>(job, parallel_for) : run<Bfloat16, float>(job, parallel_for);
    case Dtype::kInt8:
      return job.wide ? run<int8_t, double>(job, parallel_for) : run<int8_t, float>(job, parallel_for);
    case Dtype::kUint8:
      return job.wide ? run<uint8_t, double>(job, parallel_for) : run<uint8_t, float>(job, parallel_for);
  }
  return 1;
}

}  // namespace
