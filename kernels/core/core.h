// The interface of the core. An assignment takes points and centroids and gives labels, distances
// and exact sums in one pass; no array of n × k is ever made.
//
// There are n points, k centroids and d features. The core knows nothing of TensorFlow, starts no
// threads and allocates nothing that grows with n.
#pragma once

#include <cstdint>

// What TensorFlow's ops call, from a library of their own.
#define TFKM_API __attribute__((visibility("default")))

namespace tfkm {

// Raise this with each change of what Python sees: an op, or a struct that goes by ctypes.
// tfkm/ops/native_library.py has the same number.
constexpr int64_t kAbi = 10;

enum class Dtype : int32_t { kFloat32, kFloat64, kFloat16, kBfloat16, kInt8, kUint8 };

constexpr int64_t bytes_of(Dtype dtype) {
  return dtype == Dtype::kFloat64                          ? 8
         : dtype == Dtype::kFloat32                        ? 4
         : dtype == Dtype::kInt8 || dtype == Dtype::kUint8 ? 1
                                                           : 2;
}

// Points as they lie in memory: feature j of point i is at data + i · row + j · feature. Both steps
// are in bytes, of any size and sign, and nothing need be aligned. Reading is fastest where
// features lie side by side and rows are aligned to their dtype.
struct Points {
  const void* data;
  int64_t row, feature;
  Dtype dtype;
};

// Points whose features and rows lie side by side.
constexpr Points packed(const void* data, Dtype dtype, int64_t d) {
  return {data, d * bytes_of(dtype), bytes_of(dtype), dtype};
}

// Threads, which the caller provides. `run` calls task(arg, index, worker) once for each index from
// 0 to count − 1, in any order. No two calls use the same worker < workers at a time.
struct ParallelFor {
  void (*run)(void* pool, int64_t count, void (*task)(void* arg, int64_t index, int worker),
              void* arg);
  void* pool;
  int workers;
  // Tells whether the last run left out tasks because the call is to end. May be null.
  bool (*stopped)(void* pool) = nullptr;
  // Null, or asked within a long task: whether the call is to end, so that the task may return with
  // its work undone.
  bool (*ending)(void* pool, int worker) = nullptr;
};

// The calling thread throws this where a run was stopped.
struct Interrupted {};

// The two words of an exact sum (tfkm/exact.py).
struct Words {
  double* sums;     // (k, d)
  double* weights;  // (k,)
};

// Digits of an exact sum of terms ≥ 0 of any size (tfkm/exact.py): the sum is Σ digits[i] · 2^(32·i
// − 1074). When a call returns, each digit is an integer of 32 bits and a sign. The first is NaN if
// a term was.
constexpr int kDigits = 66, kDigitBits = 32, kLeastExponent = -1074;

// Powers of two that all parts of a sum have to share (tfkm/exact.py).
struct Grid {
  const double* sums;  // (d,)
  double weights, count;
};

// What a pass over points writes, beside their labels.
enum class Wanted : int32_t {
  kDistances,         // squared distances
  kDistancesAndSums,  // and the sums, the weights and the inertia
  // Sums and weights, and what tells the next pass which points it need not look at (bounds.h).
  kSumsAndBounds,
  kLabels,  // nothing: a row that is not finite, or whose squared norm overflows, has label −1
};

// What a pass goes on from. Its arrays still hold what the pass before wrote there. Points, grid
// and weights have to be the same.
enum class Before : int32_t {
  kNothing,  // nothing: sums and weights are 0
  // Labels, sums and weights. Sums are exact, so only points whose label has changed are added.
  kLabels,
  kBounds,  // these and bounds: points whose bounds tell their label are not looked at
};

struct Job {
  int64_t n, k, d;
  Points points;          // (n, d)
  const void* centroids;  // (k, d) row-major, double if `wide`, else float: the type computed in
  bool wide;
  Wanted wanted;
  Before before;
  const double* weights;  // (n,) or null for ones
  Grid grid;              // read only for sums

  int32_t* labels;  // out (n,)
  // Out for distances: (n,) of the type computed in, NaN where a row is not finite or its squared
  // norm overflows.
  void* sq_distances;
  Words high, low;  // out for sums
  double* inertia;  // out for distances and sums: (kDigits,), added to what is there
  // Out if there was a pass before: how many labels have changed, added to what is there.
  int64_t* changed;

  void* margins;           // out for bounds: (n,) of the type computed in
  double* spent;           // out for bounds: (k,), 0 when the first pass begins
  const void* moved_from;  // read if the pass before left bounds: (k, d), its centroids

