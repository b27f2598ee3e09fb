// Points against centroids by ordinary products: a block has a tile of points, all centroids pass
// it tile by tile, both go through shared memory a few features at a time, and the sums of a tile
// stay in registers.
#pragma once

#include "warp.h"

namespace tfkm {
namespace cuda {

// S: the type of the points, T: computed in. depth: features at a time. each_…: of one thread.
template <class S_, class T_, int rows, int columns, int depth, int each_row, int each_column>
struct Tile {
  using S = S_;
  using T = T_;
  static constexpr bool kHalves = false;
  static constexpr int kRows = rows, kColumns = columns, kEachRow = each_row,
                       kEachColumn = each_column;
  static constexpr int kThreads = rows / each_row * (columns / each_column);
  static constexpr int kLanesAcross = columns / each_column, kWarpsAcross = 1;  // that share a row

 private:
  static constexpr int kGroup = Pack<T>::kCount, kStride = rows + kGroup;
  static constexpr int kPoints = rows * depth / kThreads, kFactors = depth * columns / kGroup;
  static constexpr int kPacks = (kFactors + kThreads - 1) / kThreads;
  static_assert(kThreads % 32 == 0 && kThreads % depth == 0 && kLanesAcross <= 32 &&
                    32 % depth == 0,
                "whole warps");
  static_assert(each_row % kGroup == 0 && each_column % kGroup == 0 &&
                    kPoints * kThreads == rows * depth,
                "whole packs");

 public:
  // Read and written by whole packs: where a shared object begins is else up to the compiler.
  struct alignas(16) Memory {
    Shared<T, 2 * depth * kStride> points;
    Shared<T, 2 * depth * columns> factors;
  };
  static_assert(alignof(Memory) % sizeof(Pack<T>) == 0, "aligned packs");

  __device__ static int share() { return 0; }  // of those across

  // Place in the tile of this thread's m-th row and c-th column: groups of kGroup, far apart, so
  // that the threads of a warp read neighbouring packs.
  __device__ static int row(int m) {
    return (m / kGroup * (rows / each_row) + threadIdx.x / kLanesAcross) * kGroup + m % kGroup;
  }
  __device__ static int column(int c) {
    return (c / kGroup * kLanesAcross + threadIdx.x % kLanesAcross) * kGroup + c % kGroup;
  }

  // each(column, sums) for the tiles first … last − 1, `column` being the first of the tile,
  // sums[m][c] the value ‖c‖² − 2x·c. `points`: the row of each place in the tile, or kNoRow.
  // reach[i], reach[rows + i]: ‖x‖² and 0, from the first tile, if wanted; to be read after a
  // barrier.
  template <bool with_reach, class Rows, class Reach, class Each>
  __device__ static void sweep(const Job& job, const Rows& points, int64_t first, int64_t last,
                               Memory& memory, Reach& reach, const Each& each) {
    const int64_t chunks = (job.d + depth - 1) / depth;
    Loader<Rows> loader(job, points);
    T sums[each_row][each_column];
    loader.fetch(0, first);
    loader.store(memory, 0);
    __syncthreads();
    int buffer = 0;
    for (int64_t tile = first; tile < last; ++tile) {
      start(job, tile, sums);
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        bool ends = chunk + 1 == chunks, more = !ends || tile + 1 < last;
        if (more) loader.fetch(ends ? 0 : chunk + 1, tile + ends);
        multiply(memory, buffer, sums);
        if (ends) {
          each(tile * columns, sums);
          if (with_reach && tile == first) loader.reach_into(reach);
        }
        buffer ^= 1;
        if (more) loader.store(memory, buffer);
        __syncthreads();
      }
    }
  }

 private:
  // Takes the next features through registers, so that they are on their way while the threads
  // multiply.
  template <class Rows>
  struct Loader {
    const Job& job;
    const Rows& rows_of;
    T points[kPoints], squares[kPoints] = {};
    Pack<T> factors[kPacks];

    __device__ Loader(const Job& job, const Rows& rows_of) : job(job), rows_of(rows_of) {}

    __device__ static int place(int i) { return threadIdx.x / depth + i * (kThreads / depth); }

    __device__ void fetch(int64_t chunk, int64_t tile) {
      const S* x = static_cast<const S*>(job.points);
      int64_t j = chunk * depth + threadIdx.x % depth;
      T offset = static_cast<const T*>(job.offset)[j];
#pragma unroll
      for (int i = 0; i < kPoints; ++i) {
        uint32_t row = rows_of.get(place(i));
        points[i] =
            row != kNoRow && j < job.d ? widened<T>(x[row * job.stride + j]) - offset : T(0);
      }
      const T* c =
          static_cast<const T*>(job.factors) + chunk * depth * job.padded_k + tile * columns;
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        int at = (threadIdx.x + i * kThreads) * kGroup;
        if (at < depth * columns)
          factors[i] =
              *reinterpret_cast<const Pack<T>*>(c + at / columns * job.padded_k + at % columns);
      }
    }

    __device__ void store(Memory& memory, int buffer) {
#pragma unroll
      for (int i = 0; i < kPoints; ++i) {
        memory.points.set((buffer * depth + threadIdx.x % depth) * kStride + place(i), points[i]);
        squares[i] += points[i] * points[i];
      }
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        int at = (threadIdx.x + i * kThreads) * kGroup;
        if (at < depth * columns)
          memory.factors.template set_pack<Pack<T>>(buffer * depth * columns + at, factors[i]);
      }
    }

    // Before the first chunk of a second tile has been stored.
    template <class Reach>
    __device__ void reach_into(Reach& reach) {
#pragma unroll
      for (int i = 0; i < kPoints; ++i) {
        T sum = squares[i];
        for (int step = depth / 2; step; step /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, step);
        if (threadIdx.x % depth == 0) reach.set(place(i), sum), reach.set(rows + place(i), T(0));
      }
    }
  };

  __device__ static void start(const Job& job, int64_t tile, T (&sums)[each_row][each_column]) {
    const T* sq_norms = static_cast<const T*>(job.sq_norms) + tile * columns;
#pragma unroll
    for (int c = 0; c < each_column; ++c) {
      T value = sq_norms[column(c)];
#pragma unroll
      for (int m = 0; m < each_row; ++m) sums[m][c] = value;
    }
  }

  __device__ static void multiply(const Memory& memory, int buffer,
                                  T (&sums)[each_row][each_column]) {
#pragma unroll
    for (int j = 0; j < depth; ++j) {
      T x[each_row], c[each_column];
#pragma unroll
      for (int m = 0; m < each_row; m += kGroup) {
        auto pack =
            memory.points.template get_pack<Pack<T>>((buffer * depth + j) * kStride + row(m));
#pragma unroll
        for (int i = 0; i < kGroup; ++i) x[m + i] = pack.values[i];
      }
#pragma unroll
      for (int m = 0; m < each_column; m += kGroup) {
        auto pack =
            memory.factors.template get_pack<Pack<T>>((buffer * depth + j) * columns + column(m));
#pragma unroll
        for (int i = 0; i < kGroup; ++i) c[m + i] = pack.values[i];
      }
#pragma unroll
      for (int m = 0; m < each_row; ++m)
#pragma unroll
        for (int i = 0; i < each_column; ++i) sums[m][i] = fused(x[m], c[i], sums[m][i]);
    }
  }
};

}  // namespace cuda
}  // namespace tfkm
