// The fused kernel, once for all instruction sets: included by accumulate_<isa>.cc.
//
// A screen in the type computed in gives the least and the second least value of each point. Points whose two
// least are nearer than the rounding (docs/design.md) are decided by the direct form in double. So labels
// and distances have the same bits for every instruction set and form, and the sums for every order of addition.
#pragma once

#include <cstdlib>
#include <new>

#include "core.h"
#include "worker.h"

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
        const auto& c = *static_cast<const Context*>(arg);
        int64_t first = part * c.step, last = first + c.step;
        c.task(first, last < c.count ? last : c.count, worker);
      },
      &context);
}

template <class S, class T>
int run(const Job& job, const ParallelFor& parallel_for) {
  using W = Worker<S, T>;
  Arena arena;
  int workers = parallel_for.workers;
  int64_t rows, parts;
  {  // the same constructors as below, only to measure
    Frame<T> frame(job, arena);
    W worker(job, frame, arena);
    rows = worker.group_rows();
    // Enough parts to share them evenly, and long enough for one to fetch ahead.
    int64_t groups = (job.n + rows - 1) / rows, long_enough = groups / (16 * workers);
    rows *= long_enough < 1 ? 1 : long_enough > 16 ? 16 : long_enough;
    parts = (job.n + rows - 1) / rows;
    if (parts < workers) workers = int(parts);
    for (int w = 1; w < workers; ++w) W(job, frame, arena);
  }
  if (!arena.allocate()) return 1;

  Frame<T> frame(job, arena);
  frame.pack(static_cast<const T*>(job.centroids), parallel_for);
  char* memory = static_cast<char*>(std::malloc(workers * sizeof(W) + 1));
  if (!memory) return 1;
  W* all = reinterpret_cast<W*>(memory);
  for (int w = 0; w < workers; ++w) new (all + w) W(job, frame, arena);

  in_parts(parallel_for, job.n, rows,
           [&](int64_t first, int64_t last, int worker) { all[worker].rows(first, last); });
  if (job.high.sums)
    in_parts(parallel_for, job.k, 1 + (1 << 16) / job.d, [&](int64_t first, int64_t last, int) {
      for (int w = 0; w < workers; ++w)
        if (all[w].sums().started()) all[w].sums().merge(first, last);
    });
  std::free(memory);
  return 0;
}

int accumulate_here(const Job& job, const ParallelFor& parallel_for) {
  using tfkm::Dtype;
  switch (job.dtype) {
    case Dtype::kFloat64: return run<double, double>(job, parallel_for);
    case Dtype::kFloat32:
      return job.wide ? run<float, double>(job, parallel_for) : run<float, float>(job, parallel_for);
    case Dtype::kFloat16:
      return job.wide ? run<Float16, double>(job, parallel_for) : run<Float16, float>(job, parallel_for);
    case Dtype::kBfloat16:
      return job.wide ? run<Bfloat16, double>(job, parallel_for) : run<Bfloat16, float>(job, parallel_for);
    case Dtype::kInt8:
      return job.wide ? run<int8_t, double>(job, parallel_for) : run<int8_t, float>(job, parallel_for);
    case Dtype::kUint8:
      return job.wide ? run<uint8_t, double>(job, parallel_for) : run<uint8_t, float>(job, parallel_for);
  }
  return 1;
}

}  // namespace
