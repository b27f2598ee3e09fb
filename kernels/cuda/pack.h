// Centroids as the screens want them: moved by an offset near their mean, −2 folded in, feature by
// feature.
#pragma once

#include "warp.h"

namespace tfkm {
namespace cuda {

constexpr int kPackThreads = 256;

// The mean of up to 256 centroids; any offset is right. And zeros for what the launches after this
// one count.
template <class T>
__device__ void centre(const Job& job) {
  const int64_t thread = int64_t(blockIdx.x) * kPackThreads + threadIdx.x,
                all = int64_t(gridDim.x) * kPackThreads;
  const T* centroids = static_cast<const T*>(job.centroids);
  const int64_t step = 1 + job.k / 256, count = (job.k + step - 1) / step;
  const double share = 1 / double(count);
  for (int64_t j = thread; j < job.padded_d; j += all) {
    double mean = 0;
    // Loads that wait together, not one by one.
    if (j < job.d)
#pragma unroll 16
      for (int64_t i = 0; i < job.k; i += step) mean += double(centroids[i * job.d + j]) * share;
    static_cast<T*>(job.offset)[j] = T(mean);
  }
  for (int64_t i = thread; i < job.launches; i += all) job.doubts[i] = 0;
  for (int64_t i = thread; i < 2; i += all) job.extremes[i] = 0;
  if (!job.high.sums) return;
  for (const Words* words : {&job.high, &job.low}) {
    for (int64_t i = thread; i < job.k * job.d; i += all) words->sums[i] = 0;
    for (int64_t i = thread; i < job.k; i += all) words->weights[i] = 0;
  }
  for (int64_t i = thread; i <= kDigits; i += all) job.inertia[i] = 0;
}

// A warp takes one centroid at a time.
template <class T>
__device__ void pack(const Job& job) {
  const T *centroids = static_cast<const T*>(job.centroids),
          *offset = static_cast<const T*>(job.offset);
  T* factors = static_cast<T*>(job.factors);
  const int64_t warp = (int64_t(blockIdx.x) * kPackThreads + threadIdx.x) / 32,
                warps = int64_t(gridDim.x) * kPackThreads / 32;
  const int lane = threadIdx.x % 32;
  for (int64_t i = warp; i < job.padded_k; i += warps) {
    double sq_norm = 0, sq_lost = 0;
    for (int64_t j = lane; j < job.padded_d; j += 32) {
      T centred = i < job.k && j < job.d ? centroids[i * job.d + j] - offset[j] : T(0);
      T factor = -2 * centred;
      factors[j * job.padded_k + i] = factor;
      sq_norm += double(centred) * double(centred);
      if (!job.halves) continue;
      uint16_t half = uint16_t(as_bfloat16s(float(factor), 0));
      double lost = 0.5 * (double(factor) - double(__uint_as_float(uint32_t(half) << 16)));
      job.halves[i * job.padded_d + j] = half;
      sq_lost += lost * lost;
    }
    sq_norm = warp_sum(sq_norm), sq_lost = warp_sum(sq_lost);
    if (lane != 0) continue;
    static_cast<T*>(job.sq_norms)[i] = i < job.k ? T(sq_norm) : infinity<T>();
    atomicMax(job.extremes, (unsigned long long)__double_as_longlong(sq_norm));
    atomicMax(job.extremes + 1, (unsigned long long)__double_as_longlong(sq_lost));
  }
}

}  // namespace cuda
}  // namespace tfkm
