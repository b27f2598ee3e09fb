// Which tiles there are, and which is taken for which shape, as data; benchmarks/cuda/roofline.py
// reads it, too. No card has timed them yet: docs/gpu.md.
#pragma once

// TILE(name, blocks, rows, columns, depth, each_row, each_column): tile.h; `blocks` are to find
// room on one processor, which limits registers: 65536 / (blocks · threads) for a thread. Where
// double is computed in, they hold half as much.
#define TFKM_TILES(TILE)          \
  TILE(wide, 3, 64, 128, 8, 8, 8) \
  TILE(even, 2, 64, 64, 16, 4, 4) \
  TILE(slim, 2, 256, 16, 8, 4, 4)
#define TFKM_DOUBLE_TILES(TILE)   \
  TILE(even, 1, 64, 64, 16, 4, 4) \
  TILE(slim, 2, 128, 16, 8, 4, 4)
// FRAGMENTS(name, blocks, rows, columns, across): fragments.h.
#define TFKM_FRAGMENTS(FRAGMENTS) FRAGMENTS(halves, 2, 128, 128, 2)

#if !defined(__CUDACC__)
#include <cstdint>

namespace tfkm {
namespace cuda {

struct TileSize {
  const char* name;
  int blocks, rows, columns, threads;
  bool doubles, halves;  // whether double is computed in; whether the screen is in bfloat16
};

#define TFKM_SIZE(name, blocks, rows, columns, depth, each_row, each_column) \
  {#name, blocks, rows, columns, rows / each_row * (columns / each_column), false, false},
#define TFKM_DOUBLE_SIZE(name, blocks, rows, columns, depth, each_row, each_column) \
  {#name, blocks, rows, columns, rows / each_row * (columns / each_column), true, false},
#define TFKM_FRAGMENTS_SIZE(name, blocks, rows, columns, across) \
  {#name, blocks, rows, columns, rows * across, false, true},
constexpr TileSize kTiles[] = {TFKM_TILES(TFKM_SIZE) TFKM_DOUBLE_TILES(TFKM_DOUBLE_SIZE)
                                   TFKM_FRAGMENTS(TFKM_FRAGMENTS_SIZE)};
#undef TFKM_SIZE
#undef TFKM_DOUBLE_SIZE
#undef TFKM_FRAGMENTS_SIZE

struct Rule {
  // The first rule that all hold for and that has such a tile is taken.
  int64_t least_n, least_d, least_k, most_k;
  const char* tile;
};
constexpr int64_t kAny = INT64_MAX;
constexpr Rule kRules[] = {
    {0, 1, 1, 24, "slim"},
    {0, 16, 256, kAny, "halves"},
    {4096, 1, 96, kAny, "wide"},
    {0, 1, 1, kAny, "even"},
};

}  // namespace cuda
}  // namespace tfkm
#endif
