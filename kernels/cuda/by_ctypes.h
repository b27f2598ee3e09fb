// The launcher for those who have a stream, pointers and sizes: ctypes, CuPy, XLA's handlers. No
// TensorFlow, no CUDA header.
#pragma once

#include "launch.h"

extern "C" {

// Kernels of one type of points, compiled by NVRTC or nvcc (tfkm/cuda/nvrtc.py). Null, or why not.
// Never unloaded: a program may be running them.
const char* tfkm_cuda_load(const void* image, void** kernels);

// How much a call needs; −1 if it cannot be done. processors: of the device (its attribute
// "multiprocessor count").
int64_t tfkm_cuda_scratch_bytes(const tfkm::cuda::Call* call, int32_t processors);

// On the stream, without waiting for it. Null, or why not; the text lives until the next call of
// the thread.
const char* tfkm_cuda_accumulate(void* kernels, void* stream, const tfkm::cuda::Call* call,
                                 int32_t processors);
}
