// What a card can do at most: read its memory, multiply and add on registers, multiply fragments.
// Nothing is computed; the condition that never holds keeps the compiler from leaving the work out.
// limits.py launches them.
#include "device.h"

constexpr int kChains = 16, kFragments = 8;  // independent, so that none waits for the one before

extern "C" __global__ void limit_read(const float4* values, int64_t count, float* out) {
  float sum = 0;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += int64_t(gridDim.x) * blockDim.x) {
    float4 value = values[i];
    sum += value.x + value.y + value.z + value.w;
  }
  if (sum == -1) *out = sum;
}

extern "C" __global__ void limit_multiply_add(int64_t turns, float factor, float* out) {
  float sums[kChains], all = 0;
  for (float& sum : sums) sum = float(threadIdx.x);
  for (int64_t turn = 0; turn < turns; ++turn)
#pragma unroll
    for (float& sum : sums) sum = sum * factor + factor;
  for (float sum : sums) all += sum;
  if (all == -1) *out = all;
}

extern "C" __global__ void limit_fragments(int64_t turns, float* out) {
  float sums[kFragments][4] = {}, all = 0;
  uint32_t a[4] = {threadIdx.x, 1, 2, 3}, b[2] = {threadIdx.x, 1};
  for (int64_t turn = 0; turn < turns; ++turn)
#pragma unroll
    for (auto& sum : sums) tfkm::multiply_fragments(sum, a, b);
  for (auto& sum : sums) all += sum[0] + sum[1] + sum[2] + sum[3];
  if (all == -1) *out = all;
}
