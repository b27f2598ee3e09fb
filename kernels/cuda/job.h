// What a kernel is launched with: one struct of plain words, the same on both sides of the bus.
#pragma once

#include "integers.h"

namespace tfkm {
namespace cuda {

constexpr int kDigits = 66, kDigitBits = 32;  // of the inertia, see sums.h

struct Words {
  double* sums;     // (k, d)
  double* weights;  // (k,)
};

// All pointers are the device's. S is the type of the points, T the type computed in.
struct Job {
  int64_t n, k, d;
  int64_t stride;  // a row of points begins so many values after the last
  int64_t padded_k, padded_d;
  const void* points;     // (n, d) of S
  const void* centroids;  // (k, d) of T
  const double* weights;  // (n,) or null for ones
  const double*
      grid_sums;  // (d,), and (2,): the grid of tfkm/exact.py, read only if high.sums is not null
  const double* grid;

  int32_t* labels;              // out (n,)
  void* sq_distances;           // out (n,) of T; NaN where not finite or the squared norm overflows
  Words high, low;              // out, or null for no sums
  unsigned long long* inertia;  // out (kDigits + 1,): sums.h

  // Scratch, O(k · d): the centroids around an offset, as the screens want them.
  void* offset;                  // (padded_d,) of T
  void* factors;                 // (padded_d, padded_k) of T: −2(c − offset), 0 in the padding
  void* sq_norms;                // (padded_k,) of T: ‖c − offset‖², infinite in the padding
  uint16_t* halves;              // (padded_k, padded_d): factors in bfloat16, or null
  unsigned long long* extremes;  // (2,) bits of doubles: the largest ‖c − offset‖² and ‖what
                                 // rounding to bfloat16 took‖²

  // Scratch, O(n): rows that the screen has not decided, and below which value each candidate lies.
  uint32_t* doubtful;  // (n,)
  void* bounds;        // (n,) of T
  uint32_t* doubts;    // () how many; one for each launch over these centroids
  int64_t launches;

  // Few points: the tiles of centroids are shared out among so many blocks, which leave what they
  // found.
  int32_t splits;
  void* best;        // (splits, n) of T: the least value
  void* second;      // (splits, n) of T: the second least
  int32_t* nearest;  // (splits, n)
  void* reach;       // (splits, 2, n) of T: ‖x − offset‖², ‖what rounding to bfloat16 took‖²

  // γ of docs/design/exactness.md: of the type computed in, of double, and of the tensor cores.
  double growth, growth_exact, growth_halves;
};

}  // namespace cuda
}  // namespace tfkm
