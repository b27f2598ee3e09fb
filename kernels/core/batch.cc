// Many jobs in one call. Their sizes decide how they share the threads; no result shows it.
//
// Jobs of the same points could take turns with parts of them, so that these stay in cache. That
// was as fast as one job after the other with parts of 4 MB, and slower with less, at k·d from 32
// to 7840 (2 Zen 5 cores).
#include <algorithm>
#include <atomic>
#include <cstring>

#include "core.h"
#include "isa/subnormals.h"

namespace tfkm {
namespace {

// Sizes of jobs, in multiplications. Below kSmall it does not pay to share out a job: (4096, 64,
// 64) three times took 0.96 ms by all threads, 0.62 ms as a task each. Below kTooFew, for all jobs
// together, it does not pay to wake any thread: (1797, 10, 64) in double takes 60 µs by two threads
// and 83 by one, but milliseconds where the other thread has to wait for a processor. Above kLong a
// job is always shared out: who waits for it may want to end it.
constexpr double kSmall = 1 << 24, kTooFew = 1 << 21, kLong = 1 << 30;
// With so many jobs for each thread it matters little that some threads have one less.
constexpr int64_t kMany = 8;

void run_alone(void*, int64_t count, void (*task)(void*, int64_t, int), void* arg) {
  for (int64_t i = 0; i < count; ++i) task(arg, i, 0);
}
constexpr ParallelFor kAlone{run_alone, nullptr, 1};

// Calls job(index, threads) for each job of `size` multiplications: by one thread each, or one
// after the other by all threads.
template <class Job>
int each(int64_t count, double size, const ParallelFor& parallel_for, const Job& job) {
  const ParallelFor& threads = size * double(count) < kTooFew ? kAlone : parallel_for;
  if (count == 1 || size >= kLong || (size >= kSmall && count < kMany * parallel_for.workers)) {
    for (int64_t i = 0; i < count; ++i)
      if (job(i, threads)) return 1;
    return 0;
  }
  struct Context {
    const Job& job;
    std::atomic<int> failed;
  } context{job, {0}};
  threads.run(threads.pool, count, [](void* arg, int64_t index, int) {
    auto& c = *static_cast<Context*>(arg);
    if (c.job(index, kAlone)) c.failed = 1;
  }, &context);
  if (threads.stopped && threads.stopped(threads.pool)) throw Interrupted{};
  return context.failed;
}

Words words_of(const Batch& all, const Words& words, int64_t index) {
  return {words.sums + index * all.k * all.d, words.weights + index * all.k};
}

Job job_of(const Batch& all, int64_t index) {
  const int64_t* own = all.problems + 3 * index;
  int64_t wide = all.wide ? 8 : 4;
  Job job{};
  job.n = all.rows ? all.rows[index] : all.n, job.k = all.k, job.d = all.d;
  job.points = all.points;
  job.points.data = static_cast<const char*>(all.points.data) + own[0] * all.next;
  job.centroids = static_cast<const char*>(all.centroids) + own[1] * all.k * all.d * wide;
  job.wide = all.wide, job.wanted = all.wanted, job.before = all.before;
  job.labels = all.labels + index * all.n;
  if (job.measures())
    job.sq_distances = static_cast<char*>(all.sq_distances) + index * all.n * wide;
  if (!job.sums()) return job;
  const double* grid = all.grid + 2 * index;
  job.weights = all.weights ? all.weights + own[2] * all.n : nullptr;
  job.grid = {all.grid_sums + index * all.d, grid[0], grid[1]};
  job.high = words_of(all, all.high, index), job.low = words_of(all, all.low, index);
  job.inertia = all.inertia + index * kDigits;
  job.changed = all.changed ? all.changed + index : nullptr;
  if (!job.bounds()) return job;
  auto own_part = [&](const void* array, int64_t values) {
    return static_cast<char*>(const_cast<void*>(array)) + index * values * wide;
  };
  job.margins = own_part(all.margins, all.n), job.spent = all.spent + index * all.k;
  if (job.before == Before::kBounds) job.moved_from = own_part(all.moved_from, all.k * all.d);
  return job;
}

// Writes labels and distances of the rows that do not count.
void clear_others(const Batch& all, const Job& job) {
  int64_t others = all.n - job.n, wide = all.wide ? 8 : 4;
  std::fill_n(job.labels + job.n, others, -1);
  if (others && job.measures())
    std::memset(static_cast<char*>(job.sq_distances) + job.n * wide, 0, size_t(others * wide));
}

double size_of(const Batch& all) { return double(all.n) * double(all.k) * double(all.d); }

// Computes the means of what a pass has summed up. Returns false if there is something to decide.
template <class T>
bool move(const Job& job, double threshold, T* means) {
  if (*job.changed == 0) return false;
  const T* from = static_cast<const T*>(job.centroids);
  double shift = 0;
  for (int64_t c = 0, at = 0; c < job.k; ++c) {
    double weight = job.high.weights[c] + job.low.weights[c];
    if (!(weight > 0)) return false;
    for (; at < (c + 1) * job.d; ++at) {
      // The same bits as tfkm/lloyd/update.py.
      means[at] = T((job.high.sums[at] + job.low.sums[at]) / weight);
      double by = double(means[at]) - double(from[at]);
      shift += by * by;
    }
  }
  // Near the threshold the order of this sum might matter, so NumPy is asked. NaN is above nothing.
  return shift > threshold * (1 + 0x1p-20);
}

// Iterates one job. Returns 1 if there was no memory. Leaves the centroids of the last pass in
// `last`; `spare` has room for as many.
template <class T>
int go_on(Job job, double threshold, int64_t most, T* last, T* spare, int64_t* done,
          T* sq_distances, const ParallelFor& parallel_for) {
  Subnormals as_they_are;
  T* const out = last;
  if (!job.goes_on()) *job.changed = job.n;
  for (*done = 1;; ++*done) {
    if (accumulate(job, parallel_for)) return 1;
    if (*done == most || !move(job, threshold, spare)) break;
    job.before = Before::kBounds, job.moved_from = job.centroids, job.centroids = spare;
    std::swap(last, spare);
    *job.changed = 0;
  }
  if (job.centroids != out) std::memcpy(out, job.centroids, size_t(job.k * job.d) * sizeof(T));
  if (*job.changed) return 0;
  job.wanted = Wanted::kDistancesAndSums, job.before = Before::kLabels,
  job.sq_distances = sq_distances;
  std::fill_n(job.inertia, kDigits, 0.0);
  return accumulate(job, parallel_for);
}

}  // namespace

int accumulate(const Batch& all, const ParallelFor& parallel_for) {
  return each(all.count, size_of(all), parallel_for,
              [&](int64_t index, const ParallelFor& threads) {
    Job job = job_of(all, index);
    clear_others(all, job);
    return accumulate(job, threads);
  });
}

int iterate(const Batch& first, const Passes& passes, const ParallelFor& parallel_for) {
  return each(first.count, size_of(first), parallel_for,
              [&](int64_t index, const ParallelFor& threads) {
    Job job = job_of(first, index);
    clear_others(first, job);
    auto of = [&](auto* centroids, auto* distances) {
      auto* last = centroids + index * first.k * first.d;
      return go_on(job, passes.thresholds[index], passes.most[index], last,
                   last + first.count * first.k * first.d, passes.done + index,
                   distances + index * first.n, threads);
    };
    if (first.wide)
      return of(static_cast<double*>(passes.centroids), static_cast<double*>(passes.sq_distances));
    return of(static_cast<float*>(passes.centroids), static_cast<float*>(passes.sq_distances));
  });
}

int seed(const Seeding* seedings, int64_t count, const ParallelFor& parallel_for) {
  if (count == 0) return 0;
  double size = double(seedings->n) * double(seedings->k) * double(seedings->d) * seedings->trials;
  bool small_rounds = size < kTooFew * double(seedings->k);  // each of which would wake the threads
  return each(count, size, parallel_for, [&](int64_t index, const ParallelFor& threads) {
    return seed(seedings[index], small_rounds ? kAlone : threads);
  });
}

}  // namespace tfkm
