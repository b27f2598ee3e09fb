// The functions that tfkm/ops/native_library.py calls by ctypes: work on arrays where they lie,
// without TensorFlow.
//
// Each returns null, or what is wrong with its arguments: an array that is not aligned to its
// dtype, a size that cannot be. It cannot know how long arrays are; the caller sees to that.
#include <initializer_list>
#include <new>
#include <thread>

#include "core.h"
#include "pool.h"

namespace tfkm {

// Python's own functions, by which a call hears of Ctrl-C. The last three keep what a handler has
// raised.
struct Signals {
  int (*ensure)();  // PyGILState_Ensure, PyGILState_Release, PyErr_CheckSignals, PyErr_Fetch
  void (*release)(int);
  int (*check)();
  void (*fetch)(void**, void**, void**);
  void *type, *value, *traceback;
};

}  // namespace tfkm

namespace {

constexpr const char *kNoMemory = "no memory", *kInterrupted = "interrupted";

bool asks(void* arg) {
  auto& signals = *static_cast<tfkm::Signals*>(arg);
  int state = signals.ensure();
  bool raised = signals.check() != 0;
  if (raised) signals.fetch(&signals.type, &signals.value, &signals.traceback);
  signals.release(state);
  return raised;
}

int wanted(int threads) {
  static const int all = int(std::thread::hardware_concurrency());  // which asks the system, 6 µs
  return threads > 0 ? threads : all;
}

template <class Call>
const char* run(int threads, tfkm::Signals* signals, const Call& call) {
  tfkm::Pool pool(wanted(threads), {signals ? asks : nullptr, signals});
  try {
    return call(pool.parallel_for()) ? kNoMemory : nullptr;
  } catch (const tfkm::Interrupted&) {
    return kInterrupted;
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  }
}

bool aligned(const void* pointer, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % uintptr_t(bytes) == 0;
}

// Checks points, which all calls have.
template <class Call>
const char* wrong_points(const Call& call) {
  if (uint32_t(call.points.dtype) > uint32_t(tfkm::Dtype::kUint8))
    return "dtype: none that is known";
  if (call.n < 0 || call.d < 1) return "n, d: too small";
  if (call.n && !call.points.data) return "points: null";
  return nullptr;
}

// Checks centroids.
const char* wrong_centroids(int64_t k, const void* centroids, tfkm::Dtype dtype, bool wide) {
  if (k < 1 || k > INT32_MAX) return "k: not from 1 to what an int32 label can name";
  if (!centroids || !aligned(centroids, wide ? 8 : 4))
    return "centroids: null, or not aligned to their dtype";
  if (!wide && dtype == tfkm::Dtype::kFloat64) return "centroids: need float64 for float64 points";
  return nullptr;
}

const char* wrong_sums(const tfkm::Batch& batch) {
  if (!batch.grid_sums || !batch.grid || !batch.inertia) return "grid, inertia: some are null";
  for (const tfkm::Words& words : {batch.high, batch.low})
    if (!words.sums || !words.weights) return "sums: some are null";
  for (const void* numbers : std::initializer_list<const void*>{
           batch.weights, batch.grid_sums, batch.grid, batch.high.sums, batch.inertia})
    if (!aligned(numbers, 8)) return "weights, grid, sums: not aligned to float64";
  return nullptr;
}

// Checks that the arrays are there which the two modes need.
const char* wrong_modes(const tfkm::Batch& batch) {
  using tfkm::Before;
  using tfkm::Wanted;
  if (uint32_t(batch.wanted) > uint32_t(Wanted::kLabels)) return "wanted: nothing that is known";
  if (uint32_t(batch.before) > uint32_t(Before::kBounds)) return "before: nothing that is known";
  const bool bounds = batch.wanted == Wanted::kSumsAndBounds;
  const bool sums = bounds || batch.wanted == Wanted::kDistancesAndSums;
  if (!sums && batch.before != Before::kNothing) return "before: a pass without sums has none";
  if (batch.before == Before::kBounds && !bounds) return "before: its bounds would be lost";
  if (batch.n == 0 || batch.count == 0) return nullptr;
  const bool measures = !bounds && batch.wanted != Wanted::kLabels;
  if (measures && !batch.sq_distances) return "sq_distances: null";
  if (bounds && (!batch.margins || !batch.spent)) return "margins, spent: null";
  if (batch.before != Before::kNothing && !batch.changed) return "changed: null";
  if (batch.before == Before::kBounds && !batch.moved_from) return "moved_from: null";
  return sums ? wrong_sums(batch) : nullptr;
}

const char* wrong(const tfkm::Batch& batch) {
  if (const char* why = wrong_points(batch)) return why;
  if (const char* why = wrong_centroids(batch.k, batch.centroids, batch.points.dtype, batch.wide))
    return why;
  if (batch.count < 0) return "count: negative";
  if (batch.count && !batch.problems) return "problems: null";
  if (batch.count && batch.n && !batch.labels) return "labels: null";
  return wrong_modes(batch);
}

const char* wrong(const tfkm::Seeding& seeding) {
  if (const char* why = wrong_points(seeding)) return why;
  if (seeding.k < 1 || seeding.trials < 1 || seeding.trials > tfkm::kMostTrials)
    return "k, trials: out of range";
  if (!seeding.wide && seeding.points.dtype == tfkm::Dtype::kFloat64)
    return "wide: needed for float64 points";
  if (!seeding.sq_distances && (seeding.first < 0 || seeding.first >= seeding.n))
    return "first: no such point";
  if (!seeding.uniforms || !seeding.chosen) return "uniforms, chosen: null";
  return nullptr;
}

}  // namespace

