// The threads of the package. TensorFlow's C API does not hand out its pool, and without TensorFlow
// there is none.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "core.h"

namespace tfkm {

// Asked on the calling thread: whether the call is to end early.
struct Poll {
  bool (*asks)(void* arg);  // or null
  void* arg;
};

// The threads of one call, at most `workers` and the calling one among them. The call runs on the
// caller alone if another call has the threads, or if it comes from one of them. So calls at the
// same time or within each other do not oversubscribe. Threads start at first use, and anew in a
// forked child.
class TFKM_API Pool {
 public:
  explicit Pool(int workers, Poll poll = {nullptr, nullptr});
  ParallelFor parallel_for() {
    if (!poll_.asks) return {run, this, workers_};
    return {run, this, workers_, stopped, ending};
  }

 private:
  static void run(void* pool, int64_t count, void (*task)(void* arg, int64_t index, int worker),
                  void* arg);
  static bool stopped(void* pool) { return static_cast<Pool*>(pool)->stopped_; }
  static bool ending(void* pool, int worker);
  bool due();

  int workers_;
  Poll poll_;
  std::chrono::steady_clock::time_point last_;
  std::atomic<bool> stopped_{false};
};

}  // namespace tfkm
