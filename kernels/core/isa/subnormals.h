// While it lives, this thread computes with subnormal numbers as they are. TensorFlow's threads
// take them for 0, others do not: a result would depend on the thread, and a value of 0 that
// carries bits of an index (registers.h) loses them.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

class Subnormals {
 public:
#if defined(__x86_64__)
  Subnormals() : mode_(_mm_getcsr()) {
    _mm_setcsr(mode_ & ~0x8040u);
  }  // flush to zero, denormals are zero
  ~Subnormals() { _mm_setcsr(mode_); }

 private:
  uint32_t mode_;
#elif defined(__aarch64__)
  Subnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(mode_));
    asm volatile("msr fpcr, %0" : : "r"(mode_ & ~(uint64_t(1) << 24)));
  }
  ~Subnormals() { asm volatile("msr fpcr, %0" : : "r"(mode_)); }

 private:
  uint64_t mode_;
#endif
  Subnormals(const Subnormals&) = delete;
};

}  // namespace
