// Work in parts.
#pragma once

#include "core.h"
#include "isa/subnormals.h"

namespace {

using tfkm::ParallelFor;

// Runs task(first, last, worker) over parts of 0 … count − 1, `step` or fewer at a time. Throws
// Interrupted.
template <class Task>
void in_parts(const ParallelFor& parallel_for, int64_t count, int64_t step, const Task& task) {
  struct Context {
    const Task& task;
    int64_t count, step;
  } context{task, count, step};
  parallel_for.run(parallel_for.pool, (count + step - 1) / step,
                   [](void* arg, int64_t part, int worker) {
    Subnormals as_they_are;
    const auto& c = *static_cast<const Context*>(arg);
    int64_t first = part * c.step, last = first + c.step;
    c.task(first, last < c.count ? last : c.count, worker);
  }, &context);
  if (parallel_for.stopped && parallel_for.stopped(parallel_for.pool)) throw tfkm::Interrupted{};
}

}  // namespace
