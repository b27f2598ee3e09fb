// How far apart two values of a screen have to be for the direct form to tell them apart alike
// (docs/design/exactness.md).
#pragma once

#include "warp.h"

namespace tfkm {
namespace cuda {

template <class T>
struct Margin {
  T largest_norm,
      largest_lost;  // over all centroids: ‖c − offset‖, and what rounding to bfloat16 took
  T per_product, per_square, least;

  // halves: of values made of bfloat16.
  __device__ Margin(const Job& job, bool halves) {
    constexpr double kRoom = 1 + 0x1p-20;
    const double slack = 1.05 + 4 * job.growth,
                 growth = halves ? 2 * job.growth_halves : job.growth;
    double norm = sqrt(__longlong_as_double(job.extremes[0])) * kRoom;
    largest_norm = T(norm);
    largest_lost = halves ? T(sqrt(__longlong_as_double(job.extremes[1])) * kRoom) : T(0);
    per_product = T(slack * 2 * growth * norm);
    per_square = T(slack * 4 * (halves ? 2 : 1) * job.growth_exact);
    least = T(16 * double(job.d + 8) * (sizeof(T) == 4 ? 0x1p-126 : 0x1p-1022));
  }

  // For a point x with ‖x − offset‖², of which rounding to bfloat16 took so much.
  __device__ T of(T sq_norm, T sq_lost) const {
    T norm = T(sqrt(double(sq_norm))), reach = norm + largest_norm;
    T margin = per_product * (2 * norm + largest_norm) + per_square * (reach * reach) + least;
    if (largest_lost == 0 && sq_lost == 0) return margin;
    T lost = T(sqrt(double(sq_lost))) + T(0x1p-22) * norm;
    return margin + T(1.05) * 4 * (norm * largest_lost + lost * (largest_norm + largest_lost));
  }

  // Four times that of tfkm/ops/validate.py, since this is around the offset.
  __device__ static T largest_sq_norm() { return sizeof(T) == 4 ? T(0x1.fffffep125) : T(0x1p902); }
};

}  // namespace cuda
}  // namespace tfkm
