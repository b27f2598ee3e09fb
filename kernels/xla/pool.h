// XLA's own threads as a ParallelFor, for one call of a handler.
#pragma once

#include "core.h"
#include "ffi_abi.h"

namespace tfkm {

class XlaPool {
 public:
  XlaPool(const XLA_FFI_Api* api, XLA_FFI_ExecutionContext* context);
  // As many workers as the pool has threads, the calling one among them.
  ParallelFor parallel_for() { return {run, this, workers_}; }

 private:
  static void run(void* pool, int64_t count, void (*task)(void* arg, int64_t index, int worker),
                  void* arg);
  bool schedule(void (*task)(void* data), void* data) const;

  const XLA_FFI_Api* api_;
  XLA_FFI_ExecutionContext* context_;
  int workers_ = 1;
};

}  // namespace tfkm
