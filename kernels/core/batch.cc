// Many jobs in one call. How they share the threads depends on their sizes and shows in no result.
//
// Jobs of the same points that take turns with parts of them, so that these stay in cache, were as fast as one
// job after the other with parts of 4 MB, and slower with less, at k·d from 32 to 7840 (2 Zen 5 cores).
#include <atomic>

#include "core.h"

namespace tfkm {
namespace {

// Multiplications. To share out a job is no gain below the first: (4096, 64, 64) three times took 0.96 ms by
// all threads, 0.62 ms as a task each; nor to wake any thread for all jobs below the second.
constexpr int64_t kSmall = 1 << 24, kTooFew = 1 << 18;
constexpr int64_t kMany = 8;  // jobs for each thread: that some threads have one job less than others matters little

void run_alone(void*, int64_t count, void (*task)(void*, int64_t, int), void* arg) {
  for (int64_t i = 0; i < count; ++i) task(arg, i, 0);
}
constexpr ParallelFor kAlone{run_alone, nullptr, 1};

// Each job by one thread.
int by_one(const Jobs& jobs, const ParallelFor& parallel_for) {
  struct Context {
    const Jobs& jobs;
    std::atomic<int> failed;
  } context{jobs, {0}};
  parallel_for.run(
      parallel_for.pool, jobs.count,
      [](void* arg, int64_t index, int) {
        auto& c = *static_cast<Context*>(arg);
        if (accumulate(c.jobs.get(c.jobs.arg, index), kAlone)) c.failed = 1;
      },
      &context);
  return context.failed;
}

// One job after the other, each by all threads.
int by_all(const Jobs& jobs, const ParallelFor& parallel_for) {
  for (int64_t i = 0; i < jobs.count; ++i)
    if (accumulate(jobs.get(jobs.arg, i), parallel_for)) return 1;
  return 0;
}

}  // namespace

int accumulate(const Jobs& jobs, const ParallelFor& parallel_for) {
  double size = double(jobs.most_n) * double(jobs.k) * double(jobs.d);
  if (size * double(jobs.count) < kTooFew) return by_one(jobs, kAlone);
  if (size < kSmall || jobs.count >= kMany * parallel_for.workers) return by_one(jobs, parallel_for);
  return by_all(jobs, parallel_for);
}

}  // namespace tfkm
