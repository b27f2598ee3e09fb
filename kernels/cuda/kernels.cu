// The kernels' entry points, for points of one type: TFKM_POINTS, computed in TFKM_REAL; TFKM_WIDE
// if that is double. To settle is rare, and in the way of its lists: one block for a processor,
// with all the registers that it wants.
#include "fragments.h"
#include "pack.h"
#include "screen.h"
#include "tile.h"
#include "tuning.h"

using namespace tfkm;
using cuda::Job;

#define TFKM_ENTRY(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)

TFKM_ENTRY(cuda::kPackThreads, 2) centre(const Job job) { cuda::centre<TFKM_REAL>(job); }
TFKM_ENTRY(cuda::kPackThreads, 2) pack(const Job job) { cuda::pack<TFKM_REAL>(job); }

#define TFKM_STEPS(name, blocks)                                                               \
  TFKM_ENTRY(name::kThreads, blocks) screen_##name(const Job job) { cuda::screen<name>(job); } \
  TFKM_ENTRY(name::kThreads, blocks) join_##name(const Job job) { cuda::join<name>(job); }     \
  TFKM_ENTRY(name::kThreads, 1) settle_##name(const Job job) { cuda::settle<name>(job); }
#define TFKM_TILE(name, blocks, ...)                            \
  using name = cuda::Tile<TFKM_POINTS, TFKM_REAL, __VA_ARGS__>; \
  TFKM_STEPS(name, blocks)
#define TFKM_FRAGMENT(name, blocks, ...)                  \
  using name = cuda::Fragments<TFKM_POINTS, __VA_ARGS__>; \
  TFKM_STEPS(name, blocks)

#if TFKM_WIDE
TFKM_DOUBLE_TILES(TFKM_TILE)
#else
TFKM_TILES(TFKM_TILE)
TFKM_FRAGMENTS(TFKM_FRAGMENT)
#endif
