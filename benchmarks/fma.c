// As many multiply-adds as the processor can do, on registers alone: its peak. machine.py compiles and runs it.
#include <stdint.h>

#if defined(__AVX512F__)
enum { kLanes = 16, kChains = 24 };
#elif defined(__AVX__)
enum { kLanes = 8, kChains = 12 };
#else
enum { kLanes = 4, kChains = 12 };
#endif
typedef float Vector __attribute__((vector_size(4 * kLanes)));

// Returns how many operations `rounds` rounds are; *sum keeps them from being left out.
int64_t multiply_add(int64_t rounds, float* sum) {
  Vector chains[kChains], factor, term;
  for (int l = 0; l < kLanes; ++l) factor[l] = 0.5f, term[l] = 1.0f;
  for (int c = 0; c < kChains; ++c) chains[c] = factor * (float)c;
  for (int64_t r = 0; r < rounds; ++r)
#pragma GCC unroll 24
    for (int c = 0; c < kChains; ++c) chains[c] = chains[c] * factor + term;
  for (int c = 1; c < kChains; ++c) chains[0] += chains[c];
  *sum = chains[0][0];
  return rounds * kChains * kLanes * 2;
}
