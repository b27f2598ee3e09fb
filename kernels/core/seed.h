// Greedy k-means++ (Arthur & Vassilvitskii 2007, §5): rounds of candidates drawn in proportion to weight · D²,
// D the distance to the nearest point chosen so far; the one that lowers the sum of those most is taken.
//
// All candidates of a round are tried in one pass, by the dots of dots.h. They only give a lower bound of a distance;
// where that is below the point's D², the distance is worked out in the direct form. Late rounds
// improve few points, so the pass is all they cost. The sum (the potential) is one of whole multiples of a step, so
// exact, and what is chosen depends neither on threads nor on the instruction set.
#pragma once

#include <cmath>
#include <new>

#include "dots.h"
#include "parts.h"

namespace {

using tfkm::Seeding;

template <class S, class T>
class Potential {
  static constexpr int kLanes = Group<T>::kLanes, kBlock = 64, kBlocks = 16;  // rows; blocks in a part

 public:
  Potential(const Seeding& seeding, int workers, Arena& arena)
      : seeding_(seeding), points_(static_cast<const S*>(seeding.points)), workers_(workers),
        blocks_((seeding.n + kBlock - 1) / kBlock) {
    nearest_ = arena.take<T>(seeding.n);
    totals_ = arena.take<double>(blocks_);
    ends_ = arena.take<double>(blocks_);
    touched_ = arena.take<uint64_t>(blocks_);
    candidates_ = arena.take<T>(kLanes * seeding.d);
    row_ = arena.take<T>(round_up(seeding.d, 8));
    gains_ = arena.take<double>(workers * tfkm::kMostTrials);
    arena_start_ = arena.take<char>(scratch(arena));
  }

  double total() const { return total_; }

  // Makes a point one of the chosen. `trial` is its number in the last round; −1 for the first point.
  void add(int64_t index, int trial, const ParallelFor& parallel_for) {
    for (int64_t j = 0; j < round_up(seeding_.d, 8); ++j) row_[j] = j < seeding_.d ? T(row(index)[j]) : T(0);
    in_parts(parallel_for, blocks_, kBlocks, [&](int64_t first, int64_t last, int) {
      for (int64_t b = first; b < last; ++b) {
        if (trial >= 0 && !(touched_[b] >> trial & 1)) continue;
        for (int64_t i = b * kBlock; i < end(b); ++i) {
          T distance = T(sq_distance(row(i), row_, seeding_.d));
          if (trial < 0 || distance < nearest_[i]) nearest_[i] = distance;
        }
        if (trial >= 0) totals_[b] = sum(b);
      }
    });
    if (trial < 0) {
      step_ = 0;
      refine(parallel_for);
    } else {
      total_ = 0;
      for (int64_t b = 0; b < blocks_; ++b) total_ += totals_[b];
      if (total_ < 0x1p48 * step_) refine(parallel_for);
    }
  }

  // The point at which the sum, in the order of the points, passes share · total.
  int64_t at(double share) const {
    double target = share * total_;
    int64_t low = 0, high = blocks_ - 1;
    while (low < high) {
      int64_t middle = (low + high) / 2;
      if (ends_[middle] > target) high = middle; else low = middle + 1;
    }
    double sum = ends_[low] - totals_[low];
    int64_t last = low * kBlock;
    for (int64_t i = low * kBlock; i < end(low); ++i) {
      double cost = rounded(i, nearest_[i]);
      if (cost > 0) last = i;
      if ((sum += cost) > target) return i;
    }
    return last;  // share · total was rounded up to the end
  }

  // What each candidate would take from the total.
  void gains(const int64_t* candidates, int count, double* out, const ParallelFor& parallel_for) {
    for (int64_t b = 0; b < blocks_; ++b) touched_[b] = 0;
    for (int64_t i = 0; i < workers_ * tfkm::kMostTrials; ++i) gains_[i] = 0;
    for (int first = 0; first < count; first += kLanes)
      try_some(candidates + first, count - first < kLanes ? count - first : kLanes, first, parallel_for);
    for (int c = 0; c < count; ++c) {
      out[c] = 0;
      for (int w = 0; w < workers_; ++w) out[c] += gains_[w * tfkm::kMostTrials + c];
    }
  }

  void prepare_draws() {
    double sum = 0;
    for (int64_t b = 0; b < blocks_; ++b) ends_[b] = sum += totals_[b];
  }

 private:
  const S* row(int64_t i) const { return points_ + i * seeding_.stride; }
  int64_t end(int64_t b) const { return (b + 1) * kBlock < seeding_.n ? (b + 1) * kBlock : seeding_.n; }
  double cost(int64_t i, T nearest) const {
    return seeding_.weights ? seeding_.weights[i] * double(nearest) : double(nearest);
  }
  double rounded(int64_t i, T nearest) const { return (cost(i, nearest) + shift_) - shift_; }
  double sum(int64_t b) const {
    double sum = 0;
    for (int64_t i = b * kBlock; i < end(b); ++i) sum += rounded(i, nearest_[i]);
    return sum;
  }

