// The fused assignment: points and centroids in, labels, distances and exact sums out. Never an n×k.
//
// No TensorFlow here, no threads, no allocation that grows with n. n points, k centroids, d features.
#pragma once

#include <cstdint>

#define TFKM_API __attribute__((visibility("default")))  // what TensorFlow's ops call, from a library of their own

namespace tfkm {

// Goes up with each change of what is exported to Python: an op, or a struct that goes by ctypes. tfkm/ops/native_library.py has it, too.
constexpr int64_t kAbi = 9;

enum class Dtype : int32_t { kFloat32, kFloat64, kFloat16, kBfloat16, kInt8, kUint8 };

constexpr int64_t bytes_of(Dtype dtype) {
  return dtype == Dtype::kFloat64 ? 8 : dtype == Dtype::kFloat32 ? 4 : dtype == Dtype::kInt8 || dtype == Dtype::kUint8 ? 1 : 2;
}

// Points as they lie in memory: feature j of point i is at data + i · row + j · feature. Bytes, of any size and sign; nothing
// need be aligned. Read fastest where features lie side by side and rows are aligned to their dtype.
struct Points {
  const void* data;
  int64_t row, feature;
  Dtype dtype;
};

// Rows side by side, too.
constexpr Points packed(const void* data, Dtype dtype, int64_t d) { return {data, d * bytes_of(dtype), bytes_of(dtype), dtype}; }

// Handed in. Calls task(arg, index, worker) for index 0 … count − 1, in any order, each once;
// worker < workers is not used by two calls at a time.
struct ParallelFor {
  void (*run)(void* pool, int64_t count, void (*task)(void* arg, int64_t index, int worker),
              void* arg);
  void* pool;
  int workers;
  bool (*stopped)(void* pool);  // null, or whether the last run has left out tasks because the call is to end
};

// Thrown by the thread that called, where a run was stopped.
struct Interrupted {};

// Two words of one exact sum (tfkm/exact.py).
struct Words {
  double* sums;     // (k, d)
  double* weights;  // (k,)
};

// Digits of one exact sum of terms ≥ 0 of any size (tfkm/exact.py): Σ digits[i] · 2^(32·i − 1074), integers of 32 bits and a
// sign when a call returns. NaN in the first for a term that is none.
constexpr int kDigits = 66, kDigitBits = 32, kLeastExponent = -1074;

// Powers of two that all parts of one sum share (tfkm/exact.py).
struct Grid {
  const double* sums;  // (d,)
  double weights, count;
};

// What a pass over points writes, beside their labels.
enum class Wanted : int32_t {
  kDistances,           // squared distances
  kDistancesAndSums,    // and the sums, the weights and the inertia
  kSumsAndBounds,       // sums and weights, and what tells the next pass which points it need not look at (bounds.h)
};

// What a pass goes on from. Its arrays have what the pass before left there, over the same points, with the same grid and weights.
enum class Before : int32_t {
  kNothing,  // nothing: sums and weights are 0
  kLabels,   // labels, sums and weights: sums are exact, so only the points whose label has changed are added
  kBounds,   // these and bounds: points whose bounds tell their label are not looked at
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

  int32_t* labels;       // out (n,)
  void* sq_distances;    // out for distances: (n,) of the type computed in; NaN where not finite or the squared norm overflows
  Words high, low;       // out for sums
  double* inertia;       // out for distances and sums: (kDigits,), added to what is there
  int64_t* changed;      // out if there was a pass before: how many labels are others now; it is 0 when the call begins

  void* margins;           // out for bounds: (n,) of the type computed in
  double* spent;           // out for bounds: (k,), 0 when the first pass begins
  const void* moved_from;  // read if the pass before left bounds: (k, d), its centroids

