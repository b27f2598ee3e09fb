// Points against centroids by tensor cores: both in bfloat16, sums in float. The screen's margin
// has room for what the rounding takes (docs/design/exactness.md), so that labels are those of
// ordinary products.
#pragma once

#include "warp.h"

namespace tfkm {
namespace cuda {

// A warp has 32 rows by `columns` / across columns, in fragments of 16 by 8. To be used as a Tile.
template <class S_, int rows, int columns, int across>
struct Fragments {
  using S = S_;
  using T = float;
  static constexpr bool kHalves = true;
  static constexpr int kRows = rows, kColumns = columns, kThreads = rows * across;
  static constexpr int kEachRow = 4, kEachColumn = columns / across / 4;
  static constexpr int kLanesAcross = 4, kWarpsAcross = across;

 private:
  // A step is 16 features, 8 pairs. With a stride of 12 the 32 words of a fragment are in 32 banks.
  static constexpr int kPairs = 8, kStride = 12, kPlaces = kThreads / kPairs;
  static constexpr int kPoints = rows / kPlaces, kPacks = (columns * 2 + kThreads - 1) / kThreads;
  static constexpr int kDown = kEachRow / 2, kAlong = kEachColumn / 2;  // fragments of a warp
  static_assert(rows % 32 == 0 && columns % (8 * across) == 0 && kPoints * kPlaces == rows,
                "whole fragments");

 public:
  struct alignas(16) Memory {  // as a Tile's
    Shared<uint32_t, 2 * rows * kStride> points;
    Shared<uint32_t, 2 * columns * kStride> factors;
  };
  static_assert(alignof(Memory) % sizeof(Pack<uint32_t>) == 0, "aligned packs");

  __device__ static int share() { return threadIdx.x / rows; }
  __device__ static int row(int m) {
    return threadIdx.x % rows / 32 * 32 + m / 2 * 16 + m % 2 * 8 + threadIdx.x % 32 / 4;
  }
  __device__ static int column(int c) {
    return share() * (columns / across) + c / 2 * 8 + threadIdx.x % 4 * 2 + c % 2;
  }

  // As Tile::sweep. reach[rows + i]: the square of what rounding took of the point.
  template <bool with_reach, class Rows, class Reach, class Each>
  __device__ static void sweep(const Job& job, const Rows& points, int64_t first, int64_t last,
                               Memory& memory, Reach& reach, const Each& each) {
    const int64_t chunks = (job.d + 2 * kPairs - 1) / (2 * kPairs);
    Loader<Rows> loader(job, points);
    float sums[kEachRow][kEachColumn];
    loader.fetch(0, first);
    loader.store(memory, 0);
    __syncthreads();
    int buffer = 0;
    for (int64_t tile = first; tile < last; ++tile) {
#pragma unroll
      for (int c = 0; c < kEachColumn; ++c) {
        float value = static_cast<const float*>(job.sq_norms)[tile * columns + column(c)];
#pragma unroll
        for (int m = 0; m < kEachRow; ++m) sums[m][c] = value;
      }
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
  template <class Rows>
  struct Loader {
    const Job& job;
    const Rows& rows_of;
    float points[kPoints][2], squares[kPoints] = {}, lost[kPoints] = {};
    Pack<uint32_t> factors[kPacks];

    __device__ Loader(const Job& job, const Rows& rows_of) : job(job), rows_of(rows_of) {}

    __device__ static int place(int i) { return threadIdx.x / kPairs + i * kPlaces; }

    __device__ void fetch(int64_t chunk, int64_t tile) {
      const S* x = static_cast<const S*>(job.points);
      const int64_t j = (chunk * kPairs + threadIdx.x % kPairs) * 2;
      const float* offset = static_cast<const float*>(job.offset) + j;
#pragma unroll
      for (int i = 0; i < kPoints; ++i) {
        const uint32_t row = rows_of.get(place(i));
#pragma unroll
        for (int half = 0; half < 2; ++half)
          points[i][half] = row != kNoRow && j + half < job.d
                                ? widened<float>(x[row * job.stride + j + half]) - offset[half]
                                : 0.0f;
      }
      const uint16_t* c = job.halves + tile * columns * job.padded_d + chunk * 2 * kPairs;
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        int at = threadIdx.x + i * kThreads;  // two packs a row
        if (at < 2 * columns)
          factors[i] =
              *reinterpret_cast<const Pack<uint32_t>*>(c + at / 2 * job.padded_d + at % 2 * kPairs);
      }
    }

    __device__ void store(Memory& memory, int buffer) {
#pragma unroll
      for (int i = 0; i < kPoints; ++i) {
        const float low = points[i][0], high = points[i][1];
        const uint32_t pair = as_bfloat16s(low, high);
        const float low_lost = low - __uint_as_float(pair << 16),
                    high_lost = high - __uint_as_float(pair & 0xffff0000);
        memory.points.set((buffer * rows + place(i)) * kStride + threadIdx.x % kPairs, pair);
        squares[i] += low * low + high * high;
        lost[i] += low_lost * low_lost + high_lost * high_lost;
      }
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        int at = threadIdx.x + i * kThreads;
        if (at < 2 * columns)
          memory.factors.set_pack((buffer * columns + at / 2) * kStride + at % 2 * 4, factors[i]);
      }
    }

    template <class Reach>
    __device__ void reach_into(Reach& reach) {
#pragma unroll
      for (int i = 0; i < kPoints; ++i) {
        float square = squares[i], sq_lost = lost[i];
        for (int step = kPairs / 2; step; step /= 2) {
          square += __shfl_xor_sync(kWholeWarp, square, step);
          sq_lost += __shfl_xor_sync(kWholeWarp, sq_lost, step);
        }
        if (threadIdx.x % kPairs == 0)
          reach.set(place(i), square), reach.set(rows + place(i), sq_lost);
      }
    }
  };

  __device__ static void multiply(const Memory& memory, int buffer,
                                  float (&sums)[kEachRow][kEachColumn]) {
    const int q = threadIdx.x % 4, g = threadIdx.x % 32 / 4;
    uint32_t a[kDown][4];
#pragma unroll
    for (int m = 0; m < kDown; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        a[m][i] = memory.points.get((buffer * rows + row(2 * m + i % 2)) * kStride + q + i / 2 * 4);
#pragma unroll
    for (int c = 0; c < kAlong; ++c) {
      const int at = (buffer * columns + share() * (columns / across) + c * 8 + g) * kStride + q;
      const uint32_t b[2] = {memory.factors.get(at), memory.factors.get(at + 4)};
#pragma unroll
      for (int m = 0; m < kDown; ++m) {
        float some[4] = {sums[2 * m][2 * c], sums[2 * m][2 * c + 1], sums[2 * m + 1][2 * c],
                         sums[2 * m + 1][2 * c + 1]};
        multiply_fragments(some, a[m], b);
        sums[2 * m][2 * c] = some[0], sums[2 * m][2 * c + 1] = some[1];
        sums[2 * m + 1][2 * c] = some[2], sums[2 * m + 1][2 * c + 1] = some[3];
      }
    }
  }
};

}  // namespace cuda
}  // namespace tfkm
