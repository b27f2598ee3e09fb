// Threads of our own: TensorFlow's C API does not hand out its pool, and without TensorFlow there is none.
#pragma once

#include <chrono>
#include <cstdint>

#include "core.h"

namespace tfkm {

// Whether the call is to end early, asked on the calling thread.
struct Poll {
  bool (*asks)(void* arg);  // or null
  void* arg;
};

// One call's use of at most `workers` threads, the calling one among them. While another call has the threads, or in a call
// from one of them, it runs on the caller alone: nested and concurrent use does not oversubscribe. Threads start at first use,
// and anew in a forked child.
class TFKM_API Pool {
 public:
  explicit Pool(int workers, Poll poll = {nullptr, nullptr});
  ParallelFor parallel_for() { return {run, this, workers_, poll_.asks ? stopped : nullptr}; }

 private:
  static void run(void* pool, int64_t count, void (*task)(void* arg, int64_t index, int worker), void* arg);
  static bool stopped(void* pool) { return static_cast<Pool*>(pool)->stopped_; }
  bool due();

  int workers_;
  Poll poll_;
  std::chrono::steady_clock::time_point last_;
  bool stopped_ = false;
};

}  // namespace tfkm
