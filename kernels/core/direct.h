// The types that points come in, and the direct form of a distance.
#pragma once

#include <cstdint>

namespace {

struct Bfloat16 {
  uint16_t bits;
  explicit operator float() const {
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    __builtin_memcpy(&value, &wide, sizeof value);
    return value;
  }
  explicit operator double() const { return float(*this); }
};
using Float16 = _Float16;

// Σ(x − c)² in double, in eight lanes and a fixed tree: the same bits for every instruction set.
template <class S>
inline double sq_distance(const S* x, const double* c, int64_t d) {
  double lanes[8] = {};
  int64_t j = 0;
  for (; j + 8 <= d; j += 8)
    for (int l = 0; l < 8; ++l) {
      double difference = double(x[j + l]) - c[j + l];
      lanes[l] += difference * difference;
    }
  for (int l = 0; j + l < d; ++l) {
    double difference = double(x[j + l]) - c[j + l];
    lanes[l] += difference * difference;
  }
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

}  // namespace
