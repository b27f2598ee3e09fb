// The fused kernel, once for all instruction sets: included by accumulate_<isa>.cc.
//
// Lanes are points: a block of two vectors of points, transposed, against kRows centroids, whose
// values are broadcast. The least and second least stay in registers over a tile; −2 and ‖c‖² are folded
// into the packed centroids and the start of the accumulators. Points whose two least are nearer
// than the rounding (docs/design.md) are decided by the direct form in double. So labels and distances
// have the same bits for every instruction set, and the sums for every order of addition.
#pragma once

#include <cstdlib>
#include <new>

#include "core.h"
#include "worker.h"

namespace {

using tfkm::ParallelFor;

template <class S, class T>
int run(const Job& job, const ParallelFor& parallel_for) {
  using W = Worker<S, T>;
  int64_t rows = W::group_rows(job.d), groups = (job.n + rows - 1) / rows;
  int workers = int(parallel_for.workers < groups ? parallel_for.workers : groups);
  int64_t words = job.high.sums ? job.d + 2 : 0;

  Arena arena;
  {  // the same constructors as below, only to measure
    Frame<T> frame(job, arena);
    Steps* steps = arena.take<Steps>(words);
    for (int w = 0; w < workers; ++w) W(job, frame, steps, arena);
  }
  if (!arena.allocate()) return 1;

  Frame<T> frame(job, arena);
  frame.pack(static_cast<const T*>(job.centroids));
  Steps* steps = arena.take<Steps>(words);
  for (int64_t j = 0; j < words; ++j) {
    const tfkm::Grid& grid = job.grid;
    steps[j] = Steps(j < job.d ? grid.sums[j] : j == job.d ? grid.weights : grid.inertia, grid.count);
  }
  char* memory = static_cast<char*>(std::malloc(workers * sizeof(W) + 1));
  if (!memory) return 1;
  W* all = reinterpret_cast<W*>(memory);
  for (int w = 0; w < workers; ++w) (new (all + w) W(job, frame, steps, arena))->clear();

  struct Context {
    W* all;
    int64_t n, rows;
  } context{all, job.n, rows};
  parallel_for.run(
      parallel_for.pool, groups,
      [](void* arg, int64_t group, int worker) {
        auto& c = *static_cast<Context*>(arg);
        int64_t begin = group * c.rows;
        c.all[worker].rows(begin, begin + c.rows < c.n ? c.rows : c.n - begin);
      },
      &context);
  if (job.high.sums)
    for (int w = 0; w < workers; ++w) all[w].merge();
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
