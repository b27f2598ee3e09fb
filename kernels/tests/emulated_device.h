// The kernels of kernels/cuda on the emulation, behind the launcher, and with the face of the core:
// all that spec.h draws and judges can be run on them.
#pragma once

#include <cstdlib>
#include <string>

#include "emulated.h"

#include "fragments.h"
#include "launch.h"
#include "pack.h"
#include "screen.h"
#include "tile.h"

namespace {

using tfkm::Dtype;
using tfkm::cuda::TileSize;

// Beside those of tuning.h: small ones, so that few points make many tiles. With TFKM_TINY only
// these, and float32: what faults.cmake compiles many times.
#define TINY_TILES(TILE)         \
  TILE(tiny, 2, 32, 16, 4, 4, 4) \
  TILE(small, 1, 32, 32, 8, 4, 4)
#define TINY_FRAGMENTS(FRAGMENTS) FRAGMENTS(tiny_halves, 1, 32, 32, 2)

#define SIZE(name, blocks, rows, columns, depth, each_row, each_column) \
  TileSize{#name, blocks, rows, columns, rows / each_row * (columns / each_column), false, false},
#define DOUBLE_SIZE(name, blocks, rows, columns, depth, each_row, each_column) \
  TileSize{#name, blocks, rows, columns, rows / each_row * (columns / each_column), true, false},
#define FRAGMENTS_SIZE(name, blocks, rows, columns, across) \
  TileSize{#name, blocks, rows, columns, rows * across, false, true},
constexpr TileSize kEmulatedTiles[] = {
#if !defined(TFKM_TINY)
    TFKM_TILES(SIZE) TFKM_DOUBLE_TILES(DOUBLE_SIZE) TFKM_FRAGMENTS(FRAGMENTS_SIZE)  //
    TINY_TILES(DOUBLE_SIZE)
#endif
        TINY_TILES(SIZE) TINY_FRAGMENTS(FRAGMENTS_SIZE)};
#undef SIZE
#undef DOUBLE_SIZE
#undef FRAGMENTS_SIZE

// A card of any size, whose blocks and threads run in any order.
struct EmulatedDevice {
  const char* tile = nullptr;  // or the one that the rules take
  emulation::Order order = emulation::Order::kForward;
  uint64_t seed = 0;
  int processors = 2;
  int64_t most_rows = 1 << 20;
  Dtype dtype = Dtype::kFloat32;
  bool wide = false;
  std::string wrong;

  tfkm::cuda::Device device() {
    return {this, launch, processors, most_rows, kEmulatedTiles, int(std::size(kEmulatedTiles))};
  }

 private:
  using Job = tfkm::cuda::Job;

  static int launch(void* self, const char* kernel, unsigned blocks, unsigned splits,
                    unsigned threads, const Job& job) {
    auto& mine = *static_cast<EmulatedDevice*>(self);
    bool found = false;
    auto with = [&](auto s) {
      using S = decltype(s);
      auto run = [&](auto entry) {
        found = true;
        mine.wrong = emulation::machine().launch({blocks, splits, 1}, int(threads), mine.order,
                                                 ++mine.seed, [&] { entry(job); });
      };
#if !defined(TFKM_TINY)
      if (mine.wide) return mine.find<S, double>(kernel, run);
#endif
      if constexpr (sizeof(S) < 8) mine.find<S, float>(kernel, run);
    };
#if defined(TFKM_TINY)
    with(float());
#else
    with_type(mine.dtype, with);
#endif
    if (!found) mine.wrong = "no such kernel";
    if (!mine.wrong.empty()) mine.wrong = std::string(kernel) + ": " + mine.wrong;
    return mine.wrong.empty() ? 0 : 1;
  }

  template <class S, class T, class Run>
  void find(const std::string& kernel, const Run& run) {
    using namespace tfkm;
    if (kernel == "centre") return run(cuda::centre<T>);
    if (kernel == "pack") return run(cuda::pack<T>);
#define STEPS(name, Kind)                                        \
  if (kernel == "screen_" #name) return run(cuda::screen<Kind>); \
  if (kernel == "join_" #name) return run(cuda::join<Kind>);     \
  if (kernel == "settle_" #name) return run(cuda::settle<Kind>);
#define TILE(name, blocks, ...)                 \
  {                                             \
    using name = cuda::Tile<S, T, __VA_ARGS__>; \
    STEPS(name, name)                           \
  }
#define FRAGMENT(name, blocks, ...)               \
  {                                               \
    using name = cuda::Fragments<S, __VA_ARGS__>; \
    STEPS(name, name)                             \
  }
    TINY_TILES(TILE)
    if constexpr (sizeof(T) == 4) {
      TINY_FRAGMENTS(FRAGMENT)
    }
#if !defined(TFKM_TINY)
    if constexpr (sizeof(T) == 8) {
      TFKM_DOUBLE_TILES(TILE)
    } else {
      TFKM_TILES(TILE)
      TFKM_FRAGMENTS(FRAGMENT)
    }
#endif
#undef STEPS
#undef TILE
#undef FRAGMENT
  }
};

inline EmulatedDevice emulated_device;

// As tfkm::accumulate, on emulated_device.
[[maybe_unused]] int accumulate_emulated(const tfkm::Job& job, const tfkm::ParallelFor&) {
  const double grid[2] = {job.grid.weights, job.grid.count};
  unsigned long long digits[tfkm::kDigits + 1] = {};
  tfkm::cuda::Call call{};
  call.n = job.n, call.k = job.k, call.d = job.d, call.points = job.points.data;
  call.stride = job.points.row / job.points.feature;
  call.dtype = job.points.dtype, call.wide = job.wide, call.centroids = job.centroids,
  call.weights = job.weights;
  call.grid_sums = job.grid.sums, call.grid = grid, call.labels = job.labels,
  call.sq_distances = job.sq_distances;
  call.high = {job.high.sums, job.high.weights}, call.low = {job.low.sums, job.low.weights};
  call.inertia = digits;
  call.tile = emulated_device.tile;
  emulated_device.dtype = job.points.dtype, emulated_device.wide = job.wide;
  tfkm::cuda::Device device = emulated_device.device();
  tfkm::cuda::Plan plan(call, device);
  // Aligned, and with what a card would have there from before.
  size_t bytes = size_t(plan.scratch_bytes());
  call.scratch = std::aligned_alloc(256, bytes ? bytes : 256);
  std::memset(call.scratch, 0xff, bytes);
  int status = plan.run(call, device);
  std::free(call.scratch);
  // As tfkm/ops/cuda.py: to digits of 32 bits and a sign.
  long long over = 0, base = 1ll << tfkm::kDigitBits;
  for (int i = 0; job.high.sums && i < tfkm::kDigits; ++i) {
    long long digit = static_cast<long long>(digits[i]) + over;
    over = (digit + base / 2) >> tfkm::kDigitBits;
    job.inertia[i] += double(digit - over * base);
  }
  return status;
}

}  // namespace
