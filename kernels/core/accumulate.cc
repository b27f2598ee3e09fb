// The fused kernel. Compiled once for each instruction set.
//
// A screen in the type computed in gives the least and the second least value of each point. Where
// these are nearer to each other than rounding allows to tell (docs/design/exactness.md), the
// direct form in double decides. So labels and distances have the same bits for every instruction
// set and form, and sums for every order of addition.
#include <algorithm>
#include <deque>

#include "core.h"
#include "parts.h"
#include "worker.h"

namespace {

// Puts neighbouring centroids beside each other if a sample of the points, spread over all, says
// that it pays.
//
// Of image patches with d = 192 and k = 1024 a ninth of the tiles are to be looked at again instead
// of three fifths (simulated on 1000 patches). So bfloat16 stays, and an assignment of (131072,
// 1024, 192) takes 70 ms instead of 111. On noise it does not pay. Centring each tile on its own as
// well would leave a twentieth (simulated), and cost a product in float32 of each point with each
// tile.
template <class T>
void order_if_worthwhile(const Job& job, Frame<T>& frame, const ParallelFor& parallel_for) {
  constexpr int64_t kPoints = 2 * kPairBlock;
  constexpr double kWorthOrdering = 0.05;
  if (frame.rule.ordered)
    return frame.pack_in_order(static_cast<const T*>(job.centroids), parallel_for);
  if (frame.rule.form != Form::kBfloat16 || job.n < 32 * kPoints || frame.tiles < 8) return;
  int64_t step = job.n / kPoints;
  Source<T> source(job.points, job.d);
  Arena arena;
  Screen<T> screen(frame, kPoints, arena);
  T* scratch;
  arena.take(&scratch, source.scratch(kPoints));
  arena.allocate();
  for (int64_t row = 0; row < kPoints; row += screen.rows()) {
    int64_t count = std::min(screen.rows(), kPoints - row);
    screen.run(source.rows(row * step, count, scratch, step), count);
  }
  if (screen.again() > kWorthOrdering)
    frame.pack_in_order(static_cast<const T*>(job.centroids), parallel_for);
}

template <class T>
void run(const Job& job, const ParallelFor& parallel_for) {
  constexpr int kLanes = Simd<T>::kLanes;
  Arena for_bounds;
  Bounds<T> bounds(job, for_bounds);
  for_bounds.allocate();
  bounds.move(parallel_for);
  Job moved = job;
  moved.k = bounds.moved() ? bounds.moved() : 1;
  Rule rule = rule_for<T>(job.d, job.k, kLanes), moved_rule = rule_for<T>(job.d, moved.k, kLanes);
  // Sifts by the centroids that have moved, where that is much less work or of half the cost.
  bool sifts = bounds.moved() && (2 * moved.k <= job.k || moved_rule.form == Form::kBfloat16);

  // Parts are small enough to be shared evenly, and long enough for one to fetch ahead.
  Arena arena;
  Frame<T> frame(job, rule, arena), moved_frame(moved, moved_rule, arena);
  int64_t rows = Screen<T>::group_rows(frame, job.n), groups = (job.n + rows - 1) / rows;
  rows *= std::clamp<int64_t>(groups / (16 * parallel_for.workers), 1, 16);
  int workers = int(std::min<int64_t>(parallel_for.workers, (job.n + rows - 1) / rows));
  std::deque<Worker<T>> all;  // which moves none of them
  for (int w = 0; w < workers; ++w)
    all.emplace_back(job, frame, bounds, sifts ? &moved_frame : nullptr, parallel_for, w, arena);
  arena.allocate();

  if (sifts) moved_frame.pack(bounds.moved_centroids(), parallel_for);
  frame.pack(static_cast<const T*>(job.centroids), parallel_for);
  order_if_worthwhile(job, frame, parallel_for);
  in_parts(parallel_for, job.n, rows,
           [&](int64_t first, int64_t last, int worker) { all[worker].rows(first, last); });
  if (job.sums())
    in_parts(parallel_for, job.k, 1 + (1 << 16) / job.d, [&](int64_t first, int64_t last, int) {
      for (int w = 0; w < workers; ++w)
        if (all[w].sums().started()) all[w].sums().merge(first, last);
    });
  for (int w = 0; job.goes_on() && w < workers; ++w) *job.changed += all[w].changed();
}

}  // namespace

namespace tfkm::TFKM_LEVEL {
void accumulate(const Job& job, const ParallelFor& parallel_for) {
  job.wide ? run<double>(job, parallel_for) : run<float>(job, parallel_for);
}
}  // namespace tfkm::TFKM_LEVEL
