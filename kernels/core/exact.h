// Terms of an exact sum in two words: tfkm/exact.py, in C++.
#pragma once

#include <cmath>

namespace {

// Half to even for any double, without the instruction of SSE4.1; |x| ≥ 2⁵¹ has no more than a half below 1 ulp.
inline double rounded(double x) {
  constexpr double shift = 0x1.8p52;
  double near = (x + shift) - shift;
  return std::fabs(x) < 0x1p51 ? near : x;
}

struct Steps {
  double coarse, per_coarse, fine, per_fine;
  Steps() = default;
  Steps(double bound, double count)
      : coarse(bound * 0x1p-52), per_coarse(1 / coarse),
        fine(coarse * count * 0x1p-53), per_fine(1 / fine) {}
  inline void add(double term, double* high, double* low) const {
    term = rounded(term * per_fine) * fine;
    double h = rounded(term * per_coarse) * coarse;
    *high += h;
    *low += term - h;
  }
};

}  // namespace
