// The CUDA that the kernels use. Under nvcc and NVRTC, which has no headers of its own, it is what
// the compiler has; a C++ compiler gets the same names from kernels/tests/emulated.h, with checks.
#pragma once

#include "integers.h"

#if !defined(__CUDACC__)
#include "emulated.h"
#else

namespace tfkm {

struct Float16 {
  uint16_t bits;
  __device__ explicit operator float() const {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
  }
};

struct Bfloat16 {
  uint16_t bits;
  __device__ explicit operator float() const { return __uint_as_float(uint32_t(bits) << 16); }
};

// An array in shared memory: in the emulation each access is checked for races.
template <class T, int count>
struct Shared {
  T values[count];
  __device__ T get(int i) const { return values[i]; }
  __device__ void set(int i, T value) { values[i] = value; }
  template <class Pack>
  __device__ Pack get_pack(int i) const {
    return *reinterpret_cast<const Pack*>(values + i);
  }
  template <class Pack>
  __device__ void set_pack(int i, Pack pack) {
    *reinterpret_cast<Pack*>(values + i) = pack;
  }
  __device__ T atomic_add(int i, T value) { return atomicAdd(values + i, value); }
  __device__ T atomic_or(int i, T value) { return atomicOr(values + i, value); }
  __device__ T atomic_exchange(int i, T value) { return atomicExch(values + i, value); }
  __device__ T atomic_compare_and_swap(int i, T expected, T value) {
    return atomicCAS(values + i, expected, value);
  }
};

// Two floats as bfloat16, half to even, the first in the low half.
__device__ inline uint32_t as_bfloat16s(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// sums (16, 8) += a (16, 16) · b (16, 8) of bfloat16, spread over a warp as the PTX manual has it
// for mma.m16n8k16.
__device__ inline void multiply_fragments(float (&sums)[4], const uint32_t (&a)[4],
                                          const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace tfkm
#endif