  // A step of which the total is between 2⁴⁹ and 2⁵¹, a power of two found in an order that no thread changes.
  void refine(const ParallelFor& parallel_for) {
    shift_ = 0;
    for (int pass = 0; pass < 2; ++pass) {
      in_parts(parallel_for, blocks_, kBlocks, [&](int64_t first, int64_t last, int) {
        for (int64_t b = first; b < last; ++b) totals_[b] = sum(b);
      });
      total_ = 0;
      for (int64_t b = 0; b < blocks_; ++b) total_ += totals_[b];
      if (pass == 0 && total_ > 0) step_ = std::ldexp(1.0, std::ilogb(total_) - 50), shift_ = 0x1.8p52 * step_;
    }
  }

  Job job(int count) const {
    Job job{};
    job.n = kBlock, job.k = count, job.d = seeding_.d;
    return job;
  }
  // A frame, and what one worker needs to screen a block.
  struct Scratch {
    Group<T> group;
    Lanes<T> lanes;
    explicit Scratch(Arena& arena) : group(kBlock, 0, arena), lanes(kBlock, arena) {}
  };
  int64_t scratch(Arena&) const {
    Arena measured;
    Frame<T>(job(kLanes), kDotsRule, measured);
    for (int w = 0; w < workers_; ++w) Scratch{measured};
    return measured.used();
  }

  void try_some(const int64_t* candidates, int count, int number, const ParallelFor& parallel_for) {
    int64_t d = seeding_.d;
    for (int c = 0; c < count; ++c)
      for (int64_t j = 0; j < d; ++j) candidates_[c * d + j] = T(row(candidates[c])[j]);
    Arena arena(arena_start_);
    Frame<T> frame(job(count), kDotsRule, arena);
    frame.pack(candidates_, parallel_for);
    char* scratches = arena_start_ + arena.used();
    int64_t each = [&] {
      Arena measured;
      Scratch{measured};
      return measured.used();
    }();
    in_parts(parallel_for, blocks_, kBlocks, [&](int64_t first, int64_t last, int worker) {
      Arena own(scratches + worker * each);
      Scratch scratch(own);
      for (int64_t b = first; b < last; ++b) {
        int64_t begin = b * kBlock, rows = end(b) - begin;
        screen_dots<S, T>(row(begin), seeding_.stride, rows, frame, d, scratch.lanes, scratch.group);
        for (int64_t i = 0; i < rows; ++i)
          try_row(begin + i, frame, scratch.lanes.best + i * kLanes, scratch.group.sq_norms[i], count, number, b,
                  gains_ + worker * tfkm::kMostTrials + number);
      }
    });
  }

  void try_row(int64_t i, const Frame<T>& frame, const T* values, T sq_norm, int count, int number, int64_t b,
               double* gains) {
    T nearest = nearest_[i], enough = nearest - sq_norm + frame.square_margin(sq_norm);
    unsigned near = lanes_below(load<typename Simd<T>::Vector>(values), enough) & ((1u << count) - 1);
    for (; near; near &= near - 1) {
      int c = __builtin_ctz(near);
      T distance = T(sq_distance(row(i), frame.rows + c * frame.padded_d, seeding_.d));
      if (!(distance < nearest)) continue;
      gains[c] += rounded(i, nearest) - rounded(i, distance);
      touched_[b] |= uint64_t(1) << (number + c);
    }
  }

  const Seeding& seeding_;
  const S* points_;
  int workers_;
  int64_t blocks_;
  double total_ = 0, step_ = 0, shift_ = 0;
  T *nearest_, *candidates_, *row_;  // (n,) squared distances, (lanes, d), (d,)
  double *totals_, *ends_, *gains_;  // (blocks,), (blocks,) running, (workers, kMostTrials)
  uint64_t* touched_;                // (blocks,) one bit for each trial that improved a point of the block
  char* arena_start_;
};

template <class S, class T>
int choose(const Seeding& seeding, const ParallelFor& parallel_for) {
  Arena arena;
  { Potential<S, T>(seeding, parallel_for.workers, arena); }
  if (!arena.allocate()) return 1;
  Potential<S, T> potential(seeding, parallel_for.workers, arena);
  for (int64_t i = 0; i < seeding.k; ++i) seeding.chosen[i] = i ? -1 : seeding.first;
  potential.add(seeding.first, -1, parallel_for);
  const double* uniforms = seeding.uniforms;
  for (int64_t i = 1; i < seeding.k && potential.total() > 0; ++i, uniforms += seeding.trials) {
    int64_t candidates[tfkm::kMostTrials];
    double gains[tfkm::kMostTrials];
    potential.prepare_draws();
    for (int c = 0; c < seeding.trials; ++c) candidates[c] = potential.at(uniforms[c]);
    potential.gains(candidates, seeding.trials, gains, parallel_for);
    int best = 0;
    for (int c = 1; c < seeding.trials; ++c)
      if (gains[c] > gains[best]) best = c;
    seeding.chosen[i] = candidates[best];
    potential.add(candidates[best], best, parallel_for);
  }
  return 0;
}

int seed_here(const Seeding& seeding, const ParallelFor& parallel_for) {
  return with_types(seeding.dtype, seeding.wide, [&](auto s, auto t) {
    return choose<decltype(s), decltype(t)>(seeding, parallel_for);
  });
}

}  // namespace
