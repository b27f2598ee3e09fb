// The fused kernel, once for all instruction sets: included by accumulate_<isa>.cc.
//
// A screen in the type computed in gives the least and the second least value of each point. Points whose two
// least are nearer than the rounding (docs/design.md) are decided by the direct form in double. So labels
// and distances have the same bits for every instruction set and form, and the sums for every order of addition.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "core.h"
#include "parts.h"
#include "worker.h"

namespace {

// Puts neighbouring centroids beside each other where some points, spread over all, say that it pays: of
// image patches with d = 192 and k = 1024 a ninth of the tiles are to be looked at again instead of three fifths (simulated
// on 1000 patches), so bfloat16 stays, and an assignment of (131072, 1024, 192) takes 70 ms instead of 111. On noise it
// does not pay. Centring each tile on its own, beside that, would leave a twentieth (simulated), and take a product in
// float32 of each point with each tile.
template <class T>
int order_if_worthwhile(const Job& job, Frame<T>& frame, const ParallelFor& parallel_for) {
  constexpr int64_t kPoints = 2 * kPairBlock;
  constexpr double kWorthOrdering = 0.05;
  if (frame.rule.ordered) return frame.pack_in_order(static_cast<const T*>(job.centroids), parallel_for), 0;
  if (frame.rule.form != Form::kBfloat16 || job.n < 32 * kPoints || frame.tiles < 8) return 0;
  int64_t step = job.n / kPoints;
  Source<T> source(job.points, job.d);
  Arena arena;
  { Screen<T>(frame, kPoints, arena), arena.take<T>(source.scratch(kPoints)); }
  if (!arena.allocate()) return 1;
  Screen<T> screen(frame, kPoints, arena);
  T* scratch = arena.take<T>(source.scratch(kPoints));
  for (int64_t row = 0; row < kPoints; row += screen.rows()) {
    int64_t count = std::min(screen.rows(), kPoints - row);
    screen.run(source.rows(row * step, count, scratch, step), count);
  }
  if (screen.again() > kWorthOrdering) frame.pack_in_order(static_cast<const T*>(job.centroids), parallel_for);
  return 0;
}

template <class T>
int run(const Job& job, const ParallelFor& parallel_for) {
  using W = Worker<T>;
  constexpr int kLanes = kVectorBytes / sizeof(T);
  Arena for_bounds;
  { Bounds<T>(job, for_bounds); }
  if (!for_bounds.allocate()) return 1;
  Bounds<T> bounds(job, for_bounds);
  bounds.move(parallel_for);
  Job moved = job;
  moved.k = bounds.moved() ? bounds.moved() : 1;
  Rule rule = rule_for<T>(job.d, job.k, kLanes), moved_rule = rule_for<T>(job.d, moved.k, kLanes);
  // A sieve of those that have moved: where that is much less work, or of half the cost.
  bool sifts = bounds.moved() && (2 * moved.k <= job.k || moved_rule.form == Form::kBfloat16);

  Arena arena;
  int workers = parallel_for.workers;
  int64_t rows, parts;
  {  // the same constructors as below, only to measure
    Frame<T> frame(job, rule, arena), moved_frame(moved, moved_rule, arena);
    W worker(job, frame, bounds, sifts ? &moved_frame : nullptr, arena);
    rows = worker.group_rows();
    // Enough parts to share them evenly, and long enough for one to fetch ahead.
    int64_t groups = (job.n + rows - 1) / rows, long_enough = groups / (16 * workers);
    rows *= long_enough < 1 ? 1 : long_enough > 16 ? 16 : long_enough;
    parts = (job.n + rows - 1) / rows;
    if (parts < workers) workers = int(parts);
    for (int w = 1; w < workers; ++w) W(job, frame, bounds, sifts ? &moved_frame : nullptr, arena);
  }
  if (!arena.allocate()) return 1;

  Frame<T> frame(job, rule, arena), moved_frame(moved, moved_rule, arena);
  if (sifts) moved_frame.pack(bounds.moved_centroids(), parallel_for);
  frame.pack(static_cast<const T*>(job.centroids), parallel_for);
  if (order_if_worthwhile(job, frame, parallel_for)) return 1;
  std::unique_ptr<char, void (*)(void*)> memory(static_cast<char*>(std::malloc(workers * sizeof(W) + 1)), std::free);
  if (!memory) return 1;
  W* all = reinterpret_cast<W*>(memory.get());
  for (int w = 0; w < workers; ++w) new (all + w) W(job, frame, bounds, sifts ? &moved_frame : nullptr, arena);

  in_parts(parallel_for, job.n, rows,
           [&](int64_t first, int64_t last, int worker) { all[worker].rows(first, last); });
  if (job.high.sums)
    in_parts(parallel_for, job.k, 1 + (1 << 16) / job.d, [&](int64_t first, int64_t last, int) {
      for (int w = 0; w < workers; ++w)
        if (all[w].sums().started()) all[w].sums().merge(first, last);
    });
  for (int w = 0; job.changed && w < workers; ++w) *job.changed += all[w].changed();
  return 0;
}

int accumulate_here(const Job& job, const ParallelFor& parallel_for) {
  return job.wide ? run<double>(job, parallel_for) : run<float>(job, parallel_for);
}

}  // namespace
