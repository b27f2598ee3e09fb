// From points and packed centroids to labels, distances and sums.
//
// screen: each point's least and second least value over all centroids. Farther apart than the
// rounding of both: that is the nearest. settle: for the other points every centroid whose value is
// within the rounding of the least is tried by the direct form in double, the lowest index first.
// So labels and distances depend on no tile, block or form.
#pragma once

#include "margin.h"
#include "sums.h"

namespace tfkm {
namespace cuda {

constexpr int32_t kUndecided = -1, kBad = -2;

// What a block knows of its tile of points.
template <class Tile>
struct Found {
  using T = typename Tile::T;
  Shared<uint32_t, Tile::kRows> rows;   // of the points, or kNoRow
  Shared<int32_t, Tile::kRows> labels;  // or kUndecided
  Shared<double, Tile::kRows> sq_distances;
};

template <class T>
struct Nearest {
  T best, second;
  int32_t label;

  __device__ void take(T value, int32_t column) {
    second = fmin(second, fmax(best, value));
    label = value < best ? column : label;
    best = fmin(best, value);
  }
  __device__ void join(const Nearest& other) {
    second = fmin(fmin(second, other.second), fmax(best, other.best));
    label = other.best < best ? other.label : label;
    best = fmin(best, other.best);
  }
  template <class V>
  __device__ static V from(V value, int step) {
    return __shfl_xor_sync(kWholeWarp, value, step);
  }
  __device__ void join_lanes(int across) {
    for (int step = across / 2; step; step /= 2)
      join({from(best, step), from(second, step), from(label, step)});
  }
};

// What the warps that share rows found of each, to be joined.
template <class Tile>
struct Shares {
  using T = typename Tile::T;
  static constexpr int kCount = Tile::kRows * Tile::kWarpsAcross;
  Shared<T, kCount> best, second;
  Shared<int32_t, kCount> labels;
  Shared<T, 2 * Tile::kRows> reach;  // ‖x‖², and what rounding to bfloat16 took of it

