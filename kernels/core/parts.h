// Work in parts, and a function for the types at hand.
#pragma once

#include "core.h"
#include "direct.h"
#include "subnormals.h"

namespace {

using tfkm::ParallelFor;

// Runs task(first, last, worker) over parts of 0 … count − 1, `step` or fewer at a time.
template <class Task>
void in_parts(const ParallelFor& parallel_for, int64_t count, int64_t step, const Task& task) {
  struct Context {
    const Task& task;
    int64_t count, step;
  } context{task, count, step};
  parallel_for.run(
      parallel_for.pool, (count + step - 1) / step,
      [](void* arg, int64_t part, int worker) {
        Subnormals as_they_are;
        const auto& c = *static_cast<const Context*>(arg);
        int64_t first = part * c.step, last = first + c.step;
        c.task(first, last < c.count ? last : c.count, worker);
      },
      &context);
}

// task(S(), T()) of points stored as S and computed in T.
template <class Task>
int with_types(tfkm::Dtype dtype, bool wide, const Task& task) {
  using tfkm::Dtype;
  switch (dtype) {
    case Dtype::kFloat64: return task(double(), double());
    case Dtype::kFloat32: return wide ? task(float(), double()) : task(float(), float());
    case Dtype::kFloat16: return wide ? task(Float16(), double()) : task(Float16(), float());
    case Dtype::kBfloat16: return wide ? task(Bfloat16(), double()) : task(Bfloat16(), float());
    case Dtype::kInt8: return wide ? task(int8_t(), double()) : task(int8_t(), float());
    case Dtype::kUint8: return wide ? task(uint8_t(), double()) : task(uint8_t(), float());
  }
  return 1;
}

}  // namespace