#define TFKM_EXPORT extern "C" __attribute__((visibility("default")))

// Writes what tells a build from one of other sources: out (6,).
TFKM_EXPORT void tfkm_abi(int64_t* out) {
  out[0] = tfkm::kAbi, out[1] = sizeof(tfkm::Batch), out[2] = sizeof(tfkm::Seeding),
  out[3] = sizeof(tfkm::Distances);
  out[4] = sizeof(tfkm::Magnitudes), out[5] = sizeof(tfkm::Passes);
}

TFKM_EXPORT const char* tfkm_instruction_set() { return tfkm::instruction_set(); }

// Returns the name of an instruction set that this processor has: number `index`, the best being 0.
// Returns null behind the last.
TFKM_EXPORT const char* tfkm_usable_instruction_set(int index) {
  for (const tfkm::Level* level = tfkm::levels(); level->name; ++level)
    if (level->usable && index-- == 0) return level->name;
  return nullptr;
}

TFKM_EXPORT const char* tfkm_accumulate(const tfkm::Batch* batch, int threads,
                                        tfkm::Signals* signals) {
  if (const char* why = wrong(*batch)) return why;
  return run(threads, signals, [&](const tfkm::ParallelFor& parallel_for) {
    return tfkm::accumulate(*batch, parallel_for);
  });
}

TFKM_EXPORT const char* tfkm_iterate(const tfkm::Batch* first, const tfkm::Passes* passes,
                                     int threads, tfkm::Signals* signals) {
  if (const char* why = wrong(*first)) return why;
  if (!passes->thresholds || !passes->most || !passes->centroids || !passes->done ||
      !passes->sq_distances || !first->changed)
    return "passes: some are null";
  if (first->wanted != tfkm::Wanted::kSumsAndBounds) return "wanted: passes need bounds";
  return run(threads, signals, [&](const tfkm::ParallelFor& parallel_for) {
    return tfkm::iterate(*first, *passes, parallel_for);
  });
}

TFKM_EXPORT const char* tfkm_seed(const tfkm::Seeding* seedings, int64_t count, int threads,
                                  tfkm::Signals* signals) {
  for (int64_t i = 0; i < count; ++i)
    if (const char* why = wrong(seedings[i])) return why;
  return run(threads, signals, [&](const tfkm::ParallelFor& parallel_for) {
    return tfkm::seed(seedings, count, parallel_for);
  });
}

TFKM_EXPORT const char* tfkm_distances(const tfkm::Distances* call, int threads,
                                       tfkm::Signals* signals) {
  if (const char* why = wrong_points(*call)) return why;
  if (const char* why = wrong_centroids(call->k, call->centroids, call->points.dtype, call->wide))
    return why;
  if (call->n && !call->out) return "out: null";
  return run(threads, signals, [&](const tfkm::ParallelFor& parallel_for) {
    return tfkm::distances(*call, parallel_for);
  });
}

TFKM_EXPORT const char* tfkm_magnitudes(const tfkm::Magnitudes* call, int threads,
                                        tfkm::Signals* signals) {
  if (const char* why = wrong_points(*call)) return why;
  if (!call->out) return "out: null";
  return run(threads, signals, [&](const tfkm::ParallelFor& parallel_for) {
    return tfkm::magnitudes(*call, parallel_for);
  });
}
