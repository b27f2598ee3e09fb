// Greedy k-means++ (Arthur & Vassilvitskii 2007, §5). In each round candidates are drawn in
// proportion to weight · D², where D is the distance to the nearest point chosen so far. The
// candidate that lowers the sum of those most is chosen.
//
// All candidates of a round are tried in one pass, by products as in dots.h, around the mean of
// some points. Products give a lower bound of a distance. Where it is below the point's D², the
// distance is worked out in the direct form. Late rounds improve few points, so they cost no more
// than the pass. Points of few features are tried as in narrow.h.
//
// The sum (the potential) has terms that are whole multiples of a step, so it is exact. What is
// chosen depends neither on threads nor on the instruction set.
#pragma once

#include <algorithm>
#include <cmath>

#include "dots.h"
#include "narrow.h"
#include "parts.h"
#include "rows.h"

namespace {

using tfkm::Seeding;

template <class T>
class Potential {
  // Rows in a block, and blocks in a part. Blocks of 64 rows were a fifth slower, as `add` looks at
  // all rows of a block.
  static constexpr int kLanes = Group<T>::kLanes, kBlock = Narrow<T>::kRows, kBlocks = 32;

 public:
  // All values are multiplied by `scale`.
  Potential(const Seeding& seeding, double scale, int workers, Arena& arena)
      : seeding_(seeding),
        source_(seeding.points, seeding.d, scale),
        scale_(T(scale)),
        workers_(workers),
        blocks_((seeding.n + kBlock - 1) / kBlock),
        narrow_(seeding.d <= kMostInRegisters) {
    arena.take(&nearest_, blocks_ * kBlock);
    arena.take(&sq_norms_, narrow_ ? 0 : seeding.n);
    arena.take(&offset_, round_up(seeding.d, 32));
    int64_t balls = narrow_ ? round_up(blocks_, kBlocks) : 0;
    arena.take(&centres_, balls * seeding.d);
    arena.take(&radii_, balls);
    arena.take(&limits_, balls);
    arena.take(&totals_, blocks_);
    arena.take(&ends_, blocks_);
    arena.take(&touched_, blocks_);
    arena.take(&candidates_, (narrow_ ? tfkm::kMostTrials : kLanes) * seeding.d);
    arena.take(&row_, round_up(seeding.d, 8));
    arena.take(&gains_, workers * tfkm::kMostTrials);
    arena.take(&widened_, workers * source_.scratch(kBlock));
  }

  double total() const { return total_; }

  // Starts with the centroids that are there already, or with the first point as the first chosen.
  void start(const ParallelFor& parallel_for) {
    const T* known = static_cast<const T*>(seeding_.sq_distances);
    centre();
    if (!known) copy_row(seeding_.first);
    in_parts(parallel_for, blocks_, kBlocks, [&](int64_t first, int64_t last, int worker) {
      for (int64_t b = first; b < last; ++b) {
        Rows<T> points = block(b, worker);
        for (int64_t i = b * kBlock, r = 0; i < end(b); ++i, ++r) {
          nearest_[i] =
              known ? known[i] * scale_ * scale_ : T(sq_distance(points.row(r), row_, seeding_.d));
          if (!narrow_) sq_norms_[i] = T(sq_distance(points.row(r), offset_, seeding_.d));
        }
      }
    });
    for (int64_t i = seeding_.n; i < blocks_ * kBlock; ++i)
      nearest_[i] = -1;  // which nothing is below
    if (narrow_) enclose(parallel_for);
    refine(parallel_for);
  }

