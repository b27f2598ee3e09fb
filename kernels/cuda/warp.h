// What the threads of a warp do together, and what each does with rounding that must not be fused.
#pragma once

#include "device.h"
#include "job.h"

namespace tfkm {
namespace cuda {

constexpr uint32_t kWholeWarp = 0xffffffff;

constexpr uint32_t kNoRow = 0xffffffff;

// Threads that share the features of one point: the 32 lanes of the direct form are spread over
// them.
constexpr int kOctet = 8;

__device__ inline int octet() { return threadIdx.x / kOctet; }
__device__ inline uint32_t octet_mask() { return 0xffu << (threadIdx.x % 32 / kOctet * kOctet); }

template <class V>
__device__ inline V warp_sum(V value) {
  for (int step = 16; step; step /= 2) value += __shfl_xor_sync(kWholeWarp, value, step);
  return value;
}

template <class V>
__device__ inline V warp_max(V value) {
  for (int step = 16; step; step /= 2) {
    V other = __shfl_xor_sync(kWholeWarp, value, step);
    value = other > value ? other : value;
  }
  return value;
}

// Exactly, but for a double from a double.
template <class T, class S>
__device__ inline T widened(S x) {
  if constexpr (sizeof(S) == 8)
    return T(x);
  else
    return T(float(x));
}

__device__ inline float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return __fma_rn(a, b, c); }

template <class T>
__device__ inline T infinity() {
  return T(__longlong_as_double(0x7ff0000000000000));
}

// Sixteen bytes.
template <class T>
struct alignas(16) Pack {
  static constexpr int kCount = 16 / sizeof(T);
  T values[kCount];
};

// Σ(x − c)² in double by an octet, each of whose threads gets it: in 32 lanes and a fixed tree
// without fused products, so the bits are those of kernels/core/direct.h.
template <class S, class T>
__device__ inline double octet_sq_distance(const S* x, const T* c, int64_t d) {
  constexpr int kEach = 32 / kOctet;
  double sums[kEach] = {};
  for (int64_t first = threadIdx.x % kOctet; first < d; first += 32)
#pragma unroll
    for (int q = 0; q < kEach; ++q) {
      int64_t j = first + q * kOctet;
      if (j >= d) break;
      double difference = __dsub_rn(widened<double>(x[j]), double(c[j]));
      sums[q] = __dadd_rn(sums[q], __dmul_rn(difference, difference));
    }
  double sum = __dadd_rn(__dadd_rn(sums[0], sums[2]), __dadd_rn(sums[1], sums[3]));
  for (int step = 4; step; step /= 2)
    sum = __dadd_rn(sum, __shfl_xor_sync(octet_mask(), sum, step));
  return sum;
}

}  // namespace cuda
}  // namespace tfkm