  __device__ Nearest<T> get(int i) const {
    Nearest<T> nearest{best.get(i), second.get(i), labels.get(i)};
    for (int w = 1, at = i + Tile::kRows; w < Tile::kWarpsAcross; ++w, at += Tile::kRows)
      nearest.join({best.get(at), second.get(at), labels.get(at)});
    return nearest;
  }
};

// The nearest of a point whose least values are these, or a place in the list of doubtful ones.
template <class Tile>
__device__ void conclude(const Job& job, const Margin<typename Tile::T>& margin, Found<Tile>& found,
                         int i, const Nearest<typename Tile::T>& nearest, typename Tile::T sq_norm,
                         typename Tile::T sq_lost) {
  using T = typename Tile::T;
  uint32_t row = found.rows.get(i);
  int32_t label = kUndecided;
  if (row != kNoRow) {
    T room = margin.of(sq_norm, sq_lost);
    if (!(sq_norm <= margin.largest_sq_norm()))
      label = kBad;
    else if (nearest.second - nearest.best > room)
      label = nearest.label;
    else {
      uint32_t at = atomicAdd(job.doubts, 1u);
      job.doubtful[at] = row, static_cast<T*>(job.bounds)[at] = nearest.best + room;
    }
  }
  found.labels.set(i, label);
}

// Distances of the points that have a label, by octets.
template <class Tile>
__device__ void measure(const Job& job, Found<Tile>& found) {
  using T = typename Tile::T;
  const auto* points = static_cast<const typename Tile::S*>(job.points);
  const T* centroids = static_cast<const T*>(job.centroids);
  for (int i = octet(); i < Tile::kRows; i += Tile::kThreads / kOctet) {
    int32_t label = found.labels.get(i);
    if (label < 0) continue;
    double sq = octet_sq_distance(points + found.rows.get(i) * job.stride,
                                  centroids + int64_t(label) * job.d, job.d);
    if (threadIdx.x % kOctet == 0) found.sq_distances.set(i, sq);
  }
}

// The tile's results into memory, and its points into the sums.
template <class Tile>
__device__ void deliver(const Job& job, Found<Tile>& found, Group<Tile::kRows>& group,
                        BlockDigits& digits) {
  using T = typename Tile::T;
  static_assert(Tile::kRows % 32 == 0, "whole warps");
  for (int i = threadIdx.x; i < Tile::kRows; i += Tile::kThreads) {
    int32_t label = found.labels.get(i);
    double cost = 0;
    if (label != kUndecided) {
      if (label == kBad) found.labels.set(i, 0);
      double sq_distance =
          label == kBad ? __longlong_as_double(0x7ff8000000000000) : found.sq_distances.get(i);
      uint32_t row = found.rows.get(i);
      job.labels[row] = label == kBad ? 0 : label;
      static_cast<T*>(job.sq_distances)[row] = T(sq_distance);
      cost = job.weights ? __dmul_rn(job.weights[row], sq_distance) : sq_distance;
    }
    if (job.high.sums) add_inertia(digits, cost);
  }
  __syncthreads();
  if (job.high.sums)
    add_points<typename Tile::S, Tile::kThreads>(job, found.rows, found.labels, group);
}

// Where tiles of centroids are shared out: what one share has found of a point.
template <class T>
__device__ void leave(const Job& job, int64_t split, int64_t row, const Nearest<T>& nearest,
                      T sq_norm, T sq_lost) {
  int64_t at = split * job.n + row;
  static_cast<T*>(job.best)[at] = nearest.best, static_cast<T*>(job.second)[at] = nearest.second;
  job.nearest[at] = nearest.label;
  if (split == 0)
    static_cast<T*>(job.reach)[row] = sq_norm, static_cast<T*>(job.reach)[job.n + row] = sq_lost;
}

template <class Tile>
__device__ void screen(const Job& job) {
  using T = typename Tile::T;
  __shared__ typename Tile::Memory memory;
  __shared__ Found<Tile> found;
  __shared__ Shares<Tile> shares;
  __shared__ Group<Tile::kRows> group;
  const Margin<T> margin(job, Tile::kHalves);
  __shared__ BlockDigits digits;
  clear<Tile::kThreads>(digits);
  const int64_t tiles = (job.k + Tile::kColumns - 1) / Tile::kColumns, split = blockIdx.y;
  const int64_t first = tiles * split / job.splits, last = tiles * (split + 1) / job.splits;
  for (int64_t base = int64_t(blockIdx.x) * Tile::kRows; base < job.n;
       base += int64_t(gridDim.x) * Tile::kRows) {
    for (int i = threadIdx.x; i < Tile::kRows; i += Tile::kThreads)
      found.rows.set(i, base + i < job.n ? uint32_t(base + i) : kNoRow);
    __syncthreads();
    Nearest<T> nearest[Tile::kEachRow];
    for (auto& one : nearest) one = {infinity<T>(), infinity<T>(), 0};
    Tile::template sweep<true>(job, found.rows, first, last, memory, shares.reach,
                               [&](int64_t column, auto& sums) {
#pragma unroll
      for (int m = 0; m < Tile::kEachRow; ++m)
#pragma unroll
        for (int c = 0; c < Tile::kEachColumn; ++c)
          nearest[m].take(sums[m][c], int32_t(column + Tile::column(c)));
    });
#pragma unroll
    for (int m = 0; m < Tile::kEachRow; ++m) {
      nearest[m].join_lanes(Tile::kLanesAcross);
      if (threadIdx.x % Tile::kLanesAcross != 0) continue;
      int at = Tile::share() * Tile::kRows + Tile::row(m);
      shares.best.set(at, nearest[m].best), shares.second.set(at, nearest[m].second);
      shares.labels.set(at, nearest[m].label);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < Tile::kRows; i += Tile::kThreads) {
      Nearest<T> joined = shares.get(i);
      if (job.splits == 1)
        conclude(job, margin, found, i, joined, shares.reach.get(i),
                 shares.reach.get(Tile::kRows + i));
      else if (base + i < job.n)
        leave(job, split, base + i, joined, shares.reach.get(i), shares.reach.get(Tile::kRows + i));
    }
    __syncthreads();
    if (job.splits > 1) continue;
    measure(job, found);
    __syncthreads();
    deliver(job, found, group, digits);
  }
  leave_inertia<Tile::kThreads>(job, digits);
}

// The shares of a screen put together.
template <class Tile>
__device__ void join(const Job& job) {
  using T = typename Tile::T;
  __shared__ Found<Tile> found;
  __shared__ Group<Tile::kRows> group;
  const Margin<T> margin(job, Tile::kHalves);
  __shared__ BlockDigits digits;
  clear<Tile::kThreads>(digits);
  const T *best = static_cast<const T*>(job.best), *second = static_cast<const T*>(job.second);
  const T* reach = static_cast<const T*>(job.reach);
  for (int64_t base = int64_t(blockIdx.x) * Tile::kRows; base < job.n;
       base += int64_t(gridDim.x) * Tile::kRows) {
    for (int i = threadIdx.x; i < Tile::kRows; i += Tile::kThreads) {
      int64_t row = base + i;
      found.rows.set(i, row < job.n ? uint32_t(row) : kNoRow);
      Nearest<T> nearest{infinity<T>(), infinity<T>(), 0};
      for (int64_t split = 0, at = row; split < job.splits && row < job.n; ++split, at += job.n)
        nearest.join({best[at], second[at], job.nearest[at]});
      bool real = row < job.n;
      conclude(job, margin, found, i, nearest, real ? reach[row] : T(0),
               real ? reach[job.n + row] : T(0));
    }
    __syncthreads();
    measure(job, found);
    __syncthreads();
    deliver(job, found, group, digits);
  }
  leave_inertia<Tile::kThreads>(job, digits);
}

// For a tile of doubtful points, which centroids of a tile are candidates: a bit for each.
template <class Tile>
struct Candidates {
  static constexpr int kWords = Tile::kColumns / 32 + (Tile::kColumns % 32 > 0);
  Shared<uint32_t, Tile::kRows * kWords> bits;
  Shared<typename Tile::T, Tile::kRows> bounds;