  bool measures() const {  // distances
    return wanted == Wanted::kDistances || wanted == Wanted::kDistancesAndSums;
  }
  bool sums() const {
    return wanted == Wanted::kDistancesAndSums || wanted == Wanted::kSumsAndBounds;
  }
  bool bounds() const { return wanted == Wanted::kSumsAndBounds; }
  bool goes_on() const { return before != Before::kNothing; }
};

// Returns 0, or 1 if there was no memory for scratch, which is O(k·d) for each worker.
TFKM_API int accumulate(const Job& job, const ParallelFor& parallel_for);

// Many jobs of one size on arrays that they share. Each gets the results that it would get alone
// (batch.cc). tfkm/ops/native_library.py has this struct by ctypes.
struct Batch {
  int64_t count, n, k, d;
  Points points;          // (P, n, d)
  int64_t next;           // bytes from one set of n points to the next
  const void* centroids;  // (C, k, d)
  bool wide;
  Wanted wanted;
  Before before;
  const double* weights;           // (W, n) or null for ones
  const double *grid_sums, *grid;  // (count, d), (count, 2): weights, count
  const int64_t* problems;  // (count, 3): which points, centroids and weights are a job's own
  const int64_t* rows;      // (count,) how many of its points count, or null for n

  int32_t* labels;     // out (count, n), −1 for points that do not count
  void* sq_distances;  // out (count, n), 0 there
  Words high, low;     // (count, k, d), (count, k)
  double* inertia;     // (count, kDigits)
  int64_t* changed;    // (count,)

  void* margins;           // (count, n)
  double* spent;           // (count, k)
  const void* moved_from;  // (count, k, d)
};
TFKM_API int accumulate(const Batch& batch, const ParallelFor& parallel_for);

// How far `iterate` may go.
struct Passes {
  const double* thresholds;  // (count,) of Σ‖shift‖²
  const int64_t* most;       // (count,) passes, 1 at least
  // Out (count, k, d): those of each job's last pass. Behind them is scratch of the same size.
  void* centroids;
  int64_t* done;       // out (count,)
  void* sq_distances;  // (count, n) scratch
};

// Runs Lloyd's iteration for each job: passes, each from the means of the one before, until one
// leaves something to decide. That is a cluster without weight, labels that are those of the pass
// before, or a shift that is not clearly above its threshold.
//
// `first` describes the first pass. It has to want sums and bounds, and each job needs centroids of
// its own. It holds what the last pass has left. `changed` is always written: after a first pass
// from nothing it is n. A job that ends with the labels of the pass before gets its inertia, too.
int iterate(const Batch& first, const Passes& passes, const ParallelFor& parallel_for);

// Greedy k-means++ (seed.h).
constexpr int kMostTrials = 64;
struct Seeding {
  int64_t n, k, d;
  Points points;          // (n, d)
  bool wide;              // compute in double
  const double* weights;  // (n,) or null for ones
  // Null: k − 1 centroids are drawn around the point `first`. Else (n,) of the type computed in,
  // the squared distances to the nearest centroid that is there already: k are drawn around those.
  const void* sq_distances;
  int64_t first;           // the first point
  int trials;              // candidates in a round, kMostTrials at most
  const double* uniforms;  // (k or k − 1, trials) in [0, 1)
  // Out (k,): indices of points, or −1 from where on every point coincides with a chosen one.
  int64_t* chosen;
};

// Return as `accumulate` does. Scratch is O(n) numbers. The second takes many, of one size.
int seed(const Seeding& seeding, const ParallelFor& parallel_for);
int seed(const Seeding* seedings, int64_t count, const ParallelFor& parallel_for);

// Squared distances of all points to all centroids, in the direct form. `out` is (n, k), of the
// type computed in. A row that is not finite gets NaN or infinity.
struct Distances {
  int64_t n, k, d;
  Points points;
  const void* centroids;  // (k, d)
  bool wide;
  void* out;
};
TFKM_API int distances(const Distances& call, const ParallelFor& parallel_for);

// The largest magnitude of each feature, or NaN where a value is NaN. `out` is (d,).
struct Magnitudes {
  int64_t n, d;
  Points points;
  double* out;
};
int magnitudes(const Magnitudes& call, const ParallelFor& parallel_for);

// The name of the instruction set in use, one of `levels()`. TFKM_ISA in the environment forces one
// that the processor has; it is read once.
const char* instruction_set();

// An instruction set (a level) and the functions compiled for it, which throw std::bad_alloc.
// `usable` says whether the processor has it.
struct Level {
  const char* name;
  void (*accumulate)(const Job&, const ParallelFor&);
  void (*seed)(const Seeding&, const ParallelFor&);
  void (*distances)(const Distances&, const ParallelFor&);
  void (*magnitudes)(const Magnitudes&, const ParallelFor&);
  bool usable;
};
// All levels, the best first. One without a name follows the last.
const Level* levels();
int accumulate(const Job& job, const ParallelFor& parallel_for, const Level& level);

}  // namespace tfkm