  bool measures() const { return wanted != Wanted::kSumsAndBounds; }  // distances
  bool sums() const { return wanted != Wanted::kDistances; }
  bool bounds() const { return wanted == Wanted::kSumsAndBounds; }
  bool goes_on() const { return before != Before::kNothing; }
};

// 0, or 1 if memory for the scratch (O(k·d) for each worker) could not be had.
TFKM_API int accumulate(const Job& job, const ParallelFor& parallel_for);

// Many jobs of one size, on arrays that they share, with the results that each has alone (batch.cc).
// tfkm/ops/native.py has this struct by ctypes.
struct Batch {
  int64_t count, n, k, d;
  Points points;             // (P, n, d)
  int64_t next;              // bytes from one set of n points to the next
  const void* centroids;     // (C, k, d)
  bool wide;
  Wanted wanted;
  Before before;
  const double* weights;     // (W, n) or null for ones
  const double *grid_sums, *grid;  // (count, d), (count, 2): weights, count
  const int64_t* problems;   // (count, 3): which points, centroids and weights are a job's own
  const int64_t* rows;       // (count,) how many of its points count, or null for n

  int32_t* labels;       // out (count, n), −1 for points that do not count
  void* sq_distances;    // out (count, n), 0 there
  Words high, low;       // (count, k, d), (count, k)
  double* inertia;       // (count, kDigits)
  int64_t* changed;      // (count,)

  void* margins;         // (count, n)
  double* spent;         // (count, k)
  const void* moved_from;  // (count, k, d)
};
TFKM_API int accumulate(const Batch& batch, const ParallelFor& parallel_for);

// How far Lloyd's iteration may go on by itself.
struct Passes {
  const double* thresholds;  // (count,) of Σ‖shift‖²
  const int64_t* most;       // (count,) passes, 1 at least
  void* centroids;           // out (count, k, d), of each job's last pass; behind them scratch of the same size
  int64_t* done;             // out (count,)
  void* sq_distances;        // (count, n) scratch
};

// Iterates: passes of each job, each from the means of the one before, until one leaves something to decide. That is a cluster
// without weight, labels that are those of the pass before, or a shift not clearly above its threshold. What the last pass has
// left is in `first`, which wants sums and bounds, with its own centroids for each job. Its `changed` is written in any case: after
// a first pass from nothing it is n. A job that ends with the labels of the pass before gets its inertia, too.
int iterate(const Batch& first, const Passes& passes, const ParallelFor& parallel_for);

// Greedy k-means++ (seed.h).
constexpr int kMostTrials = 64;
struct Seeding {
  int64_t n, k, d;
  Points points;          // (n, d)
  bool wide;              // compute in double
  const double* weights;  // (n,) or null for ones
  // Null, or (n,) of the type computed in: squared distances to the nearest of the centroids that are there already. Then all
  // k are drawn around these, else k − 1 around `first`.
  const void* sq_distances;
  int64_t first;          // the first point
  int trials;             // candidates in a round, kMostTrials at most
  const double* uniforms;  // (k or k − 1, trials) in [0, 1)
  int64_t* chosen;         // out (k,) indices of points; −1 from where on every point coincides with a chosen one
};

// As accumulate; scratch is O(n) numbers.
int seed(const Seeding& seeding, const ParallelFor& parallel_for);
int seed(const Seeding* seedings, int64_t count, const ParallelFor& parallel_for);  // of one size

// Squared distances of all points to all centroids, in the direct form: out (n, k) of the type computed in. A row that is not
// finite has NaN or infinity there.
struct Distances {
  int64_t n, k, d;
  Points points;
  const void* centroids;  // (k, d)
  bool wide;
  void* out;
};
TFKM_API int distances(const Distances& call, const ParallelFor& parallel_for);

// The largest magnitude of each feature, NaN where a value is: out (d,).
struct Magnitudes {
  int64_t n, d;
  Points points;
  double* out;
};
int magnitudes(const Magnitudes& call, const ParallelFor& parallel_for);

// The instruction set in use: "base", "avx2", "avx512" or "avx512bf16". TFKM_ISA in the environment forces one that
// the processor has; it is read once.
const char* instruction_set();

// An instruction set, in files compiled for it. usable: whether the processor has it. Its functions throw std::bad_alloc.
struct Level {
  const char* name;
  void (*accumulate)(const Job&, const ParallelFor&);
  void (*seed)(const Seeding&, const ParallelFor&);
  void (*distances)(const Distances&, const ParallelFor&);
  void (*magnitudes)(const Magnitudes&, const ParallelFor&);
  bool usable;
};
const Level* levels();  // the best first, behind the last one without a name
int accumulate(const Job& job, const ParallelFor& parallel_for, const Level& level);

}  // namespace tfkm