  // Chooses candidate `trial` of the last round, which is point `index`.
  void add(int64_t index, int trial, const ParallelFor& parallel_for) {
    copy_row(index);
    in_parts(parallel_for, blocks_, kBlocks, [&](int64_t first, int64_t last, int worker) {
      Narrow<T> narrow(seeding_, shift_, row_, 1);
      for (int64_t b = first; b < last; ++b) {
        if (!(touched_[b] >> trial & 1)) continue;
        Rows<T> points = block(b, worker);
        if (narrow_) {
          narrow.take(points, b * kBlock, end(b), nearest_);
          limits_[b] = narrow.limit(radii_[b], nearest_ + b * kBlock);
        }
        for (int64_t i = b * kBlock, r = 0; i < end(b) && !narrow_; ++i, ++r) {
          T distance = T(sq_distance(points.row(r), row_, seeding_.d));
          if (distance < nearest_[i]) nearest_[i] = distance;
        }
        totals_[b] = sum(b);
      }
    });
    total_ = 0;
    for (int64_t b = 0; b < blocks_; ++b) total_ += totals_[b];
    if (total_ < 0x1p48 * step_) refine(parallel_for);
  }

  // Returns the point at which the sum, in the order of the points, passes share · total.
  int64_t at(double share) const {
    double target = share * total_;
    int64_t low = 0, high = blocks_ - 1;
    while (low < high) {
      int64_t middle = (low + high) / 2;
      if (ends_[middle] > target)
        high = middle;
      else
        low = middle + 1;
    }
    double sum = ends_[low] - totals_[low];
    int64_t last = low * kBlock;
    for (int64_t i = low * kBlock; i < end(low); ++i) {
      double cost = rounded(i, nearest_[i]);
      if (cost > 0) last = i;
      sum += cost;
      if (sum > target) return i;
    }
    return last;  // share · total was rounded up to the end
  }