  __device__ void add(int i, int c) { bits.atomic_or(i * kWords + c / 32, 1u << (c % 32)); }
};

// Tries the candidates among the centroids from `column` on; each point is one octet's.
template <class Tile>
__device__ void try_candidates(const Job& job, int64_t column, Candidates<Tile>& candidates,
                               Found<Tile>& found) {
  using T = typename Tile::T;
  constexpr int kWords = Candidates<Tile>::kWords;
  const auto* points = static_cast<const typename Tile::S*>(job.points);
  const T* centroids = static_cast<const T*>(job.centroids);
  for (int i = octet(); i < Tile::kRows; i += Tile::kThreads / kOctet) {
    double least = found.sq_distances.get(i);
    int32_t label = found.labels.get(i);
    bool nearer = false;
    for (int w = 0; w < kWords; ++w)
      for (uint32_t bits = candidates.bits.get(i * kWords + w); bits; bits &= bits - 1) {
        int64_t c = column + w * 32 + __ffs(bits) - 1;
        double sq = octet_sq_distance(points + found.rows.get(i) * job.stride,
                                      centroids + c * job.d, job.d);
        if (sq < least) least = sq, label = int32_t(c), nearer = true;
      }
    __syncwarp(octet_mask());
    if (threadIdx.x % kOctet != 0) continue;
    if (nearer) found.sq_distances.set(i, least), found.labels.set(i, label);
    for (int w = 0; w < kWords; ++w) candidates.bits.set(i * kWords + w, 0u);
  }
}

template <class Tile>
__device__ void settle(const Job& job) {
  using T = typename Tile::T;
  __shared__ typename Tile::Memory memory;
  __shared__ Found<Tile> found;
  __shared__ Candidates<Tile> candidates;
  __shared__ Group<Tile::kRows> group;
  __shared__ BlockDigits digits;
  clear<Tile::kThreads>(digits);
  const int64_t tiles = (job.k + Tile::kColumns - 1) / Tile::kColumns, doubts = *job.doubts;
  for (int64_t base = int64_t(blockIdx.x) * Tile::kRows; base < doubts;
       base += int64_t(gridDim.x) * Tile::kRows) {
    for (int i = threadIdx.x; i < Tile::kRows; i += Tile::kThreads) {
      bool real = base + i < doubts;
      found.rows.set(i, real ? job.doubtful[base + i] : kNoRow);
      candidates.bounds.set(i, real ? static_cast<const T*>(job.bounds)[base + i] : -infinity<T>());
      // Centroids that are not finite leave no candidate.
      found.labels.set(i, real ? kBad : kUndecided), found.sq_distances.set(i, infinity<double>());
      for (int w = 0; w < candidates.kWords; ++w)
        candidates.bits.set(i * candidates.kWords + w, 0u);
    }
    __syncthreads();
    Tile::template sweep<false>(job, found.rows, 0, tiles, memory, candidates.bounds,
                                [&](int64_t column, auto& sums) {
#pragma unroll
      for (int m = 0; m < Tile::kEachRow; ++m) {
        T bound = candidates.bounds.get(Tile::row(m));
#pragma unroll
        for (int c = 0; c < Tile::kEachColumn; ++c)
          if (sums[m][c] <= bound && column + Tile::column(c) < job.k)
            candidates.add(Tile::row(m), Tile::column(c));
      }
      __syncthreads();
      try_candidates(job, column, candidates, found);
      __syncthreads();
    });
    __syncthreads();
    deliver(job, found, group, digits);
  }
  leave_inertia<Tile::kThreads>(job, digits);
}

}  // namespace cuda
}  // namespace tfkm
