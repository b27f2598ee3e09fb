// What every processor of the architecture has: SSE2, or NEON.
#pragma once

#include "generic.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

struct Isa {
  static constexpr int kVectorBytes = 16;
#if defined(__aarch64__)
  static constexpr int kRegisters = 32;
#else
  static constexpr int kRegisters = 16;
#endif
  static constexpr bool kWidens = false, kProductsOfPairs = false;
};

#if defined(__aarch64__)
using Floats16 = Several<float, 4>::Vector;
using Doubles16 = Several<double, 2>::Vector;
inline Floats16 fma(Floats16 a, Floats16 b, Floats16 c) {
  return (Floats16)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
inline Doubles16 fma(Doubles16 a, Doubles16 b, Doubles16 c) {
  return (Doubles16)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
inline Floats16 least(Floats16 a, Floats16 b) {
  return (Floats16)vminq_f32((float32x4_t)a, (float32x4_t)b);
}
inline Doubles16 least(Doubles16 a, Doubles16 b) {
  return (Doubles16)vminq_f64((float64x2_t)a, (float64x2_t)b);
}
inline Floats16 most(Floats16 a, Floats16 b) {
  return (Floats16)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
}
inline Doubles16 most(Doubles16 a, Doubles16 b) {
  return (Doubles16)vmaxq_f64((float64x2_t)a, (float64x2_t)b);
}
#elif defined(__x86_64__)
template <>
inline Several<float, 4>::Vector read_once(Several<float, 4>::Vector v) {
  asm("" : "+v"(v));
  return v;
}
template <>
inline Several<double, 2>::Vector read_once(Several<double, 2>::Vector v) {
  asm("" : "+v"(v));
  return v;
}
#endif

}  // namespace