  // Works out what each candidate would take from the total.
  void gains(const int64_t* candidates, int count, double* out, const ParallelFor& parallel_for) {
    for (int64_t b = 0; b < blocks_; ++b) touched_[b] = 0;
    for (int64_t i = 0; i < workers_ * tfkm::kMostTrials; ++i) gains_[i] = 0;
    if (narrow_) try_narrow(candidates, count, parallel_for);
    for (int first = 0; first < count && !narrow_; first += kLanes)
      try_some(candidates + first, count - first < kLanes ? count - first : kLanes, first,
               parallel_for);
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
  // Returns the rows of a block. They last until the worker asks for another block.
  Rows<T> block(int64_t b, int worker) const {
    return source_.rows(b * kBlock, end(b) - b * kBlock,
                        widened_ + worker * source_.scratch(kBlock));
  }
  int64_t end(int64_t b) const {
    return (b + 1) * kBlock < seeding_.n ? (b + 1) * kBlock : seeding_.n;
  }
  double cost(int64_t i, T nearest) const {
    return seeding_.weights ? seeding_.weights[i] * double(nearest) : double(nearest);
  }
  double rounded(int64_t i, T nearest) const { return (cost(i, nearest) + shift_) - shift_; }
  double sum(int64_t b) const {
    Eight sums = {};
    int64_t i = b * kBlock;
    for (; i + 8 <= end(b); i += 8) {
      Eight costs = widened<Eight>(nearest_ + i);
      if (seeding_.weights) costs *= load<Eight>(seeding_.weights + i);
      sums += (costs + shift_) - shift_;
    }
    double sum = ::total(sums);
    for (; i < end(b); ++i) sum += rounded(i, nearest_[i]);
    return sum;
  }

  // Finds a step of which the total is between 2⁴⁹ and 2⁵¹: a power of two, found in an order that
  // no thread changes.
  void refine(const ParallelFor& parallel_for) {
    shift_ = 0;
    for (int pass = 0; pass < 2; ++pass) {
      in_parts(parallel_for, blocks_, kBlocks, [&](int64_t first, int64_t last, int) {
        for (int64_t b = first; b < last; ++b) totals_[b] = sum(b);
      });
      total_ = 0;
      for (int64_t b = 0; b < blocks_; ++b) total_ += totals_[b];
      if (pass == 0 && total_ > 0)
        step_ = std::ldexp(1.0, std::ilogb(total_) - 50), shift_ = 0x1.8p52 * step_;
    }
  }

  void copy_row(int64_t index) {
    source_.copy(index, row_);
    for (int64_t j = seeding_.d; j < round_up(seeding_.d, 8); ++j) row_[j] = 0;
  }
  void copy_candidates(const int64_t* candidates, int count) {
    for (int c = 0; c < count; ++c) source_.copy(candidates[c], candidates_ + c * seeding_.d);
  }

  // Takes a mean as the offset of all rounds. Any offset is right, as in frame.h.
  void centre() {
    int64_t step = 1 + seeding_.n / 256, count = (seeding_.n + step - 1) / step;
    for (int64_t j = 0; j < round_up(seeding_.d, 32); ++j) offset_[j] = 0;
    for (int64_t i = 0; i < seeding_.n; i += step) {
      source_.copy(i, row_);
      for (int64_t j = 0; j < seeding_.d; ++j) offset_[j] += row_[j] / T(count);
    }
  }

  Job job(int count) const {
    Job job{};
    job.n = kBlock, job.k = count, job.d = seeding_.d;
    return job;
  }
  void try_narrow(const int64_t* candidates, int count, const ParallelFor& parallel_for) {
    copy_candidates(candidates, count);
    in_parts(parallel_for, blocks_, kBlocks, [&](int64_t first, int64_t last, int worker) {
      Narrow<T> narrow(seeding_, shift_, candidates_, count);
      uint64_t near[kBlocks];
      narrow.near(centres_ + first, round_up(blocks_, kBlocks), limits_ + first, kBlocks, near);
      for (int64_t b = first; b < last; ++b)
        if (near[b - first])
          touched_[b] = narrow.gains(block(b, worker), b * kBlock, end(b), nearest_,
                                     near[b - first], gains_ + worker * tfkm::kMostTrials);
    });
  }

  void enclose(const ParallelFor& parallel_for) {
    int64_t balls = round_up(blocks_, kBlocks);
    for (int64_t i = blocks_; i < balls; ++i) limits_[i] = 0;
    for (int64_t i = 0; i < balls * seeding_.d; ++i) centres_[i] = 0;
    in_parts(parallel_for, blocks_, kBlocks, [&](int64_t first, int64_t last, int worker) {
      Narrow<T> narrow(seeding_, shift_, row_, 1);
      for (int64_t b = first; b < last; ++b) {
        radii_[b] = narrow.enclose(block(b, worker), end(b) - b * kBlock, centres_ + b, balls);
        limits_[b] = narrow.limit(radii_[b], nearest_ + b * kBlock);
      }
    });
  }

  void try_some(const int64_t* candidates, int count, int number, const ParallelFor& parallel_for) {
    int64_t d = seeding_.d;
    copy_candidates(candidates, count);
    Arena arena;
    Frame<T> frame(job(count), kDotsRule, arena);
    arena.allocate();
    for (int64_t j = 0; j < round_up(d, 32); ++j) frame.offset[j] = offset_[j];
    frame.pack_around_offset(candidates_, parallel_for);
    in_parts(parallel_for, blocks_, kBlocks, [&](int64_t first, int64_t last, int worker) {
      for (int64_t b = first; b < last; ++b)
        try_block(block(b, worker), b, frame, number, gains_ + worker * tfkm::kMostTrials + number);
    });
  }

  // Tries candidates on a block. As many products as there are lanes are summed over the lanes at
  // once: those of several points, if there are fewer candidates. A round at (65536, 1024, 64) with
  // 2 threads took 0.48 ms with one point at a time, 0.41 to 0.45 with several, 0.35 with each
  // factor read once, and 0.29 with the pool's threads awake, too.
  template <int candidates = kLanes>
  void try_block(Rows<T> points, int64_t b, const Frame<T>& frame, int number, double* gains) {
    using Vector = typename Simd<T>::Vector;
    if constexpr (candidates > 2)
      if (frame.tile < candidates)
        return try_block<candidates - 2>(points, b, frame, number, gains);
    constexpr int width = candidates <= 2   ? 2
                          : candidates <= 4 ? 4
                          : candidates <= 8 ? 8
                                            : 16,
                  rows = kLanes / width;
    int64_t begin = b * kBlock, count = end(b) - begin, i = 0;
    T enough[kBlock + kLanes];  // what −2x·c + ‖c‖² has to be below
    for (int64_t r = 0; r < count; ++r) {
      T sq_norm = sq_norms_[begin + r];
      enough[r] = nearest_[begin + r] - sq_norm + frame.square_margin(sq_norm);
    }
    T starts[kLanes];
    for (int l = 0; l < kLanes; ++l) starts[l] = frame.sq_norms[l % width];
    Vector start = load<Vector>(starts);
    for (; i + rows <= count; i += rows) {
      Vector sums[rows][candidates], v[kLanes] = {};
      multiply<T, candidates>(points.row(i), points.stride, frame, sums);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
        for (int c = 0; c < candidates; ++c) v[r * width + c] = sums[r][c];
      unsigned near =
          lanes_below(sum_each<T>(v) + start, repeated<width>(load<Vector>(enough + i)));
      for (; __builtin_expect(near != 0, 0); near &= near - 1) {
        int lane = __builtin_ctz(near);
        try_one(points.row(i + lane / width), begin + i + lane / width, lane % width, frame, number,
                b, gains);
      }
    }
    for (; i < count; ++i)
      for (int c = 0; c < frame.k; ++c)
        try_one(points.row(i), begin + i, c, frame, number, b, gains);
  }

  void try_one(const T* x, int64_t i, int c, const Frame<T>& frame, int number, int64_t b,
               double* gains) {
    if (c >= frame.k) return;
    T nearest = nearest_[i], distance = T(sq_distance(x, frame.row(c), seeding_.d));
    if (!(distance < nearest)) return;
    gains[c] += rounded(i, nearest) - rounded(i, distance);
    touched_[b] |= uint64_t(1) << (number + c);
  }

  const Seeding& seeding_;
  Source<T> source_;
  T scale_;
  int workers_;
  int64_t blocks_;
  bool narrow_;  // d ≤ kMostInRegisters
  double total_ = 0, step_ = 0, shift_ = 0;
  T *nearest_,
      *sq_norms_;  // (n,) squared distances to the nearest of the chosen, and to the offset
  T *offset_, *candidates_, *row_;  // (d,), (lanes, d), (d,)
  T *centres_, *radii_,
      *limits_;  // of the blocks' balls: (d, blocks), (blocks,), (blocks,), see narrow.h
  double *totals_, *ends_, *gains_;  // (blocks,), (blocks,) running, (workers, kMostTrials)
  uint64_t* touched_;  // (blocks,) one bit for each trial that improved a point of the block
  T* widened_;         // (workers, kBlock, d), of blocks that do not lie in this type
};

// Returns the power of two by which all values have to be multiplied lest their squares underflow,
// or 1 if there is no need.
template <class T>
T scale_for(const Seeding& seeding) {
  constexpr T kTiny = sizeof(T) == 4 ? T(0x1p-30) : T(0x1p-480);
  Source<T> source(seeding.points, seeding.d);
  Arena arena;
  T largest = 0, *row;
  arena.take(&row, seeding.d);
  arena.allocate();
  for (int64_t i = 0; i < seeding.n && largest < kTiny; ++i) {
    source.copy(i, row);
    for (int64_t j = 0; j < seeding.d; ++j)
      largest = std::fabs(row[j]) > largest ? std::fabs(row[j]) : largest;
  }
  if (!(largest > 0 && largest < kTiny)) return 1;
  int exponent = std::ilogb(largest);
  return std::ldexp(T(1), std::min(-exponent, sizeof(T) == 4 ? 120 : 1000));
}

template <class T>
void choose(const Seeding& seeding, const ParallelFor& parallel_for) {
  const double scale = scale_for<T>(seeding);
  Arena arena;
  Potential<T> potential(seeding, scale, parallel_for.workers, arena);
  arena.allocate();
  for (int64_t i = 0; i < seeding.k; ++i) seeding.chosen[i] = -1;
  int64_t i = 0;
  if (!seeding.sq_distances) seeding.chosen[i++] = seeding.first;
  potential.start(parallel_for);
  const double* uniforms = seeding.uniforms;
  for (; i < seeding.k && potential.total() > 0; ++i, uniforms += seeding.trials) {
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
}

}  // namespace
